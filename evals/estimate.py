"""Item values -> a number with its interval, alone (`MetricResult`) or tuned against base on the same items (`MetricDelta`).

Which estimator is used, and why:
- rates, every item its own cluster: Wilson; Tango's score interval and exact McNemar for the paired difference;
- rates, items that share clusters: Wilson with the effective sample size; Newcombe's form of the difference with cluster-robust parts;
- metrics that combine several sums (gaps, calibration, means of means): cluster bootstrap, the same draws for base and tuned;
- everything else: ratio estimator with cluster-robust t.
Leaves out what is measured (`metrics/`) and what is required of it (`gates.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .metrics import METRICS, Metric
from .metrics.base import Combine
from .statistics.bootstrap import cluster_bootstrap
from .statistics.clusters import cluster_difference, cluster_ratio
from .statistics.interval import Interval, inverted_p
from .statistics.mcnemar import mcnemar_exact
from .statistics.newcombe import PairedRates
from .statistics.power import mde_normal, mde_paired
from .statistics.tango import tango_paired
from .statistics.wilson import clustered_rate, rate_interval
from .types import ItemValue, MetricDelta, MetricResult

ALPHA = 0.05
CORRECTED = frozenset({"ppi", "rogan_gladen"})
"""Estimators of what people would say (`correction.py`)."""
DRAWS = 2000
"""Bootstrap replicates of one row of a table."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate whose interval can be drawn at any level."""

    estimator: str
    interval: Callable[[float], Interval]
    n: int
    n_clusters: int

    def p_value(self, null: float) -> float | None:
        """Two-sided p-value that agrees with the interval; None where there is no interval."""
        return inverted_p(self.interval, null) if math.isfinite(self.interval(ALPHA).low) else None


def estimate(
    metric: Metric,
    items: Sequence[ItemValue],
    *,
    suite: str = "",
    subset: str = "",
    decoding: str = "",
    judge: str = "",
    alpha: float = ALPHA,
) -> MetricResult:
    """One row of metrics.csv. Items without a value are left out, counted in `n_invalid`; with none left the value is None."""
    valid = [item for item in items if item.value is not None]
    found = estimate_one(metric, valid)
    value, low, high = _limits(found, alpha)
    reason = "" if found else _why_none(metric, items, valid)
    return MetricResult(
        metric.name,
        suite,
        subset,
        decoding,
        found.estimator if found else "",
        metric.unit,
        value,
        low,
        high,
        len(valid),
        len(items) - len(valid),
        found.n_clusters if found else 0,
        metric.higher_is_better,
        judge,
        reason,
    )


def paired_delta(
    metric: Metric,
    base_items: Sequence[ItemValue],
    tuned_items: Sequence[ItemValue],
    *,
    suite: str = "",
    subset: str = "",
    decoding: str = "",
    alpha: float = ALPHA,
) -> MetricDelta:
    """Tuned minus base on the items that have a value in both."""
    pairs = pair_up(base_items, tuned_items)
    found = estimate_difference(metric, pairs)
    value, low, high = _limits(found, alpha)
    if found is None:
        return MetricDelta(metric.name, suite, subset, decoding, "", None, None, None, 0, reason="no item has a value in both models")
    lost, gained = discordant(pairs) if _is_binary(metric, pairs) else (0, 0)
    exact = found.estimator == "tango" and _is_binary(metric, pairs)
    p_value = mcnemar_exact(lost, gained) if exact else found.p_value(0.0)
    mde = mde_paired(len(pairs), (lost + gained) / len(pairs), alpha) if exact else _mde(value, low, high, alpha)
    return MetricDelta(metric.name, suite, subset, decoding, found.estimator, value, low, high, len(pairs), p_value, mde, gained, lost)


def bounds(result: MetricResult) -> tuple[float, float] | None:
    """Lowest and highest value of a rate that its items without a verdict could make: all 0, all 1.

    None where every item has a verdict, nothing was measured, the metric is no rate that counts its items, or the rate was corrected for
    the judge's error.
    """
    metric = METRICS.get(result.metric)
    if not result.n_invalid or metric is None or not metric.binary or result.estimator in CORRECTED:
        return None
    counted, items = (result.value or 0.0) * result.n, result.n + result.n_invalid
    return counted / items, (counted + result.n_invalid) / items


Pair = tuple[ItemValue, ItemValue]


def pair_up(base_items: Sequence[ItemValue], tuned_items: Sequence[ItemValue]) -> list[Pair]:
    """(base, tuned) of each item that has a value in both, in the tuned model's order."""
    base = {item.item: item for item in base_items if item.value is not None}
    return [(base[item.item], item) for item in tuned_items if item.value is not None and item.item in base]


def discordant(pairs: Sequence[Pair]) -> tuple[int, int]:
    """(lost, gained): pairs where only the base counts, and where only the tuned model does."""
    return sum(_value(b) > _value(t) for b, t in pairs), sum(_value(b) < _value(t) for b, t in pairs)


