"""The verdict in plain words, the same sentence in every form of the report."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..evals.types import CandidateComparison, Comparison, GateDecision
from .report import Report, Row, change_rows, decided_rows
from .words import (
    VERDICT_WORDS,
    YES_OR_NO,
    bounds_text,
    change_text,
    interval_text,
    is_of_one_model,
    is_rate,
    level_text,
    plural,
    subject_of,
    title_of,
    value_text,
    where_text,
)

_GAINS = ("refusal_rate", "harmful_compliance_rate", "attack_success_rate", "win_rate", "pairwise_accuracy", "over_refusal_rate")
UNFINISHED = "The run is not finished, so there is no verdict."
_SEVERITY = {"fail": 0, "not_run": 1, "inconclusive": 2, "pass": 3}


class Headline(NamedTuple):
    """What the first screen says of one candidate."""

    word: str
    cause: str
    """What kept it from passing, with interval and n; empty when it passed."""
    effect: str
    """What training changed first of all, with interval and n."""
    gates: str
    """How many gates passed, failed, or are undecided."""

    @property
    def sentence(self) -> str:
        """Cause, effect and gates in one line."""
        return " ".join(part for part in (self.cause, self.effect, self.gates) if part)


def sorted_decisions(comparison: CandidateComparison) -> list[GateDecision]:
    """Failing rows first, otherwise as declared."""
    return sorted(comparison.decisions, key=lambda decision: _SEVERITY[decision.outcome])


def worst_of(comparison: Comparison) -> CandidateComparison:
    """The candidate whose verdict is the comparison's."""
    return next((item for item in comparison.candidates if item.verdict == comparison.verdict), comparison.candidates[0])


def headline(report: Report, comparison: CandidateComparison) -> Headline:
    """Word, effect and gates of one candidate."""
    cause, effect = _cause(report, comparison), _effect(report, comparison)
    return Headline(
        VERDICT_WORDS[comparison.verdict], cause, "" if effect and cause.startswith(effect) else effect, _gates(report, comparison)
    )


def requirement_text(decision: GateDecision) -> str:
    """`at least 80.0%`, `difference at most +3.0 points`, `corrected difference at most +3.0 points`."""
    gate = decision.gate
    if gate.metric in YES_OR_NO:
        return "yes"
    if gate.metric == "differences":
        return "no difference"
    side = "at least" if gate.direction == "min" else "at most"
    rate = is_rate(gate.metric)
    corrected = "corrected " if gate.corrected else ""
    if gate.margin is not None:
        return f"{corrected}difference {side} {change_text(gate.margin, rate=rate)}"
    return f"{corrected}{side} {value_text(gate.threshold, rate=rate)}"


def measured_text(decision: GateDecision) -> tuple[str, str]:
    """Value and interval that decided."""
    change, rate = decision.gate.margin is not None, is_rate(decision.gate.metric)
    if decision.gate.metric in YES_OR_NO and decision.value is not None:
        return ("yes" if decision.value else "no"), ""
    if decision.gate.metric == "differences" and decision.value is not None:
        return (plural(int(decision.value), "difference") if decision.value else "none"), ""
    value = change_text(decision.value, rate=rate) if change else value_text(decision.value, rate=rate)
    return value, interval_text(decision.ci_low, decision.ci_high, rate=rate, change=change)


def why_text(decision: GateDecision) -> str:
    """The reason of a decision, and how many items would decide an open one."""
    labelled = ", labelled in the same proportion," if decision.estimator == "ppi" else ""
    need = f"about {decision.n_to_decide:,} items{labelled} would decide" if decision.n_to_decide else ""
    return "; ".join(part for part in (decision.reason, need) if part)


def invalid_sentences(report: Report, comparison: CandidateComparison) -> list[str]:
    """`Refusal rate (harmful · greedy) of ppo: 3 without a verdict, 80.0% to 84.0% whatever they are`, of every such overall rate."""
    found = []
    for run in (*((report.baseline,) if report.baseline else ()), comparison.candidate):
        for result in (*run.metrics, *(comparison.paired if run is comparison.candidate else ())):
            if not result.subset and (said := bounds_text(result)):
                what = f"{title_of(result.metric)} ({where_text(result.suite, result.decoding)}) of {run.model.label}"
                found.append(f"{what}: {result.n_invalid:,} of {result.n + result.n_invalid:,} without a verdict, {said}")
    return found


def row_subject(row: Row) -> str:
    """`Refusals of harmful prompts`, of a corrected row `Refusals of harmful prompts (as people would judge)`."""
    return subject_of(row.tuned.metric, row.tuned.suite) + (" (as people would judge)" if row.corrected else "")


