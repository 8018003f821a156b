"""The three questions of the first screen: is it better, at what cost, can I trust it? Each with a word and the numbers behind it.

Nothing here is measured or decided: the words follow from intervals, gates and checks that stand further down. Left out: any sum of
gains and costs into one number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..evals.types import CandidateComparison, JudgeCard
from .headline import gain_of, row_of, row_subject
from .report import Report, Row, change_rows, overall_rows
from .section import Answer, Point, Status
from .words import change_of, change_text, interval_text, is_of_one_model, is_rate, value_text

SUBSTANTIAL_KAPPA = 0.6
"""Agreement of a judge with labels below which its rates need care (Landis and Koch 1977 call .61 to .80 substantial)."""
_COSTS = ("over_refusal_rate", "correct_rate", "capability_acc", "kl_exact_seq")


class _Cost(NamedTuple):
    """A row and how it reads, worst first when sorted."""

    rank: int
    size: float
    row: Row


def answers(report: Report, comparison: CandidateComparison) -> tuple[Answer, ...]:
    """Three answers for one candidate; none while the run is unfinished."""
    if report.unfinished:
        return ()
    return _better(report, comparison), _cost(report, comparison), _trust(report, comparison)


def _better(report: Report, comparison: CandidateComparison) -> Answer:
    question = "Is it better?"
    if report.baseline is None:
        return Answer(question, "Not known: there is no baseline", "none", ())
    if comparison.differences:
        return Answer(question, "Not known: the runs can't be compared", "fail", ())
    rows = change_rows(report, comparison)
    gain = gain_of(comparison, rows)
    if gain is None or gain.delta is None or is_of_one_model(gain.tuned.metric):
        return Answer(question, "Not measured", "none", ())
    others = [row for row in rows if row.tuned.metric == "win_rate" and row is not gain][:1]
    words = {
        "better": "Yes, by its main measure",
        "worse": "No, its main measure got worse",
        "unclear": "No clear difference",
        "neutral": "It changed",
    }
    change = change_of(gain.tuned, gain.delta)
    return Answer(question, words[change], change, tuple(map(_point, (gain, *others))))


def _cost(report: Report, comparison: CandidateComparison) -> Answer:
    question = "At what cost?"
    if report.baseline is None or comparison.differences:
        return Answer(question, "Not known", "none", ())
    worst = list(_costs(report, comparison))
    if not worst:
        return Answer(question, "Not measured", "none", ())
    worse = [row for row in worst if change_of(row.tuned, row.delta) == "worse" and not is_of_one_model(row.tuned.metric)]
    said = "Something got worse" if worse else "None that can be seen"
    return Answer(question, said, "worse" if worse else "unclear", tuple(map(_point, worst)))


def _costs(report: Report, comparison: CandidateComparison) -> Iterator[Row]:
    """Of each metric that training may harm, the row that moved furthest the wrong way; rows that a gate is declared for come first."""
    rows = change_rows(report, comparison)
    gated = {id(row_of(decision, rows)) for decision in comparison.decisions}
    for metric in _COSTS:
        found = [row for row in rows if row.tuned.metric == metric and row.tuned.value is not None]
        pool = [row for row in found if id(row) in gated] or [row for row in found if not row.corrected]
        if pool:
            yield max((_Cost(change_of(row.tuned, row.delta) == "worse", _harm(row), row) for row in pool), key=lambda cost: cost[:2]).row


def _harm(row: Row) -> float:
    """How far a number moved the wrong way; the number itself where nothing stands beside it."""
    if row.delta is None or row.delta.value is None or is_of_one_model(row.tuned.metric):
        return row.tuned.value or 0.0
    return -row.delta.value if row.tuned.higher_is_better else row.delta.value


def _point(row: Row) -> Point:
    tuned, rate = row.tuned, is_rate(row.tuned.metric, row.tuned.unit)
    text, value = row_subject(row), value_text(tuned.value, rate=rate)
    if row.base is None or row.delta is None or row.delta.value is None or is_of_one_model(tuned.metric):
        unit, _, per = ("", "", "") if rate else tuned.unit.partition("/")
        return Point(text, f"{value} {unit}".strip(), "", f"per {per}" if per else "")
    change = change_text(row.delta.value, rate=rate)
    interval = interval_text(row.delta.ci_low, row.delta.ci_high, rate=rate, change=True)
    return Point(text, f"{value_text(row.base.value, rate=rate)} → {value}", change_of(tuned, row.delta), f"{change} ({interval})")


def _trust(report: Report, comparison: CandidateComparison) -> Answer:
    """Comparable or not first; every caution is named."""
    cautions = list(_cautions(report, comparison))
    question = "Can I trust it?"
    if comparison.differences:
        return Answer(question, "No", "fail", tuple(Point(text, "", "fail", "") for text in comparison.differences[:4]))
    same = [Point("Same prompts, template, judge and settings", "", "pass", "")] if report.baseline else []
    judge = [_judge_point(card) for card in _judge_cards(comparison)[:1]]
    ranking = [row for row in overall_rows(report, comparison) if row.tuned.metric == "pairwise_accuracy" and row.tuned.value is not None]
    points = (*same, *cautions, *judge, *map(_point, ranking[:1]))
    doubtful = [point for point in points if point.status not in ("pass", "")]
    failed = any(point.status == "fail" for point in doubtful)
    return Answer(
        question,
        "No" if failed else "With care" if doubtful else "Nothing found against it",
        "fail" if failed else "inconclusive" if doubtful else "pass",
        points,
    )


def _cautions(report: Report, comparison: CandidateComparison) -> Iterator[Point]:
    if report.baseline is None:
        yield Point("Nothing to compare with", "", "inconclusive", "")
    for decision in comparison.decisions:
        if decision.gate.kind == "check" and decision.outcome != "pass" and decision.gate.metric in _CHECKS:
            yield Point(_CHECKS[decision.gate.metric], "", "fail" if decision.outcome == "fail" else "inconclusive", decision.reason)
    if not _judge_cards(comparison) and report.comparison.judge_card is None and comparison.candidate.records:
        yield Point("The judge's own error was not measured", "", "inconclusive", comparison.candidate.judge)


_CHECKS = {
    "invalid_share": "Too many replies have no verdict",
    "adapter_applied": "The adapter may not have been applied",
    "self_kl": "The base doesn't equal itself",
    "kl_estimators": "Two estimates of the KL don't agree",
}


def _judge_cards(comparison: CandidateComparison) -> Sequence[JudgeCard]:
    """Cards with a kappa, the worst first."""
    return sorted((card for card in comparison.candidate.judge_cards if card.kappa is not None), key=lambda card: card.kappa or 0.0)


def _judge_point(card: JudgeCard) -> Point:
    kappa = card.kappa or 0.0
    status: Status = "pass" if kappa >= SUBSTANTIAL_KAPPA else "inconclusive"
    return Point(f"The judge agrees with {card.reference} labels", f"kappa {kappa:.2f}".replace("-", "−"), status, f"n = {card.n:,}")
