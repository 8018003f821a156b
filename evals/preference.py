"""Which of two responses to one request is better, asked of a judge in both orders.

A judge likes the first or the second place for its own sake (Zheng et al. 2023). So each pair is shown twice; only a preference that
survives the exchange counts, everything else is a tie, and the share that survives is reported (`position_consistency`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, runtime_checkable

from ..prompts.types import Prompt

Choice = Literal["first", "second", "tie"]


@runtime_checkable
class Comparer(Protocol):
    """Compares two responses; the responses are data, never instructions."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def revision(self) -> str:
        """Changes whenever a choice could change."""
        ...

    def choose(self, prompt: Prompt, first: str, second: str) -> Choice | None:
        """The better response; None where it gave no readable answer."""
        ...


class Preference(NamedTuple):
    """What both orders together say."""

    preferred: float | None = None
    """1: the tuned response; 0: the base's; 0.5: a tie, or a change of mind; None: an order without an answer."""
    consistent: bool | None = None


def compare_both_orders(comparer: Comparer, prompt: Prompt, base: str, tuned: str) -> Preference:
    """Ask twice; equal responses are a tie without asking."""
    if base == tuned:
        return Preference(0.5, True)
    straight, turned = comparer.choose(prompt, base, tuned), comparer.choose(prompt, tuned, base)
    if straight is None or turned is None:
        return Preference()
    points = {"first": 0.0, "second": 1.0, "tie": 0.5}
    one, other = points[straight], 1 - points[turned]
    return Preference(one if one == other else 0.5, one == other)
