"""How well the reward model ranks preference pairs. A tie counts one half and is reported apart: padding bugs show up there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..types import ItemValue, PairScore
from .base import Metric, pair_item


def _items(value: Callable[[float], float]) -> Callable[[Sequence[PairScore]], list[ItemValue]]:
    return lambda pairs: [pair_item(pair, value(pair.chosen - pair.rejected)) for pair in pairs]


def _right(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


METRICS = (
    Metric(
        "pairwise_accuracy",
        "fraction",
        True,
        "pairs",
        _items(_right),
        True,
        "Share of pairs whose chosen response scores higher; a tie counts one half.",
        "(#{chosen > rejected} + #{chosen = rejected} / 2) / pairs",
    ),
    Metric(
        "tie_rate",
        "fraction",
        False,
        "pairs",
        _items(lambda margin: float(margin == 0)),
        True,
        "Share of pairs with exactly equal scores.",
        "#{chosen = rejected} / pairs",
    ),
    Metric(
        "margin_mean",
        "reward",
        None,
        "pairs",
        _items(lambda margin: margin),
        False,
        "Mean difference of the scores, in the reward model's own units.",
        "mean of r(chosen) - r(rejected)",
    ),
)
