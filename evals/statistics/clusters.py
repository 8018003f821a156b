"""Cluster-robust inference for a ratio sum(v) / sum(w) and for the difference of two such ratios on the same items.

Linearisation (Cochran 1977, 6.4) with cluster totals and the factor sqrt(G / (G - 1)); t quantiles with G - 1 degrees of freedom
(the form of Inspect's `stderr(cluster=)` when all weights are 1). G clusters; every item its own cluster gives the ordinary
standard error of a mean. Leaves out the bootstrap (`bootstrap.py`) and the small-G corrections (CR2, wild bootstrap): below about 10
clusters read the interval as a lower bound of the uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from .interval import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClusterEstimate:
    """A ratio or a difference of ratios with its cluster-robust standard error."""

    value: float
    se: float
    """NaN with fewer than two clusters."""
    n_clusters: int

    def interval(self, alpha: float = 0.05) -> Interval:
        """Two-sided (1 - alpha) t interval; NaN limits with fewer than two clusters."""
        half = t_quantile(self.n_clusters - 1, alpha) * self.se
        return Interval(self.value, self.value - half, self.value + half)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided t-test of the null; 1 or 0 when the standard error is 0, NaN with fewer than two clusters."""
        if self.se == 0:
            return 1.0 if self.value == null else 0.0
        return float(2 * stdtr(self.n_clusters - 1, -abs(self.value - null) / self.se)) if self.n_clusters > 1 else float("nan")


def cluster_ratio(values: Sequence[float], weights: Sequence[float], clusters: Sequence[str]) -> ClusterEstimate:
    """sum(values) / sum(weights), clustered.

    Raises:
        ValueError: no items, or the weights don't sum to a positive number.
    """
    value, influence = _ratio(np.asarray(values, float), np.asarray(weights, float))
    return _estimate(value, influence, clusters)


def cluster_difference(
    base: tuple[Sequence[float], Sequence[float]], tuned: tuple[Sequence[float], Sequence[float]], clusters: Sequence[str]
) -> ClusterEstimate:
    """Tuned minus base ratio over paired items; each side is (values, weights), item i of one paired with item i of the other."""
    base_value, base_influence = _ratio(np.asarray(base[0], float), np.asarray(base[1], float))
    tuned_value, tuned_influence = _ratio(np.asarray(tuned[0], float), np.asarray(tuned[1], float))
    return _estimate(tuned_value - base_value, tuned_influence - base_influence, clusters)


def cluster_sums(values: Floats, clusters: Sequence[str]) -> Floats:
    """Sum of `values` in each cluster, shape (G,), clusters in the order of their names."""
    index, groups = cluster_index(clusters)
    return np.bincount(index, weights=values, minlength=groups).astype(np.float64)


def cluster_index(clusters: Sequence[str]) -> tuple[NDArray[np.intp], int]:
    """Number of each item's cluster, in the order of their names, shape (n,), and how many clusters there are."""
    place = {name: number for number, name in enumerate(sorted(set(clusters)))}
    return np.fromiter((place[name] for name in clusters), np.intp, len(clusters)), len(place)


def t_quantile(df: int, alpha: float) -> float:
    """Upper alpha/2 quantile of Student's t; NaN for df < 1."""
    return float(stdtrit(df, 1 - alpha / 2)) if df >= 1 else float("nan")


def _ratio(values: Floats, weights: Floats) -> tuple[float, Floats]:
    total = float(weights.sum())
    if not total > 0:
        raise ValueError("a ratio needs a positive sum of weights")
    value = float(values.sum()) / total
    return value, (values - value * weights) / total


def mean_of(values: Floats, residual_sums: Floats) -> ClusterEstimate:
    """Mean of `values`, shape (n,), from the clusters' sums of `values - mean`, shape (G,)."""
    n = len(values)
    return _robust(float(values.mean()), residual_sums / n, float(np.abs(values - values.mean()).max()) / n)


def _estimate(value: float, influence: Floats, clusters: Sequence[str]) -> ClusterEstimate:
    return _robust(value, cluster_sums(influence, clusters), float(np.abs(influence).max()))


def _robust(value: float, sums: Floats, largest: float) -> ClusterEstimate:
    """Standard error from the clusters' sums of influence; what is no more than rounding counts as 0."""
    groups = len(sums)
    if groups < 2:
        return ClusterEstimate(value, float("nan"), groups)
    variance = groups / (groups - 1) * float((sums**2).sum())
    rounding = (4 * np.finfo(float).eps * max(abs(value), largest)) ** 2
    return ClusterEstimate(value, 0.0 if variance <= rounding else variance**0.5, groups)
