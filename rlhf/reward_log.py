"""Callback that turns TRL's logs into `train/reward.csv`, a progress bar and checkpoints; it also ends training when asked to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from .logs import StepLog, TimingLog

COLUMNS = (
    "step", "epoch", "loss", "accuracy", "margin", "mean_reward", "min_reward", "max_reward", "grad_norm", "learning_rate", "num_tokens",
)  # fmt: skip


class RewardLog(TrainerCallback):
    """One row per optimizer step.

    Args:
        log: columns as `COLUMNS`; None in all processes but the main one.
        timing: gets the seconds of each step.
        progress: show a bar on stderr.
        on_epoch: called with the number of finished epochs.
        save_every: steps between checkpoints.
        stop: asked after every step, in every process; when it is true, the step is saved and training ends.
    """

    def __init__(
        self,
        log: StepLog | None,
        timing: TimingLog,
        progress: bool,
        on_epoch: Callable[[int], None],
        save_every: int,
        stop: Callable[[], bool],
    ) -> None:
        self.log, self.timing, self.progress, self.on_epoch = log, timing, progress, on_epoch
        self.save_every, self.stop = save_every, stop
        self._bar: tqdm[Any] | None = None
        self._start = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar. An epoch that ended with the checkpoint may have been killed before its adapter was kept: keep it now."""
        done = state.global_step
        self._bar = tqdm(total=state.max_steps, initial=done, desc="reward model", unit="step", disable=not self.progress)
        if done:
            self._keep_epoch(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the step's clock."""
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Ask for a checkpoint where one is due."""
        stop = self.stop()
        if state.global_step % self.save_every == 0 or stop:
            control.should_save = True
        if stop:
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Write a step's row; the trainer's own summary at the end has no loss and is left out."""
        if not logs or "loss" not in logs:
            return
        row = {"step": state.global_step} | {name: logs.get(name) for name in COLUMNS[1:]}
        if self.log is not None:
            self.log.append(row)
        self.timing.write(state.global_step, "step", time.perf_counter() - self._start)
        if self._bar is not None:
            self._bar.set_postfix(loss=logs["loss"], accuracy=logs.get("accuracy"), refresh=False)
            self._bar.update()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the epoch's adapter."""
        self._keep_epoch(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def _keep_epoch(self, state: Any) -> None:
        if state.epoch and abs(state.epoch - round(state.epoch)) < 1e-6:  # not where training was stopped inside one
            self.on_epoch(round(state.epoch))
