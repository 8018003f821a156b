"""What speaks against a model when a gate does not pass: discordant pairs, the smallest visible effect, the judge's error, the worst items.

Texts from models are harmless in terminals and CI logs. Left out: deciding (`result.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ...evals.estimate import discordant, pair_up
from ...evals.evidence import find_items
from ...evals.metrics import METRICS
from ...evals.metrics.base import record_item
from ...evals.safe_text import for_ci_log, for_terminal
from ...evals.statistics.power import mde_normal, mde_paired
from ...evals.types import EvalRun, GateDecision, ItemValue
from ...reports.headline import measured_text, requirement_text
from ...reports.words import is_rate
from .session import Measured

SHOWN = 3
"""Items shown with a failure."""
WIDTH = 70
"""Characters of a text shown."""


def failure_text(decision: GateDecision, measured: Measured, outcome: str) -> str:
    """Everything needed to judge a failure without opening the report."""
    lines = _lines(decision, measured, outcome) if decision.gate.kind == "gate" else _check_lines(decision, measured)
    return "\n".join([*lines, f"report: {measured.report}"])


def words(decision: GateDecision) -> tuple[str, str, str]:
    """Value, interval and requirement as the report says them, in ASCII."""
    value, interval, required = (text.replace("\u2212", "-") for text in (*measured_text(decision), requirement_text(decision)))
    return value, interval, required


def discordant_pairs(decision: GateDecision, measured: Measured) -> tuple[int, int] | None:
    """(lost, gained): items where only the baseline counts, and where only the measured model does; None without pairs of yes and no."""
    before, after = _items(decision, measured)
    if not METRICS[decision.gate.metric].binary or before is None:
        return None
    return discordant(pair_up(before, after))


def smallest_effect(decision: GateDecision, measured: Measured) -> float | None:
    """The smallest distance from the limit that would be found with 80 % power."""
    if pairs := discordant_pairs(decision, measured):
        return mde_paired(decision.n, sum(pairs) / decision.n) if decision.n and sum(pairs) else None
    if decision.ci_low is None or decision.ci_high is None:
        return None
    half = (decision.ci_high - decision.ci_low) / 2
    return mde_normal(half) if math.isfinite(half) else None


def judge_error(run: EvalRun) -> tuple[float | None, float | None]:
    """(kappa, bias) of the judge on this run's responses; bias is a fraction. None where nothing says what is true."""
    card = next(iter(run.judge_cards), None)
    return (card.kappa, card.bias) if card else (None, None)


def worst_items(decision: GateDecision, measured: Measured) -> list[str]:
    """What counts most against the model, worst first, one harmless line each: items that got worse, or lie on the wrong side."""
    before, after = _items(decision, measured)
    sign = -1 if decision.gate.direction == "min" else 1
    old = {item.item: item.value for item in before or ()}
    harm = [
        (sign * (item.value - (old.get(item.item) or 0.0)), item)
        for item in after
        if item.value is not None and (before is None or old.get(item.item) is not None)
    ]
    least = -1.0 if before is None and sign < 0 and METRICS[decision.gate.metric].binary else 0.0
    counted = [(size, item) for size, item in harm if size > least]
    tell = _Teller(decision, measured)
    return [for_ci_log(tell(item)) for _, item in sorted(counted, key=lambda pair: -pair[0])]


def _check_lines(decision: GateDecision, measured: Measured) -> Iterator[str]:
    """A fact that is not as it must be; of the probe, what came."""
    yield f"check {decision.gate.name} failed: {for_terminal(decision.reason)}"
    probe = measured.candidate.probe
    if decision.gate.name == "probe_refused" and probe is not None:
        yield for_ci_log(f"{for_terminal(probe.prompt.text, WIDTH)} -> {for_terminal(probe.generation.response, WIDTH)}")


