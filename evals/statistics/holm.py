"""Holm's step-down adjustment: the chance of any false rejection over the family stays below alpha, whatever the dependence."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order: p_(i) times (m - i + 1), made non-decreasing, at most 1 (Holm 1979)."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = running
    return adjusted


def holm_level(others: Sequence[float], alpha: float) -> float:
    """What the p-value of one more test must lie below to be rejected beside these."""
    level = alpha / (len(others) + 1)
    for rank, p_value in enumerate(sorted(others)):
        if p_value * (len(others) + 1 - rank) >= alpha:
            break
        level = alpha / (len(others) - rank)
    return level
