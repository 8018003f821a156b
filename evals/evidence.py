"""What a gate is decided on: the items that it reads, and the estimate of its number, as judged or as people would judge it.

A `corrected` gate reads people's labels of a sample where they cover its items (prediction-powered), for a difference nothing else; a rate
of any refusal without them is read by the judge's card (Rogan and Gladen). Leaves out the decision (`gates.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .correction import card_estimate, card_of, labelled_estimate, labelled_sample
from .estimate import Estimate, Pair, estimate_difference, estimate_one, pair_up
from .labelling import Label
from .metrics import METRICS, Metric
from .metrics.refusal import COUNTED
from .slices import Cut, cut_items
from .statistics.power import n_to_decide
from .types import EvalRun, Gate, ItemValue, JudgeCard

NEEDS_LABELS = "needs people's labels: `truenorth labels RUN --out labels.csv`, then `truenorth compare BASE CANDIDATE --labels labels.csv`"
CARD_TOO_WIDE = "no number of items would decide: the judge's card rests on too few labels"
_MOST = 20_000
"""Items that are made to see what more of them would say."""
_ROUNDS = 4
_ENDLESS = 1e9
"""As many times the items as leave the card's own uncertainty alone."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What gates are decided on: two runs, and what is known of their judge's error besides their own cards."""

    candidate: EvalRun
    baseline: EvalRun | None = None
    labels: Sequence[Label] = ()
    judge_card: JudgeCard | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The estimate that decides a gate; without one, the reason why."""

    found: Estimate | None = None
    again: Callable[[int], Estimate | str | None] = lambda _: None
    """The estimate from so many times the items, at the same rates."""
    note: str = ""
    """Why there is no estimate; for a corrected number, what it was corrected by."""
    endless: Estimate | None = None
    """The estimate from endlessly many items, where that leaves some uncertainty."""

    def n_to_decide(self, limit: float, level: float) -> int | None:
        """About how many items would decide at that level of significance if the rates stayed; None where no number would.

        The p-value of the limit says how far away the decision is, as the root of n; the answer is looked at again with that many items.
        """
        assert self.found is not None  # asked of undecided gates only
        found, needed, times = self.found, None, 1
        if self.endless is not None and (self.endless.p_value(limit) or 0.0) >= level:
            return None
        for _ in range(_ROUNDS):
            needed = n_to_decide(found.n, found.p_value(limit), level)
            more = math.ceil(needed / self.found.n) if needed else 10 * times
            bigger = self.again(more) if more != times and more * self.found.n <= _MOST else None
            if not isinstance(bigger, Estimate):
                break
            found, times = bigger, more
        return needed if needed is None else max(self.found.n + 1, needed)


def evidence_of(gate: Gate, runs: Runs) -> Evidence:
    """What decides a gate."""
    baseline, metric = runs.baseline, METRICS[gate.metric]
    if baseline is None and (metric.source == "both" or gate.margin is not None):
        return Evidence(note="needs a baseline")
    tuned = find_items(runs.candidate, gate, baseline)
    if isinstance(tuned, str):
        return Evidence(note=tuned)
    valid = [item for item in tuned if item.value is not None]
    if not valid:
        return Evidence(note=f"none of {len(tuned)} items has a value")
    if gate.corrected:
        return _corrected(gate, runs, valid)
    if gate.margin is None or baseline is None:
        return _judged(metric, _alone(valid), lambda pairs: estimate_one(metric, [item for _, item in pairs]))
    base = find_items(baseline, gate)
    if isinstance(base, str):
        return Evidence(note=f"baseline: {base}")
    return _judged(metric, pair_up(base, valid), partial(estimate_difference, metric))


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


def _judged(metric: Metric, pairs: Sequence[Pair], measure: Callable[[Sequence[Pair]], Estimate | None]) -> Evidence:
    found = measure(pairs)
    if found is None:
        return Evidence(note=f"{metric.name} has no value on these items" if pairs else "no item has a value in both models")
    if metric.combine is not None:  # its bootstrap is not worth repeating for an "about"
        return Evidence(found)
    return Evidence(found, lambda times: measure(_repeated(pairs, times)))


def _corrected(gate: Gate, runs: Runs, valid: Sequence[ItemValue]) -> Evidence:
    if (by_labels := _by_labels(gate, runs)).found or gate.margin is not None:
        return by_labels
    card = card_of(runs.candidate, runs.judge_card)
    if card is None:
        return Evidence(note=f"nothing is known of the error of {runs.candidate.judge}: no response has a person's label")
    found = card_estimate(card, gate.metric, valid)
    if isinstance(found, str):
        return Evidence(note=found)
    endless = card_estimate(card, gate.metric, valid, times=_ENDLESS)
    return Evidence(
        found,
        lambda times: card_estimate(card, gate.metric, valid, times=times),
        f"corrected by the judge's card on {card.n} labels",
        endless if isinstance(endless, Estimate) else None,
    )


def _by_labels(gate: Gate, runs: Runs) -> Evidence:
    if runs.baseline is None or not runs.labels:
        return Evidence(note=NEEDS_LABELS)
    if gate.metric not in COUNTED:
        return Evidence(note=f"{gate.metric} is no rate of refusals")
    sample = labelled_sample(runs.baseline, runs.candidate, gate.metric, runs.labels, suite=gate.suite)
    if gate.decoding not in ("", runs.labels[0].decoding):
        return Evidence(note=f"the labels are of {runs.labels[0].decoding} responses")
    if not sample.n_labelled:
        return Evidence(note="none of its items is labelled")
    difference = gate.margin is not None
    return Evidence(
        labelled_estimate(sample, difference=difference),
        lambda times: labelled_estimate(replace(sample, pairs=_repeated(sample.pairs, times)), difference=difference),
        f"corrected by people's labels of {sample.n_labelled} of {len(sample.pairs)} items",
    )


def _alone(items: Sequence[ItemValue]) -> list[Pair]:
    return [(item, item) for item in items]


def _repeated(pairs: Sequence[Pair], times: int) -> list[Pair]:
    """So many times the items, in clusters of their own: what a larger suite would be if the rates stayed."""
    return [(before, replace(after, cluster=f"{after.cluster} {k}")) for k in range(times) for before, after in pairs]
