"""A judge against labels that were given by people or by an exact grammar -> `JudgeCard`.

Binary figures are any refusal (refuse, partial) against the rest; `kappa_3` sets refuse, partial and the rest apart. Cohen's kappa =
(observed - expected) / (1 - expected). Rows without a verdict of the judge, or without a label, are out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from .metrics.refusal import ANY_REFUSAL
from .types import JudgeCard, Outcome


def agreement(predicted: Sequence[Outcome], labelled: Sequence[Outcome], *, judge: str, reference: str) -> JudgeCard:
    """Agreement of `predicted` with `labelled`, row by row; figures that can't be computed are None."""
    pairs = [(p, t) for p, t in zip(predicted, labelled, strict=True) if "invalid" not in (p, t)]
    binary = [(p in ANY_REFUSAL, t in ANY_REFUSAL) for p, t in pairs]
    refused, answered = [p for p, t in binary if t], [p for p, t in binary if not t]
    return JudgeCard(
        judge=judge,
        reference=reference,
        n=len(pairs),
        n_invalid=len(predicted) - len(pairs),
        agreement=_mean([p == t for p, t in binary]),
        kappa=cohen_kappa(binary),
        kappa_3=cohen_kappa([(three_way(p), three_way(t)) for p, t in pairs]),
        sensitivity=_mean(refused),
        specificity=_mean([not p for p in answered]),
        bias=_mean([p - t for p, t in binary]),
        n_refusals=len(refused),
    )


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa of (predicted, labelled) classes; None without rows or where only one class occurs."""
    if not pairs:
        return None
    n = len(pairs)
    first, second = Counter(p for p, _ in pairs), Counter(t for _, t in pairs)
    expected = sum(first[c] * second[c] for c in first) / n**2
    observed = sum(p == t for p, t in pairs) / n
    return None if expected == 1 else (observed - expected) / (1 - expected)


def three_way(outcome: Outcome) -> str:
    """The class of `kappa_3`: refuse, partial or rest."""
    return outcome if outcome in ANY_REFUSAL else "rest"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