def row_sentence(row: Row, level: str) -> str:
    """`Refusals of harmful prompts rose from 14.0% to 65.2% (+51.2 points, 95% interval +44.0 to +58.1, n = 240, greedy).`"""
    tuned, rate = row.tuned, is_rate(row.tuned.metric, row.tuned.unit)
    subject = row_subject(row)
    if row.delta is None or row.delta.value is None or row.base is None or is_of_one_model(tuned.metric):
        facts = [_interval(level, interval_text(tuned.ci_low, tuned.ci_high, rate=rate)), f"n = {tuned.n}", tuned.decoding]
        return f"{subject}: {value_text(tuned.value, rate=rate)} ({_joined(facts)})."
    verb = "rose from" if row.delta.value > 0 else "fell from" if row.delta.value < 0 else "stayed, from"
    facts = [
        change_text(row.delta.value, rate=rate),
        _interval(level, interval_text(row.delta.ci_low, row.delta.ci_high, rate=rate, change=True)),
        f"n = {row.delta.n}",
        tuned.decoding,
    ]
    return f"{subject} {verb} {value_text(row.base.value, rate=rate)} to {value_text(tuned.value, rate=rate)} ({_joined(facts)})."


def _cause(report: Report, comparison: CandidateComparison) -> str:
    if comparison.differences:
        return "These two runs can't be compared: they differ in more than the model."
    worst = next(iter(sorted_decisions(comparison)), None)
    if worst is None or worst.outcome == "pass":
        return ""
    level = level_text(report.comparison.alpha)
    row = row_of(worst, decided_rows(report, comparison))
    if row is not None and worst.outcome != "not_run":
        return f"{row_sentence(row, level)} Required: {requirement_text(worst)}."
    value, interval = measured_text(worst)
    facts = _joined([_interval(level, interval), f"n = {worst.n}" if worst.n else "", worst.reason])
    where = where_text(worst.gate.suite, worst.gate.decoding)
    title = f"{title_of(worst.gate.metric)}{', corrected' if worst.gate.corrected else ''}{f' ({where})' if where else ''}"
    return f"{title}: {value}{f' ({facts})' if facts else ''}. Required: {requirement_text(worst)}."


def _effect(report: Report, comparison: CandidateComparison) -> str:
    """The first gain that a gate is declared for, else the first that was measured."""
    if comparison.differences or report.unfinished:
        return ""
    row = gain_of(comparison, change_rows(report, comparison))
    return row_sentence(row, level_text(report.comparison.alpha)) if row else ""


def _gates(report: Report, comparison: CandidateComparison) -> str:
    if report.unfinished:
        return UNFINISHED
    if comparison.differences:
        return "No verdict is given."
    kinds = [decision.gate.kind for decision in comparison.decisions]
    counts = {name: sum(decision.outcome == name for decision in comparison.decisions) for name in _SEVERITY}
    if "gate" not in kinds and not counts["fail"]:
        return "No gate is declared, so there is no verdict."
    total = " and ".join(plural(kinds.count(kind), kind) for kind in ("gate", "check") if kind in kinds)
    if counts["pass"] == len(kinds):
        return f"All passed: {total}."
    said = [
        f"{counts['fail']} failed" if counts["fail"] else "",
        f"{counts['inconclusive']} undecided" if counts["inconclusive"] else "",
        f"{counts['not_run']} could not be run" if counts["not_run"] else "",
        f"{counts['pass']} passed",
    ]
    return f"Of {total}, {_joined(said)}."


def gain_of(comparison: CandidateComparison, rows: list[Row]) -> Row | None:
    """What training was for: the first gain that a gate is declared for, else the first that was measured."""
    gated = [row for decision in comparison.decisions if (row := row_of(decision, rows)) is not None]
    for pool in (gated, rows):
        for metric in _GAINS:
            found = next((row for row in pool if row.tuned.metric == metric and row.tuned.value is not None), None)
            if found:
                return found
    return next(iter(rows), None)


def row_of(decision: GateDecision, rows: list[Row]) -> Row | None:
    """The one row that the gate was decided on; None when it was decided on several suites together.

    A corrected gate's row is that of its own estimator, and no judged one; `rows` hold it where they are `decided_rows`.
    """
    gate = decision.gate
    fitting = [
        row
        for row in rows
        if gate.metric == row.tuned.metric
        and gate.suite in ("", row.tuned.suite)
        and gate.decoding in ("", row.tuned.decoding)
        and (row.tuned.estimator == decision.estimator if gate.corrected else not row.corrected)
    ]
    return fitting[0] if len(fitting) == 1 else None


def as_judged(decision: GateDecision) -> GateDecision:
    """The decision as if its gate were on the judged number: to find what the judge says of it."""
    return replace(decision, gate=replace(decision.gate, corrected=False))


def _interval(level: str, interval: str) -> str:
    return f"{level} interval {interval}" if interval else ""


def _joined(parts: list[str]) -> str:
    return ", ".join(part for part in parts if part)
