"""Cuts a run into the rows of its tables: (metric, suite, subset, decoding) -> items. Metrics, deltas and gates read the same cuts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from ..prompts.types import SUBSETS
from .estimate import estimate
from .metrics import METRICS, Metric, Source
from .types import EvalRun, ItemValue, MetricResult, Record

T = TypeVar("T")
Tables = dict[tuple[str, str, str], list[Any]]
"""(suite, decoding, subset) -> rows."""


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
    chosen = [METRICS[name] for name in metrics]
    tables = {source: _source_tables(run, source, baseline) for source in dict.fromkeys(metric.source for metric in chosen)}
    cuts: dict[Cut, list[ItemValue]] = {}
    for metric in chosen:
        for (suite, decoding, subset), rows in _with_own(metric, tables[metric.source]).items():
            if items := metric.items(rows):
                cuts[Cut(metric.name, suite, subset, decoding)] = items
    return cuts


def _source_tables(run: EvalRun, source: Source, baseline: EvalRun | None) -> Tables:
    match source:
        case "records":
            return _tables(run.records, _of_record, lambda row: (row.prompt.category,))
        case "both":
            both = pair_records(baseline, run) if baseline is not None else []
            return _tables(both, lambda row: _of_record(row[1]), lambda row: (row[1].prompt.category,))
        case "pairs":
            return _tables(run.pairs, lambda row: (row.suite, ""), lambda row: row.subset.split(SUBSETS))
        case "documents":
            return _tables(run.documents, lambda row: (row.task, ""), lambda _: ())
        case "groups":
            return _tables([row for row in run.documents if row.group], lambda row: (row.group, ""), lambda _: ())


def _with_own(metric: Metric, tables: Tables) -> Tables:
    """Tables with the metric's own subsets after the categories of each suite; one subset alone would be the overall table again."""
    if metric.subset_of is None:
        return tables
    wider: Tables = {}
    for places in group_by(tables, lambda place: place[:2]).values():
        wider |= {place: tables[place] for place in places}
        own = group_by(tables[places[0]], metric.subset_of)
        wider |= {(*places[0][:2], name): rows for name, rows in own.items() if name and len(own) > 1}
    return wider


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


def _tables(rows: Sequence[T], place: Callable[[T], tuple[str, str]], subsets: Callable[[T], Iterable[str]]) -> Tables:
    """The overall table of a suite before its subsets."""
    tables: Tables = {}
    for (suite, decoding), group in group_by(rows, place).items():
        tables[suite, decoding, ""] = group
        for row in group:
            for name in filter(None, subsets(row)):
                tables.setdefault((suite, decoding, name), []).append(row)
    return tables


def group_by(rows: Iterable[T], key: Callable[[T], Any]) -> dict[Any, list[T]]:
    """Rows by key, in the order of first appearance."""
    groups: dict[Hashable, list[T]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
