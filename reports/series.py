"""Checkpoints of one run as a series: `eval/ppo@20/` beside `eval/ppo/`. Does the policy still get better, or only better at pleasing
its reward model?

The reward that was trained on (proxy) and a measure that was not (gold) are followed over the steps. A step is flagged when its proxy is
the highest so far while gold, with its whole interval, lies below the best that gold had been before (Gao, Schulman and Hilton 2022,
arXiv 2210.10760: past some distance sqrt(KL) from the base gold falls while the proxy rises). Left out: fitting their curves; a few
checkpoints don't determine them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..evals.types import CandidateComparison, MetricResult
from .events import chosen_step
from .report import Report

PROXY, DISTANCE = "reward_mean", "kl_exact_seq"
GOLD = ("independent_reward_mean", "win_rate", "correct_rate", "refusal_rate")
"""What may stand for what is wanted; the first that every checkpoint has."""
_LABEL = re.compile(r"(?P<of>.+)@(?P<step>\d+)")


class Point(NamedTuple):
    """One checkpoint on one suite."""

    step: int
    """0: the base."""
    kl: float
    """KL to the base, nats a reply; its square root is the distance."""
    proxy: float
    gold: MetricResult


class Series(NamedTuple):
    """The checkpoints of a run on one suite, by step; the base first, where gold is a number of one model."""

    suite: str
    decoding: str
    gold: str
    points: tuple[Point, ...]

    @property
    def flagged(self) -> tuple[int, ...]:
        """Steps at which the proxy was pleased at the expense of gold."""
        return tuple(point.step for point in over_optimised(self.points))


def step_of(label: str) -> int | None:
    """20 for `ppo@20`; None for a label that names no checkpoint."""
    match = _LABEL.fullmatch(label)
    return int(match["step"]) if match else None


def series_of(label: str) -> str:
    """`ppo` for `ppo@20`; any other label is its own."""
    match = _LABEL.fullmatch(label)
    return match["of"] if match else label


def over_optimised(points: Sequence[Point]) -> Iterator[Point]:
    """Points, in order, with the highest proxy so far and gold surely below its best so far."""
    for number, point in enumerate(points):
        before, highest = points[:number], point.gold.ci_high
        if not before or highest is None:
            continue
        if point.proxy > max(one.proxy for one in before) and highest < max(one.gold.value or 0.0 for one in before):
            yield point


def follow(report: Report, candidate: str) -> Iterator[Series]:
    """One series for every suite and decoding in which a candidate and its checkpoints have reward, KL and gold; sampled first."""
    runs = [item for item in report.checkpoints if series_of(item.candidate.model.label) == candidate and not item.differences]
    if not runs:
        return
    base = _table(report.baseline.metrics) if report.baseline else {}
    tables = dict(_published(report, candidate)) | {step_of(item.candidate.model.label) or 0: _table(_rows(item)) for item in runs}
    measured = dict.fromkeys((suite, decoding) for metric, suite, decoding in next(iter(tables.values())) if metric == PROXY)
    for suite, decoding in sorted(measured, key=lambda at: at[1] == "greedy"):  # KL is about sampled replies
        for gold in GOLD:
            rows = sorted(([(0, base)] if (gold, suite, decoding) in base else []) + list(tables.items()), key=lambda row: row[0])
            points = [point for step, table in rows if (point := _point(step, table, gold, suite, decoding))]
            if len(points) == len(rows) > 1:
                yield Series(suite, decoding, gold, tuple(points))
                break


def _published(report: Report, candidate: str) -> Iterator[tuple[int, _Table]]:
    """The candidate itself at the step that was kept, where that is known."""
    kept = chosen_step(report.curves.get("ppo", ()), report.manifest)
    for item in report.comparison.candidates if kept else ():
        if item.candidate.model.label == candidate and not item.differences:
            yield int(kept or 0), _table(_rows(item))


_Table = dict[tuple[str, str, str], MetricResult]


def _rows(item: CandidateComparison) -> Iterable[MetricResult]:
    return (*item.candidate.metrics, *item.paired)


def _table(rows: Iterable[MetricResult]) -> _Table:
    return {(row.metric, row.suite, row.decoding): row for row in rows if not row.subset and row.value is not None}


def _point(step: int, table: _Table, gold: str, suite: str, decoding: str) -> Point | None:
    """None where a number is missing; the base's distance from itself is 0."""
    proxy, distance, wanted = (table.get((name, suite, decoding)) for name in (PROXY, DISTANCE, gold))
    kl = 0.0 if step == 0 else distance.value if distance else None
    if proxy is None or proxy.value is None or wanted is None or kl is None:
        return None
    return Point(step, kl, proxy.value, wanted)
