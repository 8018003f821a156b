"""What a metric is: a name, a unit, a direction, and a function from rows to per-item values. Leaves out intervals (`estimate.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..types import ItemValue, PairScore, Record

Source = Literal["records", "pairs", "documents", "groups", "both"]
Combine = Callable[[Sequence[str], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(names of the parts, sums of values, sums of weights), sums of shape (..., parts), to the metric, shape (...,); NaN where it has none."""
Noise = Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[Combine, Combine]]
"""(sums, weights) of the data to what replicates are measured by: distance of the truth below the value, and above it."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "fraction": (0.0, 1.0),
    "squared probability": (0.0, 1.0),
    "difference of fractions": (-1.0, 1.0),
    "nats": (0.0, math.inf),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One number that a run is read by; its value is sum(value) / sum(weight) over items, or what `combine` makes of such sums."""

    name: str
    unit: str
    """`fraction`, `nats/sequence`, `nats/token`, `reward`."""
    higher_is_better: bool | None
    """None: neither direction is better in itself."""
    source: Source
    """Which rows `items` takes: `Record`, `PairScore`, `DocumentScore` (of one task, or of a group), or (base, tuned) records."""
    items: Callable[[Sequence[Any]], list[ItemValue]]
    """Per-item values of the rows that the metric applies to; empty when it applies to none."""
    binary: bool
    """Values lie in [0, 1] with weight 1: a rate, with Wilson's interval, and Tango's or Newcombe's for differences."""
    description: str
    formula: str
    needs_judge: bool = False
    """Whether it rests on a judge's verdicts."""
    combine: Combine | None = None
    """For metrics that are no single ratio: made from the sums of the items' parts, with intervals by cluster bootstrap."""
    noise: Noise | None = None
    """For those that noise can only raise: how far below and above the value the truth may lie."""
    subset_of: Callable[[Any], str] | None = None
    """Name of one more subset that a row belongs to, beside its category; empty for none."""

    @property
    def possible(self) -> tuple[float, float]:
        """Lowest and highest value that it can have, as far as its unit says."""
        return _RANGES.get(self.unit, (-math.inf, math.inf))


def record_item(record: Record, value: float | None, weight: float = 1.0) -> ItemValue:
    """The item of one response: paired by suite, prompt and sample; clustered by topic, else by prompt."""
    item = f"{record.suite}/{record.prompt.id}#{record.generation.sample}"
    return ItemValue(item, f"{record.suite}/{record.prompt.cluster or record.prompt.id}", value, weight)


def pair_item(pair: PairScore, value: float | None) -> ItemValue:
    """The item of one preference pair."""
    return ItemValue(f"{pair.suite}/{pair.pair_id}", f"{pair.suite}/{pair.cluster or pair.pair_id}", value)
