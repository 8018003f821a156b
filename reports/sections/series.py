"""Checkpoints of one run: reward, and what was wanted, against the distance from the base; whether the reward was over-optimised."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..report import Report
from ..section import Block, Cell, Figure, Figures, Paragraph, Section, Table
from ..series import Point, Series, follow
from ..svg import Axis, Interval, Place, plane
from ..words import interval_text, is_rate, title_of, value_text, where_text

ORDER = 48
_MAX_SERIES = 3


def section(report: Report) -> Section | None:
    """Two charts for each suite; None without an evaluated checkpoint."""
    if not report.checkpoints:
        return None
    found = [series for item in report.comparison.candidates for series in follow(report, item.candidate.model.label)]
    blocks: list[Block] = [_reading(report, found), *(Figures(tuple(_figures(series))) for series in found[:_MAX_SERIES])]
    lead = (
        "Each evaluated checkpoint by its distance from the base. The reward is that of the model that the policy is trained against; "
        "beside it stands a measure that it is not trained against. Where the first still rises and the second falls, the policy exploits "
        "the reward model. No gate is decided on a checkpoint."
    )
    return Section("checkpoints", "Checkpoints", tuple(blocks), lead)


def _reading(report: Report, found: Sequence[Series]) -> Paragraph:
    if not found:
        labels = ", ".join(item.candidate.model.label for item in report.checkpoints)
        return Paragraph(f"Reward, KL and an independent measure were not all taken of {labels}: over-optimisation can't be told.", "none")
    flagged = tuple(
        f"{where_text(series.suite, series.decoding)}: from step {series.flagged[0]} on, by {title_of(series.gold).lower()}"
        for series in found
        if series.flagged
    )
    if flagged:
        return Paragraph("Over-optimised: the reward is at its highest while what was wanted has fallen below its best.", "fail", flagged)
    return Paragraph("No checkpoint has the highest reward while what was wanted has surely fallen below its best.", "pass")


def _figures(series: Series) -> Iterator[Figure]:
    where, rate = where_text(series.suite, series.decoding), is_rate(series.gold)
    yield _figure(series, where, "Reward by its own model", False, lambda point: Interval(point.proxy, None, None))
    yield _figure(
        series, where, title_of(series.gold), rate, lambda point: Interval(point.gold.value or 0.0, point.gold.ci_low, point.gold.ci_high)
    )


def _figure(series: Series, where: str, name: str, rate: bool, of: Callable[[Point], Interval]) -> Figure:
    values = [(point, of(point)) for point in series.points]
    places = [_place(point, value, name, rate, point.step in series.flagged) for point, value in values]
    ends = [end for _, value in values for end in value if end is not None]
    pad = (max(ends) - min(ends)) * 0.08 or abs(max(ends)) * 0.1 or 1.0
    x = Axis("square root of the KL from the base", 0.0, max(place.x.value for place in places) * 1.08 or 0.1)
    y = Axis(name, max(min(ends) - pad, 0.0), min(max(ends) + pad, 1.0), True) if rate else Axis(name, min(ends) - pad, max(ends) + pad)
    drawing = plane(x, y, places, f"{name} against the square root of KL, {where}", "; ".join(place.name for place in places), path=True)
    rows = tuple(
        (Cell(_step(point)), Cell(value_text(point.kl, rate=False)), Cell(value_text(value.value, rate=rate), detail=_between(value, rate)))
        for point, value in values
    )
    table = Table(f"{name} on {where}, in numbers", ("Step", "KL, nats per reply", name), rows, frozenset({1, 2}), collapsed=True)
    return Figure(drawing, name, where, (), table)


def _place(point: Point, value: Interval, name: str, rate: bool, flagged: bool) -> Place:
    said = f"{_step(point)}: KL {value_text(point.kl, rate=False)}, {name.lower()} {value_text(value.value, rate=rate)}"
    css = "braked" if flagged else "tuned" if point.step else "base"
    return Place(Interval(max(point.kl, 0.0) ** 0.5, None, None), value, said, css, f"{point.step}" if point.step else "base")


def _step(point: Point) -> str:
    return f"step {point.step}" if point.step else "base"


def _between(value: Interval, rate: bool) -> str:
    return interval_text(value.low, value.high, rate=rate)
