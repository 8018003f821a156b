"""Declared requirements -> decisions with three outcomes, by the 95 % interval and Holm's correction.

pass: the interval lies wholly on the good side of the limit (all gates must pass, so no correction is needed);
fail: it lies wholly on the bad side, and the Holm-adjusted p-value over the declared gates is below alpha;
inconclusive: neither, with about how many items would decide;
not_run: there is nothing to decide on, with the reason. That is never a pass.
A check is compared exactly, by its value alone. A `corrected` gate reads the rate or the difference as people would judge it
(`evidence.py`), and is otherwise decided like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal

from ..prompts.errors import InputError
from .config import GateConfig
from .correction import refuse_homeless
from .estimate import ALPHA, Estimate
from .evidence import CARD_TOO_WIDE, Evidence, Runs, evidence_of
from .gate_problem import gate_problem
from .labelling import Label
from .metrics import METRICS
from .plan import nearest
from .statistics.holm import holm, holm_level
from .statistics.interval import Interval
from .statistics.noninferiority import side_of
from .types import EvalRun, Gate, GateDecision, GateOutcome, JudgeCard


def make_gates(configs: Iterable[GateConfig]) -> tuple[Gate, ...]:
    """Gates of a profile or gates file.

    Raises:
        InputError: what `gate_problem` finds, or two gates of one name.
    """
    gates = []
    for index, config in enumerate(configs):
        if problem := gate_problem(config):
            raise InputError(problem[1], field=f"eval.gates.{index}.{problem[0]}", advice=problem[2])
        gates.append(_make_gate(config))
    for gate in gates:
        if [other.name for other in gates].count(gate.name) > 1:
            raise InputError(f"two gates are named {gate.name!r}", field="eval.gates", advice="Give one of them a `name`.")
    return tuple(gates)


def decide(
    gates: Sequence[Gate],
    candidate: EvalRun,
    baseline: EvalRun | None = None,
    *,
    labels: Sequence[Label] = (),
    judge_card: JudgeCard | None = None,
    alpha: float = ALPHA,
) -> tuple[GateDecision, ...]:
    """Decide each gate on a run, in the order given.

    Args:
        gates: the declared family, over which p-values are adjusted.
        candidate: the run that is judged.
        baseline: what margins are measured against; without it they are `not_run`.
        labels: people's, of a sample of both runs' responses: corrected gates are decided on them; corrected margins need them.
        judge_card: the judge's card on people's labels, for corrected rates; by default the run's own.
        alpha: one minus the coverage of the intervals, and the family's error rate.

    Raises:
        InputError: a gate names an unknown metric, or labels don't belong to the two runs.
    """
    for gate in gates:
        _check(gate)
    refuse_homeless(labels, baseline, 1)
    runs = Runs(candidate, baseline, labels, judge_card)
    evidence = [evidence_of(gate, runs) for gate in gates]
    p_bad = [_p_bad(gate, found) for gate, found in zip(gates, evidence, strict=True)]
    family = [i for i, gate in enumerate(gates) if gate.kind == "gate"]
    adjusted = dict(zip(family, holm([p_bad[i] for i in family]), strict=True))
    levels = {i: holm_level([p_bad[other] for other in family if other != i], alpha) for i in family}
    return tuple(
        _decision(gate, found, adjusted.get(i), alpha, levels.get(i, alpha))
        for i, (gate, found) in enumerate(zip(gates, evidence, strict=True))
    )


def _make_gate(config: GateConfig) -> Gate:
    absolute = config.max if config.min is None else config.min
    relative = config.max_delta if config.min_delta is None else config.min_delta
    direction: Literal["min", "max"] = "max" if config.min is None and config.min_delta is None else "min"
    change = "" if relative is None else "change of"
    corrected = "corrected" if config.corrected else ""
    name = config.name or " ".join(part for part in (change, corrected, config.metric, config.suite, config.decoding) if part)
    return Gate(name, config.metric, config.suite, config.decoding, direction, absolute, relative, config.kind, config.corrected)


def _check(gate: Gate) -> None:
    """Of gates that were made in code."""
    if gate.metric not in METRICS:
        raise InputError(f"no metric named {gate.metric!r}", field="eval.gates", advice=nearest(gate.metric, METRICS))
    if (gate.threshold is None) == (gate.margin is None):
        raise InputError(f"gate {gate.name!r} needs exactly one of threshold and margin")


def _limit(gate: Gate) -> float:
    limit = gate.threshold if gate.margin is None else gate.margin
    assert limit is not None  # see `_check`
    return limit


def _p_bad(gate: Gate, evidence: Evidence) -> float:
    """Two-sided p-value of the limit when the value lies beyond it, else 1."""
    found, limit = evidence.found, _limit(gate)
    if found is None or gate.kind == "check" or _good(gate, found.interval(ALPHA).value, limit):
        return 1.0
    p_value = found.p_value(limit)
    return 1.0 if p_value is None else p_value


def _good(gate: Gate, value: float, limit: float) -> bool:
    return value >= limit if gate.direction == "min" else value <= limit


def _decision(gate: Gate, evidence: Evidence, adjusted: float | None, alpha: float, level: float) -> GateDecision:
    """`level`: what the p-value must lie below for a failure, beside the other gates' p-values."""
    found = evidence.found
    if found is None:
        return GateDecision(gate, "not_run", None, None, None, 0, None, evidence.note)
    interval, limit = found.interval(alpha), _limit(gate)
    decided = partial(_decided, gate, found, interval)
    if gate.kind == "check":
        return decided("pass" if _good(gate, interval.value, limit) else "fail")
    if math.isnan(interval.low):
        return decided("inconclusive", reason=_joined(evidence.note, _why_no_interval(found)))
    outcome, why = _outcome(gate, interval, adjusted, alpha)
    needed = None
    if outcome == "inconclusive" and interval.value != limit:
        needed = evidence.n_to_decide(limit, alpha if _good(gate, interval.value, limit) else level)
        why = _joined(why, CARD_TOO_WIDE if evidence.endless and needed is None else "")
    return decided(outcome, p_adjusted=adjusted, reason=_joined(evidence.note, why), n_to_decide=needed)


def _decided(gate: Gate, found: Estimate, interval: Interval, outcome: GateOutcome, **more: Any) -> GateDecision:
    """The decision with its numbers: limits that don't exist are None, never NaN."""
    low, high = (None, None) if math.isnan(interval.low) else (interval.low, interval.high)
    return GateDecision(gate, outcome, interval.value, low, high, found.n, estimator=found.estimator, **more)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _outcome(gate: Gate, interval: Interval, adjusted: float | None, alpha: float) -> tuple[GateOutcome, str]:
    """The outcome, and why there is no decision."""
    side = side_of(interval, _limit(gate), at_least=gate.direction == "min")
    if side == "good":
        return "pass", ""
    if side == "between":
        return "inconclusive", "the interval holds the limit"
    if adjusted is not None and adjusted < alpha:
        return "fail", ""
    return "inconclusive", "beyond the limit, but not after Holm's correction"


def _why_no_interval(found: Estimate) -> str:
    if found.n_clusters < 2:
        return f"{found.n_clusters} independent items are too few for an interval"
    return "no variation was seen, so there is no interval"
