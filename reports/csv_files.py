"""The sections' rows as CSV: rates stay fractions, numbers stay numbers, absent is empty, foreign text is guarded."""

from __future__ import annotations

import csv
import io
from typing import IO

from ..evals.safe_text import for_csv_cell
from .section import CsvValue, Export


def write_csv(export: Export, stream: IO[bytes]) -> None:
    """Write the header, which is there even without rows, and a row at a time."""
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(export.columns)
    for row in export.rows:
        writer.writerow([_cell(row[column], column in export.text) for column in export.columns])
    text.detach()  # flushes; the stream stays open


def _cell(value: CsvValue, is_text: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    return for_csv_cell(str(value)) if is_text else str(value)
