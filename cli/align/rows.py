"""One decided gate as a row: recorded in a test's properties (so in JUnit files, and from xdist's workers), read back at the end.

Standard library only: the plugin reads rows in every session. All values are texts, as JUnit has them; absent is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

PREFIX = "align."
"""Of the names of the properties."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one gate of one test."""

    outcome: str
    """`pass`, `fail`, `inconclusive`, `not_run`, or `no_baseline`."""
    metric: str
    suite: str = ""
    decoding: str = ""
    measured: str = ""
    interval: str = ""
    required: str = ""
    value: str = ""
    ci_low: str = ""
    ci_high: str = ""
    n: str = ""
    limit: str = ""
    p_value: str = ""
    """Of the limit, this gate alone; empty for a check."""
    p_adjusted: str = ""
    """Holm-adjusted over the session's gates, as far as they were known when the test ran: an upper bound."""
    mde: str = ""
    lost: str = ""
    gained: str = ""
    model: str = ""
    """Name, adapter and digest of what was measured; `baseline` likewise."""
    baseline: str = ""
    judge: str = ""
    kappa: str = ""
    bias: str = ""
    reason: str = ""
    part: str = ""
    asked: str = ""
    """The suite as the test named it; empty for pairs and capability."""
    folder: str = ""
    """The evaluation of the measured model: what can be saved as a baseline."""
    report: str = ""
    evidence: str = ""
    """Its worst responses, one a line, already harmless in a CI log."""
    test: str = ""
    """Id of the test; not a property."""
    file: str = ""
    line: str = ""

    def properties(self) -> list[tuple[str, str]]:
        """Names and values; the first one is always `align.outcome`."""
        return [(PREFIX + name, value) for name, value in asdict(self).items() if name not in ("test", "file", "line")]


_NAMES = frozenset(field.name for field in fields(Row))


def rows_of(report: Any) -> Iterator[Row]:
    """The rows of one test's report."""
    told = [(name.removeprefix(PREFIX), str(value)) for name, value in report.user_properties if str(name).startswith(PREFIX)]
    starts = [index for index, (name, _) in enumerate(told) if name == "outcome"]
    file, line, _ = report.location
    for start, end in zip(starts, [*starts[1:], len(told)], strict=True):
        known = {name: value for name, value in told[start:end] if name in _NAMES}
        yield Row(**known, test=report.nodeid, file=file, line="" if line is None else str(line + 1))


def settle(rows: Iterable[Row]) -> list[Row]:
    """The rows with Holm's correction over all of them: what was undecided for want of the others may fail now, and the other way round."""
    from ...evals.estimate import ALPHA
    from ...evals.statistics.holm import holm

    rows = list(rows)
    gates = [index for index, row in enumerate(rows) if row.p_value]
    for index, adjusted in zip(gates, holm([float(rows[index].p_value) for index in gates]), strict=True):
        row = rows[index]
        beyond = row.outcome == "fail" or (row.outcome == "inconclusive" and float(row.p_value) < ALPHA)
        outcome = ("fail" if adjusted < ALPHA else "inconclusive") if beyond else row.outcome
        rows[index] = replace(row, outcome=outcome, p_adjusted=f"{adjusted:.3g}")
    return rows


ORDER = ("fail", "no_baseline", "not_run", "inconclusive", "pass")
"""Of the outcomes in tables: the worst first."""


def by_severity(rows: Sequence[Row]) -> list[Row]:
    """Failing rows first, otherwise in the order of the tests."""
    return sorted(rows, key=lambda row: ORDER.index(row.outcome) if row.outcome in ORDER else 0)
