"""What a PPO run writes while it trains: rows, samples, times, trackers, and words on stderr. Only the main process has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..evals.models.hf import TransformersModel
from .config import PPOSettings
from .guards import ALARMS
from .logs import StepLog
from .ppo_metrics import COLUMNS, ENGINE_COLUMNS, Row
from .processes import Processes
from .rollout import Rollout
from .samples import SampleTable
from .trackers import RunTrackers


class Records:
    """The open files of one call of `PPOTrainer.train`; use it as a context.

    Args:
        out: run folder.
        model: whose template decodes samples.
        processes: nothing is written by any but the main one.
        settings: the recipe; trackers get it.
        keep: steps done, whose rows stay.
        progress: show a bar and messages on stderr.
    """

    def __init__(
        self, out: Path, model: TransformersModel, processes: Processes, settings: PPOSettings, *, keep: int, progress: bool
    ) -> None:
        self.progress = progress and processes.main
        self._bar: Any = tqdm(total=settings.steps, initial=keep, desc="ppo", unit="step", disable=not self.progress)
        columns = COLUMNS if settings.rollout_engine == "transformers" else (*COLUMNS, *ENGINE_COLUMNS)
        self._log = StepLog(out / "train" / "ppo.csv", columns, keep=keep) if processes.main else None
        self._samples = SampleTable(out / "train" / "ppo_samples.jsonl", model, keep=keep) if processes.main else None
        self._said: set[str] = set()
        self._trackers = RunTrackers(processes.accelerator, "ppo", settings)

    def append(self, row: Row, rollout: Rollout | None) -> None:
        """One step's row, and its rollout where some of it is to be kept for people to read."""
        if self._log is not None:
            self._log.append(row)
        self._say(row)
        if rollout is not None and self._samples is not None:
            self._samples.append(rollout)
        self._trackers.log(row)
        self._bar.set_postfix(score=row["objective/scores"], kl=row["objective/kl"], refresh=False)
        self._bar.update()

    def _say(self, row: Row) -> None:
        """Alarms and brakes, in words, when they are new."""
        found = [name for name in str(row["warning"]).split(";") if name and name not in self._said]
        self._said = set(str(row["warning"]).split(";"))
        if self.progress:
            for name in found:
                tqdm.write(f"ppo step {row['step']}: {name}: {ALARMS[name]}", file=sys.stderr)
            if row["brake"]:
                tqdm.write(f"ppo step {row['step']}: brake {row['brake']}: training ends here", file=sys.stderr)

    def __enter__(self) -> Records:
        """The records themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._bar.close()
        self._trackers.finish()
        if self._log is not None:
            self._log.close()
