"""Non-inferiority: is the difference surely no worse than a margin?

The interval decides: non-inferior when it lies wholly on the good side of the margin, inferior when wholly beyond it, else undecided
(Piaggio et al. 2012, the CONSORT extension). Used with a two-sided 95 % interval, so the chance to call an inferior model non-inferior is
2.5 %. Not the absence of a significant difference, which small samples have for free.
"""

from __future__ import annotations

from typing import Literal

from .interval import Interval

Side = Literal["good", "bad", "between"]


def side_of(interval: Interval, limit: float, *, at_least: bool) -> Side:
    """Where an interval lies against a limit; an end on the limit is on the good side. NaN limits lie `between`.

    Args:
        interval: of a value or of a difference.
        limit: the threshold, or the margin with its sign (-0.05: five points may be lost).
        at_least: whether good is at or above the limit; else at or below it.
    """
    near, far = (interval.low, interval.high) if at_least else (-interval.high, -interval.low)
    bar = limit if at_least else -limit
    return "good" if near >= bar else "bad" if far < bar else "between"
