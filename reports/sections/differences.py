"""Forest plot of all differences, and every number as a table; metrics.csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...evals.types import CandidateComparison, EvalRun, MetricResult
from ..headline import row_of
from ..report import Report, Row, change_rows, corrected_rows, rows_of
from ..section import Block, Cell, CsvValue, Export, Section, Table
from ..series import step_of
from ..svg import Interval, difference, difference_axis, ticks
from ..words import (
    CHANGE_WORDS,
    bounds_text,
    change_of,
    change_text,
    interval_text,
    is_of_one_model,
    is_rate,
    level_text,
    p_text,
    title_of,
    value_text,
    where_text,
)

ORDER = 40
COLUMNS = (
    "run", "model", "checkpoint", "baseline", "suite", "subset", "decoding", "metric", "estimator", "unit", "value", "ci_low",
    "ci_high", "n", "n_invalid", "baseline_value", "delta", "delta_ci_low", "delta_ci_high", "p_value", "p_adjusted", "mde",
    "higher_is_better", "judge",
)  # fmt: skip
_TEXT = frozenset({"run", "model", "checkpoint", "baseline", "suite", "subset", "decoding", "metric", "estimator", "unit", "judge"})


def section(report: Report) -> Section:
    """Differences of rates on one scale, then the table of everything."""
    blocks: list[Block] = []
    for comparison in report.comparison.candidates:
        rows = [row for row in change_rows(report, comparison) if row.delta and row.delta.value is not None]
        if rates := [row for row in rows if is_rate(row.tuned.metric, row.tuned.unit) and not is_of_one_model(row.tuned.metric)]:
            blocks.append(_forest(comparison, rates, _limits(comparison, rows)))
        blocks.append(_all(report, comparison))
    export = Export("metrics.csv", COLUMNS, _TEXT, list(_csv_rows(report)))
    level = level_text(report.comparison.alpha)
    lead = (
        f"Tuned minus base on the same prompts. The line is the {level} interval of the paired difference; "
        "one that crosses zero resolves nothing."
        if report.baseline
        else "There is nothing to subtract from yet."
        if report.unfinished
        else "There is no baseline, so there are no differences."
    )
    return Section("differences", "All differences", tuple(blocks), lead, (export,))


def _limits(comparison: CandidateComparison, rows: list[Row]) -> dict[int, float]:
    """Limit of the difference, where a gate declares one, by the row's identity."""
    found = ((row_of(decision, rows), decision.gate.margin) for decision in comparison.decisions)
    return {id(row): margin for row, margin in found if row is not None and margin is not None}


def _forest(comparison: CandidateComparison, rows: list[Row], limits: Mapping[int, float]) -> Table:
    reach = _reach(rows)
    axis = difference_axis(reach, [(value, f"{value * 100:+g}".replace("-", "−") if value else "0") for value in ticks(-reach, reach)])
    note = "A dashed line is the limit of a gate." if limits else ""
    columns = ("Metric", Cell("Difference, points", drawing=axis), "In numbers", "Reading")
    caption = f"Differences in percentage points, {comparison.candidate.model.label} minus base"
    return Table(caption, columns, tuple(_forest_row(row, reach, limits.get(id(row))) for row in rows), unbroken=frozenset({2}), note=note)


def _forest_row(row: Row, reach: float, limit: float | None) -> tuple[Cell, ...]:
    tuned, delta = row.tuned, row.delta
    if delta is None or delta.value is None:
        raise ValueError("a row of the forest plot needs a difference")
    change = change_of(tuned, delta)
    interval = interval_text(delta.ci_low, delta.ci_high, rate=True, change=True)
    where = " · ".join(part for part in (where_text(tuned.suite, tuned.decoding), "corrected" if row.corrected else "") if part)
    text = change_text(delta.value, rate=True)
    said = f"{text}, {interval}" + ("" if limit is None else f"; limit {change_text(limit, rate=True)}")
    drawing = difference(
        Interval(delta.value, delta.ci_low, delta.ci_high), reach, change, f"{title_of(tuned.metric)}, {where}", said, limit
    )
    better = {True: "higher is better", False: "lower is better", None: ""}[tuned.higher_is_better]
    return (
        Cell(title_of(tuned.metric), detail=where),
        Cell("", drawing=drawing),
        Cell(text, detail=interval),
        Cell(CHANGE_WORDS[change], change, better),
    )


