"""Small charts as SVG, drawn when the report is built.

Colours come from the page's style sheet by class, so that dark mode, print and forced colours work. Every chart has a title and a
description; exact numbers stand in a table beside it. Left out: axes that zoom, tooltips, any script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from markupsafe import Markup, escape

from ..evals.safe_text import plain

_SPANS = {"brake": (12, 202), "chosen": (12, 202), "warning": (12, 24), "saved": (194, 202)}
"""Top and bottom, in pixels, of a line chart's marks."""
_FOREST = (20, 380)
"""Pixels at which the scale of `difference` starts and ends."""


class Scale(NamedTuple):
    """Maps data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixel of a value; values outside are drawn at the edge."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


class Interval(NamedTuple):
    """A point with its interval."""

    value: float
    low: float | None
    high: float | None


class Series(NamedTuple):
    """A line: (x, y) points in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    css: str = "s1"


class Axis(NamedTuple):
    """One side of a chart: what it shows, from where to where, and how its numbers are written."""

    label: str
    low: float
    high: float
    percent: bool = False
    whole: bool = False
    """Ticks at whole numbers alone: steps."""


class Place(NamedTuple):
    """A point of a plane with its two intervals, its name for hovering, and a short label beside it."""

    x: Interval
    y: Interval
    name: str
    css: str
    label: str = ""


class Mark(NamedTuple):
    """A step worth pointing at: `brake` and `chosen` are whole verticals, `warning` a notch at the top, `saved` one on the axis."""

    at: float
    css: Literal["brake", "chosen", "warning", "saved"]
    name: str


