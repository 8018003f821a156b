"""Declared requirements -> decisions with three outcomes, by the 95 % interval and Holm's correction.

pass: the interval lies wholly on the good side of the limit (all gates must pass, so no correction is needed);
fail: it lies wholly on the bad side, and the Holm-adjusted p-value over the declared gates is below alpha;
inconclusive: neither, with about how many items would decide;
not_run: there is nothing to decide on, with the reason. That is never a pass.
A check is compared exactly, by its value alone. A `corrected` gate reads the rate as people would judge it, by the judge's card.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..prompts.errors import InputError
from .config import GateConfig
from .correction import corrected_estimate
from .estimate import ALPHA, Estimate, estimate_difference, estimate_one, pair_up
from .metrics import METRICS
from .plan import nearest
from .slices import Cut, cut_items
from .statistics.holm import holm
from .statistics.interval import Interval
from .statistics.noninferiority import side_of
from .statistics.power import n_to_decide
from .types import EvalRun, Gate, GateDecision, GateOutcome, ItemValue


def make_gates(configs: Iterable[GateConfig]) -> tuple[Gate, ...]:
    """Gates of a profile or gates file.

    Raises:
        InputError: an unknown metric, a difference of one that is a comparison itself, or two gates of one name.
    """
    gates = [_make_gate(config) for config in configs]
    for gate in gates:
        if [other.name for other in gates].count(gate.name) > 1:
            raise InputError(f"two gates are named {gate.name!r}", field="eval.gates", advice="Give one of them a `name`.")
    return tuple(gates)


def decide(gates: Sequence[Gate], candidate: EvalRun, baseline: EvalRun | None = None, *, alpha: float = ALPHA) -> tuple[GateDecision, ...]:
    """Decide each gate on a run, in the order given.

    Args:
        gates: the declared family, over which p-values are adjusted.
        candidate: the run that is judged.
        baseline: what margins are measured against; without it they are `not_run`.
        alpha: one minus the coverage of the intervals, and the family's error rate.

    Raises:
        InputError: a gate names an unknown metric.
    """
    evidence = [_evidence(gate, candidate, baseline, alpha) for gate in gates]
    family = [i for i, gate in enumerate(gates) if gate.kind == "gate"]
    adjusted = dict(zip(family, holm([evidence[i].p_bad for i in family]), strict=True))
    return tuple(_decision(gate, found, adjusted.get(i), alpha) for i, (gate, found) in enumerate(zip(gates, evidence, strict=True)))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a gate is decided on; without a value, the reason why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    p_bad: float = 1.0
    """Two-sided p-value of the limit when the value lies beyond it, else 1."""
    reason: str = ""


def _make_gate(config: GateConfig) -> Gate:
    _known_metric(config.metric)
    absolute = config.max if config.min is None else config.min
    relative = config.max_delta if config.min_delta is None else config.min_delta
    direction: Literal["min", "max"] = "max" if config.min is None and config.min_delta is None else "min"
    change = "" if relative is None else "change of"
    if relative is not None and METRICS[config.metric].source == "both":
        advice = "Give `min` or `max`: it compares tuned with base already."
        raise InputError(f"{config.metric} has no difference to the baseline", field="eval.gates", advice=advice)
    corrected = "corrected" if config.corrected else ""
    name = config.name or " ".join(part for part in (change, corrected, config.metric, config.suite, config.decoding) if part)
    return Gate(name, config.metric, config.suite, config.decoding, direction, absolute, relative, config.kind, config.corrected)


def _known_metric(name: str) -> None:
    if name not in METRICS:
        raise InputError(f"no metric named {name!r}", field="eval.gates", advice=nearest(name, METRICS))


def _limit(gate: Gate) -> float:
    limit = gate.threshold if gate.margin is None else gate.margin
    if limit is None or (gate.threshold is not None and gate.margin is not None):
        raise InputError(f"gate {gate.name!r} needs exactly one of threshold and margin")
    return limit


def _evidence(gate: Gate, candidate: EvalRun, baseline: EvalRun | None, alpha: float) -> _Evidence:
    _known_metric(gate.metric)
    limit, compares = _limit(gate), METRICS[gate.metric].source == "both"
    if baseline is None and (compares or gate.margin is not None):
        return _Evidence(reason="needs a baseline")
    tuned = find_items(candidate, gate, baseline)
    if isinstance(tuned, str):
        return _Evidence(reason=tuned)
    if gate.margin is None or baseline is None:
        valid = [item for item in tuned if item.value is not None]
        found = estimate_one(METRICS[gate.metric], valid)
        if found and gate.corrected:
            better = corrected_estimate(candidate, gate.metric, valid)
            return _Evidence(reason=better) if isinstance(better, str) else _weigh(gate, better, limit, alpha)
        return _weigh(gate, found, limit, alpha) if found else _Evidence(reason=f"none of {len(tuned)} items has a value")
    base = find_items(baseline, gate)
    if isinstance(base, str):
        return _Evidence(reason=f"baseline: {base}")
    found = estimate_difference(METRICS[gate.metric], pair_up(base, tuned))
    return _weigh(gate, found, limit, alpha) if found else _Evidence(reason="no item has a value in both models")


def find_items(run: EvalRun, gate: Gate, baseline: EvalRun | None = None) -> list[ItemValue] | str:
    """Items that a gate reads: of its suite, or of all suites together when it names none; else why there are none."""
    cuts = {cut: items for cut, items in cut_items(run, [gate.metric], baseline).items() if not cut.subset}
    fitting = {cut: items for cut, items in cuts.items() if gate.suite in ("", cut.suite) and gate.decoding in ("", cut.decoding)}
    if not fitting:
        return _why_none(gate, cuts)
    decodings = sorted({cut.decoding for cut in fitting})
    if len(decodings) > 1:
        return f"measured with {', '.join(decodings)}: name the decoding"
    return [item for items in fitting.values() for item in items]


def _why_none(gate: Gate, cuts: Iterable[Cut]) -> str:
    places = sorted({f"{cut.suite}{f' ({cut.decoding})' if cut.decoding else ''}" for cut in cuts})
    wanted = " ".join(part for part in (gate.suite, f"({gate.decoding})" if gate.decoding else "") if part)
    return f"{gate.metric} was measured on {', '.join(places)}, not on {wanted}" if places else f"{gate.metric} was not measured"


def _weigh(gate: Gate, found: Estimate, limit: float, alpha: float) -> _Evidence:
    value, low, high = found.interval(alpha)
    p_value = found.p_value(limit)
    if p_value is None:
        return _Evidence(value, None, None, found.n, reason=f"{found.n_clusters} independent items are too few for an interval")
    return _Evidence(value, low, high, found.n, 1.0 if _good(gate, value, limit) else p_value)


def _good(gate: Gate, value: float, limit: float) -> bool:
    return value >= limit if gate.direction == "min" else value <= limit


def _decision(gate: Gate, found: _Evidence, adjusted: float | None, alpha: float) -> GateDecision:
    limit = _limit(gate)
    if found.value is None:
        return GateDecision(gate, "not_run", None, None, None, 0, None, found.reason)
    if gate.kind == "check":
        outcome: GateOutcome = "pass" if _good(gate, found.value, limit) else "fail"
        return GateDecision(gate, outcome, found.value, found.low, found.high, found.n)
    if found.low is None or found.high is None:
        return GateDecision(gate, "inconclusive", found.value, None, None, found.n, None, found.reason)
    side = side_of(Interval(found.value, found.low, found.high), limit, at_least=gate.direction == "min")
    if side == "good":
        outcome, reason = "pass", ""
    elif side == "bad" and adjusted is not None and adjusted < alpha:
        outcome, reason = "fail", ""
    else:
        outcome = "inconclusive"
        reason = "beyond the limit, but not after Holm's correction" if side == "bad" else "the interval holds the limit"
    near = found.low if gate.direction == "min" else found.high
    needed = n_to_decide(found.n, abs(near - found.value), abs(found.value - limit)) if outcome == "inconclusive" else None
    return GateDecision(gate, outcome, found.value, found.low, found.high, found.n, adjusted, reason, needed)
