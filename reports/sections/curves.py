"""How training went: reward against the distance from the base, then each curve over steps, with what happened at single steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..events import LEGEND, Event, events, legend, marks
from ..report import Curve, Report
from ..section import Block, Cell, Figure, Figures, Section, Table
from ..svg import Axis, Interval, Place, Series, line_chart, plane

ORDER = 50
_POINTS_IN_TABLE = 8
_POINTS_ON_PATH = 120
_POINTS_ON_LINE = 150
"""A line of more steps than this is drawn as means."""
_EVENTS_IN_TABLE = 60


class Chart(NamedTuple):
    """One figure: a stage of training and the columns that are drawn, as far as the file has them."""

    stage: str
    title: str
    note: str
    columns: tuple[tuple[str, str], ...]
    """(column, name of the line)"""
    percent: bool = False


CHARTS = (
    Chart(
        "ppo",
        "Reward",
        "Score of the reward model, and the same minus the KL penalty.",
        (("objective/scores", "score"), ("objective/rlhf_reward", "score minus penalty")),
    ),
    Chart("ppo", "KL from the base", "Nats per reply.", (("objective/kl", "KL"),)),
    Chart("ppo", "Validation reward", "On prompts that are not trained on.", (("validation/score", "score"),)),
    Chart("ppo", "Policy update", "Mean squared log-ratio over two: how far one step moves.", (("policy/approxkl_avg", "approximate KL"),)),
    Chart("ppo", "Value loss", "Of the value head.", (("loss/value_avg", "value loss"),)),
    Chart("ppo", "Replies that end", "Share with an end-of-sequence token.", (("rollout/eos_rate", "ended"),), True),
    Chart("reward", "Reward model, loss", "Negative log sigmoid of chosen minus rejected.", (("loss", "loss"),)),
    Chart("reward", "Reward model, accuracy", "Share of pairs ranked right.", (("accuracy", "accuracy"),), True),
)


def section(report: Report) -> Section | None:
    """Every chart whose columns are there; None when nothing was trained."""
    ppo = report.curves.get("ppo", ())
    happened = events(ppo, report.manifest)
    found = [_path(ppo, happened), *(_figure(chart, report.curves.get(chart.stage, ()), happened) for chart in CHARTS)]
    figures = tuple(figure for figure in found if figure is not None)
    if not figures:
        return None
    blocks: tuple[Block, ...] = (Figures(figures), *([_happened(happened)] if happened else []))
    return Section(
        "training", "Training", blocks, "One point a step, or a mean of several. Exact values: train/ppo.csv and train/reward.csv."
    )


def _happened(found: Sequence[Event]) -> Table:
    rows = tuple(
        (
            Cell(f"{event.first:g}" if event.first == event.last else f"{event.first:g} to {event.last:g}"),
            Cell(LEGEND[event.mark.css]),
            Cell(event.why),
        )
        for event in found[:_EVENTS_IN_TABLE]
    )
    note = f"{len(found) - len(rows):,} more in train/ppo.csv." if len(found) > len(rows) else ""
    return Table("Brakes, warnings and checkpoints", ("Step", "What", "Why"), rows, note=note, collapsed=True)


def _path(rows: Curve, happened: Sequence[Event]) -> Figure | None:
    """Reward against the square root of KL: where more distance from the base buys no more reward, the policy exploits the reward model."""
    kl, scores = dict(_points(rows, "objective/kl")), dict(_points(rows, "objective/scores"))
    steps = [step for step in kl if step in scores]
    if len(steps) < 2:
        return None
    marked = {event.first: event.mark.css for event in happened if event.mark.css in ("chosen", "brake") and event.first in scores}
    places = [_step_place(step, kl[step], scores[step], "step") for step in _thinned(steps, _POINTS_ON_PATH) if step not in marked]
    for step, css in marked.items():
        word, dot = ("kept", "final") if css == "chosen" else ("brake", "braked")
        places += [_step_place(step, kl[step], scores[step], dot, f"step {step:g}, {word}")] if step in kl else []
    x = Axis("square root of the KL from the base", 0.0, max(max(place.x.value for place in places) * 1.06, 0.1))
    low, high = min(scores[step] for step in steps), max(scores[step] for step in steps)
    pad = (high - low) * 0.08 or 1.0
    said = f"From score {scores[steps[0]]:.3g} at KL {kl[steps[0]]:.3g} to score {scores[steps[-1]]:.3g} at KL {kl[steps[-1]]:.3g}."
    drawing = plane(x, Axis("score of the reward model", low - pad, high + pad), places, "Reward against the square root of KL", said)
    cells = tuple((Cell(f"{step:g}"), Cell(_digits(max(kl[step], 0.0) ** 0.5)), Cell(_digits(scores[step]))) for step in _thinned(steps))
    table = Table("Reward against KL, some steps", ("Step", "√KL", "Score"), cells, frozenset(range(3)), collapsed=True)
    note = "One dot a step. Where it bends flat, distance buys no reward."
    return Figure(drawing, "Reward against distance", note, (), table)


def _step_place(step: float, kl: float, score: float, css: str, label: str = "") -> Place:
    name = f"step {step:g}: KL {_digits(kl)}, score {_digits(score)}"
    return Place(Interval(max(kl, 0.0) ** 0.5, None, None), Interval(score, None, None), name, css, label)


def _digits(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _figure(chart: Chart, rows: Curve, happened: Sequence[Event]) -> Figure | None:
    lines = []
    for position, (column, name) in enumerate(chart.columns, 1):
        points = _points(rows, column)
        if points:
            lines.append(Series(name, points, f"s{position}"))
    span = -(-max(len(line.points) for line in lines) // _POINTS_ON_LINE) if lines else 1
    if not lines:
        return None
    shown = marks(happened, last=lines[0].points[-1][0]) if chart.stage == "ppo" else []
    said = "; ".join(f"{line.name} from {line.points[0][1]:.3g} to {line.points[-1][1]:.3g}" for line in lines)
    pointed = "".join(f" {mark.name[0].upper()}{mark.name[1:]}." for mark in shown if mark.css in ("brake", "chosen"))
    desc = f"Steps {lines[0].points[0][0]:g} to {lines[0].points[-1][0]:g}: {said}.{pointed}"
    drawn = [line._replace(points=_averaged(line.points, span)) for line in lines]
    drawing = line_chart(drawn, chart.title, desc, marks=shown, percent=chart.percent)
    note = f"{chart.note} Means over {span} steps." if span > 1 else chart.note
    return Figure(drawing, chart.title, note, tuple(line.name for line in lines), _table(chart, lines), legend(shown))


def _averaged(points: Sequence[tuple[float, float]], span: int) -> list[tuple[float, float]]:
    """Means over `span` points in a row, at the last of their steps."""
    groups = [points[start : start + span] for start in range(0, len(points), span)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _points(rows: Curve, column: str) -> list[tuple[float, float]]:
    found = []
    for row in rows:
        step, value = row.get("step"), row.get(column)
        if isinstance(step, float) and isinstance(value, float):
            found.append((step, value))
    return found


def _table(chart: Chart, lines: list[Series]) -> Table:
    """A few steps of each line; the file has all."""
    rows = []
    steps = sorted({x for line in lines for x, _ in line.points})
    values = [dict(line.points) for line in lines]
    for step in _thinned(steps):
        rows.append((Cell(f"{step:g}"), *(Cell(f"{line[step]:.4g}" if step in line else "") for line in values)))
    columns = ("Step", *(line.name for line in lines))
    return Table(f"{chart.title}, some steps", columns, tuple(rows), frozenset(range(len(columns))), collapsed=True)


def _thinned(steps: list[float], limit: int = _POINTS_IN_TABLE) -> list[float]:
    if len(steps) <= limit:
        return steps
    last = len(steps) - 1
    return [steps[round(index * last / (limit - 1))] for index in range(limit)]
