"""A mean over all items from a judge's values and people's values of a sample with known probabilities (prediction-powered).

    theta = mean_i( judge_i + [i labelled] (human_i - judge_i) / probability_i )

Unbiased whatever the judge's error, because the labelled part measures that error on the items at hand: the augmented inverse-probability
form of Angelopoulos et al. 2023 (Science 382: 669-674). Each item is in the sample independently of the others. Standard errors are
clustered; t with one degree of freedom less than there are labelled clusters, because that part is estimated from them alone. The sum can
leave the range that the mean must lie in: `within` cuts it, which keeps the coverage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .clusters import ClusterEstimate, cluster_ratio
from .interval import Interval


def prediction_powered(
    judge: Sequence[float],
    human: Sequence[float | None],
    probability: Sequence[float],
    clusters: Sequence[str] | None = None,
) -> ClusterEstimate:
    """Mean of what people would say of all items, shape (n,) each; its `n_clusters` are the labelled ones.

    Args:
        judge: the judge's value of each item; for a paired difference tuned minus base.
        human: people's value of the items in the sample, None elsewhere.
        probability: with which each item was drawn, in (0, 1].
        clusters: name of each item's cluster; items stand alone without them.

    Raises:
        ValueError: no items, or a probability outside (0, 1].
    """
    drawn = np.asarray(probability, float)
    if not len(drawn) or not ((drawn > 0) & (drawn <= 1)).all():
        raise ValueError("a probability for each item is needed, above 0 and at most 1")
    names = list(clusters) if clusters is not None else [str(i) for i in range(len(drawn))]
    values = np.array([said + (0.0 if truth is None else (truth - said) / p) for said, truth, p in zip(judge, human, drawn, strict=True)])
    found = cluster_ratio(values.tolist(), [1.0] * len(values), names)
    labelled = {name for name, truth in zip(names, human, strict=True) if truth is not None}
    return ClusterEstimate(found.value, found.se, len(labelled))


def within(interval: Interval, low: float, high: float) -> Interval:
    """The interval and its value cut to the range that the truth must lie in; NaN limits stay."""
    value, below, above = (min(max(part, low), high) if part == part else part for part in interval)
    return Interval(value, below, above)


def draw_probabilities(weights: Sequence[float], budget: float) -> list[float]:
    """Probabilities proportional to `weights`, at most 1, that sum to `budget` (to the number of items when that is smaller).

    Raises:
        ValueError: a weight or the budget is not positive.
    """
    shares = np.asarray(weights, float)
    if not budget > 0 or not (shares > 0).all():
        raise ValueError("weights and budget must be positive")
    certain = np.zeros(len(shares), bool)
    while not certain.all() and budget > certain.sum():
        scaled = shares * (budget - certain.sum()) / shares[~certain].sum()
        more = (scaled >= 1) & ~certain
        if not more.any():
            return [float(share) for share in np.where(certain, 1.0, scaled)]
        certain |= more
    return [1.0] * len(shares)
