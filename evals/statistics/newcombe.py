"""Newcombe's paired difference of two rates: method 10 of Newcombe 1998 (Statistics in Medicine 17: 2635-2650).

Wilson limits of both rates joined by square-and-add, with their correlation phi, continuity corrected. Unlike the Wald interval it
has a width when no pair is discordant, and covers near 0 and 1. The clustered form joins clustered Wilson limits with the correlation
of the two cluster-robust estimates (MOVER, Zou and Donner 2008).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clusters import ClusterEstimate, cluster_index, mean_of
from .interval import Interval
from .wilson import clustered_rate, wilson


def newcombe_paired(both: int, lost: int, gained: int, neither: int, alpha: float = 0.05) -> Interval:
    """Interval of rate(tuned) - rate(base).

    Args:
        both: pairs where both count (a).
        lost: only the base counts (b).
        gained: only the tuned model counts (c).
        neither: neither counts (d).
        alpha: one minus the coverage.

    Raises:
        ValueError: no pairs.
    """
    n = both + lost + gained + neither
    base, tuned = wilson(both + lost, n, alpha), wilson(both + gained, n, alpha)
    phi = _correlation(both, lost, gained, neither)
    return square_and_add(base, tuned, phi)


def newcombe_clustered(base: Sequence[float], tuned: Sequence[float], clusters: Sequence[str], alpha: float = 0.05) -> Interval:
    """Interval of mean(tuned) - mean(base) for paired values in [0, 1] that are dependent within clusters; see `PairedRates`."""
    return PairedRates.of(base, tuned, clusters).interval(alpha)


@dataclass(frozen=True, slots=True)
class PairedRates:
    """Two rates over the same clustered items, with what their difference needs at any level."""

    base: ClusterEstimate
    tuned: ClusterEstimate
    correlation: float
    """Of the two estimates, from the clusters' totals."""
    varies: bool
    """Whether any two clusters differ by different amounts."""
    n: int

    @classmethod
    def of(cls, base: Sequence[float], tuned: Sequence[float], clusters: Sequence[str]) -> PairedRates:
        """From paired values in [0, 1], one of each and a cluster name per item."""
        before, after = np.asarray(base, float), np.asarray(tuned, float)
        index, groups = cluster_index(clusters)

        def sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(index, weights=values, minlength=groups).astype(float)

        first, second = sums(before - before.mean()), sums(after - after.mean())
        spread = math.sqrt(float(first @ first) * float(second @ second))
        even = sums(np.full(len(index), float((after - before).mean())))
        return cls(
            mean_of(before, first),
            mean_of(after, second),
            float(first @ second) / spread if spread > 0 else 0.0,
            not np.allclose(sums(after - before), even, atol=1e-12),
            len(index),
        )

    def interval(self, alpha: float = 0.05) -> Interval:
        """Interval of tuned minus base.

        When all clusters differ by the same amount, no variation was seen: each cluster then counts as one pair without a difference, and
        the half width is the upper Wilson limit of 0 in G. Limits are NaN with fewer than two clusters.
        """
        value, groups = self.tuned.value - self.base.value, self.base.n_clusters
        if groups > 1 and not self.varies:
            half = wilson(0, groups, alpha).high
            return Interval(value, max(-1.0, value - half), min(1.0, value + half))
        return square_and_add(clustered_rate(self.base, self.n, alpha), clustered_rate(self.tuned, self.n, alpha), self.correlation)


def square_and_add(base: Interval, tuned: Interval, correlation: float) -> Interval:
    """Interval of tuned - base from the two intervals and the correlation of the estimates (MOVER)."""
    difference = tuned.value - base.value
    if math.isnan(base.low) or math.isnan(tuned.low):
        return Interval(difference, math.nan, math.nan)
    down = _join(tuned.value - tuned.low, base.high - base.value, correlation)
    up = _join(tuned.high - tuned.value, base.value - base.low, correlation)
    return Interval(difference, max(-1.0, difference - down), min(1.0, difference + up))


def _join(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2 * correlation * first * second + second**2))


def _correlation(both: int, lost: int, gained: int, neither: int) -> float:
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    if margins == 0:
        return 0.0
    cross: float = both * neither - lost * gained
    if cross > 0:
        cross = max(0.0, cross - (both + lost + gained + neither) / 2)
    return cross / math.sqrt(margins)
