"""Wilson's score interval for one rate, plain, kept from its dips near 0 and 1, and for clustered items.

    centre = (p + q^2/2n) / (1 + q^2/n)      half = q sqrt(p(1-p)/n + q^2/4n^2) / (1 + q^2/n)

Near 0 and 1 Wilson's coverage has dips, down to .84 for nominal .95 at every n: with a few events its near limit lies too close. There
`rate_interval` takes the one-sided exact limit instead, which is the further one for up to about ten events; the idea is that of Brown,
Cai and DasGupta 2001 (Statistical Science 16: 101-133), without their table of cases. `benchmarks/coverage.py` prints both.

Source: Wilson 1927; the clustered form replaces n by the effective sample size p(1-p) / Var(p) and z by t with G - 1 degrees of
freedom (Korn and Graubard 1998; Dean and Pagano 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import betaincinv, ndtri

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
    """Wilson's interval, its limits nowhere inside the exact one-sided ones (Clopper and Pearson's at level alpha).

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
    """The interval, widened to the limits at which `alpha` is the chance of as many events as were seen, or more (below: or fewer)."""
    if math.isnan(interval.low):
        return interval
    events, others = interval.value * n, (1 - interval.value) * n
    low = float(betaincinv(events, others + 1, alpha)) if events > 0 else 0.0
    high = float(betaincinv(events + 1, others, 1 - alpha)) if others > 0 else 1.0
    return Interval(interval.value, min(interval.low, low), max(interval.high, high))