def _reach(rows: list[Row]) -> float:
    """Half-width of the scale: the furthest end, rounded up to a tenth."""
    ends = [abs(end) for row in rows if row.delta for end in (row.delta.ci_low, row.delta.ci_high, row.delta.value) if end is not None]
    return max(0.1, min(1.0, -(-max(ends, default=0.1) * 10 // 1) / 10))


def _all(report: Report, comparison: CandidateComparison) -> Table:
    rows = tuple(_number_row(row) for row in rows_of(report, comparison))
    columns = ("Metric", "Base", "Tuned", "Difference", "p", "p, adjusted", "Smallest visible", "n", "Invalid", "Estimator")
    note = (
        "p is two-sided. Adjusted: by Holm over the numbers that a gate is declared for, by Benjamini-Hochberg over the categories of "
        "one table. Smallest visible: the difference found with 80% power. Subsets are for reading, not for deciding."
    )
    return Table(f"Every number of {comparison.candidate.model.label}", columns, rows, frozenset(range(1, 9)), note=note, collapsed=True)


def _number_row(row: Row) -> tuple[Cell, ...]:
    tuned, base, delta, rate = row.tuned, row.base, row.delta, is_rate(row.tuned.metric, row.tuned.unit)
    where = where_text(tuned.suite, tuned.decoding, tuned.subset)
    return (
        Cell(title_of(tuned.metric), detail=where),
        _value_cell(base, rate),
        _value_cell(tuned, rate),
        Cell(
            change_text(delta.value, rate=rate, unit=False) if delta else "–",
            detail=interval_text(delta.ci_low, delta.ci_high, rate=rate, change=True) if delta else "",
        ),
        Cell(p_text(delta.p_value) if delta else ""),
        Cell(p_text(delta.p_adjusted) if delta else ""),
        Cell(change_text(delta.mde, rate=rate, unit=False).lstrip("+") if delta and delta.mde is not None else ""),
        Cell(f"{tuned.n:,}"),
        Cell(f"{tuned.n_invalid:,}", detail=bounds_text(tuned)),
        Cell(tuned.estimator.replace("_", " ")),
    )


def _value_cell(result: MetricResult | None, rate: bool) -> Cell:
    if result is None:
        return Cell("–")
    return Cell(value_text(result.value, rate=rate), detail=interval_text(result.ci_low, result.ci_high, rate=rate) or result.reason)


def _csv_rows(report: Report) -> Iterator[dict[str, CsvValue]]:
    if report.baseline:
        for result in report.baseline.metrics:
            yield _csv_row(report, report.baseline, Row(result, None, None))
    for comparison in (*report.comparison.candidates, *report.checkpoints):
        for row in rows_of(report, comparison):
            yield _csv_row(report, comparison.candidate, row)
        for row in corrected_rows(comparison):
            yield _csv_row(report, comparison.candidate, row)


def _csv_row(report: Report, run: EvalRun, row: Row) -> dict[str, CsvValue]:
    result, delta = row.tuned, row.delta
    is_candidate = report.baseline is not None and run is not report.baseline
    return {
        "run": report.run,
        "model": run.model.label,
        "checkpoint": "" if (step := step_of(run.model.label)) is None else str(step),
        "baseline": report.baseline.model.label if report.baseline and is_candidate else "",
        "suite": result.suite,
        "subset": result.subset,
        "decoding": result.decoding,
        "metric": result.metric,
        "estimator": result.estimator,
        "unit": result.unit,
        "value": result.value,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "n": result.n,
        "n_invalid": result.n_invalid,
        "baseline_value": row.base.value if row.base else None,
        "delta": delta.value if delta else None,
        "delta_ci_low": delta.ci_low if delta else None,
        "delta_ci_high": delta.ci_high if delta else None,
        "p_value": delta.p_value if delta else None,
        "p_adjusted": delta.p_adjusted if delta else None,
        "mde": delta.mde if delta else None,
        "higher_is_better": result.higher_is_better,
        "judge": result.judge,
    }
