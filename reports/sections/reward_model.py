"""The reward model's card: accuracy by subset beside what length alone would give, calibration, margins.

A reward model that is no better than "the longer response wins", or "the shorter", may have learned nothing but length. Left out: any claim
beyond the pairs it was shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...evals.slices import group_by
from ...evals.statistics.wilson import wilson_clustered
from ...evals.types import EvalRun, MetricResult, PairScore
from ...prompts.pairs import reasons_text
from ...prompts.types import SUBSETS, QuarantinedRow
from ..report import Report
from ..section import Block, Cell, Figure, Figures, Section, Status, Table
from ..svg import Axis, Bar, Interval, Place, histogram, plane, ticks
from ..words import interval_text, number_text, value_text

ORDER = 55
_BINS = 5
"""Bins of the reliability diagram, equally wide between 50% and 100%."""
_BARS = 24


class Bin(NamedTuple):
    """Pairs that the reward model is about equally sure of."""

    said: float
    """Mean probability, by its own margin, that its pick is right."""
    right: Interval
    n: int


def section(report: Report) -> Section | None:
    """One card for each reward model that ranked pairs."""
    blocks: list[Block] = []
    seen: set[str] = set()
    for run in report.runs:
        for suite, pairs in group_by(run.pairs, lambda pair: pair.suite).items():
            key = f"{run.model.reward_model_sha256 or run.model.label}\0{suite}"
            if key not in seen:
                seen.add(key)
                blocks += _card(run, suite, pairs)
    if not blocks:
        return None
    lead = (
        "How well the reward model ranks pairs that it was not trained on. Length alone: the longer response, in words, is taken for the "
        "better one, or the shorter one where that is right more often on these very pairs, so that the bar is rather too high "
        "than too low. Below the diagonal of the calibration the reward model is surer than it is right."
    )
    return Section("reward-model", "The reward model", tuple(blocks), lead)


def length_accuracy(pairs: Sequence[PairScore]) -> float | None:
    """Share of pairs whose chosen response has more words, equal lengths counting one half; None where words were not counted."""
    counted = [
        (pair.chosen_words, pair.rejected_words) for pair in pairs if pair.chosen_words is not None and pair.rejected_words is not None
    ]
    if not counted:
        return None
    return sum(0.5 if chosen == rejected else float(chosen > rejected) for chosen, rejected in counted) / len(counted)


def reliability(pairs: Sequence[PairScore]) -> list[Bin]:
    """Pairs by sigmoid(|margin|), the probability that its pick is right under the Bradley-Terry model; empty bins are left out."""
    rows = [(1 / (1 + math.exp(-min(abs(margin), 700.0))), margin, pair) for pair in pairs if (margin := pair.chosen - pair.rejected)]
    groups = group_by(rows, lambda row: min(int((row[0] - 0.5) * 2 * _BINS), _BINS - 1))
    found = []
    for index in sorted(groups):
        right = wilson_clustered([float(margin > 0) for _, margin, _ in groups[index]], [p.cluster or p.pair_id for *_, p in groups[index]])
        low, high = (None if math.isnan(end) else end for end in (right.low, right.high))
        said = math.fsum(row[0] for row in groups[index]) / len(groups[index])
        found.append(Bin(said, Interval(right.value, low, high), len(groups[index])))
    return found


def margin_bars(margins: Sequence[float]) -> list[Bar]:
    """Counts of margins in about two dozen bins of a round width; zero is an edge."""
    low, high = min(*margins, 0.0), max(*margins, 0.0)
    steps = ticks(low, high, _BARS)
    width = steps[1] - steps[0] if len(steps) > 1 else 1.0
    counts: dict[int, int] = {}
    for margin in margins:
        counts[math.floor(margin / width)] = counts.get(math.floor(margin / width), 0) + 1
    edges = range(min(counts), max(counts) + 1)
    return [Bar(round(i * width, 9), round((i + 1) * width, 9), (("wrong" if i < 0 else "right", counts.get(i, 0)),)) for i in edges]


def _card(run: EvalRun, suite: str, pairs: Sequence[PairScore]) -> Iterator[Block]:
    measured = [row for row in run.metrics if row.metric == "pairwise_accuracy" and row.suite == suite]
    if measured:
        yield _accuracy(suite, pairs, measured, run.quarantined.get(suite, ()))
    yield Figures((_reliability(suite, pairs), _margins(suite, pairs)))


def _accuracy(suite: str, pairs: Sequence[PairScore], measured: Sequence[MetricResult], quarantined: Sequence[QuarantinedRow]) -> Table:
    by_subset: dict[str, list[PairScore]] = {}
    for pair in pairs:
        for name in pair.subset.split(SUBSETS):
            by_subset.setdefault(name, []).append(pair)
    rows = tuple(_accuracy_row(row, by_subset.get(row.subset, []) if row.subset else pairs) for row in measured)
    columns = ("Pairs", "Reward model", "Length alone", "Mean margin", "n", "Reading")
    notes = []
    if length_accuracy(pairs) is None:
        notes.append("Length alone is not known: these scores were written without the number of words.")
    if quarantined:
        notes.append(f"Not measured, as these rows could not be used: {reasons_text(quarantined)} (quarantined_pairs.jsonl).")
    return Table(f"Accuracy on {suite}, by subset", columns, rows, frozenset({1, 2, 3, 4}), note=" ".join(notes))


def _accuracy_row(row: MetricResult, pairs: Sequence[PairScore]) -> tuple[Cell, ...]:
    alone, rule = better_rule(length_accuracy(pairs))
    text, status = _reading(row, alone)
    margin = number_text(math.fsum(pair.chosen - pair.rejected for pair in pairs) / len(pairs)) if pairs else ""
    return (
        Cell(row.subset or "all pairs"),
        Cell(value_text(row.value, rate=True), detail=interval_text(row.ci_low, row.ci_high, rate=True)),
        Cell(value_text(alone, rate=True), detail=rule),
        Cell(margin),
        Cell(f"{row.n:,}"),
        Cell(text, status),
    )


def better_rule(longer_wins: float | None) -> tuple[float | None, str]:
    """Accuracy of the better of the two rules that look at length alone, never below a half, and which one it is; of `length_accuracy`."""
    if longer_wins is None or longer_wins == 0.5:
        return longer_wins, ""
    return max(longer_wins, 1 - longer_wins), "longer wins" if longer_wins > 0.5 else "shorter wins"


def _reading(row: MetricResult, alone: float | None) -> tuple[str, Status]:
    """The interval of the accuracy against length alone, or chance where length says nothing."""
    bar = 0.5 if alone is None else alone
    than = "length alone" if bar > 0.5 else "chance"
    if row.ci_low is None or row.ci_high is None:
        return "too few pairs", "unclear"
    if row.ci_low > bar:
        return f"better than {than}", "better"
    return (f"worse than {than}", "worse") if row.ci_high < bar else (f"not better than {than}", "unclear")


def _reliability(suite: str, pairs: Sequence[PairScore]) -> Figure:
    bins = reliability(pairs)
    places = [
        Place(Interval(b.said, None, None), b.right, f"sure {value_text(b.said, rate=True)}, right {_right(b)}, n = {b.n}", "tuned")
        for b in bins
    ]
    ends = [end for b in bins for end in (b.right.value, b.right.low) if end is not None]
    low = max(0.0, math.floor(min([0.5, *ends]) * 10) / 10)
    desc = "; ".join(place.name for place in places) or "no pair has a margin"
    x, y = Axis("how sure it is of its pick", 0.5, 1.0, percent=True), Axis("how often the pick is right", low, 1.0, percent=True)
    drawing = plane(x, y, places, f"Calibration on {suite}", desc, diagonal=True)
    rows = tuple(
        (Cell(value_text(b.said, rate=True)), Cell(value_text(b.right.value, rate=True), detail=_between(b)), Cell(f"{b.n:,}"))
        for b in bins
    )
    table = Table(f"Calibration on {suite}, in numbers", ("Sure", "Right", "n"), rows, frozenset({1, 2}), collapsed=True)
    return Figure(drawing, "Calibration", f"{suite}. The dashed line is perfect; vertical lines are intervals.", (), table)


def _right(found: Bin) -> str:
    between = _between(found)
    return value_text(found.right.value, rate=True) + (f" ({between})" if between else "")


def _between(found: Bin) -> str:
    return interval_text(found.right.low, found.right.high, rate=True)


def _margins(suite: str, pairs: Sequence[PairScore]) -> Figure:
    margins = [pair.chosen - pair.rejected for pair in pairs]
    bars = margin_bars(margins)
    wrong, ties = sum(margin < 0 for margin in margins), sum(margin == 0 for margin in margins)
    desc = f"{len(margins)} pairs from {min(margins):.3g} to {max(margins):.3g}: {wrong} below zero, {ties} at zero"
    drawing = histogram(bars, "chosen minus rejected", f"Margins on {suite}", desc)
    rows = tuple((Cell(f"{number_text(bar.low)} to {number_text(bar.high)}"), Cell(f"{bar.parts[0][1]:,}")) for bar in bars)
    table = Table(f"Margins on {suite}, in numbers", ("Margin", "Pairs"), rows, frozenset({1}), collapsed=True)
    return Figure(drawing, "Margins", f"{suite}. Left of zero the pair is ranked wrong: {wrong} of {len(margins)}.", (), table)
