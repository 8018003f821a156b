"""`truenorth labels`: draws responses of a finished run for a person to label."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..evals.labelling import items_to_label, write_labels
from ..evals.store import judgment_journal, read_run
from ..evals.types import EvalRun
from ..prompts.errors import InputError
from .manifest import read_manifest


def draw_labels(run: Path, out: Path, *, budget: int, candidate: str = "", decoding: str = "", seed: int = 0) -> int:
    """Write labels.csv; returns the number of requests in it.

    Raises:
        InputError: `out` is there already or no .csv file, or the run has no baseline, no such candidate, or several of them.
    """
    if out.exists():
        raise InputError("is there already; it may hold labels", file=out, advice="Choose another --out.")
    if out.suffix != ".csv":
        raise InputError("should be a .csv file", file=out, field="--out")
    manifest = read_manifest(run)
    labels = [str(label) for label in manifest.get("candidates") or []]
    if manifest.get("baseline") is None:
        raise InputError(
            "has no baseline; labels correct a difference", file=run, advice="Use `truenorth compare BASE CANDIDATE --out DIR`."
        )
    if candidate not in labels and (candidate or len(labels) != 1):
        raise InputError(f"candidates: {', '.join(labels)}", file=run, field="--candidate", advice="Name one of them.")
    folders = [run / "eval" / str(manifest["baseline"]), run / "eval" / (candidate or labels[0])]
    base, tuned = (read_run(folder) for folder in folders)
    doubted = {key for folder, one in zip(folders, (base, tuned), strict=True) for key in _doubted(folder, one)}
    items = items_to_label(base, tuned, budget=budget, decoding=decoding, doubted=doubted, seed=seed)
    write_labels(out, items, base, tuned, decoding=decoding)
    return len(items)


def _doubted(folder: Path, run: EvalRun) -> Iterator[str]:
    """Keys of responses on which a second judge (`truenorth judge`) disagrees."""
    first = {row.generation.key: row.judgment.outcome for row in run.records if row.judgment}
    for file in sorted(folder.glob("judgments.*.jsonl")):
        name = file.name.removeprefix("judgments.").removesuffix(".jsonl")
        for key, judgment in judgment_journal(folder, name).rows.items():
            if key in first and judgment.outcome != first[key]:
                yield key
