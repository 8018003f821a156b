"""The refusal plane: needless refusals against compliance with harmful prompts, with an arrow from base to tuned.

Both are better when smaller, so the good corner is at the lower left; a model that refuses everything slides to the lower right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...evals.types import CandidateComparison, EvalRun, MetricResult
from ..report import Report
from ..section import Cell, Figure, Figures, Section, Table
from ..svg import Axis, Interval, Place, plane
from ..words import interval_text, value_text, where_text

ORDER = 43
_MAX_FIGURES = 3
_MAX_CANDIDATES = 8
_LABEL = 18
_LEAST = 0.2
"""The axes reach at least this far, so that noise doesn't fill the plane."""


class Spot(NamedTuple):
    """One model in one plane."""

    run: EvalRun
    over: MetricResult
    harmful: MetricResult


class Plane(NamedTuple):
    """A suite that should be refused, one that should be answered, and how replies were drawn."""

    harmful: str
    benign: str
    decoding: str


def section(report: Report) -> Section | None:
    """A plane for each pair of suites, gated ones first; None where either rate was not measured."""
    runs = _comparable(report)
    figures = [figure for at in _planes(report) if (figure := _figure(at, _spots(at, runs), report)) is not None]
    if not figures:
        return None
    lead = (
        "Each model by how often it refuses what it should answer (across) and complies with what it should refuse (up). "
        "The lower left corner is best; a model that refuses everything stands at the lower right."
    )
    return Section("plane", "Refusal plane", (Figures(tuple(figures[:_MAX_FIGURES])),), lead)


def _comparable(report: Report) -> list[EvalRun]:
    """The baseline first, then candidates that can stand beside it."""
    shown = [item.candidate for item in report.comparison.candidates if not item.differences]
    return [*([report.baseline] if report.baseline and shown else []), *shown[:_MAX_CANDIDATES]]


def _planes(report: Report) -> list[Plane]:
    if not report.comparison.candidates:
        return []
    comparison = report.comparison.candidates[0]
    harmful = list(_measured(comparison, "harmful_compliance_rate"))
    found = [
        Plane(row.suite, other.suite, row.decoding)
        for row in harmful
        for other in _measured(comparison, "over_refusal_rate")
        if other.decoding == row.decoding
    ]
    gated = {(item.gate.suite, item.gate.decoding) for item in comparison.decisions if item.gate.kind == "gate"}
    return sorted(found, key=lambda at: -sum((suite, at.decoding) in gated for suite in (at.harmful, at.benign)))


def _measured(comparison: CandidateComparison, metric: str) -> Iterator[MetricResult]:
    for row in comparison.candidate.metrics:
        if row.metric == metric and not row.subset and row.value is not None:
            yield row


def _spots(at: Plane, runs: Sequence[EvalRun]) -> list[Spot]:
    spots = []
    for run in runs:
        rows = {
            (row.metric, row.suite): row for row in run.metrics if row.decoding == at.decoding and not row.subset and row.value is not None
        }
        over, harmful = rows.get(("over_refusal_rate", at.benign)), rows.get(("harmful_compliance_rate", at.harmful))
        if over and harmful:
            spots.append(Spot(run, over, harmful))
    return spots


def _figure(at: Plane, spots: list[Spot], report: Report) -> Figure | None:
    if not spots:
        return None
    has_base = spots[0].run is report.baseline
    places = [_place(spot, "base" if spot.run is report.baseline else "tuned") for spot in spots]
    x = Axis(f"over-refusal on {at.benign}", 0.0, _reach([place.x for place in places]), percent=True)
    y = Axis(f"harmful compliance on {at.harmful}", 0.0, _reach([place.y for place in places]), percent=True)
    desc = "; ".join(place.name for place in places)
    title = f"Refusal plane, {where_text(f'{at.harmful} and {at.benign}', at.decoding)}"
    drawing = plane(x, y, places, title, desc, arrows=has_base)
    return Figure(drawing, f"{at.harmful}, {at.benign}", at.decoding, (), _table(at, spots))


def _place(spot: Spot, css: str) -> Place:
    label = spot.run.model.label
    over, harmful = (value_text(row.value, rate=True) for row in (spot.over, spot.harmful))
    name = f"{label}: over-refusal {over}, harmful compliance {harmful}"
    return Place(_interval(spot.over), _interval(spot.harmful), name, css, label if len(label) <= _LABEL else f"{label[: _LABEL - 1]}…")


def _interval(row: MetricResult) -> Interval:
    return Interval(row.value or 0.0, row.ci_low, row.ci_high)


def _reach(intervals: Sequence[Interval]) -> float:
    """The furthest end, rounded up to a tenth."""
    ends = [end for item in intervals for end in (item.value, item.high) if end is not None]
    return min(1.0, max(_LEAST, -(-max(ends) * 10 // 1) / 10))


def _table(at: Plane, spots: Sequence[Spot]) -> Table:
    rows = tuple(
        (Cell(spot.run.model.label), *(Cell(value_text(row.value, rate=True), detail=_between(row)) for row in (spot.over, spot.harmful)))
        for spot in spots
    )
    columns = ("Model", f"Over-refusal, {at.benign}", f"Harmful compliance, {at.harmful}")
    return Table(f"{at.harmful} and {at.benign}, in numbers", columns, rows, frozenset({1, 2}), collapsed=True)


def _between(row: MetricResult) -> str:
    return interval_text(row.ci_low, row.ci_high, rate=True)
