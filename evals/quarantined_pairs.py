"""Rows of pair files that could not be used, beside the evaluation that went on without them: quarantined_pairs.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..prompts.files import iter_jsonl, write_jsonl
from ..prompts.types import PairSet, QuarantinedRow
from .serial import from_row

FILE = "quarantined_pairs.jsonl"


def write_quarantined(folder: Path, sets: Sequence[PairSet]) -> None:
    """Write rows {suite, file, line, reason}, set by set; no file without any."""
    if rows := [{"suite": group.name, **asdict(row)} for group in sets for row in group.quarantined]:
        write_jsonl(folder / FILE, rows)


def read_quarantined(folder: Path) -> Mapping[str, tuple[QuarantinedRow, ...]]:
    """The rows by the name of their set; empty without the file.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / FILE
    found: dict[str, tuple[QuarantinedRow, ...]] = {}
    for line, row in iter_jsonl(path, "file of quarantined pairs") if path.exists() else ():
        name = str(row.get("suite"))
        found[name] = (*found.get(name, ()), from_row(QuarantinedRow, row, file=path, line=line))
    return found
