"""p-values adjusted for how many there are: Holm where something is decided, Benjamini and Hochberg where tables are only read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .statistics.bh import benjamini_hochberg
from .statistics.holm import holm
from .types import Gate, MetricDelta


def adjusted(deltas: Iterable[MetricDelta], gates: Iterable[Gate]) -> tuple[MetricDelta, ...]:
    """The differences with `p_adjusted`.

    Holm over the overall rows whose metric, suite and decoding a gate is declared for, as one family; Benjamini and Hochberg over the
    categories of one metric, suite and decoding. Other rows have none, nor have those that a gate reads as corrected.
    """
    rows = list(deltas)
    gated = {(gate.metric, gate.suite, gate.decoding) for gate in gates if gate.kind == "gate" and not gate.corrected}
    families: dict[tuple[str, str, str] | None, list[int]] = {}
    for number, row in enumerate(rows):
        place = (row.metric, row.suite, row.decoding)
        if row.p_value is not None and (row.subset or place in gated):
            families.setdefault(place if row.subset else None, []).append(number)
    for family, members in families.items():
        _adjust(rows, members, benjamini_hochberg if family else holm)
    return tuple(rows)


def _adjust(rows: list[MetricDelta], members: Sequence[int], method: Callable[[Sequence[float]], list[float]]) -> None:
    for number, value in zip(members, method([p for i in members if (p := rows[i].p_value) is not None]), strict=True):
        rows[number] = replace(rows[number], p_adjusted=value)
