"""What a reward model's accuracy owes to looks: accuracy where the better response has more of something minus where it has less.

0 is indifferent; above 0 it likes more of it. The two kinds of pairs may differ in difficulty, too: pairs in which each answer stands in
every style, like RM-Bench's, rule that out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..types import ItemValue, PairScore
from .base import Metric, pair_item

Floats = NDArray[np.float64]
MORE, LESS = "more", "less"


def gap_items(
    chosen: Callable[[PairScore], int | None], rejected: Callable[[PairScore], int | None]
) -> Callable[[Sequence[PairScore]], list[ItemValue]]:
    """Right or wrong, apart for pairs whose chosen response has more and has less; none where one of the two kinds is missing.

    Pairs that are equal in it are left out.
    """

    def items(pairs: Sequence[PairScore]) -> list[ItemValue]:
        found = []
        for pair in pairs:
            more, less = chosen(pair), rejected(pair)
            if more is not None and less is not None and more != less:
                margin = pair.chosen - pair.rejected
                right = 0.5 if margin == 0 else float(margin > 0)
                found.append(replace(pair_item(pair, right), part=MORE if more > less else LESS))
        return found if len({item.part for item in found}) == 2 else []

    return items


def batch_items(pairs: Sequence[PairScore]) -> list[ItemValue]:
    """How far a reward moves when its response is scored alone, without padding; of the pairs for which it was."""
    return [pair_item(pair, abs(pair.chosen - pair.chosen_alone)) for pair in pairs if pair.chosen_alone is not None]


def difference_of_means(parts: Sequence[str], sums: Floats, weights: Floats) -> Floats:
    """Mean of `more` minus mean of `less`; NaN where there is none of one of them."""
    if not {MORE, LESS} <= set(parts):
        return np.full(sums.shape[:-1], np.nan)
    more, less = parts.index(MORE), parts.index(LESS)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = sums[..., more] / weights[..., more] - sums[..., less] / weights[..., less]
    return found


METRICS = (
    Metric(
        "length_bias_gap",
        "difference of fractions",
        None,
        "pairs",
        gap_items(lambda pair: pair.chosen_words, lambda pair: pair.rejected_words),
        False,
        "Accuracy where the chosen response is the longer one minus accuracy where it is the shorter one, in words.",
        "pairwise_accuracy{chosen longer} - pairwise_accuracy{chosen shorter}",
        combine=difference_of_means,
    ),
    Metric(
        "style_bias_gap",
        "difference of fractions",
        None,
        "pairs",
        gap_items(lambda pair: pair.chosen_marks, lambda pair: pair.rejected_marks),
        False,
        "Accuracy where the chosen response has more markup (lists, headings, bold, code) minus accuracy where it has less.",
        "pairwise_accuracy{chosen more marked up} - pairwise_accuracy{chosen less marked up}",
        combine=difference_of_means,
    ),
    Metric(
        "batch_gap",
        "reward",
        False,
        "pairs",
        batch_items,
        False,
        "How far a reward moves when its response is scored alone, without padding, instead of in a batch.",
        "mean of |r(chosen) - r(chosen) scored alone|, first 32 pairs",
    ),
)
