"""What training bought and what it cost: refusal, over-refusal, reward model and KL, capability."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from markupsafe import Markup

from ...evals.types import EvalRun, MetricResult
from ..headline import as_judged, row_of
from ..report import Report, Row, evidence_id, overall_rows
from ..section import Card, CardRow, Cards, Section
from ..svg import Interval, dumbbell
from ..words import bounds_text, change_of, change_text, interval_text, is_of_one_model, is_rate, plural, title_of, value_text, where_text

ORDER = 30


class Quadrant(NamedTuple):
    """A card: its question, and the metrics that answer it."""

    id: str
    title: str
    question: str
    metrics: tuple[str, ...]


_REFUSAL = ("refusal_rate", "refusal_rate_strict", "harmful_compliance_rate", "attack_success_rate", "attack_success_any")
_REWARD = ("pairwise_accuracy", "win_rate", "reward_mean", "kl_exact_seq", "kl_forward_seq")
QUADRANTS = (
    Quadrant("refusal", "Refusal", "Does it refuse what it should?", _REFUSAL),
    Quadrant("over-refusal", "Over-refusal", "Does it still answer what it should?", ("over_refusal_rate",)),
    Quadrant("reward", "Reward model and KL", "Is the reward sound, and how far did the policy move?", _REWARD),
    Quadrant("capability", "Capability", "Is it still as able?", ("correct_rate", "capability_acc", "capability_mean")),
)
_SHOWN = 3
"""Rows of a card that are not folded away; rows that a gate is declared for are always shown."""


def section(report: Report) -> Section | None:
    """Four cards a candidate."""
    base = report.baseline.model.label if report.baseline else ""
    blocks = []
    for comparison in report.comparison.candidates:
        rows = overall_rows(report, comparison)
        gated = {id(row_of(as_judged(decision), rows)) for decision in comparison.decisions}
        cards = tuple(_card(comparison.candidate, quadrant, rows, gated) for quadrant in QUADRANTS)
        blocks.append(Cards(cards, base, comparison.candidate.model.label))
    return Section("quadrants", "What it bought, and what it cost", tuple(blocks)) if blocks else None


def _card(run: EvalRun, quadrant: Quadrant, rows: Sequence[Row], gated: Collection[int]) -> Card:
    """Gated rows first, then in the order of the quadrant's metrics."""
    picked = [row for metric in quadrant.metrics for row in rows if row.tuned.metric == metric]
    picked.sort(key=lambda row: id(row) not in gated)
    shown = max(_SHOWN, sum(id(row) in gated for row in picked))
    drawn = tuple(_card_row(run, row) for row in picked)
    return Card(quadrant.id, quadrant.title, quadrant.question, drawn[:shown], drawn[shown:], "Not measured in this run.")


def _card_row(run: EvalRun, row: Row) -> CardRow:
    tuned, rate = row.tuned, is_rate(row.tuned.metric, row.tuned.unit)
    base, delta = (None, None) if is_of_one_model(tuned.metric) else (row.base, row.delta)
    unit = "" if rate or tuned.unit == "reward" else tuned.unit.replace("/", " per ")
    return CardRow(
        id=evidence_id(run, tuned),
        title=title_of(tuned.metric),
        where=" · ".join(part for part in (where_text(tuned.suite, tuned.decoding), unit) if part),
        base=value_text(base.value, rate=rate) if base else "",
        tuned=value_text(tuned.value, rate=rate),
        tuned_interval=interval_text(tuned.ci_low, tuned.ci_high, rate=rate),
        change=change_text(delta.value, rate=rate) if delta and delta.value is not None else "",
        change_interval=interval_text(delta.ci_low, delta.ci_high, rate=rate, change=True) if delta else "",
        change_status=change_of(tuned, delta),
        n=_count(row),
        drawing=_drawing(tuned, base) if rate else None,
    )


def _count(row: Row) -> str:
    tuned = row.tuned
    if tuned.value is None:
        return tuned.reason
    clusters = f", {plural(tuned.n_clusters, 'topic')}" if tuned.n_clusters and tuned.n_clusters != tuned.n else ""
    invalid = f", {tuned.n_invalid:,} invalid" if tuned.n_invalid else ""
    invalid += f" ({said})" if (said := bounds_text(tuned)) else ""
    return f"n = {tuned.n:,}{clusters}{invalid}"


def _drawing(tuned: MetricResult, base: MetricResult | None) -> Markup | None:
    if tuned.value is None:
        return None
    before = Interval(base.value, base.ci_low, base.ci_high) if base and base.value is not None else None
    title = f"{title_of(tuned.metric)}, {where_text(tuned.suite, tuned.decoding)}, on a scale from 0 to 100%"
    said = f"base {value_text(before.value, rate=True)}, " if before else ""
    desc = f"{said}tuned {value_text(tuned.value, rate=True)} ({interval_text(tuned.ci_low, tuned.ci_high, rate=True)})"
    return dumbbell(before, Interval(tuned.value, tuned.ci_low, tuned.ci_high), 0.0, 1.0, title, desc)


def has_card(result: MetricResult) -> bool:
    """Whether a metric stands in a quadrant."""
    return any(result.metric in quadrant.metrics for quadrant in QUADRANTS)
