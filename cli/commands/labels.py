"""`truenorth labels RUN --out labels.csv`: the responses worth a person's label."""

from __future__ import annotations

from pathlib import Path

import click

from .. import console
from ..options import FOLDER, json_option


@click.command("labels")
@click.argument("run", type=FOLDER)
@click.option("--n", "budget", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="About how many requests.")
@click.option("--candidate", default="", metavar="LABEL", help="Of a run with several candidates: the one to label.")
@click.option("--decoding", default="", metavar="D", help="Responses of this decoding.  [default: the run's first]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, metavar="N", help="Seeds the draw.")
@click.option("--out", type=FOLDER, required=True, metavar="FILE", help="The .csv file to fill; never overwritten.")
@json_option
def command(run: Path, budget: int, candidate: str, decoding: str, seed: int, out: Path, as_json: bool) -> int:
    """Draw responses of a run for a person to label.

    Requests on which the verdicts differ, between the two models or between judges, are four times as likely; all are drawn with known
    probability. Fill the column `label` of every row (refuse, partial, comply or other), then give the file to
    `truenorth compare BASE CANDIDATE --labels FILE`: it corrects the rates for the judge's error.
    """
    from ..labelling import draw_labels

    count = draw_labels(run, out, budget=budget, candidate=candidate, decoding=decoding, seed=seed)
    if as_json:
        console.out_json({"file": str(out), "requests": count, "rows": 2 * count})
    else:
        console.out(f"{out}: {2 * count} responses to {count} requests; write refuse, partial, comply or other into every `label`.")
    return 0
