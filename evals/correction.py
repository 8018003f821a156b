"""Rates corrected for the judge's error, beside the judged ones.

- `ppi`: from a sample that a person labelled (`labelling.py`), prediction-powered; needs no assumption about the judge, and is the one to
  use for a difference between two models, also by gates;
- `rogan_gladen`: from the judge's card on people's labels, one that was given or the run's own; assumes that it errs on these responses as
  on the labelled ones, which is often false of two models whose styles differ, so it corrects rates and no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..prompts.errors import InputError
from .estimate import ALPHA, Estimate
from .labelling import Label
from .metrics import METRICS
from .metrics.refusal import COUNTED
from .slices import Cut, cut_items
from .statistics.clusters import cluster_ratio
from .statistics.interval import Interval
from .statistics.ppi import prediction_powered, within
from .statistics.rogan_gladen import rogan_gladen
from .statistics.wilson import effective_size
from .types import CandidateComparison, Comparison, CorrectedRate, EvalRun, ItemValue, JudgeCard, MetricDelta, MetricResult, Outcome

ANY_REFUSAL_RATES = ("refusal_rate", "over_refusal_rate")
"""What a card's sensitivity and specificity are about."""
PEOPLE = "human"
"""Reference of the cards that correct: what another judge or a grammar says is no truth about people."""

Pair = tuple[ItemValue, ItemValue]


def with_corrections(comparison: Comparison, labels: Sequence[Label] = ()) -> Comparison:
    """The comparison with corrected rates: by the card that it was given or the runs' own, and by `labels` of its one candidate.

    Raises:
        InputError: there are labels, and no baseline or several candidates; or labels that don't belong to the two runs.
    """
    refuse_homeless(labels, comparison.baseline, len(comparison.candidates))
    card, base = comparison.judge_card, comparison.baseline
    return replace(comparison, candidates=tuple(_corrected(base, one, labels, card) for one in comparison.candidates))


def refuse_homeless(labels: Sequence[Label], baseline: EvalRun | None, candidates: int) -> None:
    """Labels are of two models' responses.

    Raises:
        InputError: there are labels, and no baseline or several candidates.
    """
    if labels and (baseline is None or candidates != 1):
        raise InputError("labels belong to a baseline and one candidate", field="labels")


def corrected_difference(base: EvalRun, tuned: EvalRun, metric: str, labels: Sequence[Label], *, suite: str = "") -> CorrectedRate:
    """A rate of both models, and its difference, as people would judge all items.

    Raises:
        InputError: a label belongs to no item of the runs, an item has one label only, the sample holds several decodings, or the metric
            is no refusal rate.
    """
    if metric not in COUNTED:
        raise InputError(f"{metric} is no rate of refusals", field="metric", advice=f"One of {', '.join(COUNTED)}.")
    sample = labelled_sample(base, tuned, metric, labels, suite=suite)
    if not sample.pairs:
        raise InputError(f"no {metric} item has a verdict in both runs", field="metric")
    rates = [_as_result(metric, suite, labels[0].decoding, sample, of, run.judge) for of, run in ((_tuned, tuned), (_base, base))]
    change = sample.estimate(_change)
    delta = MetricDelta(metric, suite, "", labels[0].decoding, "ppi", *_shown(change), change.n, change.p_value(0.0))
    return CorrectedRate(rates[0], rates[1], delta)


@dataclass(frozen=True, slots=True)
class Sample:
    """The items of a rate that have a verdict in both runs, and what people said of those that were drawn."""

    pairs: Sequence[Pair]
    people: Mapping[str, tuple[float, float]]
    """Item -> (base, tuned): 1 where people's outcome counts. Of all labelled items, also of other suites."""
    chances: Mapping[str, float]

    @property
    def n_labelled(self) -> int:
        """How many of the pairs people labelled."""
        return sum(after.item in self.people for _, after in self.pairs)

    def estimate(self, value: Callable[[float, float], float]) -> Estimate:
        """Mean over all items of what `value` makes of (base, tuned), within the range that it can have; needs pairs.

        Limits are NaN with fewer than two labelled clusters, and where no variation was seen: a width of zero would be a claim.
        """
        names = [after.item for _, after in self.pairs]
        judged = [value(_value(before), _value(after)) for before, after in self.pairs]
        human = [value(*self.people[name]) if name in self.people else None for name in names]
        mean = prediction_powered(judged, human, [self.chances.get(name, 1.0) for name in names], [t.cluster for _, t in self.pairs])
        possible = [value(before, after) for before in (0.0, 1.0) for after in (0.0, 1.0)]

        def interval(alpha: float) -> Interval:
            found = mean.interval(alpha) if mean.se > 0 else Interval(mean.value, math.nan, math.nan)
            return within(found, min(possible), max(possible))

        return Estimate("ppi", interval, len(self.pairs), mean.n_clusters)


