"""The files of `train/`: one deterministic row per step, and clock times apart from them."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..prompts.errors import InputError
from ..prompts.files import atomic_write, read_text

START_ANEW = "Remove the checkpoint to train from the start, or give another folder."


class StepLog:
    """A CSV file with fixed columns to which one row per step is appended and flushed.

    Numbers are written with their shortest exact representation; None is an empty cell.

    Args:
        path: begun anew, or cut back to its first `keep` rows when training goes on from a checkpoint.
        columns: names; the first is `step`.
        keep: rows that stay, those of steps 1 to `keep`.

    Raises:
        InputError: the file doesn't hold the rows that should stay.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, keep: int = 0) -> None:
        self.columns = columns
        kept = _first_rows(path, columns, keep) if keep else [",".join(columns)]
        atomic_write(path, "".join(f"{line}\n" for line in kept))
        self._stream = path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; its keys must be the columns."""
        if set(row) != set(self.columns):
            raise ValueError(f"columns differ: {sorted(set(row) ^ set(self.columns))}")
        self._writer.writerow(["" if row[c] is None else row[c] for c in self.columns])
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> StepLog:
        """The log itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()


def read_step_log(path: Path) -> list[dict[str, float | str | None]]:
    """Rows of a finished log: numbers where they are, None for an empty cell.

    Raises:
        InputError: there is no such file.
    """
    lines = read_text(path, "training log").splitlines()
    return [{name: _cell(text) for name, text in row.items()} for row in csv.DictReader(lines)]


def shortfall(path: Path, wanted: int) -> str:
    """Why PPO is not what was asked for, from its log: the brake that ended it, or steps that are missing. Empty when it did them all."""
    rows = read_step_log(path) if path.exists() else []
    brake = rows[-1]["brake"] if rows else None
    reason = f"brake {brake}" if brake else "no brake was pulled"
    return f"stopped at step {len(rows)} of {wanted}: {reason}" if brake or len(rows) < wanted else ""


def _first_rows(path: Path, columns: tuple[str, ...], keep: int) -> list[str]:
    lines = read_text(path, "training log").split("\n")
    if lines[0] != ",".join(columns) or len(lines) < keep + 2 or not lines[keep].startswith(f"{keep},"):
        raise InputError(f"it doesn't hold the first {keep} steps that the checkpoint has", file=path, advice=START_ANEW)
    return lines[: keep + 1]


def _cell(text: str) -> float | str | None:
    try:
        return float(text) if text else None
    except ValueError:
        return text


class TimingLog:
    """`train/timing.csv`: wall-clock seconds by stage, step and part. Volatile, so apart from everything else. None writes nothing."""

    def __init__(self, path: Path | None, stage: str) -> None:
        self.path, self.stage = path, stage
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("stage,step,part,seconds\n", encoding="utf-8")

    @contextmanager
    def measure(self, step: int, part: str) -> Iterator[None]:
        """Time a block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.write(step, part, time.perf_counter() - start)

    def write(self, step: int, part: str, seconds: float) -> None:
        """Append one row."""
        if self.path is None:
            return
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(f"{self.stage},{step},{part},{seconds:.6f}\n")
