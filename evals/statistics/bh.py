"""Benjamini and Hochberg's adjustment: of what is called a finding at level q, at most a share q is expected to be none.

For tables that are read, not for gates: it lets false findings through that `holm.py` would not. Valid for independent tests and for
positively dependent ones (Benjamini and Yekutieli 2001).
"""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the given order: p_(i) times m / i, made non-decreasing from the largest down (1995)."""
    adjusted = [0.0] * len(p_values)
    running = 1.0
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank in range(len(order), 0, -1):
        running = min(running, p_values[order[rank - 1]] * len(order) / rank)
        adjusted[order[rank - 1]] = running
    return adjusted