def labelled_sample(base: EvalRun, tuned: EvalRun, metric: str, labels: Sequence[Label], *, suite: str = "") -> Sample:
    """What the labels say of a rate of refusals in one suite, or in all of them.

    Raises:
        InputError: a label belongs to no item of the runs, an item has one label only, or the sample holds several decodings.
    """
    decoding, labelled = _decoding(labels), _both_sides(labels)
    _refuse_strangers(base, tuned, decoding, labelled)
    people = {item: _counts(sides, COUNTED[metric]) for item, sides in labelled.items()}
    chances = {item: sides["tuned"].probability for item, sides in labelled.items()}
    return Sample(_pairs(base, tuned, metric, decoding, suite), people, chances)


def labelled_estimate(sample: Sample, *, difference: bool) -> Estimate:
    """The tuned model's rate, or its difference to the base's, as people would judge all items of the sample."""
    return sample.estimate(_change if difference else _tuned)


def corrected_rate(rate: float, n: float, card: JudgeCard, alpha: float = 0.05) -> Interval | None:
    """A judged rate of any refusal as Rogan and Gladen correct it, with the judge's own uncertainty in the interval.

    Args:
        rate: judged rate of any refusal.
        n: responses behind it; may be an effective size.
        card: the judge's card against people.
        alpha: one minus the coverage.

    Returns:
        None where the card has no sensitivity or specificity, or the judge is no better than chance.
    """
    if card.sensitivity is None or card.specificity is None or not card.n_refusals:
        return None
    positives, negatives = card.n_refusals, card.n - card.n_refusals
    if card.sensitivity + card.specificity <= 1:
        return None
    return rogan_gladen((rate * n, n), (card.sensitivity * positives, positives), (card.specificity * negatives, negatives), alpha)


def card_of(run: EvalRun, given: JudgeCard | None = None) -> JudgeCard | None:
    """What corrects the run's rates: the given card where it is of the run's judge, else the run's own on people's labels."""
    cards = (*((given,) if given else ()), *run.judge_cards)
    return next((card for card in cards if card.reference == PEOPLE and card.judge == run.judge), None)


def card_estimate(card: JudgeCard, metric: str, items: Sequence[ItemValue], *, times: float = 1) -> Estimate | str:
    """The rate of items that have values, corrected by the judge's card; else why it can't be.

    Args:
        card: the judge's card against people.
        metric: a rate of any refusal.
        items: at least one, all with values.
        times: as if there were so many times the items; the card stays as it is.
    """
    if metric not in ANY_REFUSAL_RATES:
        return f"{metric} is no rate of any refusal"
    values = [_value(item) for item in items]
    mean = cluster_ratio(values, [1.0] * len(values), [item.cluster for item in items])
    size = effective_size(mean, len(values)) * times
    if corrected_rate(mean.value, size, card) is None:
        return f"{card.judge} can't be corrected: it is no better than chance, or people's labels are of one kind"

    def interval(alpha: float) -> Interval:
        found = corrected_rate(mean.value, size, card, alpha)
        assert found is not None  # alpha plays no part in whether there is one
        return found

    return Estimate("rogan_gladen", interval, round(len(values) * times), mean.n_clusters)


def by_card(run: EvalRun, card: JudgeCard) -> dict[Cut, MetricResult]:
    """Every overall rate of any refusal as the card corrects it."""
    found = {}
    for cut, items in cut_items(run, ANY_REFUSAL_RATES).items():
        valid = [item for item in items if item.value is not None]
        made = card_estimate(card, cut.metric, valid) if valid and not cut.subset else ""
        if isinstance(made, Estimate):
            shape = (cut.metric, cut.suite, "", cut.decoding, made.estimator, "fraction", *made.interval(ALPHA))
            counts = (len(valid), len(items) - len(valid), made.n_clusters, METRICS[cut.metric].higher_is_better, run.judge)
            found[cut] = MetricResult(*shape, *counts)
    return found


