"""What adapters and their earlier states are called in an evaluation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..prompts.errors import InputError

BASE, MODEL = "base", "model"
"""The baseline; a model without an adapter."""


def adapter_labels(folders: Sequence[Path]) -> dict[str, Path]:
    """A label for each adapter: its folder's name, with the name of the folder above where two are called the same.

    Raises:
        InputError: no adapter there, or one folder is given twice.
    """
    labels: dict[str, Path] = {}
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        if not (folder / "adapter_config.json").is_file():
            problem = "no such adapter folder" if not folder.exists() else "is not an adapter: it has no adapter_config.json"
            raise InputError(problem, file=folder, advice="Give a PEFT folder, like RUN/ppo_policy_model.")
        full = folder.resolve()
        text = name if names.count(name) == 1 and name not in (BASE, MODEL) else f"{full.parent.name}-{name}"
        label = re.sub(r"[^A-Za-z0-9_-]", "-", text)[:64].lstrip("-_") or "adapter"
        if label in labels:
            raise InputError(f"adapters {labels[label]} and {folder} have the same name", advice="Rename one folder.")
        labels[label] = folder
    return labels


def checkpoint_labels(folders: Sequence[Path], adapters: Sequence[Path]) -> dict[str, Path]:
    """`NAME@STEP` for each checkpoint by the number that its folder's name ends with, NAME that of the one adapter.

    Raises:
        InputError: no adapter there, a name without a number, two of one step, or not exactly one adapter that they are states of.
    """
    if folders and len(adapters) != 1:
        raise InputError(f"--checkpoint is a state of an adapter; {len(adapters)} are given", advice="Give --adapter once.")
    labels: dict[str, Path] = {}
    for folder in folders:
        if not (folder / "adapter_config.json").is_file():
            raise InputError(
                "is no adapter folder: it has no adapter_config.json", file=folder, advice="Give RUN/ppo_checkpoints/policies/step-N."
            )
        number = re.search(r"(\d+)$", folder.resolve().name)
        if number is None:
            raise InputError("names no step: a checkpoint's folder ends with its number", file=folder)
        label = f"{next(iter(adapter_labels(adapters)))}@{int(number[1])}"
        if label in labels:
            raise InputError(f"{labels[label]} and {folder} are the same step", advice="Give each step once.")
        labels[label] = folder
    return dict(sorted(labels.items(), key=lambda item: int(item[0].rpartition("@")[2])))
