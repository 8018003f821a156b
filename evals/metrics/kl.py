"""KL(tuned || base) of the responses that the tuned model gave, in nats; per sequence and per token, in three estimators.

The sums over a response's tokens come from `evals/kl.py`. k1 and k3 estimate a KL only on responses sampled at temperature 1, where they
check `exact`, and are left out elsewhere; on greedy responses `exact` is the divergence along the greedy path. All of these are the
reverse KL, on the policy's responses; `kl_forward_seq` is the other direction, on the base's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from ..types import ItemValue, Record
from .base import Metric, record_item

SAMPLED = "t1.0"
"""The decoding whose responses are draws from the policy itself."""

_FORMULAS = {
    "exact": "sum_v pi(v) log(pi(v) / base(v)), summed over positions",
    "k1": "log pi - log base of the sampled token, summed over positions",
    "k3": "exp(r) - 1 - r with r = log base - log pi of the sampled token, summed over positions",
}


def kl_items(estimator: str, per: Literal["seq", "token"]) -> Callable[[Sequence[Record]], list[ItemValue]]:
    """Items of one estimator: per sequence the weight is 1, per token it is the response's length (pooled, never a mean of means)."""

    def items(records: Sequence[Record]) -> list[ItemValue]:
        if estimator != "exact":
            records = [row for row in records if row.generation.decoding == SAMPLED]
        scores = [None if row.score is None else getattr(row.score, f"kl_{estimator}") for row in records]
        if all(value is None for value in scores):
            return []
        return [record_item(row, value, _weight(row, per)) for row, value in zip(records, scores, strict=True)]

    return items


def _weight(row: Record, per: Literal["seq", "token"]) -> float:
    if per == "seq" or row.score is None:
        return 1.0
    return float(row.score.n_tokens)


def _metric(estimator: str, per: Literal["seq", "token"]) -> Metric:
    unit = "nats/sequence" if per == "seq" else "nats/token"
    divided = "mean over responses" if per == "seq" else "divided by all response tokens"
    return Metric(
        f"kl_{estimator}_{per}",
        unit,
        None,
        "records",
        kl_items(estimator, per),
        False,
        f"How far the policy moved from its base ({estimator}), {unit}.",
        f"{_FORMULAS[estimator]}; {divided}",
    )


def forward_items(records: Sequence[Record]) -> list[ItemValue]:
    """KL(base || tuned) over the base's responses to the same prompts; none where it was not measured."""
    values = [row.score.kl_forward if row.score else None for row in records]
    if all(value is None for value in values):
        return []
    return [record_item(row, value) for row, value in zip(records, values, strict=True)]


METRICS = (
    *(_metric(estimator, per) for estimator in _FORMULAS for per in ("seq", "token")),
    Metric(
        "kl_forward_seq",
        "nats/sequence",
        None,
        "records",
        forward_items,
        False,
        "How much of what the base says the policy has lost: large where it dropped a kind of answer, which the reverse KL does not see.",
        "sum_v base(v) log(base(v) / pi(v)), summed over positions of the base's own response; mean over responses",
    ),
)