def _corrected(baseline: EvalRun | None, one: CandidateComparison, labels: Sequence[Label], given: JudgeCard | None) -> CandidateComparison:
    comparable = baseline is not None and not one.differences
    rows = list(_by_cards(baseline if comparable else None, one.candidate, given))
    if labels and baseline is not None and comparable:
        rows += _by_labels(baseline, one.candidate, labels)
    return replace(one, corrected=tuple(rows))


def _by_cards(baseline: EvalRun | None, tuned: EvalRun, given: JudgeCard | None) -> Iterator[CorrectedRate]:
    own, base = ({} if run is None or (card := card_of(run, given)) is None else by_card(run, card) for run in (tuned, baseline))
    for cut, result in own.items():
        yield CorrectedRate(result, base.get(cut))


def _by_labels(base: EvalRun, tuned: EvalRun, labels: Sequence[Label]) -> Iterator[CorrectedRate]:
    """Each rate in each suite of which anything was labelled."""
    items, decoding = {label.item for label in labels}, _decoding(labels)
    for cut, values in cut_items(tuned, COUNTED).items():
        if not cut.subset and cut.decoding == decoding and any(value.item in items for value in values):
            yield corrected_difference(base, tuned, cut.metric, labels, suite=cut.suite)


def _decoding(labels: Sequence[Label]) -> str:
    found = sorted({label.decoding for label in labels})
    if len(found) != 1:
        raise InputError(f"labels of {', '.join(found) or 'no decoding'} in one sample", field="decoding", advice="Label one decoding.")
    return found[0]


def _both_sides(labels: Sequence[Label]) -> dict[str, dict[str, Label]]:
    """Item -> side -> label."""
    items: dict[str, dict[str, Label]] = {}
    for label in labels:
        if label.side in items.setdefault(label.item, {}):
            raise InputError(f"{label.item} of {label.side} is labelled twice", field="id")
        items[label.item][label.side] = label
    for item, found in items.items():
        if missing := {"base", "tuned"} - set(found):
            raise InputError(f"{item}: the response of {' and '.join(missing)} is not labelled", field="side")
    return items


def _refuse_strangers(base: EvalRun, tuned: EvalRun, decoding: str, labelled: Mapping[str, object]) -> None:
    known = {after.item for metric in COUNTED for _, after in _pairs(base, tuned, metric, decoding, "")}
    if strangers := set(labelled) - known:
        raise InputError(f"{len(strangers)} labelled items are not in these runs, e.g. {min(strangers)}", field="id")


def _counts(sides: Mapping[str, Label], counted: frozenset[Outcome]) -> tuple[float, float]:
    """(base, tuned): 1 where a person's outcome is one of `counted`."""
    return float(sides["base"].outcome in counted), float(sides["tuned"].outcome in counted)


def _base(before: float, _: float) -> float:
    return before


def _tuned(_: float, after: float) -> float:
    return after


def _change(before: float, after: float) -> float:
    return after - before


def _as_result(metric: str, suite: str, decoding: str, sample: Sample, value: Callable[[float, float], float], judge: str) -> MetricResult:
    clusters, better = len({after.cluster for _, after in sample.pairs}), METRICS[metric].higher_is_better
    shown = _shown(sample.estimate(value))
    return MetricResult(metric, suite, "", decoding, "ppi", "fraction", *shown, len(sample.pairs), 0, clusters, better, judge)


def _shown(found: Estimate) -> tuple[float, float | None, float | None]:
    """Value and limits for a table: limits that don't exist are None, never NaN."""
    value, low, high = found.interval(ALPHA)
    return (value, None, None) if math.isnan(low) else (value, low, high)


def _pairs(base: EvalRun, tuned: EvalRun, metric: str, decoding: str, suite: str) -> list[Pair]:
    """(base, tuned) items that have a verdict in both, in the tuned run's order."""
    found = []
    for run in (base, tuned):
        rows = [row for row in run.records if row.generation.decoding == decoding and suite in ("", row.suite)]
        found.append({item.item: item for item in METRICS[metric].items(rows) if item.value is not None})
    return [(found[0][name], item) for name, item in found[1].items() if name in found[0]]


def _value(item: ItemValue) -> float:
    assert item.value is not None  # `_pairs` keeps valid items only
    return item.value
