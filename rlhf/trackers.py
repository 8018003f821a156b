"""Trackers of a PPO run (TensorBoard, Trackio ...), through accelerate: they get the numbers of train/ppo.csv under the same names."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from accelerate import Accelerator
from pydantic import BaseModel

from ..prompts.errors import InputError

PROJECT = "truenorth"


def check_installed(names: Sequence[str]) -> None:
    """Refuse trackers whose package is missing; accelerate would leave them out without a word.

    Raises:
        InputError: one is.
    """
    from accelerate.tracking import get_available_trackers

    found = {str(name) for name in get_available_trackers()} if names else set()
    for name in names:
        if name not in found:
            raise InputError(
                f"the tracker {name!r} is not installed", field="report_to", advice=f"Install its package (pip install {name})."
            )


class RunTrackers:
    """The trackers of one run: those of the Accelerator, begun here unless they run already.

    Args:
        accelerator: with `log_with`, or without any tracker.
        stage: `ppo`.
        settings: what trackers show as the configuration.
    """

    def __init__(self, accelerator: Accelerator, stage: str, settings: BaseModel) -> None:
        self.accelerator, self._start, self._done = accelerator, time.perf_counter(), 0.0
        self._ours = bool(accelerator.log_with) and not accelerator.trackers
        if self._ours:
            accelerator.init_trackers(f"{PROJECT}-{stage}", config=_flat(settings.model_dump(mode="json")))

    def log(self, row: Mapping[str, float | int | str | None]) -> None:
        """The numbers of one step, and `eps`, the responses per second so far; texts and empty cells are left out."""
        numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
        self._done += numbers["episode"] / numbers["step"]
        self.accelerator.log(numbers | {"eps": self._done / (time.perf_counter() - self._start)}, step=int(numbers["step"]))

    def finish(self) -> None:
        """Close the trackers that were begun here."""
        for tracker in self.accelerator.trackers if self._ours else ():
            tracker.finish()


def _flat(settings: Mapping[str, object], at: str = "") -> dict[str, int | float | str]:
    """Nested settings by dotted names; what is no number is a text."""
    flat: dict[str, int | float | str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{at}{name}.")
        else:
            flat[f"{at}{name}"] = value if isinstance(value, int | float) else str(value)
    return flat
