"""Whether a reward model is as sure as it is right: sigmoid(margin / T) read as the probability that the chosen response is better.

Pairs are folded: the confidence is sigmoid(|margin| / T), at least one half, and the pick is right or wrong; so the order in which a
pair's responses stand plays no part. Bins hold equally many pairs. The error of a perfect model is not 0 on few pairs: `ece_floor` says
what it would be. T is fitted on the other half of the pairs (halves by cluster), never on those that it is applied to. Human
preferences are noisy, so no honest probability comes near 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..types import ItemValue, PairScore
from .base import Combine, Metric, pair_item

BINS = 15
PAIRS_PER_BIN = 10
"""At least so many, with fewer bins where there are few pairs."""

Floats = NDArray[np.float64]
Scaled = Callable[[Sequence[PairScore]], list[float]]
"""Margins over the temperature; empty where no temperature can be fitted."""


def margins(pairs: Sequence[PairScore]) -> list[float]:
    """The margins as they are: T = 1."""
    return [pair.chosen - pair.rejected for pair in pairs]


def scaled_margins(pairs: Sequence[PairScore]) -> list[float]:
    """Margins over the temperature of the other half; empty when all pairs fall into one half."""
    halves = [_half(pair) for pair in pairs]
    raw = margins(pairs)
    if len(set(halves)) < 2:
        return []
    slopes = [inverse_temperature([m for m, h in zip(raw, halves, strict=True) if h != half]) for half in (0, 1)]
    return [margin * slopes[half] for margin, half in zip(raw, halves, strict=True)]


def inverse_temperature(margins: Sequence[float]) -> float:
    """1 / T that minimises the mean of -log sigmoid(margin / T), by bisection; 0 where the margins are no better than chance.

    Where every margin is positive no T is best: it ends at a thousand times the scale of the margins.
    """
    values = np.asarray(margins, float)
    scale = float(np.abs(values).mean())
    if scale == 0 or values.sum() <= 0:
        return 0.0
    low, high = 0.0, 1000.0 / scale
    for _ in range(60):
        middle = (low + high) / 2
        slope = float((values * _sigmoid(-middle * values)).sum())
        low, high = (middle, high) if slope > 0 else (low, middle)
    return high


def _half(pair: PairScore) -> int:
    return hashlib.sha256((pair.cluster or pair.pair_id).encode("utf-8", "surrogatepass")).digest()[0] & 1


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -values)))


def _error_items(scaled: Scaled) -> Callable[[Sequence[PairScore]], list[ItemValue]]:
    """Right minus sure, by bin."""

    def items(pairs: Sequence[PairScore]) -> list[ItemValue]:
        found = scaled(pairs)
        sure = _confidences(found)
        return _binned(pairs, sure, [_right(m) - c for m, c in zip(found, sure, strict=True)])

    return items


def _floor_items(pairs: Sequence[PairScore]) -> list[ItemValue]:
    sure = _confidences(margins(pairs))
    return _binned(pairs, sure, [c * (1 - c) for c in sure])


def _binned(pairs: Sequence[PairScore], sure: Sequence[float], values: Sequence[float]) -> list[ItemValue]:
    if not values:
        return []
    order = sorted(range(len(pairs)), key=lambda i: (sure[i], pairs[i].pair_id))
    bins = max(1, min(BINS, len(pairs) // PAIRS_PER_BIN))
    part = {i: f"{rank * bins // len(pairs):02d}" for rank, i in enumerate(order)}
    return [replace(pair_item(pair, value), part=part[i]) for i, (pair, value) in enumerate(zip(pairs, values, strict=True))]


def _confidences(found: Sequence[float]) -> list[float]:
    return [float(value) for value in _sigmoid(np.abs(np.asarray(found, float)))]


def _right(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _log_loss(margin: float) -> float:
    return max(0.0, -margin) + math.log1p(math.exp(-abs(margin)))


def _mean_items(scaled: Scaled, value: Callable[[float], float]) -> Callable[[Sequence[PairScore]], list[ItemValue]]:
    def items(pairs: Sequence[PairScore]) -> list[ItemValue]:
        found = scaled(pairs)
        return [pair_item(pair, value(margin)) for pair, margin in zip(pairs, found, strict=True)] if found else []

    return items


def _sum_of_sizes(parts: Sequence[str], sums: Floats, weights: Floats) -> Floats:
    return np.asarray(np.abs(sums).sum(axis=-1) / weights.sum(axis=-1))


def _noise_of_sizes(sums: Floats, weights: Floats) -> tuple[Combine, Combine]:
    """How far the sum of sizes may be off, from the bins' deviations d in replicates: |e + d| >= |e| + sign(e) d and <= |e| + |d|.

    So the truth lies at most sum |d| below the value and sum sign(e) d above it, whatever the true errors e are: noise adds to the
    sizes of small errors, and a mirrored bootstrap interval would miss it.
    """
    errors = sums / weights

    def below(parts: Sequence[str], sums: Floats, weights: Floats) -> Floats:
        return np.asarray(np.abs(sums - errors * weights).sum(axis=-1) / weights.sum(axis=-1))

    def above(parts: Sequence[str], sums: Floats, weights: Floats) -> Floats:
        return np.asarray((np.sign(errors) * (sums - errors * weights)).sum(axis=-1) / weights.sum(axis=-1))

    return below, above


def _expected_sizes(parts: Sequence[str], sums: Floats, weights: Floats) -> Floats:
    return np.asarray(np.sqrt(2 / math.pi * np.maximum(sums, 0.0)).sum(axis=-1) / weights.sum(axis=-1))


def _brier(margin: float) -> float:
    return float(_sigmoid(np.asarray(-margin))) ** 2


METRICS = (
    Metric(
        "log_loss",
        "nats",
        False,
        "pairs",
        _mean_items(margins, _log_loss),
        False,
        "Bradley-Terry loss: how surprised the reward model is by the preferences.",
        "mean of -log sigmoid(r(chosen) - r(rejected))",
    ),
    Metric(
        "log_loss_scaled",
        "nats",
        False,
        "pairs",
        _mean_items(scaled_margins, _log_loss),
        False,
        "The same with the temperature that the other half of the pairs asks for.",
        "mean of -log sigmoid((r(chosen) - r(rejected)) / T), T from the other half",
    ),
    Metric(
        "brier",
        "squared probability",
        False,
        "pairs",
        _mean_items(margins, _brier),
        False,
        "Squared error of the probability that the chosen response is the better one.",
        "mean of (1 - sigmoid(r(chosen) - r(rejected)))^2",
    ),
    Metric(
        "ece",
        "fraction",
        False,
        "pairs",
        _error_items(margins),
        False,
        "Expected calibration error: how far, on average, it is from being right as often as it is sure.",
        "sum over bins of (pairs in bin / pairs) |share right - mean confidence|, up to 15 bins of equal size",
        combine=_sum_of_sizes,
        noise=_noise_of_sizes,
    ),
    Metric(
        "ece_scaled",
        "fraction",
        False,
        "pairs",
        _error_items(scaled_margins),
        False,
        "The same with the temperature that the other half of the pairs asks for.",
        "as ece, with margins over T from the other half",
        combine=_sum_of_sizes,
        noise=_noise_of_sizes,
    ),
    Metric(
        "ece_floor",
        "fraction",
        None,
        "pairs",
        _floor_items,
        False,
        "The calibration error that a perfectly calibrated model would show with as many pairs and these confidences.",
        "sum over bins of sqrt(2 / pi sum c (1 - c)) / pairs, c the confidences",
        combine=_expected_sizes,
    ),
)
