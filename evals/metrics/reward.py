"""The reward model's score of the responses. Its scale is its own: compare within one reward model only."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import ItemValue, Record
from .base import Metric, record_item


def independent_items(records: Sequence[Record]) -> list[ItemValue]:
    """One item a response; none when no independent reward model scored."""
    scores = [None if row.score is None else row.score.independent for row in records]
    if all(value is None for value in scores):
        return []
    return [record_item(row, value) for row, value in zip(records, scores, strict=True)]


def reward_items(records: Sequence[Record]) -> list[ItemValue]:
    """One item a response; none when no response was scored."""
    scores = [None if row.score is None else row.score.reward for row in records]
    if all(value is None for value in scores):
        return []
    return [record_item(row, value) for row, value in zip(records, scores, strict=True)]


METRICS = (
    Metric(
        "reward_mean",
        "reward",
        True,
        "records",
        reward_items,
        False,
        "Mean reward of the responses, in the reward model's own units.",
        "mean of r(prompt, response) at the end-of-sequence token",
    ),
    Metric(
        "independent_reward_mean",
        "reward",
        True,
        "records",
        independent_items,
        False,
        "Mean reward by a reward model that the policy was not trained against, in its own units.",
        "mean of r'(prompt, response), r' not trained against",
    ),
)
