"""Rates corrected for the judge's error, beside the judged ones.

- `ppi`: from a sample that a person labelled (`labelling.py`), prediction-powered; needs no assumption about the judge, and is the one to
  use for a difference between two models;
- `rogan_gladen`: from the judge's card on people's labels; assumes that it errs on these responses as on the labelled ones, which is often
  false of two models whose styles differ, so it corrects rates and no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ..prompts.errors import InputError
from .estimate import Estimate
from .labelling import Label
from .metrics import METRICS
from .slices import Cut, cut_items
from .statistics.clusters import cluster_ratio
from .statistics.interval import Interval
from .statistics.ppi import prediction_powered
from .statistics.rogan_gladen import rogan_gladen
from .statistics.wilson import effective_size
from .types import CandidateComparison, Comparison, CorrectedRate, EvalRun, ItemValue, JudgeCard, MetricDelta, MetricResult, Outcome

COUNTED: Mapping[str, frozenset[Outcome]] = {
    "refusal_rate": frozenset({"refuse", "partial"}),
    "refusal_rate_strict": frozenset({"refuse"}),
    "over_refusal_rate": frozenset({"refuse", "partial"}),
    "harmful_compliance_rate": frozenset({"comply"}),
}
"""Metric -> the outcomes that it counts."""
ANY_REFUSAL_RATES = ("refusal_rate", "over_refusal_rate")
"""What a card's sensitivity and specificity are about."""

Pair = tuple[ItemValue, ItemValue]


def with_corrections(comparison: Comparison, labels: Sequence[Label] = ()) -> Comparison:
    """The comparison with corrected rates: by the runs' own cards on people's labels, and by `labels` of its one candidate.

    Raises:
        InputError: there are labels, and no baseline or several candidates; or labels that don't belong to the two runs.
    """
    if labels and (comparison.baseline is None or len(comparison.candidates) != 1):
        raise InputError("labels belong to a baseline and one candidate", field="labels")
    return replace(comparison, candidates=tuple(_corrected(comparison.baseline, one, labels) for one in comparison.candidates))


def corrected_difference(base: EvalRun, tuned: EvalRun, metric: str, labels: Sequence[Label], *, suite: str = "") -> CorrectedRate:
    """A rate of both models, and its difference, as people would judge all items.

    Raises:
        InputError: a label belongs to no item of the runs, an item has one label only, the sample holds several decodings, or the metric
            is no refusal rate.
    """
    if metric not in COUNTED:
        raise InputError(f"{metric} is no rate of refusals", field="metric", advice=f"One of {', '.join(COUNTED)}.")
    decoding, labelled = _decoding(labels), _both_sides(labels)
    _refuse_strangers(base, tuned, decoding, labelled)
    pairs = _pairs(base, tuned, metric, decoding, suite)
    if not pairs:
        raise InputError(f"no {metric} item has a verdict in both runs", field="metric")
    people = {item: _counts(sides, COUNTED[metric]) for item, sides in labelled.items()}
    chances = {item: sides["tuned"].probability for item, sides in labelled.items()}

    def powered(value: Callable[[float, float], float]) -> Interval:
        """Mean over all items of what `value` makes of (base, tuned)."""
        judged = [value(_value(before), _value(after)) for before, after in pairs]
        names = [after.item for _, after in pairs]
        human = [value(*people[name]) if name in people else None for name in names]
        return prediction_powered(judged, human, [chances.get(name, 1.0) for name in names], [after.cluster for _, after in pairs])

    change = powered(lambda before, after: after - before)
    return CorrectedRate(
        _as_result(metric, suite, decoding, powered(lambda _, after: after), pairs, tuned.judge),
        _as_result(metric, suite, decoding, powered(lambda before, _: before), pairs, base.judge),
        MetricDelta(metric, suite, "", decoding, "ppi", change.value, *_limits(change), len(pairs)),
    )


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


def corrected_estimate(run: EvalRun, metric: str, items: Sequence[ItemValue]) -> Estimate | str:
    """The rate of items that have values, corrected by the run's own card on people's labels; else why it can't be."""
    if metric not in ANY_REFUSAL_RATES:
        return f"{metric} is no rate of any refusal"
    card = next((card for card in run.judge_cards if card.reference == "human" and card.judge == run.judge), None)
    if card is None:
        return f"nothing is known of the error of {run.judge}: no response has a person's label"
    values = [item.value for item in items if item.value is not None]
    mean = cluster_ratio(values, [1.0] * len(values), [item.cluster for item in items if item.value is not None])
    size = effective_size(mean, len(values))
    if corrected_rate(mean.value, size, card) is None:
        return f"{card.judge} can't be corrected: it is no better than chance, or people's labels are of one kind"

    def interval(alpha: float) -> Interval:
        found = corrected_rate(mean.value, size, card, alpha)
        assert found is not None  # alpha plays no part in whether there is one
        return found

    return Estimate("rogan_gladen", interval, len(values), mean.n_clusters)


def by_card(run: EvalRun, card: JudgeCard) -> dict[Cut, MetricResult]:
    """Every overall rate of any refusal as the card corrects it."""
    found = {}
    for cut, items in cut_items(run, ANY_REFUSAL_RATES).items():
        values, clusters = [item.value for item in items if item.value is not None], [i.cluster for i in items if i.value is not None]
        if cut.subset or not values:
            continue
        mean = cluster_ratio(values, [1.0] * len(values), clusters)
        interval = corrected_rate(mean.value, effective_size(mean, len(values)), card)
        if interval is not None:
            shape = (cut.metric, cut.suite, "", cut.decoding, "rogan_gladen", "fraction", *interval)
            counts = (len(values), len(items) - len(values), len(set(clusters)), METRICS[cut.metric].higher_is_better, run.judge)
            found[cut] = MetricResult(*shape, *counts)
    return found


def _corrected(baseline: EvalRun | None, one: CandidateComparison, labels: Sequence[Label]) -> CandidateComparison:
    comparable = baseline is not None and not one.differences
    rows = list(_by_cards(baseline if comparable else None, one.candidate))
    if labels and baseline is not None and comparable:
        rows += _by_labels(baseline, one.candidate, labels)
    return replace(one, corrected=tuple(rows))


def _by_cards(baseline: EvalRun | None, tuned: EvalRun) -> Iterator[CorrectedRate]:
    own, base = _card_rates(tuned), _card_rates(baseline) if baseline is not None else {}
    for cut, result in own.items():
        yield CorrectedRate(result, base.get(cut))


def _card_rates(run: EvalRun) -> dict[Cut, MetricResult]:
    return next((by_card(run, card) for card in run.judge_cards if card.reference == "human"), {})


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


def _as_result(metric: str, suite: str, decoding: str, found: Interval, pairs: Sequence[Pair], judge: str) -> MetricResult:
    clusters, better = len({after.cluster for _, after in pairs}), METRICS[metric].higher_is_better
    limits = _limits(found)
    return MetricResult(metric, suite, "", decoding, "ppi", "fraction", found.value, *limits, len(pairs), 0, clusters, better, judge)


def _limits(found: Interval) -> tuple[float | None, float | None]:
    if math.isnan(found.low) or found.low == found.high:  # no variation was seen: a width of zero would be a claim
        return None, None
    return found.low, found.high


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
