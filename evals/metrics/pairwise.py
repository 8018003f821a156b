"""How well the reward model ranks preference pairs. A tie counts one half and is reported apart: padding bugs show up there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..types import ItemValue, PairScore
from .base import Metric, pair_item


def _items(value: Callable[[float], float]) -> Callable[[Sequence[PairScore]], list[ItemValue]]:
    return lambda pairs: [pair_item(pair, value(pair.chosen - pair.rejected)) for pair in pairs]


def _right(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _longer_wins(pairs: Sequence[PairScore]) -> list[ItemValue]:
    """1 where the chosen response has more words, half for equal lengths; none where words were not counted."""
    counted = [(pair, pair.chosen_words, pair.rejected_words) for pair in pairs]
    return [pair_item(pair, _right(chosen - rejected)) for pair, chosen, rejected in counted if chosen is not None and rejected is not None]


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
        "longer_wins_accuracy",
        "fraction",
        None,
        "pairs",
        _longer_wins,
        True,
        "What a rule that looks at length alone would reach: the longer response is better. 1 minus it is the rule for the shorter one.",
        "(#{chosen longer} + #{equal lengths} / 2) / pairs, in words",
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
