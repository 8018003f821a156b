"""What happened at single steps of PPO: brakes, warnings, checkpoints with their reason, and the step that was published.

Read from train/ppo.csv and the settings. Left out: checkpoints that the run has deleted since; they are named all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .report import Curve
from .svg import Mark

ALARM_WORDS = {
    "stop_kl": "KL beyond ppo.stop_kl",
    "soft_kl": "KL beyond ppo.guards.soft_kl",
    "negative_kl": "KL estimate below 0 by more than chance",
    "eos_rate": "too few replies end by themselves",
    "length": "replies too short",
    "repetition": "replies repeat themselves",
    "explained_var": "value function worse than a constant",
    "approx_kl": "policy moved too far in one step; remaining passes left out",
    "ratio": "probability ratio too high; an optimizer step left out",
    "non_finite": "a number was not finite",
}
"""Names in the columns `warning` and `brake`; others stand for themselves."""
LEGEND = {"brake": "brake", "warning": "warning", "saved": "checkpoint", "chosen": "kept"}


class Event(NamedTuple):
    """One step, or several in a row, with what happened and why."""

    first: float
    last: float
    mark: Mark
    why: str


def events(ppo: Curve, manifest: Mapping[str, Any]) -> list[Event]:
    """All of a training run in order of their steps; warnings that repeat in consecutive steps are one."""
    settings = _settings(manifest)
    found = [*_alarms(ppo, "brake"), *_joined(_alarms(ppo, "warning")), *_checkpoints(ppo, settings)]
    kept = chosen_step(ppo, manifest)
    if kept is not None:
        by = "best on validation" if settings.get("select") == "best_validation" and _validated(ppo, settings) else "last step"
        found.append(_event(kept, "chosen", by))
    return sorted(found, key=lambda event: (event.first, list(LEGEND).index(event.mark.css)))


def marks(found: Iterable[Event], *, last: float | None) -> list[Mark]:
    """For a chart; a published policy that is the last step's needs no mark."""
    return [event.mark for event in found if event.mark.css != "chosen" or event.first != last]


def legend(found: Iterable[Mark]) -> tuple[tuple[str, str], ...]:
    """(class, word) of each kind of mark."""
    present = {mark.css for mark in found}
    return tuple((css, word) for css, word in LEGEND.items() if css in present)


def chosen_step(ppo: Curve, manifest: Mapping[str, Any]) -> float | None:
    """The step whose policy was published: the first with the best validation score where the run selects by it, else the last.

    A validation beyond the run's KL budget can't be selected.
    """
    settings, steps = _settings(manifest), [step for row in ppo if isinstance(step := row.get("step"), float)]
    if not steps or not settings:
        return None
    looked_at = _validated(ppo, settings)
    if settings.get("select") == "best_validation" and looked_at:
        return max(looked_at, key=lambda point: (point[1], -point[0]))[0]
    return steps[-1]


def _settings(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (manifest.get("config") or {}).get("ppo")
    return found if isinstance(found, Mapping) else {}


def _validated(ppo: Curve, settings: Mapping[str, Any]) -> list[tuple[float, float]]:
    """(step, score) of the validations that may be selected."""
    budget = settings.get("kl_budget")
    found = []
    for row in ppo:
        step, score, kl = row.get("step"), row.get("validation/score"), row.get("objective/kl")
        affordable = not isinstance(budget, int | float) or (isinstance(kl, float) and kl <= budget)
        if isinstance(step, float) and isinstance(score, float) and affordable:
            found.append((step, score))
    return found


def _alarms(ppo: Curve, column: str) -> Iterator[Event]:
    for row in ppo:
        step, names = row.get("step"), row.get(column)
        if isinstance(step, float) and isinstance(names, str) and names:
            why = ", ".join(ALARM_WORDS.get(name, name) for name in names.split(";"))
            yield _event(step, "brake" if column == "brake" else "warning", why)


def _joined(found: Iterable[Event]) -> list[Event]:
    joined: list[Event] = []
    for event in found:
        if joined and joined[-1].why == event.why and joined[-1].last == event.first - 1:
            joined[-1] = joined[-1]._replace(last=event.last)
        else:
            joined.append(event)
    return joined


def _checkpoints(ppo: Curve, settings: Mapping[str, Any]) -> Iterator[Event]:
    """Every so many steps, at the last step and at a brake; the best on validation so far."""
    every, total, best = settings.get("save_every"), settings.get("steps"), None
    scores = dict(_validated(ppo, settings))
    for row in ppo:
        step = row.get("step")
        if not isinstance(step, float):
            continue
        reasons = [f"every {every} steps"] if isinstance(every, int) and every > 0 and step % every == 0 else []
        reasons += ["last step"] if isinstance(every, int) and every > 0 and step == total else []
        reasons += ["brake"] if row.get("brake") else []
        if step in scores and (best is None or scores[step] > best):
            best = scores[step]
            reasons.append("best on validation so far")
        if reasons:
            yield _event(step, "saved", ", ".join(reasons))


def _event(step: float, css: Any, why: str) -> Event:
    return Event(step, step, Mark(step, css, f"{LEGEND[css]} at step {step:g}: {why}"), why)