def _lines(decision: GateDecision, measured: Measured, outcome: str) -> Iterator[str]:
    gate, rate = decision.gate, is_rate(decision.gate.metric)
    value, interval, required = words(decision)
    number = f"{value} [{interval}]" if interval else value
    verb = "is" if gate.margin is None else "changed by"
    yield f"{gate.metric} {verb} {number}, n = {decision.n}; required: {required} ({outcome.replace('_', ' ')})"
    if outcome == "no_baseline":
        yield f"no baseline: {measured.no_baseline}"
    elif decision.reason:
        yield f"because {for_terminal(decision.reason)}"
    if decision.value is None:
        return
    if decision.p_adjusted is not None:
        yield f"p = {decision.p_adjusted:.2g} after Holm's correction over the session's gates"
    if (pairs := discordant_pairs(decision, measured)) is not None:
        yield f"discordant pairs: {sum(pairs)} ({pairs[0]} only the baseline, {pairs[1]} only the measured model)"
    if (effect := smallest_effect(decision, measured)) is not None:
        shown = f"{effect * 100:.1f} points" if rate else f"{effect:.3g}"
        yield f"smallest effect that these items can show: {shown}"
    if decision.n_to_decide:
        yield f"about {decision.n_to_decide:,} items would decide"
    if METRICS[gate.metric].needs_judge:
        yield from _judge_lines(measured)
    found = worst_items(decision, measured)
    if found:
        yield f"worst {min(SHOWN, len(found))} of {len(found)}:"
    yield from found[:SHOWN]


def _judge_lines(measured: Measured) -> Iterator[str]:
    """The judge's error on the model and on the baseline: it may differ, and pass for a change of the model."""
    for who, run in (("model", measured.candidate), ("baseline", measured.comparison.baseline)):
        if run is None:
            continue
        if not run.judge_cards:
            yield f"judge {run.judge}: its error on the {who}'s responses is not known (truenorth audit measures it)"
        for card in run.judge_cards:
            kappa = "n/a" if card.kappa is None else f"{card.kappa:.2f}"
            bias = "n/a" if card.bias is None else f"{card.bias * 100:+.1f} points"
            yield f"judge {card.judge} on the {who}'s responses, against {card.reference}: kappa {kappa}, bias {bias}, n = {card.n}"


def _items(decision: GateDecision, measured: Measured) -> tuple[list[ItemValue] | None, list[ItemValue]]:
    """Items of the baseline (None for an absolute gate) and of the model."""
    gate, baseline = decision.gate, measured.comparison.baseline
    after = find_items(measured.candidate, gate, baseline)
    before = find_items(baseline, gate) if gate.margin is not None and baseline is not None else None
    return (None if before is None or isinstance(before, str) else before), ([] if isinstance(after, str) else after)


class _Teller:
    """Says what an item is: prompt and responses, a pair with its rewards, a document."""

    def __init__(self, decision: GateDecision, measured: Measured) -> None:
        self._metric, self._decoding = METRICS[decision.gate.metric], decision.gate.decoding
        self._relative = decision.gate.margin is not None
        self._now = self._texts(measured.candidate)
        self._was = self._texts(measured.comparison.baseline) if self._relative and measured.comparison.baseline else {}

    def __call__(self, item: ItemValue) -> str:
        prompt, now = self._now.get(item.item, (item.item, f"{item.value:.3g}"))
        value = "" if self._metric.binary else f"{item.value:.3g}: "
        prompt, now = for_terminal(prompt, WIDTH), for_terminal(now, WIDTH)
        if item.item not in self._was:
            return f"{value}{prompt} -> {now}"
        return f"{value}{prompt} -> was: {for_terminal(self._was[item.item][1], WIDTH)} -> now: {now}"

    def _texts(self, run: EvalRun) -> Mapping[str, tuple[str, str]]:
        """Item -> what was asked, and what came."""
        if self._metric.source == "pairs":
            return {f"{p.suite}/{p.pair_id}": (f"pair {p.pair_id}", f"chosen {p.chosen:.3g}, rejected {p.rejected:.3g}") for p in run.pairs}
        if self._metric.source in ("documents", "groups"):
            told = {row: (f"{row.task} {row.doc_id}", "right" if row.acc == 1 else "wrong") for row in run.documents}
            return {item.item: text for row, text in told.items() for item in self._metric.items([row])}
        rows = [row for row in run.records if not self._decoding or row.generation.decoding == self._decoding]
        return {record_item(row, None).item: (row.prompt.text, row.generation.response) for row in rows}
