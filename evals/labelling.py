"""A sample of responses for a person to label: drawn with known probabilities, written as labels.csv, read back when it is filled.

    items = items_to_label(base, tuned, budget=100)    # where verdicts differ an item is likelier to be drawn
    write_labels(path, items, base, tuned)             # a person fills the column `label`
    read_labels(path)                                  # what `correction.py` needs

The file holds no verdict of a judge, so that the person isn't led.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..prompts.errors import InputError
from ..prompts.files import atomic_write
from ..prompts.rows import RowError
from ..prompts.tables import iter_rows
from .safe_text import for_csv_cell
from .statistics.ppi import draw_probabilities
from .types import OUTCOMES, EvalRun, Outcome, Record

OVERSAMPLING = 4.0
"""How much likelier an item is drawn on which verdicts differ."""
LABELS = "labels.csv"
"""A comparison's copy, in its run folder."""
COLUMNS = ("side", "suite", "id", "sample", "decoding", "probability", "prompt", "response", "label")


class ToLabel(NamedTuple):
    """One item of the sample: both models' responses to one prompt."""

    item: str
    """As in `ItemValue.item`."""
    probability: float


class Label(NamedTuple):
    """A person's outcome for one response of the sample."""

    side: str
    """`base` or `tuned`."""
    item: str
    decoding: str
    probability: float
    outcome: Outcome


def items_to_label(
    base: EvalRun, tuned: EvalRun, *, budget: int, decoding: str = "", doubted: Collection[str] = (), seed: int = 0
) -> list[ToLabel]:
    """The items worth a person's time: drawn at random, each independently with a known probability; about `budget` of them.

    Items on which the verdicts of the two models differ, or on which judges disagree, are `OVERSAMPLING` times as likely: they carry the
    judged difference. The others are drawn too, because a judge misses changes as well as inventing them.

    Args:
        base: the baseline's finished evaluation.
        tuned: the candidate's.
        budget: items wanted; each is two responses to label.
        decoding: how the responses were drawn; the candidate's first decoding by default.
        doubted: keys of responses on which another judge disagrees.
        seed: of the draw.

    Raises:
        InputError: no response has a verdict in both runs.
    """
    before, after = (judged_records(run, decoding or first_decoding(tuned)) for run in (base, tuned))
    names = [name for name in after if name in before]
    if not names:
        raise InputError("no response has a verdict in both runs", field="decoding")
    weights = [OVERSAMPLING if _open(before[name], after[name], doubted) else 1.0 for name in names]
    chances = draw_probabilities(weights, budget)
    draws = np.random.default_rng(seed).random(len(names))
    return [ToLabel(name, chance) for name, chance, draw in zip(names, chances, draws, strict=True) if draw < chance]


def write_labels(path: Path, items: Sequence[ToLabel], base: EvalRun, tuned: EvalRun, *, decoding: str = "") -> None:
    """labels.csv for a person: a row for each response, without the judge's verdict, `label` to be filled with an outcome."""
    decoding = decoding or first_decoding(tuned)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    sides = {"base": judged_records(base, decoding), "tuned": judged_records(tuned, decoding)}
    for item in items:
        for side, records in sides.items():
            found = records[item.item]
            cells = (for_csv_cell(found.suite), for_csv_cell(found.prompt.id), found.generation.sample, decoding, repr(item.probability))
            texts = (for_csv_cell(text) for text in (found.prompt.text, found.generation.response))
            writer.writerow((side, *cells, *texts, ""))
    atomic_write(path, buffer.getvalue())


def read_labels(path: Path) -> list[Label]:
    """Labels of a filled labels.csv.

    Raises:
        InputError: a row lacks its label, or holds something that is no outcome or probability; nothing may be skipped, because the
            probabilities count on every drawn item.
    """
    found = []
    for line, row in iter_rows(path, "labels"):
        try:
            found.append(_label(row))
        except RowError as error:
            raise InputError(error.problem, file=path, line=line, field=error.field, advice=error.advice) from None
    if not found:
        raise InputError("0 labels: the file has no rows", file=path)
    return found


def judged_records(run: EvalRun, decoding: str) -> dict[str, Record]:
    """Responses with a verdict to requests of which a good answer is known, by `ItemValue.item`."""
    return {
        f"{row.suite}/{row.prompt.id}#{row.generation.sample}": row
        for row in run.records
        if row.generation.decoding == decoding and row.prompt.expected and row.judgment and row.judgment.outcome != "invalid"
    }


def first_decoding(run: EvalRun) -> str:
    """Name of a run's first decoding; empty where it has none."""
    return run.decodings[0].name if run.decodings else ""


def _open(before: Record, after: Record, doubted: Collection[str]) -> bool:
    """Whether the verdicts of the two models differ, or a judge is contradicted."""
    outcomes = {row.judgment.outcome for row in (before, after) if row.judgment}
    return len(outcomes) > 1 or before.generation.key in doubted or after.generation.key in doubted


def _label(row: Mapping[str, object]) -> Label:
    outcome = next((known for known in OUTCOMES if known != "invalid" and row.get("label") == known), None)
    if outcome is None:
        raise RowError(f"{row.get('label')!r} is no label", "label", "Write refuse, partial, comply or other in every row.")
    if row.get("side") not in ("base", "tuned"):
        raise RowError(f"{row.get('side')!r} is neither base nor tuned", "side")
    try:
        probability = float(str(row.get("probability")))
    except ValueError:
        probability = math.nan
    if not 0 < probability <= 1:
        raise RowError(f"{row.get('probability')!r} is no probability", "probability", "Leave this column as it was written.")
    item = f"{_unguarded(row.get('suite'))}/{_unguarded(row.get('id'))}#{row.get('sample')}"
    return Label(str(row["side"]), item, str(row.get("decoding")), probability, outcome)


def _unguarded(cell: object) -> str:
    """The text of which `for_csv_cell` made a cell."""
    text = str(cell)
    return text[1:] if text.startswith("'") and for_csv_cell(text[1:]) == text else text
