"""A run folder: its lock, its manifest, and which stages are finished.

A stage is finished when the manifest holds the digests of its outputs and the files still have them. Another configuration in
the same folder is an error that lists the differences; nothing in the folder is touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..prompts.errors import InputError
from ..prompts.files import read_json, sha256_file, sha256_folder, write_json
from .manifest import read_manifest

MANIFEST = "manifest.json"
CARDS = ("README.md",)
"""Prose beside weights: the report puts the evaluation into it, so it is no part of what a stage made."""
_LOCKS = (".lock", ".lock.holder")


class RunFolder:
    """The folder of one run, locked by this process while it is open.

    Args:
        path: the folder; made if absent.
        manifest: what a fresh run writes: see `cli/manifest.py`.

    Raises:
        InputError: another process holds the folder, it is not a run folder, or its run has another configuration.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.manifest: dict[str, Any] = dict(manifest)
        self._adopt_existing()

    @classmethod
    @contextmanager
    def open(cls, path: Path, manifest: Mapping[str, Any]) -> Iterator[RunFolder]:
        """Lock the folder, start or resume its manifest, and unlock it at the end.

        A fresh folder in which bad input was found before anything was made is left as it was found: the corrected command can use it.
        """
        check_out(path)
        make_folder(path)
        lock = FileLock(path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = _holder(path)
            raise InputError(
                f"another process is working on this run{holder}", file=path, advice="Wait for it, or use another --out."
            ) from None
        fresh = not (path / MANIFEST).exists()
        try:
            (path / ".lock.holder").write_text(f"pid {os.getpid()}")
            yield cls(path, manifest)
        except InputError:
            if fresh and {entry.name for entry in path.iterdir()} <= {MANIFEST, *_LOCKS}:
                (path / MANIFEST).unlink(missing_ok=True)
            raise
        finally:
            (path / ".lock.holder").unlink(missing_ok=True)
            lock.release()

    @property
    def finished(self) -> bool:
        """Whether the run ended with a verdict."""
        return "verdict" in self.manifest

    def do(self, stage: str, outputs: tuple[str, ...], work: Callable[[], object], say: Callable[[str], None]) -> None:
        """Run `work` unless the stage is finished; then record the digests of its outputs (paths relative to the run)."""
        if self.is_done(stage):
            say(f"{stage}: finished earlier")
            return
        say(f"{stage} ...")
        self._record_attempt(stage)
        start = time.monotonic()
        work()
        self.manifest["stages"][stage] = {"outputs": {name: digest(self.path / name) for name in outputs}}
        durations = self.manifest["volatile"].setdefault("durations_s", {})
        durations[stage] = round(time.monotonic() - start, 3)
        self.save()

    def is_done(self, stage: str) -> bool:
        """Whether the stage's outputs are all there with the bytes it left."""
        record = self.manifest["stages"].get(stage)
        return record is not None and all(digest(self.path / name) == value for name, value in record["outputs"].items())

    def finish(self, verdict: str, exit_code: int) -> None:
        """Store the verdict; the run is finished."""
        self.manifest.update(verdict=verdict, exit_code=exit_code)
        self.save()

    def save(self) -> None:
        """Write the manifest."""
        write_json(self.path / MANIFEST, self.manifest)

    def _adopt_existing(self) -> None:
        self.manifest.setdefault("stages", {})
        if (self.path / MANIFEST).exists():
            found = read_manifest(self.path)
            differences = list(config_differences(found["config"], self.manifest["config"]))
            if differences:
                shown = "; ".join(differences[:8]) + (f"; and {len(differences) - 8} more" if len(differences) > 8 else "")
                raise InputError(
                    f"holds a run with another configuration: {shown}",
                    file=self.path,
                    advice="Use another --out, or the configuration that the run was started with.",
                )
            self.manifest = found
        else:
            self.save()

    def _record_attempt(self, stage: str) -> None:
        attempts = self.manifest.setdefault("attempts", [])
        if not getattr(self, "_attempted", False):
            step = _resumed_step(self.path, stage)
            attempts.append({"resumed_stage": stage if attempts else None, "resumed_step": step})
            self._attempted = True
            self.save()


def _resumed_step(run: Path, stage: str) -> int | None:
    """Step of the checkpoint that a training stage goes on from; None where it starts anew."""
    if stage == "reward":
        state = run / "rm_model_adapters" / "resume" / "run.json"
        return int(read_json(state, "checkpoint")["step"]) if state.exists() else None
    names = [entry.name.removeprefix("step-") for entry in (run / "ppo_checkpoints").glob("step-*")] if stage == "ppo" else []
    return max((int(name) for name in names if name.isdigit()), default=None)


def check_out(path: Path) -> None:
    """Refuse what can't become a run folder or isn't one; nothing is written.

    Raises:
        InputError: it is a file, or a folder that holds something else.
    """
    if path.exists() and not path.is_dir():
        raise InputError("is a file; --out needs a folder", file=path)
    try:
        found = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(".lock")) if path.exists() else []
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=path, advice="Choose another --out.") from None
    if found and MANIFEST not in found:
        raise InputError(f"is not empty and not a run folder (it holds {found[0]})", file=path, advice="Use another --out.")


def make_folder(path: Path) -> None:
    """Create `path`, or say why it can't be written.

    Raises:
        InputError: it is a file or can't be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except FileExistsError:
        raise InputError("is a file; --out needs a folder", file=path) from None
    except OSError as error:
        raise InputError(f"can't be written: {error.strerror}", file=path, advice="Choose another --out.") from None


def digest(path: Path) -> str | None:
    """Digest of a file or of a folder without its model card; None when it isn't there."""
    if path.is_dir():
        return sha256_folder(path, without=CARDS)
    return sha256_file(path) if path.is_file() else None


def config_differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Dotted paths at which two JSON values differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from config_differences(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    elif old != new:
        yield f"{at} is {new!r} and was {old!r}"


def _holder(path: Path) -> str:
    try:
        return f" ({(path / '.lock.holder').read_text()})"
    except OSError:
        return ""
