"""A baseline and its candidates -> deltas, decisions and a verdict. Nothing is subtracted between runs that can't be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .adjust import adjusted
from .checks import check_adapter, check_comparable, check_estimators, check_invalid, check_probe, check_self, differences
from .correction import refuse_homeless
from .estimate import ALPHA, paired_delta
from .gates import decide
from .labelling import Label
from .metrics import METRICS
from .slices import cut_items, measure_both
from .types import CandidateComparison, Comparison, EvalRun, Gate, GateDecision, JudgeCard, MetricDelta, Verdict

_WORST: tuple[Verdict, ...] = ("fail", "none", "inconclusive", "pass")


def compare(
    baseline: EvalRun | None,
    candidates: Sequence[EvalRun],
    gates: Sequence[Gate] = (),
    *,
    max_invalid_share: float = 0.02,
    require_probe: bool = False,
    labels: Sequence[Label] = (),
    judge_card: JudgeCard | None = None,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare candidates with a baseline, and decide the gates for each.

    Args:
        baseline: None: only absolute gates apply, margins are `not_run` and play no part in the verdict.
        candidates: runs with their records.
        gates: the declared gates (`gates.make_gates`).
        max_invalid_share: check: most responses without a verdict, as a fraction, in any suite and decoding.
        require_probe: whether refusing the probe is a check.
        labels: people's, of a sample of the responses of the baseline and the one candidate; see `gates.decide`.
        judge_card: the judge's card on people's labels; see `gates.decide`.
        alpha: one minus the coverage of the intervals, and the family's error rate.

    Raises:
        InputError: a gate names an unknown metric, or labels don't belong to the runs.
    """
    refuse_homeless(labels, baseline, len(candidates))
    compared = []
    for run in candidates:
        found = differences(baseline, run) if baseline is not None else ()
        made = _checks(baseline, run, found, max_invalid_share, require_probe)
        if baseline is None or found:
            decisions = (*decide(gates, run, None, judge_card=judge_card, alpha=alpha), *made)
            compared.append(_alone(run, decisions, found))
        else:
            decisions = (*decide(gates, run, baseline, labels=labels, judge_card=judge_card, alpha=alpha), *made)
            changes, both = adjusted(deltas(baseline, run, alpha=alpha), gates), measure_both(baseline, run)
            compared.append(CandidateComparison(run, changes, decisions, verdict_of(decisions), paired=both))
    verdicts = {one.verdict for one in compared}
    return Comparison(baseline, tuple(compared), next((verdict for verdict in _WORST if verdict in verdicts), "none"), alpha, judge_card)


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


def _checks(
    baseline: EvalRun | None, run: EvalRun, found: Sequence[str], max_invalid_share: float, require_probe: bool
) -> tuple[GateDecision, ...]:
    """Those on responses are left out where none was asked for: pairs and documents alone were measured."""
    runs = [run] if baseline is None else [baseline, run]
    answered = any(one.records for one in runs)
    checks = [check_invalid(runs, max_invalid_share), check_adapter(baseline, run)] if answered else []
    checks.append(check_estimators(run))
    if require_probe:
        checks.append(check_probe(run))
    if baseline is not None:
        checks += [check_comparable(found), check_self(baseline)]
    return tuple(check for check in checks if check is not None)


def _alone(run: EvalRun, decisions: tuple[GateDecision, ...], found: tuple[str, ...]) -> CandidateComparison:
    """A candidate that is subtracted from nothing: there is no baseline, or it differs in more than the model."""
    absolute = [decision for decision in decisions if decision.gate.margin is None]
    return CandidateComparison(run, (), decisions, "none" if found else verdict_of(absolute), found)
