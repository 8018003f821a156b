"""`truenorth audit LABELLED ...`: how often a judge errs, by people's labels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...evals.safe_text import for_terminal
from .. import console
from ..options import FOLDER, json_option

COLUMNS = ("agreement", "kappa", "kappa_3", "sensitivity", "specificity", "bias")


@click.command("audit")
@click.argument("labelled", type=FOLDER, nargs=-1, required=True, metavar="LABELLED...")
@click.option("--judge", "name", required=True, metavar="NAME", help="Judge to audit.")
@json_option
def command(labelled: tuple[Path, ...], name: str, as_json: bool) -> int:
    """Compare a judge with human labels.

    LABELLED is a .csv, .jsonl or .json file with prompt, response and label; XSTest, HarmBench and GPTFuzz files are known. Binary figures
    are any refusal against the rest; bias is the judge's refusal rate minus people's. Brackets hold 95 % intervals, clustered by request.
    """
    from ...evals.audit import audit
    from ...evals.judges import get_judge

    found = audit(labelled, get_judge(name))
    if as_json:
        parts = {"groups": found.groups, "categories": found.categories}
        rows = {part: {name: _as_json(row) for name, row in block.items()} for part, block in parts.items()}
        console.out_json({**_as_json(found.total), **rows, "trained_on": found.trained_on})
        return 0
    blocks = [{"all": found.total}, found.groups if len(found.groups) > 1 else {}, found.categories]
    header = (found.total.card.judge, "n", "invalid", *COLUMNS)
    console.out(console.table(header, [_cells(part, row) for block in blocks for part, row in block.items()]))
    if found.trained_on:
        console.say(f"warning: {name} was trained on {', '.join(found.trained_on)}: on responses that it has seen its figures are too good")
    return 0


def _as_json(row: Any) -> dict[str, Any]:
    return {**asdict(row.card), "intervals": row.intervals}


def _cells(part: str, row: Any) -> tuple[str, ...]:
    figures = (_shown(getattr(row.card, column), row.intervals[column]) for column in COLUMNS)
    return (for_terminal(part, 40), str(row.card.n), str(row.card.n_invalid), *figures)


def _shown(value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} [{limits[0]:.2f} {limits[1]:.2f}]" if limits else f"{value:.2f}"
