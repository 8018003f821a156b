"""`truenorth judge RUN --judge NAME`: a second opinion on what was generated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from .. import console
from ..options import FOLDER, json_option

COLUMNS = ("agreement", "kappa", "kappa_3", "sensitivity", "specificity", "bias")


@click.command("judge")
@click.argument("run", type=FOLDER)
@click.option("--judge", "name", required=True, metavar="NAME", help="Judge to ask.")
@json_option
def command(run: Path, name: str, as_json: bool) -> int:
    """Judge again what a run generated.

    Adds judgments.NAME.jsonl beside each evaluation and overwrites nothing, the report neither: `truenorth report RUN` shows the verdicts
    there. Prints how far the two judges agree.
    """
    from ..rejudge import rejudge

    cards = rejudge(run, name)
    if as_json:
        console.out_json({"judge": name, "evaluations": {label: asdict(card) for label, card in cards.items()}})
        return 0
    rows = [
        (label, card.reference, str(card.n), str(card.n_invalid), *(_shown(getattr(card, c)) for c in COLUMNS))
        for label, card in cards.items()
    ]
    console.out(console.table(("model", "against", "n", "invalid", *COLUMNS), rows))
    return 0


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
