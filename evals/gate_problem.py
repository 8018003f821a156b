"""What makes a declared gate senseless, found before anything is measured; nothing heavy is imported."""

from __future__ import annotations

import math

from .config import GateConfig
from .metrics import METRICS
from .metrics.refusal import COUNTED
from .plan import nearest

_LIMITS = ("min", "max", "min_delta", "max_delta")


def gate_problem(config: GateConfig) -> tuple[str, str, str] | None:
    """What makes a gate senseless, as (field, problem, advice): an unknown metric, a difference of one that is a comparison itself, a
    correction of one that people don't label, or a limit that the metric can never reach. None for a gate that can be decided.
    """
    field = next(name for name in _LIMITS if getattr(config, name) is not None)
    metric, limit, relative = METRICS.get(config.metric), getattr(config, field), field.endswith("_delta")
    if metric is None:
        return "metric", f"no metric named {config.metric!r}", nearest(config.metric, METRICS)
    if relative and metric.source == "both":
        return field, f"{config.metric} has no difference to the baseline", "Give `min` or `max`: it compares tuned with base already."
    if config.corrected and config.metric not in COUNTED:
        return "corrected", f"{config.metric} is no rate of refusals: it can't be corrected", f"One of {', '.join(COUNTED)} can."
    low, high = metric.possible
    low, high = (low - high, high - low) if relative else (low, high)
    if low <= limit <= high and math.isfinite(limit):
        return None
    of = f"a difference of {config.metric}" if relative else config.metric
    advice = "Rates are fractions: 5 % is 0.05." if metric.unit == "fraction" else ""
    return field, f"{limit!r} can't be reached: {of} lies between {low:g} and {high:g}", advice
