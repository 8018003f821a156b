"""The gates, failing rows first; gates.csv."""

from __future__ import annotations

from ...evals.types import CandidateComparison, EvalRun, GateDecision
from ..headline import measured_text, requirement_text, row_of, sorted_decisions, why_text
from ..report import Report, Row, decided_rows, evidence_id
from ..section import Block, Cell, CsvValue, Export, Paragraph, Section, Table
from ..words import GATE_WORDS, bounds_text, is_of_one_model, is_rate, level_text, title_of, value_text, where_text
from .quadrants import has_card

ORDER = 10
COLUMNS = (
    "run", "model", "gate", "kind", "metric", "suite", "decoding", "direction", "threshold", "margin", "baseline", "value",
    "ci_low", "ci_high", "n", "p_adjusted", "outcome", "reason",
)  # fmt: skip
_TEXT = frozenset({"run", "model", "gate", "metric", "suite", "decoding", "baseline", "reason"})


def section(report: Report) -> Section:
    """One table a candidate."""
    blocks: list[Block] = []
    for comparison in report.comparison.candidates:
        if comparison.decisions:
            blocks.append(_table(report, comparison))
        elif not report.unfinished:
            blocks.append(Paragraph("No gate is declared: the numbers below stand without a requirement.", "none"))
    if report.unfinished:
        blocks.append(Paragraph("Gates are decided when every evaluation is finished.", "none"))
    rows = [_csv_row(report, item, decision) for item in report.comparison.candidates for decision in sorted_decisions(item)]
    level = level_text(report.comparison.alpha)
    lead = (
        f"A gate passes when its whole {level} interval lies on the good side of the limit, and fails when the evidence for the bad side "
        "survives correction for the number of gates. Anything between is undecided. A check is compared exactly. A corrected gate is "
        "decided on the number as people would judge it."
    )
    return Section("gates", "Gates", tuple(blocks), lead, (Export("gates.csv", COLUMNS, _TEXT, rows),))


def _table(report: Report, comparison: CandidateComparison) -> Table:
    measured = decided_rows(report, comparison)
    rows = [_row(comparison.candidate, decision, row_of(decision, measured)) for decision in sorted_decisions(comparison)]
    columns = ("Gate", "Outcome", "Required", "Measured", "Base to tuned", "n", "Why")
    return Table(
        f"Gates of {comparison.candidate.model.label}, failing rows first", columns, tuple(rows), frozenset({5}), frozenset({1, 3, 4})
    )


def _row(run: EvalRun, decision: GateDecision, row: Row | None) -> tuple[Cell, ...]:
    gate = decision.gate
    where = where_text(gate.suite, gate.decoding)
    value, interval = measured_text(decision)
    link = "corrected" if gate.corrected and row else evidence_id(run, row.tuned) if row and has_card(row.tuned) else ""
    detail = " · ".join(part for part in (where, "check" if gate.kind == "check" else "") if part)
    return (
        Cell(title_of(gate.metric), detail=detail, link=link),
        Cell(GATE_WORDS[decision.outcome], decision.outcome),
        Cell(requirement_text(decision)),
        Cell(value, detail=interval),
        Cell(_base_to_tuned(row)),
        Cell(f"{decision.n:,}" if decision.n else "–", detail=_invalid(row)),
        Cell(why_text(decision)),
    )


def _invalid(row: Row | None) -> str:
    """How many items more there are, and what they could make of the rate."""
    said = bounds_text(row.tuned) if row else ""
    return f"{row.tuned.n_invalid:,} invalid: {said}" if row and said else ""


def _base_to_tuned(row: Row | None) -> str:
    if row is None or is_of_one_model(row.tuned.metric):
        return "–"
    rate = is_rate(row.tuned.metric, row.tuned.unit)
    base = f"{value_text(row.base.value, rate=rate)} → " if row.base else ""
    return f"{base}{value_text(row.tuned.value, rate=rate)}"


def _csv_row(report: Report, comparison: CandidateComparison, decision: GateDecision) -> dict[str, CsvValue]:
    gate = decision.gate
    return {
        "run": report.run,
        "model": comparison.candidate.model.label,
        "gate": gate.name,
        "kind": gate.kind,
        "metric": gate.metric,
        "suite": gate.suite,
        "decoding": gate.decoding,
        "direction": gate.direction,
        "threshold": gate.threshold,
        "margin": gate.margin,
        "baseline": report.baseline.model.label if report.baseline else "",
        "value": decision.value,
        "ci_low": decision.ci_low,
        "ci_high": decision.ci_high,
        "n": decision.n,
        "p_adjusted": decision.p_adjusted,
        "outcome": decision.outcome,
        "reason": why_text(decision),
    }
