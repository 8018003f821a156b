"""What a suite can resolve: the smallest difference it finds, and how many items would decide."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import ndtri

POWER = 0.8
DISCORDANT = 0.2
"""Share of prompts on which two models differ that a suite's card assumes."""


def mde_paired(n: int, discordant: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Smallest difference of two paired rates that n independent pairs find with the given power (two-sided alpha).

    Solves n = (z_a sqrt(psi) + z_b sqrt(psi - delta^2))^2 / delta^2 for delta (Connor 1987), where psi is the share of discordant
    pairs, at least delta itself: a difference can't be larger than the share of pairs that differ.

    Args:
        n: pairs, positive.
        discordant: expected share of discordant pairs, in [0, 1].
        alpha: two-sided level.
        power: chance of finding it.

    Returns:
        A difference in (0, 1]; 1 where even that would be missed.
    """
    z_alpha, z_beta = float(ndtri(1 - alpha / 2)), float(ndtri(power))

    def found(delta: float) -> bool:
        psi = max(discordant, delta)
        return bool((z_alpha * psi**0.5 + z_beta * max(0.0, psi - delta**2) ** 0.5) ** 2 <= n * delta**2)

    if not found(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def mde_normal(half_width: float, alpha: float = 0.05, power: float = POWER) -> float:
    """Smallest difference found, from the half width of a (1 - alpha) interval: half * (z_a + z_b) / z_a."""
    z_alpha = float(ndtri(1 - alpha / 2))
    return half_width * (z_alpha + float(ndtri(power))) / z_alpha


def n_to_decide(n: int, p_value: float | None, level: float) -> int | None:
    """Items at which the p-value of the limit would fall to `level` if the estimate stayed: n (z_level / z_p)^2, rounded up.

    The statistic of a score test or a t-test grows as the root of n. None where no number decides, or there is no p-value.

    Args:
        n: items that gave the p-value.
        p_value: two-sided, of the limit.
        level: two-sided, in (0, 1).
    """
    if p_value is None or p_value >= 1:
        return None
    return math.ceil(n * (float(ndtri(1 - level / 2)) / float(ndtri(1 - p_value / 2))) ** 2)


def effective_n(sizes: Sequence[int]) -> int:
    """Independent items that say as much as clusters of these sizes whose items all stand and fall together.

    The smallest that clustering can leave: n^2 / sum of the squared sizes (Kish 1965), rounded down.
    """
    return sum(sizes) ** 2 // sum(size**2 for size in sizes) if sizes else 0


def resolution(sizes: Sequence[int], discordant: float = DISCORDANT) -> str:
    """What prompts in clusters of these sizes (positive, at least one) can tell apart, as a suite's card says it."""
    independent, tied = (100 * mde_paired(n, discordant) for n in (sum(sizes), effective_n(sizes)))
    text = (
        f"resolves differences of {independent:.1f} points between two models ({POWER:.0%} power, psi = {discordant:g}, n = {sum(sizes)})"
    )
    together = f"; of {tied:.1f} where all prompts of a cluster stand and fall together"
    return text + together * (len(sizes) < sum(sizes))
