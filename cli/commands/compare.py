"""`truenorth compare BASE CANDIDATE ...`: finished evaluations side by side. Nothing is generated."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import FOLDER, json_option, out_option


@click.command("compare")
@click.argument("base", type=FOLDER)
@click.argument("candidates", type=FOLDER, nargs=-1, required=True, metavar="CANDIDATE...")
@click.option("--gates", metavar="FILE", help="Requirements; those of the first candidate's run by default.")
@click.option("--labels", type=FOLDER, metavar="FILE", help="labels.csv of `truenorth labels`, filled: corrects one candidate.")
@click.option("--judge-card", type=FOLDER, metavar="FILE", help="The judge's card (`truenorth audit ... --json`); by default the run's.")
@out_option(text="Folder of the comparison; made if absent.")
@json_option
def command(
    base: Path,
    candidates: tuple[Path, ...],
    gates: str | None,
    labels: Path | None,
    judge_card: Path | None,
    out: Path,
    as_json: bool,
) -> int:
    """Compare finished evaluations with a baseline.

    BASE and CANDIDATE are runs, or evaluations in them (RUN/eval/LABEL). A run means its candidate.
    """
    from ..comparing import run_comparison
    from ..verdict import conclude

    comparison, code = run_comparison(base, candidates, out, gates, labels, judge_card)
    return conclude(comparison, code, out, as_json=as_json)
