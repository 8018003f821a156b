"""Wilson's score interval for one rate, plain, kept from its dips, and for clustered items.

    centre = (p + q^2/2n) / (1 + q^2/n)      half = q sqrt(p(1-p)/n + q^2/4n^2) / (1 + q^2/n)

Wilson's coverage dips near 0 and 1, down to .84 for nominal .95 at every n, and to .92 elsewhere when n is small. `rate_interval` takes
the exact mid-p limit where that is the further one, which it is for few events. A limit is the rate at which the chance of more events
than were seen (below: of fewer), plus half the chance of just as many, is alpha / 2. `benchmarks/coverage.py` prints both.

Source: Wilson 1927; mid-p: Lancaster 1961, Agresti and Gottard 2007; the clustered form replaces n by the effective sample size
p(1-p) / Var(p) and z by t with G - 1 degrees of freedom (Korn and Graubard 1998; Dean and Pagano 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.optimize import brentq
from scipy.special import betainc, betaincinv, ndtri

from .clusters import ClusterEstimate, cluster_ratio, t_quantile
from .interval import Interval


def wilson(successes: float, n: float, alpha: float = 0.05) -> Interval:
    """Wilson interval of successes / n; both may be fractional (ties count one half, n may be an effective size).

    Raises:
        ValueError: n is not positive, or successes lie outside [0, n].
    """
    if not n > 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    return score_interval(successes / n, n, float(ndtri(1 - alpha / 2)))


def rate_interval(successes: float, n: float, alpha: float = 0.05) -> Interval:
    """Wilson's interval, its limits nowhere inside the exact mid-p ones.

    Raises:
        ValueError: as `wilson`.
    """
    return _without_dips(wilson(successes, n, alpha), n, alpha)


def wilson_clustered(values: Sequence[float], clusters: Sequence[str], alpha: float = 0.05) -> Interval:
    """Wilson interval of the mean of values in [0, 1] that are dependent within clusters.

    Limits are NaN with fewer than two clusters.
    """
    return clustered_rate(cluster_ratio(values, [1.0] * len(values), clusters), len(values), alpha)


def clustered_rate(mean: ClusterEstimate, n: int, alpha: float = 0.05) -> Interval:
    """The same from the mean of n values and its cluster-robust standard error."""
    size = effective_size(mean, n)
    return _without_dips(score_interval(mean.value, size, t_quantile(mean.n_clusters - 1, alpha)), size, alpha)


def effective_size(mean: ClusterEstimate, n: int) -> float:
    """Independent items that would give the same variance, at most n.

    Where the variance can't be seen (rate 0 or 1, or equal rates in all clusters) each cluster counts as one item.
    """
    if not mean.se > 0:
        return float(mean.n_clusters)
    return max(1.0, min(float(n), mean.value * (1 - mean.value) / mean.se**2))


def score_interval(rate: float, n: float, quantile: float) -> Interval:
    """The formula above for a given quantile, cut to [0, 1]; a NaN quantile gives NaN limits."""
    if math.isnan(quantile):
        return Interval(rate, math.nan, math.nan)
    square = quantile**2 / n
    centre = (rate + square / 2) / (1 + square)
    half = quantile * (rate * (1 - rate) / n + square / (4 * n)) ** 0.5 / (1 + square)
    return Interval(rate, min(rate, max(0.0, centre - half)), max(rate, min(1.0, centre + half)))


def _without_dips(interval: Interval, n: float, alpha: float) -> Interval:
    """The interval, widened to the mid-p limits of its value in n items."""
    if math.isnan(interval.low):
        return interval
    events, others = interval.value * n, (1 - interval.value) * n
    return Interval(
        interval.value, min(interval.low, _mid_p_low(events, others, alpha)), max(interval.high, 1 - _mid_p_low(others, events, alpha))
    )


def _mid_p_low(events: float, others: float, alpha: float) -> float:
    """Rate at which the mid-p chance of `events` or more is alpha / 2; both counts may be fractional (binomial as incomplete beta)."""

    def excess(rate: float) -> float:
        return (float(betainc(events, others + 1, rate)) + _more(events, others, rate) - alpha) / 2

    if events <= 0:
        return 0.0
    exact = float(betaincinv(events, others + 1, alpha / 2))
    beyond = float(betaincinv(events + 1, others, alpha / 2)) if others > 0 else 1.0
    return float(brentq(excess, exact, beyond, xtol=1e-12)) if excess(exact) < 0 < excess(beyond) else exact


def _more(events: float, others: float, rate: float) -> float:
    """Chance of more than `events`; none when there are no others."""
    return float(betainc(events + 1, others, rate)) if others > 0 else 0.0
