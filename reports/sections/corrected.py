"""Rates as people would judge them, beside the judge's own: what its error does to the numbers above."""

from __future__ import annotations

from ...evals.types import CandidateComparison, CorrectedRate, MetricResult
from ..report import Report, key_of, rows_of
from ..section import Cell, Section, Table
from ..words import change_text, interval_text, title_of, value_text, where_text

ORDER = 71
METHODS = {"ppi": "people's labels of a sample", "rogan_gladen": "the judge's error on labelled replies"}
_COLUMNS = ("Metric", "Base, judged", "Base, corrected", "Tuned, judged", "Tuned, corrected", "Difference, judged", "Difference, corrected")


def section(report: Report) -> Section | None:
    """A table for each candidate; None where nothing is known of the judge's error."""
    tables = tuple(_table(report, one) for one in report.comparison.candidates if one.corrected)
    lead = (
        "The same rates without the judge's error. From labels of a sample (prediction-powered) nothing is assumed of the judge; from its "
        "error on labelled replies (Rogan-Gladen) it is assumed to err alike on both models, so no difference is given. Gates that are "
        "called corrected are decided on these numbers, all others on the judged ones."
    )
    return Section("corrected", "Corrected for the judge's error", tables, lead) if tables else None


def _table(report: Report, comparison: CandidateComparison) -> Table:
    judged = {key_of(row.tuned): row for row in rows_of(report, comparison)}
    rows = []
    for rate in comparison.corrected:
        row = judged.get(key_of(rate.tuned))
        delta = row.delta if row else None
        rows.append(
            (
                Cell(title_of(rate.tuned.metric), detail=f"{where_text(rate.tuned.suite, rate.tuned.decoding)}; by {_method(rate)}"),
                _value(row.base if row else None),
                _value(rate.base),
                _value(row.tuned if row else None),
                _value(rate.tuned),
                _change(delta.value, delta.ci_low, delta.ci_high) if delta else Cell("–"),
                _change(rate.delta.value, rate.delta.ci_low, rate.delta.ci_high) if rate.delta else Cell("–"),
            )
        )
    return Table(f"Corrected rates of {comparison.candidate.model.label}", _COLUMNS, tuple(rows), frozenset(range(1, 7)))


def _method(rate: CorrectedRate) -> str:
    return METHODS.get(rate.tuned.estimator, rate.tuned.estimator)


def _value(result: MetricResult | None) -> Cell:
    if result is None:
        return Cell("–")
    return Cell(value_text(result.value, rate=True), detail=interval_text(result.ci_low, result.ci_high, rate=True))


def _change(value: float | None, low: float | None, high: float | None) -> Cell:
    return Cell(change_text(value, rate=True, unit=False), detail=interval_text(low, high, rate=True, change=True))
