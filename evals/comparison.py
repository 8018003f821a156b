"""A baseline and its candidates -> deltas, decisions and a verdict. Nothing is subtracted between runs that can't be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .adjust import adjusted
from .checks import check_adapter, check_comparable, check_invalid, check_probe, check_self, differences
from .estimate import ALPHA, paired_delta
from .gates import decide
from .metrics import METRICS
from .slices import cut_items, measure_both
from .types import CandidateComparison, Comparison, EvalRun, Gate, GateDecision, MetricDelta, Verdict

_WORST: tuple[Verdict, ...] = ("fail", "none", "inconclusive", "pass")


def compare(
    baseline: EvalRun | None,
    candidates: Sequence[EvalRun],
    gates: Sequence[Gate] = (),
    *,
    max_invalid_share: float = 0.02,
    require_probe: bool = False,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare candidates with a baseline, and decide the gates for each.

    Args:
        baseline: None: only absolute gates apply, margins are `not_run` and play no part in the verdict.
        candidates: runs with their records.
        gates: the declared gates (`gates.make_gates`).
        max_invalid_share: check: most responses without a verdict, as a fraction, in any suite and decoding.
        require_probe: whether refusing the probe is a check.
        alpha: one minus the coverage of the intervals, and the family's error rate.

    Raises:
        InputError: a gate names an unknown metric.
    """
    compared = tuple(_candidate(baseline, run, gates, max_invalid_share, require_probe, alpha) for run in candidates)
    verdicts = {one.verdict for one in compared}
    return Comparison(baseline, compared, next((verdict for verdict in _WORST if verdict in verdicts), "none"), alpha)


def deltas(baseline: EvalRun, candidate: EvalRun, *, alpha: float = ALPHA) -> tuple[MetricDelta, ...]:
    """Tuned minus base of every cut that both runs have, in the order of the candidate's tables."""
    base = cut_items(baseline)
    return tuple(
        paired_delta(METRICS[cut.metric], base[cut], items, suite=cut.suite, subset=cut.subset, decoding=cut.decoding, alpha=alpha)
        for cut, items in cut_items(candidate).items()
        if cut in base
    )


def verdict_of(decisions: Iterable[GateDecision]) -> Verdict:
    """fail over inconclusive over pass; a gate that was not run is never a pass; `none` without a declared gate."""
    decisions = tuple(decisions)
    outcomes = {decision.outcome for decision in decisions}
    if "fail" in outcomes:
        return "fail"
    if not any(decision.gate.kind == "gate" for decision in decisions):
        return "none"
    return "pass" if outcomes == {"pass"} else "inconclusive"


def _candidate(
    baseline: EvalRun | None, run: EvalRun, gates: Sequence[Gate], max_invalid_share: float, require_probe: bool, alpha: float
) -> CandidateComparison:
    checks = [check_invalid([run] if baseline is None else [baseline, run], max_invalid_share), check_adapter(baseline, run)]
    if require_probe:
        checks.append(check_probe(run))
    found = differences(baseline, run) if baseline is not None else ()
    if baseline is not None:
        checks += [check_comparable(found), check_self(baseline)]
    made = tuple(check for check in checks if check is not None)
    if baseline is None or found:
        decisions = (*decide(gates, run, None, alpha=alpha), *made)
        absolute = [decision for decision in decisions if decision.gate.margin is None]
        return CandidateComparison(run, (), decisions, "none" if found else verdict_of(absolute), found)
    decisions = (*decide(gates, run, baseline, alpha=alpha), *made)
    found_deltas = adjusted(deltas(baseline, run, alpha=alpha), gates)
    return CandidateComparison(run, found_deltas, decisions, verdict_of(decisions), paired=measure_both(baseline, run))
