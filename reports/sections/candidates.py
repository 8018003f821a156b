"""Several candidates at a glance: verdicts beside each other, and each gated number (else the main ones) over them in their order.

Candidates may be other models, checkpoints of one run, or earlier runs; the order is the user's, and nothing is interpolated between them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...evals.types import CandidateComparison, MetricResult
from ..headline import sorted_decisions
from ..report import Key, Report, key_of, overall_rows
from ..section import Cell, Figure, Figures, Section, Table
from ..svg import Axis, Interval, Place, plane
from ..words import VERDICT_WORDS, interval_text, is_rate, title_of, value_text, where_text

ORDER = 5
_MAX_FIGURES = 6
_MAIN = ("refusal_rate", "over_refusal_rate", "correct_rate", "capability_acc", "kl_exact_seq", "reward_mean")


def section(report: Report) -> Section | None:
    """Verdicts and trends; None with fewer than two candidates."""
    if len(report.comparison.candidates) < 2 or report.unfinished:
        return None
    figures = [figure for key in _followed(report) if (figure := _trend(report, key)) is not None]
    charts = (Figures(tuple(figures[:_MAX_FIGURES])),) if figures else ()
    blocks = (_verdicts(report), *charts)
    lead = "In the order given; grey squares are the base. Candidates that can't be compared with the base have no place in the charts."
    return Section("candidates", "Candidates", blocks, lead)


def _verdicts(report: Report) -> Table:
    columns = ("Candidate", "Verdict", "Failed", "Undecided", "Passed", "First to look at")
    rows = tuple(_verdict_row(number, item) for number, item in enumerate(report.comparison.candidates, 1))
    return Table("Verdicts, in the order given", columns, rows, frozenset({2, 3, 4}), frozenset({1}))


def _verdict_row(number: int, comparison: CandidateComparison) -> tuple[Cell, ...]:
    outcomes = [decision.outcome for decision in comparison.decisions]
    worst = next((decision for decision in sorted_decisions(comparison) if decision.outcome != "pass"), None)
    first = comparison.differences[0] if comparison.differences else ""
    if worst and not first:
        first = " ".join((title_of(worst.gate.metric), where_text(worst.gate.suite, worst.gate.decoding))).strip()
    return (
        Cell(f"{number}. {comparison.candidate.model.label}"),
        Cell(VERDICT_WORDS[comparison.verdict], comparison.verdict),
        Cell(f"{outcomes.count('fail') + outcomes.count('not_run')}"),
        Cell(f"{outcomes.count('inconclusive')}"),
        Cell(f"{outcomes.count('pass')}"),
        Cell(first),
    )


def _followed(report: Report) -> list[Key]:
    """Numbers that a gate is declared for, in the order of the gates; without any, those that say what training bought and cost."""
    gates = [decision.gate for item in report.comparison.candidates for decision in item.decisions if decision.gate.kind == "gate"]
    keys = list(dict.fromkeys(key_of(row.tuned) for item in report.comparison.candidates for row in overall_rows(report, item)))
    gated = [
        key for gate in gates for key in keys if key[0] == gate.metric and gate.suite in ("", key[1]) and gate.decoding in ("", key[3])
    ]
    main = sorted((key for key in keys if key[0] in _MAIN), key=lambda key: _MAIN.index(key[0]))
    return list(dict.fromkeys(gated)) or main


def _trend(report: Report, key: Key) -> Figure | None:
    """One number of the base and of every comparable candidate."""
    found = list(_results(report, key))
    if len(found) < 2:
        return None
    rate = is_rate(key[0], found[0][2].unit)
    places = [_place(number, label, result, rate) for number, label, result in found]
    ends = [end for place in places for end in (place.y.value, place.y.low, place.y.high) if end is not None]
    low, high = min(ends), max(ends)
    pad = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    y = Axis(title_of(key[0]), max(0.0, low - pad), min(1.0, high + pad), True) if rate else Axis(title_of(key[0]), low - pad, high + pad)
    x = Axis("0 is the base, then candidates by number", -0.5, len(report.comparison.candidates) + 0.5, whole=True)
    where = where_text(key[1], key[3])
    drawing = plane(x, y, places, f"{title_of(key[0])}, {where}", "; ".join(place.name for place in places))
    rows = tuple((Cell(label), _cell(result, rate), Cell(f"{result.n:,}")) for _, label, result in found)
    table = Table(f"{title_of(key[0])} {where}, in numbers", ("Model", "Value", "n"), rows, frozenset({1, 2}), collapsed=True)
    return Figure(drawing, title_of(key[0]), where, (), table)


def _results(report: Report, key: Key) -> Iterator[tuple[int, str, MetricResult]]:
    """(place, label, result), the base at 0 and candidates from 1."""
    for run in (report.baseline,) if report.baseline else ():
        for result in run.metrics:
            if key_of(result) == key and result.value is not None:
                yield 0, run.model.label, result
    for number, comparison in enumerate(report.comparison.candidates, 1):
        for row in overall_rows(report, comparison):
            if key_of(row.tuned) == key and row.tuned.value is not None and not comparison.differences:
                yield number, comparison.candidate.model.label, row.tuned


def _place(number: int, label: str, result: MetricResult, rate: bool) -> Place:
    name = f"{label}: {value_text(result.value, rate=rate)}"
    y = Interval(result.value or 0.0, result.ci_low, result.ci_high)
    return Place(Interval(float(number), None, None), y, name, "tuned" if number else "base")


def _cell(result: MetricResult, rate: bool) -> Cell:
    return Cell(value_text(result.value, rate=rate), detail=interval_text(result.ci_low, result.ci_high, rate=rate))