class Bar(NamedTuple):
    """A bar of a histogram: from `low` to `high`, in two stacked parts by class."""

    low: float
    high: float
    parts: Sequence[tuple[str, int]]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers between low and high."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [float(low)]
    step = 10.0 ** math.floor(math.log10(span / count))
    step = next(step * factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A coordinate: at most two decimals, the same text on every machine."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def dumbbell(base: Interval | None, tuned: Interval, low: float, high: float, title: str, desc: str) -> Markup:
    """Two intervals on one scale, base above tuned, with a tick at every quarter of the scale."""
    width, scale = 440, Scale(low, high, 6, 434)
    axis = ['<line class="axis" x1="6" x2="434" y1="13" y2="13"/>', *(_vertical("tick", 6 + step * 107, 11, 15) for step in range(5))]
    above = _interval_mark(base, scale, 6, "base") if base else []
    return _svg(width, 26, title, desc, [*axis, *above, *_interval_mark(tuned, scale, 20, "tuned")], "dumbbell")


def difference(change: Interval, reach: float, status: str, title: str, desc: str, limit: float | None = None) -> Markup:
    """One row of a forest plot: an interval around zero on a scale from -reach to +reach."""
    scale = Scale(-reach, reach, *_FOREST)
    lines = [("zero", 0.0), *([("limit", limit)] if limit is not None else [])]
    parts = [_vertical(css, scale(value), 0, 64) for css, value in lines]
    return _svg(400, 64, title, desc, [*parts, *_interval_mark(change, scale, 32, status)], "difference")


def difference_axis(reach: float, labels: Iterable[tuple[float, str]]) -> Markup:
    """The scale above a column of `difference` rows."""
    scale = Scale(-reach, reach, *_FOREST)
    parts = [
        f'{_vertical("tick", scale(value), 16, 22)}<text x="{number(scale(value))}" y="11" text-anchor="middle">{_text(label)}</text>'
        for value, label in labels
    ]
    return Markup(f'<svg class="difference" viewBox="0 0 400 22" aria-hidden="true" focusable="false">{"".join(parts)}</svg>')


def line_chart(
    series: Sequence[Series],
    title: str,
    desc: str,
    *,
    x_label: str = "step",
    marks: Sequence[Mark] = (),
    percent: bool = False,
) -> Markup:
    """Lines over steps, on a grid of round numbers, with marks at single steps."""
    xs, ys = ([point[side] for line in series for point in line.points] for side in (0, 1))
    if not xs:
        raise ValueError("a line chart needs at least one point")
    low, high = _padded(min(ys), max(ys))
    y_axis = Axis("", max(low, 0.0), min(high, 1.0), percent) if percent else Axis("", low, high)
    x_scale, y_scale, parts = _frame(Axis(x_label, min(xs), max(xs), whole=True), y_axis, 202)
    parts += [_vertical(mark.css, x_scale(mark.at), *_SPANS[mark.css], mark.name) for mark in marks]
    for line in series:
        parts += _line(line, x_scale, y_scale)
    return _svg(360, 240, title, desc, parts, "line-chart")


def plane(
    x: Axis, y: Axis, places: Sequence[Place], title: str, desc: str, *, arrows: bool = False, diagonal: bool = False, path: bool = False
) -> Markup:
    """Points with their intervals in both directions.

    `arrows` lead from the first to the others, a `path` through all in their order; the `diagonal` is where x equals y.
    """
    x_scale, y_scale, parts = _frame(x, y, 202)
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        ends = [number(scale(value)) for value in (low, high) for scale in (x_scale, y_scale)]
        parts.append('<line class="diagonal" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(*ends))
    at = [(x_scale(place.x.value), y_scale(place.y.value)) for place in places]
    for place, (left, top) in zip(places, at, strict=True):
        parts += _whiskers(place, x_scale, y_scale, left, top)
    if path:
        parts.append('<polyline class="path" points="{}"/>'.format(" ".join(f"{number(left)},{number(top)}" for left, top in at)))
    if arrows:
        parts += [part for place, end in zip(places[1:], at[1:], strict=True) for part in _arrow(at[0], end, place.css)]
    for place, (left, top) in zip(places, at, strict=True):
        parts.append(f"<g><title>{_text(place.name)}</title>{_marker(left, top, place.css)}</g>")
    return _svg(360, 240, title, desc, [*parts, *_labels([place.label for place in places], at)], "plane")


def histogram(bars: Sequence[Bar], x_label: str, title: str, desc: str) -> Markup:
    """Counts in bins, on a grid of round numbers; a vertical at zero where the scale holds it."""
    highest = max(sum(count for _, count in bar.parts) for bar in bars)
    x_scale, y_scale, parts = _frame(Axis(x_label, bars[0].low, bars[-1].high), Axis("", 0, highest * 1.05, whole=True), 202)
    for bar in bars:
        left, right, top = x_scale(bar.low), x_scale(bar.high), 0
        for css, count in bar.parts:
            if count:
                high, low = y_scale(top + count), y_scale(top)
                box = f'x="{number(left + 0.5)}" y="{number(high)}" width="{number(right - left - 1)}" height="{number(low - high)}"'
                parts.append(f'<rect class="bar {css}" {box}><title>{count} from {bar.low:g} to {bar.high:g}</title></rect>')
            top += count
    if bars[0].low < 0 < bars[-1].high:
        parts.append(_vertical("zero", x_scale(0), 12, 202))
    return _svg(360, 240, title, desc, parts, "line-chart")


def _frame(x: Axis, y: Axis, bottom: int) -> tuple[Scale, Scale, list[str]]:
    """Grid, axis and numbers; the scale of each side."""
    x_scale, y_scale = Scale(x.low, x.high, 46, 340), Scale(y.low, y.high, bottom, 32 if y.label else 12)
    parts = []
    for value, at in ((value, y_scale(value)) for value in _ticks(y, 4)):
        parts.append(f'<line class="grid" x1="46" x2="340" y1="{number(at)}" y2="{number(at)}"/>')
        parts.append(f'<text x="40" y="{number(at + 4)}" text-anchor="end">{_tick_text(value, y)}</text>')
    parts.append(f'<line class="axis" x1="46" x2="340" y1="{bottom}" y2="{bottom}"/>')
    for value in _ticks(x, 5):
        parts.append(_vertical("tick", x_scale(value), bottom, bottom + 4))
        parts.append(f'<text x="{number(x_scale(value))}" y="{bottom + 17}" text-anchor="middle">{_tick_text(value, x)}</text>')
    parts.append(f'<text x="193" y="{bottom + 34}" text-anchor="middle">{_text(x.label)}</text>')
    if y.label:
        parts.append(f'<text x="8" y="11">{_text(y.label)}</text>')
    return x_scale, y_scale, parts


def _ticks(axis: Axis, count: int) -> list[float]:
    return [value for value in ticks(axis.low, axis.high, count) if not axis.whole or value.is_integer()]


def _tick_text(value: float, axis: Axis) -> str:
    return f"{value * 100:g}%" if axis.percent else f"{value:g}".replace("-", "−")


def _line(line: Series, x_scale: Scale, y_scale: Scale) -> list[str]:
    path = " ".join(f"{number(x_scale(x))},{number(y_scale(y))}" for x, y in line.points)
    x, y = line.points[-1]
    name = f"{_text(line.name)}: {y:.4g} at step {x:g}"
    end = f'<circle class="end {line.css}" cx="{number(x_scale(x))}" cy="{number(y_scale(y))}" r="3"><title>{name}</title></circle>'
    return [f'<polyline class="line {line.css}" points="{path}"/>', end]


def _labels(labels: Sequence[str], at: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Each beside its point, moved up or down until it covers no earlier one."""
    taken: list[tuple[float, float, float]] = []
    for label, (left, top) in ((label, point) for label, point in zip(labels, at, strict=True) if label):
        wide = 6.5 * len(label)
        beside, anchor = (left - 9, "end") if left + wide > 345 else (left + 9, "start")
        x = beside - wide if anchor == "end" else beside
        free = (top + by for by in (-8, 16, -22, 30, -36) if all(abs(top + by - b) > 12 or x + wide < a or a + c < x for a, b, c in taken))
        taken.append((x, next(free, top - 8), wide))
        yield f'<text class="label" y="{number(taken[-1][1])}" x="{number(beside)}" text-anchor="{anchor}">{_text(label)}</text>'


def _whiskers(place: Place, x_scale: Scale, y_scale: Scale, left: float, top: float) -> list[str]:
    sides = ((place.x, x_scale, "x", "y", top), (place.y, y_scale, "y", "x", left))
    return [
        f'<line class="ci {place.css}" {along}1="{number(scale(span.low))}" {along}2="{number(scale(span.high))}" '
        f'{across}1="{number(at)}" {across}2="{number(at)}"/>'
        for span, scale, along, across, at in sides
        if span.low is not None and span.high is not None
    ]


def _arrow(start: tuple[float, float], end: tuple[float, float], css: str) -> list[str]:
    """A line with its head just short of the mark; nothing where the two coincide."""
    length = math.dist(start, end)
    if length < 24:
        return []
    unit_x, unit_y = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tip, back = ((end[0] - gap * unit_x, end[1] - gap * unit_y) for gap in (7, 16))
    corners = [tip, (back[0] - 4 * unit_y, back[1] + 4 * unit_x), (back[0] + 4 * unit_y, back[1] - 4 * unit_x)]
    head = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    ends = map(number, (*start, *back))
    return [
        '<line class="arrow {}" x1="{}" y1="{}" x2="{}" y2="{}"/>'.format(css, *ends),
        f'<polygon class="arrow {css}" points="{head}"/>',
    ]


def _interval_mark(interval: Interval, scale: Scale, y: float, css: str) -> list[str]:
    parts = []
    if interval.low is not None and interval.high is not None:
        ends = scale(interval.low), scale(interval.high)
        parts.append(f'<line class="ci {css}" x1="{number(ends[0])}" x2="{number(ends[1])}" y1="{number(y)}" y2="{number(y)}"/>')
        parts += [_vertical(f"ci {css}", x, y - 3, y + 3) for x in ends]
    return [*parts, _marker(scale(interval.value), y, css)]


def _marker(x: float, y: float, css: str) -> str:
    """Shape as the second channel beside colour: square for base and worse, small for steps, ring for unclear, disc otherwise."""
    if css in ("base", "worse"):
        return f'<rect class="mark {css}" x="{number(x - 4)}" y="{number(y - 4)}" width="8" height="8"/>'
    return f'<circle class="mark {css}" cx="{number(x)}" cy="{number(y)}" r="{2.5 if css == "step" else 4.5}"/>'


def _vertical(css: str, x: float, top: float, bottom: float, name: str = "") -> str:
    at, end = number(x), f"><title>{_text(name)}</title></line>" if name else "/>"
    return f'<line class="{css}" x1="{at}" x2="{at}" y1="{number(top)}" y2="{number(bottom)}"{end}'


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = (high - low) * 0.06 or abs(low) * 0.1 or 1.0
    return (low if low == 0 < high else low - pad), high + pad


def _svg(width: int, height: int, title: str, desc: str, parts: Sequence[str], css: str) -> Markup:
    return Markup(
        f'<svg class="{css}" viewBox="0 0 {width} {height}" role="img" focusable="false">'
        f"<title>{_text(title)}</title><desc>{_text(desc)}</desc>{''.join(parts)}</svg>"
    )


def _text(text: str) -> str:
    return str(escape(plain(text)))