def estimate_one(metric: Metric, items: Sequence[ItemValue]) -> Estimate | None:
    """Estimate of the metric over items that have values; None when the weights sum to 0."""
    values, weights, clusters = [_value(i) for i in items], [i.weight for i in items], [i.cluster for i in items]
    if not sum(weights) > 0:
        return None
    n, n_clusters = len(items), len(set(clusters))
    if metric.combine is not None:
        return _bootstrap(metric, [items], clusters)
    if metric.binary and n_clusters == n:
        return Estimate("wilson", lambda alpha: rate_interval(sum(values), n, alpha), n, n)
    mean = cluster_ratio(values, weights, clusters)
    if metric.binary:
        return Estimate("wilson_clustered", lambda alpha: clustered_rate(mean, n, alpha), n, n_clusters)
    return Estimate("cluster_t", mean.interval, n, n_clusters)


def estimate_difference(metric: Metric, pairs: Sequence[Pair]) -> Estimate | None:
    """Estimate of tuned minus base over paired items; None without pairs."""
    base, tuned = [b for b, _ in pairs], [t for _, t in pairs]
    clusters = [t.cluster for t in tuned]
    if not sum(b.weight for b in base) > 0 or not sum(t.weight for t in tuned) > 0:
        return None
    n, n_clusters = len(pairs), len(set(clusters))
    if metric.combine is not None:
        return _bootstrap(metric, [base, tuned], clusters)
    if n_clusters == n and _is_binary(metric, pairs):
        lost, gained = discordant(pairs)
        return Estimate("tango", lambda alpha: tango_paired(lost, gained, n, alpha), n, n)
    if metric.binary:
        rates = PairedRates.of(_columns(base)[0], _columns(tuned)[0], clusters)
        return Estimate("newcombe_clustered", rates.interval, n, n_clusters)
    return Estimate("cluster_t", cluster_difference(_columns(base), _columns(tuned), clusters).interval, n, n_clusters)


def _bootstrap(metric: Metric, sides: Sequence[Sequence[ItemValue]], clusters: Sequence[str]) -> Estimate | None:
    """Of one side, or of the second minus the first; None where a side's metric does not exist."""
    assert metric.combine is not None
    parts = [sorted({item.part for item in side}) for side in sides]
    totals = np.stack([column for side, names in zip(sides, parts, strict=True) for column in _totals(side, names)], axis=1)
    replicates = cluster_bootstrap(totals, clusters, _statistic(metric.combine, parts), draws=DRAWS)
    if not math.isfinite(replicates.value):
        return None
    n, n_clusters = len(sides[0]), len(set(clusters))
    if metric.noise is None or len(sides) > 1:
        return Estimate("cluster_bootstrap", replicates.basic, n, n_clusters)
    below, above = metric.noise(*np.split(totals.sum(axis=0), 2))
    off = [cluster_bootstrap(totals, clusters, _statistic(one, parts), draws=DRAWS) for one in (below, above)]

    def interval(alpha: float) -> Interval:
        down, up = (one.percentile(alpha).high for one in off)
        return Interval(replicates.value, max(0.0, replicates.value - down), replicates.value + up)

    return Estimate("cluster_bootstrap", interval, n, n_clusters)


def _statistic(combine: Combine, parts: Sequence[Sequence[str]]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """`combine` on totals of one side, or the second side's minus the first's; a side has its parts' values, then their weights."""

    def statistic(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        found, start = [], 0
        for names in parts:
            sums, weights = (totals[..., start + k * len(names) : start + (k + 1) * len(names)] for k in (0, 1))
            found.append(combine(names, sums, weights))
            start += 2 * len(names)
        return found[-1] - found[0] if len(found) > 1 else found[0]

    return statistic


def _totals(side: Sequence[ItemValue], names: Sequence[str]) -> list[NDArray[np.float64]]:
    """Values by part, then weights by part: one column each."""
    place = {name: number for number, name in enumerate(names)}
    at = np.array([place[item.part] for item in side])
    inside = at[:, None] == np.arange(len(names))
    values, weights = (np.array(column)[:, None] * inside for column in _columns(side))
    return [*values.T, *weights.T]


def _why_none(metric: Metric, items: Sequence[ItemValue], valid: Sequence[ItemValue]) -> str:
    if not valid:
        return f"none of {len(items)} items has a value"
    return f"{metric.name} needs items of more than one kind; these {len(valid)} are all of one"


def _is_binary(metric: Metric, pairs: Sequence[Pair]) -> bool:
    return metric.binary and all(_value(item) in (0, 1) for pair in pairs for item in pair)


def _value(item: ItemValue) -> float:
    assert item.value is not None  # callers keep valid items only
    return item.value


def _columns(items: Sequence[ItemValue]) -> tuple[list[float], list[float]]:
    return [_value(item) for item in items], [item.weight for item in items]


def _limits(found: Estimate | None, alpha: float) -> tuple[float | None, float | None, float | None]:
    """Value and limits for a table: limits that don't exist are None, never NaN."""
    if found is None:
        return None, None, None
    interval = found.interval(alpha)
    return (interval.value, interval.low, interval.high) if math.isfinite(interval.low) else (interval.value, None, None)


def _mde(value: float | None, low: float | None, high: float | None, alpha: float) -> float | None:
    if value is None or low is None or high is None:
        return None
    return mde_normal((high - low) / 2, alpha)
