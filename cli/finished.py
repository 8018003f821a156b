"""Finished evaluations on disk: found by a run folder or by their own, and adopted by another run as its baseline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from ..evals.quarantined_pairs import FILE as QUARANTINED
from ..evals.store import read_run, write_run
from ..prompts.errors import InputError
from .manifest import read_manifest


def is_run(text: str) -> bool:
    """Whether a path is a run folder or one evaluation in it."""
    path = Path(text)
    return (path / "manifest.json").is_file() or (path / "results.json").is_file()


def evaluation_folder(path: Path) -> Path:
    """The evaluation that a path means: RUN/eval/LABEL itself, or the one candidate of RUN.

    Raises:
        InputError: not a run, not finished, or a run with several candidates.
    """
    if (path / "results.json").is_file():
        return path
    candidates = read_manifest(path).get("candidates") or []
    if len(candidates) != 1:
        names = ", ".join(f"{path}/eval/{label}" for label in candidates) or "none is finished"
        raise InputError(f"holds {len(candidates)} evaluated models", file=path, advice=f"Name one: {names}.")
    return path / "eval" / str(candidates[0])


def adopt_evaluation(source: Path, out: Path, label: str) -> None:
    """Copy a finished evaluation into OUT/eval/LABEL, so that the folder holds everything its report is made from."""
    folder = evaluation_folder(source)
    run = read_run(folder)
    target = out / "eval" / label
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("prompts.jsonl", "generations.jsonl", "judgments.jsonl", "scores.jsonl", QUARANTINED):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    write_run(target, replace(run, model=replace(run.model, label=label)))
