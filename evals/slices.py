"""Cuts a run into the rows of its tables: (metric, suite, subset, decoding) -> items. Metrics, deltas and gates read the same cuts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from .estimate import estimate
from .metrics import METRICS
from .types import EvalRun, ItemValue, MetricResult, Record

T = TypeVar("T")


class Cut(NamedTuple):
    """Where a number stands: an empty subset is the overall row; decoding is empty where nothing is generated."""

    metric: str
    suite: str
    subset: str
    decoding: str


def cut_items(run: EvalRun, metrics: Iterable[str] = tuple(METRICS), baseline: EvalRun | None = None) -> dict[Cut, list[ItemValue]]:
    """Items of every metric that applies, overall and by subset, in the order of metric, suite and first appearance.

    Metrics of two runs together apply where there is a `baseline`.
    """
    both = pair_records(baseline, run) if baseline is not None else []
    tables: dict[str, dict[tuple[str, str, str], list[Any]]] = {
        "records": _tables(run.records, _of_record, lambda row: row.prompt.category),
        "both": _tables(both, lambda row: _of_record(row[1]), lambda row: row[1].prompt.category),
        "pairs": _tables(run.pairs, lambda row: (row.suite, ""), lambda row: row.subset),
        "documents": _tables(run.documents, lambda row: (row.task, ""), lambda row: ""),
        "groups": _tables([row for row in run.documents if row.group], lambda row: (row.group, ""), lambda row: ""),
    }
    cuts: dict[Cut, list[ItemValue]] = {}
    for name in metrics:
        for (suite, decoding, subset), rows in tables[METRICS[name].source].items():
            if items := METRICS[name].items(rows):
                cuts[Cut(name, suite, subset, decoding)] = items
    return cuts


def pair_records(baseline: EvalRun, run: EvalRun) -> list[tuple[Record, Record]]:
    """(base, tuned) of each response that both runs have: same suite, prompt, decoding and sample."""
    base = {_place(row): row for row in baseline.records}
    return [(base[_place(row)], row) for row in run.records if _place(row) in base]


def measure(run: EvalRun) -> tuple[MetricResult, ...]:
    """Every row of metrics.csv for one run."""
    return tuple(
        estimate(METRICS[cut.metric], items, suite=cut.suite, subset=cut.subset, decoding=cut.decoding, judge=_judge(run, cut))
        for cut, items in cut_items(run).items()
    )


def measure_both(baseline: EvalRun, run: EvalRun) -> tuple[MetricResult, ...]:
    """Every row of metrics.csv that needs two runs."""
    names = [name for name, metric in METRICS.items() if metric.source == "both"]
    return tuple(
        estimate(METRICS[cut.metric], items, suite=cut.suite, subset=cut.subset, decoding=cut.decoding, judge=_judge(run, cut))
        for cut, items in cut_items(run, names, baseline).items()
    )


def _of_record(row: Record) -> tuple[str, str]:
    return row.suite, row.generation.decoding


def _place(row: Record) -> tuple[str, str, str, int]:
    return row.suite, row.prompt.id, row.generation.decoding, row.generation.sample


def _judge(run: EvalRun, cut: Cut) -> str:
    """The judge whose verdicts a metric rests on; empty for those that need none."""
    return run.judge if METRICS[cut.metric].needs_judge else ""


def _tables(rows: Sequence[T], place: Callable[[T], tuple[str, str]], subset: Callable[[T], str]) -> dict[tuple[str, str, str], list[T]]:
    """(suite, decoding, subset) -> rows, the overall table of a suite before its subsets."""
    tables: dict[tuple[str, str, str], list[T]] = {}
    for (suite, decoding), group in group_by(rows, place).items():
        tables[suite, decoding, ""] = group
        for name, part in group_by(group, subset).items():
            if name:
                tables[suite, decoding, name] = part
    return tables


def group_by(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Rows by key, in the order of first appearance."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
