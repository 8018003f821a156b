"""Tango's score interval for the paired difference of two rates (Tango 1998, Statistics in Medicine 17: 891-908).

    z(d) = (gained - lost - n d) / sqrt(n (2 q + d (1 - d)))

where q is the chance of a pair that only the base counts, by maximum likelihood when the difference is d: the larger root of
2n q^2 + ((2n - gained + lost) d - gained - lost) q - lost d (1 - d) = 0. The interval holds every d with |z(d)| at most the normal
quantile. At d = 0 it is McNemar's statistic without continuity correction; where no pair is discordant its limits are Wilson's for 0 of
n. `benchmarks/coverage.py` sets it beside Newcombe's method 10, which is wider where the two rates are alike.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import ndtri

from .interval import Interval

_EDGE = 1e-12
"""The statistic is looked at inside (-1, 1) only."""


def tango_paired(lost: int, gained: int, n: int, alpha: float = 0.05) -> Interval:
    """Interval of rate(tuned) - rate(base).

    Args:
        lost: pairs where only the base counts (b).
        gained: pairs where only the tuned model counts (c).
        n: all pairs.
        alpha: one minus the coverage.

    Raises:
        ValueError: no pairs, or fewer than are discordant.
    """
    if n < 1 or min(lost, gained) < 0 or lost + gained > n:
        raise ValueError(f"{lost} pairs lost and {gained} gained of {n}")
    value, quantile = (gained - lost) / n, float(ndtri(1 - alpha / 2))
    return Interval(value, -_upper(gained, lost, n, quantile), _upper(lost, gained, n, quantile))


def _upper(lost: int, gained: int, n: int, quantile: float) -> float:
    """The difference above the estimate at which the statistic falls to -quantile; 1 where it never does."""
    value = (gained - lost) / n
    if value >= 1 - _EDGE or _statistic(1 - _EDGE, lost, gained, n) > -quantile:
        return 1.0
    found = brentq(lambda difference: _statistic(difference, lost, gained, n) + quantile, value, 1 - _EDGE, xtol=1e-12)
    return max(value, float(found))


def _statistic(difference: float, lost: int, gained: int, n: int) -> float:
    """z(d) of the module's formula; 0 at the estimate itself, where there may be no variance."""
    distance = gained - lost - n * difference
    linear = (2 * n - gained + lost) * difference - gained - lost
    root = math.sqrt(max(0.0, linear**2 + 8 * n * lost * difference * (1 - difference)))
    variance = n * ((root - linear) / (2 * n) + difference * (1 - difference))
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
