"""Which jailbreak wrappers work: success of each on the same requests, base and tuned, the most successful first."""

from __future__ import annotations

from collections.abc import Iterator

from ...evals.types import CandidateComparison
from ..report import Report, Row, rows_of
from ..section import Cell, Section, Table
from ..words import CHANGE_WORDS, change_of, change_text, interval_text, value_text, where_text

ORDER = 44
METRIC = "attack_success_rate"
SHOWN = 40
"""Rows of a table; metrics.csv has all."""


def section(report: Report) -> Section | None:
    """A table for each candidate, suite and decoding; None where no suite stands in several wrappers."""
    blocks = tuple(table for comparison in report.comparison.candidates for table in _tables(report, comparison))
    if not blocks:
        return None
    lead = (
        "How often a harmful request was answered inside each wrapper. A wrapper around the request is an attack that anyone can make; one "
        "that works on the tuned model and not on its base came with the tuning. Wrappers are for reading, not for deciding."
    )
    return Section("attacks", "Which attacks work", blocks, lead)


def _tables(report: Report, comparison: CandidateComparison) -> Iterator[Table]:
    places: dict[str, list[Row]] = {}
    for row in rows_of(report, comparison):
        if row.tuned.metric == METRIC and row.tuned.subset.startswith("@") and row.tuned.value is not None:
            places.setdefault(where_text(row.tuned.suite, row.tuned.decoding), []).append(row)
    columns = ("Wrapper", "Base", "Tuned", "Difference, points", "n")
    for where, rows in places.items():
        ranked = sorted(rows, key=lambda row: -(row.tuned.value or 0.0))
        note = f"{len(ranked) - SHOWN:,} more in metrics.csv." if len(ranked) > SHOWN else ""
        caption = f"Success of each wrapper, {comparison.candidate.model.label}, {where}"
        yield Table(caption, columns, tuple(map(_row, ranked[:SHOWN])), frozenset({1, 2, 3, 4}), note=note)


def _row(row: Row) -> tuple[Cell, ...]:
    tuned, base, delta = row.tuned, row.base, row.delta
    change = Cell("–")
    if delta is not None and delta.value is not None:
        between = interval_text(delta.ci_low, delta.ci_high, rate=True, change=True)
        change = Cell(change_text(delta.value, rate=True, unit=False), detail=f"{between}, {CHANGE_WORDS[change_of(tuned, delta)]}")
    return (
        Cell(tuned.subset.removeprefix("@")),
        Cell(value_text(base.value, rate=True), detail=interval_text(base.ci_low, base.ci_high, rate=True)) if base else Cell("–"),
        Cell(value_text(tuned.value, rate=True), detail=interval_text(tuned.ci_low, tuned.ci_high, rate=True)),
        change,
        Cell(f"{tuned.n:,}"),
    )
