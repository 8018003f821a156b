"""A rate corrected for the judge's error, when the judge's sensitivity and specificity were estimated on labelled responses.

    p = (q + Sp - 1) / J,  J = Se + Sp - 1        (Rogan and Gladen 1978)

The interval carries the error of q and of both figures of the judge: Lang and Reiczigel 2014 (Preventive Veterinary Medicine 113), who add
z^2/2 successes and failures to q and one of each to Se and Sp, so that it keeps a width at 0 and 1. Their formula is not nested (with few
labels a higher confidence can give a narrower interval), and a p-value needs that: here an interval holds those of all lower confidences.
Assumes that the judge errs on these responses as it did on the labelled ones; for a difference of two models whose styles differ that is
often false: `ppi.py`.
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from .interval import Interval

Counts = tuple[float, float]
"""(successes, trials)."""
_STEPS = 16
"""Lower confidences that are looked at, evenly spaced in z."""


def rogan_gladen(positive: Counts, sensitivity: Counts, specificity: Counts, alpha: float = 0.05) -> Interval:
    """Corrected rate with its interval, all cut to [0, 1].

    Args:
        positive: responses that the judge calls positive, of all judged; may be effective sizes.
        sensitivity: positives that it found, of those that people labelled so.
        specificity: negatives that it found, of those that people labelled so.
        alpha: one minus the coverage.

    Raises:
        ValueError: no trials, more successes than trials, or a judge that is no better than chance (J <= 0).
    """
    for successes, trials in (positive, sensitivity, specificity):
        if not trials > 0 or not 0 <= successes <= trials:
            raise ValueError(f"{successes} successes of {trials}")
    rate, found, spared = (successes / trials for successes, trials in (positive, sensitivity, specificity))
    if found + spared <= 1:
        raise ValueError(f"sensitivity {found:.3f} and specificity {spared:.3f}: the judge is no better than chance")
    z = float(ndtri(1 - alpha / 2))
    limits = [_lang_reiczigel(positive, sensitivity, specificity, z * step / _STEPS) for step in range(1, _STEPS + 1)]
    value = _cut((rate + spared - 1) / (found + spared - 1))
    return Interval(value, min(value, *(_cut(low) for low, _ in limits)), max(value, *(_cut(high) for _, high in limits)))


def _lang_reiczigel(positive: Counts, sensitivity: Counts, specificity: Counts, z: float) -> tuple[float, float]:
    """Lower and upper limit; Se and Sp are the figures with one success and one failure added."""
    n, n_pos, n_neg = positive[1] + z * z, sensitivity[1] + 2, specificity[1] + 2
    q, se, sp = (positive[0] + z * z / 2) / n, (sensitivity[0] + 1) / n_pos, (specificity[0] + 1) / n_neg
    youden = se + sp - 1
    if youden <= 0:
        return -math.inf, math.inf
    p = (q + sp - 1) / youden
    var_se, var_sp = se * (1 - se) / n_pos, sp * (1 - sp) / n_neg
    shift = 2 * z * z * (p * var_se - (1 - p) * var_sp)
    half = z * math.sqrt(q * (1 - q) / n + p * p * var_se + (1 - p) ** 2 * var_sp) / youden
    return p + shift - half, p + shift + half


def _cut(value: float) -> float:
    return max(0.0, min(1.0, value))
