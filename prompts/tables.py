"""Reads rows of text from JSON lines (plain or gzip), CSV and Parquet, one row at a time, each with its line.

Cells keep their text: `NA` and `null` in a CSV file are words. A file that can't be read at all is an error; what to do with one bad
row is the caller's choice. Left out: pickle in any form (opening it runs code), archives, spreadsheets.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from .errors import InputError
from .files import check_regular, parse_row, read_text

Row = dict[str, Any]
OnBad = Callable[[int, str], None]

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
ARRAY = ".json"
"""A file that holds one JSON value, which its caller reads."""
TEXT_FILES = (ARRAY, ".jsonl", ".jsonl.gz", ".csv")
"""Kinds of files in which suites and recorded responses are read."""
_PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy", ".npz")
_LINE_LIMIT = 64 * 2**20
"""Bytes in one line; a small gzip file can hold an endless one."""


def suffix_of(path: Path) -> str:
    """The suffix that decides how a file is read, or an empty string when it isn't one of `SUFFIXES`."""
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")


def iter_rows(path: Path, what: str = "file", *, on_bad: OnBad | None = None, kinds: Sequence[str] = SUFFIXES) -> Iterator[tuple[int, Row]]:
    """Yield (1-based line or row number, row) of a JSON-lines, CSV or Parquet file.

    Args:
        path: the file; its suffix decides how it is read.
        what: how to name it in a message.
        on_bad: called with (line, reason) for a row that can't be read, which is then left out; without it such a row is an error.
        kinds: the suffixes that the caller takes, those that it reads itself included; others are refused.

    Raises:
        InputError: missing, not a regular file, of an unknown kind, damaged, or a bad row where `on_bad` is not given.
    """
    check_regular(path, what)

    def refuse(line: int, reason: str) -> NoReturn:
        raise InputError(reason, file=path, line=line)

    readers = {".jsonl": _json_lines, ".jsonl.gz": _json_lines, ".csv": _csv_rows, ".parquet": _parquet_rows}
    suffix = suffix_of(path)
    if suffix not in kinds:
        raise _unknown_kind(path, what, kinds)
    return readers[suffix](path, what, on_bad or refuse)


def _unknown_kind(path: Path, what: str, kinds: Sequence[str]) -> InputError:
    if path.suffix.lower() in _PICKLES:
        return InputError("pickle files are refused: opening one runs code", file=path, advice="Convert it to JSON lines.")
    return InputError(f"unknown kind of {what}", file=path, advice=f"Its name should end with one of: {', '.join(kinds)}.")


def _json_lines(path: Path, what: str, on_bad: OnBad) -> Iterator[tuple[int, Row]]:
    for number, raw in _byte_lines(path, what):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            if line.strip():
                yield number, parse_row(line)
        except UnicodeDecodeError as error:
            on_bad(number, f"not UTF-8 at byte {error.start} of the line")
        except ValueError as error:
            on_bad(number, str(error))


def _byte_lines(path: Path, what: str) -> Iterator[tuple[int, bytes]]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    number = 0
    try:
        with opener(path, "rb") as stream:
            while raw := stream.readline(_LINE_LIMIT):
                number += 1
                if len(raw) == _LINE_LIMIT:
                    raise InputError(f"a line of more than {_LINE_LIMIT // 2**20} MiB", file=path, line=number)
                yield number, raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"damaged or truncated gzip: {error}", file=path, line=number + 1, advice="Fetch the file again.") from None
    except OSError as error:
        raise InputError(f"{what} can't be read: {error.strerror or error}", file=path) from None


def _csv_rows(path: Path, what: str, on_bad: OnBad) -> Iterator[tuple[int, Row]]:
    text = read_text(path, what)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError("a NUL byte", file=path, line=line, advice="Save it as UTF-8 text.")
    with _any_cell_size():
        records = list(_csv_records(path, csv.reader(io.StringIO(text, newline=""), strict=True)))
    header = _check_header(path, [name.strip() for name in records[0][1]] if records else [])
    for line, cells in records[1:]:
        if len(cells) != len(header):
            on_bad(line, f"{len(cells)} cells where the header has {len(header)} columns")
        else:
            yield line, dict(zip(header, cells, strict=True))


def _csv_records(path: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """(First line, cells) of each record that isn't blank: a record may span several lines."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InputError(f"not valid CSV: {error}", file=path, line=line, advice="Check the quotes.") from None
        if cells is None:
            return
        if cells:
            yield line, cells


def _check_header(path: Path, header: list[str]) -> list[str]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError(f"column {twice[0]!r} stands twice in the header", file=path, line=1)
    return header


@contextmanager
def _any_cell_size() -> Iterator[None]:
    """Let a CSV cell be as long as it likes: the csv module's own limit is 128 KiB, for the whole process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: Path, what: str, on_bad: OnBad) -> Iterator[tuple[int, Row]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{what} is not a readable Parquet file: {reason}", file=path, advice="Fetch the file again.") from None
