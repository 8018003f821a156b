"""Cluster bootstrap of any function of totals: whole clusters are drawn again, with a fixed seed, so the same data give the same bytes.

A statistic is `combine(totals)`, where the totals are sums over items of k numbers each: a difference of two means, a mean of means, a
calibration error. Only the clusters' totals are kept, so a draw costs G * k whatever the number of items. Leaves out the correction for
acceleration (BCa): its jackknife is a pass per cluster for little at these sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .clusters import cluster_index
from .interval import Interval

Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""Totals, shape (..., k), to the statistic, shape (...,); NaN where it does not exist."""

DRAWS = 10_000
SEED = 0
CELLS = 1_000_000
"""Numbers drawn at a time: bounds the memory, and stays in the cache."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """A statistic and its bootstrap replicates, sorted."""

    value: float
    draws: Floats
    """Finite replicates; empty with fewer than two clusters."""

    def percentile(self, alpha: float = 0.05) -> Interval:
        """Interval between the replicates' quantiles; NaN limits without replicates."""
        low, high = self._quantiles(alpha)
        return Interval(self.value, low, high)

    def basic(self, alpha: float = 0.05) -> Interval:
        """The replicates' quantiles mirrored at the value: takes off the bias that resampling adds (Davison and Hinkley 1997, 5.2)."""
        low, high = self._quantiles(alpha)
        return Interval(self.value, 2 * self.value - high, 2 * self.value - low)

    def _quantiles(self, alpha: float) -> tuple[float, float]:
        if not len(self.draws):
            return float("nan"), float("nan")
        places = (len(self.draws) - 1) * np.array([alpha / 2, 1 - alpha / 2])
        low, high = np.interp(places, np.arange(len(self.draws)), self.draws)  # they are sorted
        return float(low), float(high)


def cluster_bootstrap(items: Floats, clusters: Sequence[str], combine: Combine, *, draws: int = DRAWS, seed: int = SEED) -> Replicates:
    """Replicates of `combine(items.sum(0))` over clusters drawn with replacement.

    Args:
        items: (n, k), what each item adds to the totals.
        clusters: (n,), the name of each item's cluster.
        combine: totals to statistic.
        draws: number of replicates; those where the statistic does not exist are left out.
        seed: fixes them.
    """
    index, groups = cluster_index(clusters)
    totals = np.stack([np.bincount(index, weights=column, minlength=groups) for column in items.T], axis=1)
    value = float(combine(totals.sum(axis=0)))
    if groups < 2:
        return Replicates(value, np.empty(0))
    rng, found = np.random.default_rng(seed), []
    for start in range(0, draws, step := max(1, CELLS // groups)):
        counts = _counts(rng, min(step, draws - start), groups)
        found.append(combine(counts @ totals))
    replicates = np.concatenate(found)
    return Replicates(value, np.sort(replicates[np.isfinite(replicates)]))


def _counts(rng: np.random.Generator, draws: int, groups: int) -> Floats:
    """How often each cluster was drawn, shape (draws, groups)."""
    picked = rng.integers(0, groups, (draws, groups)) + groups * np.arange(draws)[:, None]
    return np.bincount(picked.ravel(), minlength=draws * groups).reshape(draws, groups).astype(np.float64)
