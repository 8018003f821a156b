"""The one place that writes files and reads JSON lines.

Published files appear by write-to-temp, fsync, rename, so a reader never sees half of one. Journals are appended line by line;
after a kill the last line may be torn, and only that line may be.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .errors import InputError


def sha256_bytes(data: bytes) -> str:
    """Hex digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_folder(path: Path, *, without: Collection[str] = ()) -> str:
    """Hex digest over the relative names and bytes of every file below `path`, in name order, but those called as in `without`."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name not in without):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Deterministic JSON: keys in given order, no NaN or infinity (ValueError), non-ASCII kept, lone surrogates escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write `data` so that `path` holds either its old bytes or all the new ones; creates missing parent folders.

    Raises:
        OSError: the disk is full or the folder can't be written; the old file is intact.
    """
    with atomic_stream(path) as stream:
        stream.write(data.encode("utf-8") if isinstance(data, str) else data)


@contextmanager
def atomic_stream(path: Path) -> Iterator[IO[bytes]]:
    """A stream whose bytes become `path` when the block ends well, as with `atomic_write`; else the old file is left as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make a rename inside `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """`atomic_write` of indented JSON with a final newline."""
    atomic_write(path, to_json(value, indent=1) + "\n")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """`atomic_write` of one JSON object a line; one row at a time is in memory."""
    with atomic_stream(path) as stream:
        stream.writelines(f"{to_json(row)}\n".encode() for row in rows)


def append_jsonl(stream: IO[str], row: Any) -> None:
    """Append one row as one write, and flush it."""
    stream.write(to_json(row) + "\n")
    stream.flush()


def read_json(path: Path, what: str = "file") -> Any:
    """Parse a JSON file.

    Raises:
        InputError: missing, empty, not UTF-8 or not JSON (NaN and infinity are not JSON); the message names file and line.
    """
    text = read_text(path, what)
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"{what} is not valid JSON: {_reason(error)}", file=path, line=line) from None


def iter_jsonl(path: Path, what: str = "file", *, torn_tail_ok: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (1-based line number, object) of a JSON-lines file; blank lines are skipped.

    Args:
        path: the file.
        what: how to name it in a message.
        torn_tail_ok: for journals: a last line without newline that doesn't parse is dropped silently.

    Raises:
        InputError: unreadable, not UTF-8, or a line that is not a JSON object.
    """
    for number, line, ended in _text_lines(path, what):
        if not line.strip():
            continue
        try:
            row = parse_row(line)
        except ValueError as error:
            if torn_tail_ok and not ended:
                return
            raise InputError(str(error), file=path, line=number) from None
        yield number, row


def _text_lines(path: Path, what: str) -> Iterator[tuple[int, str, bool]]:
    """(1-based number, text, whether a newline ended it) of each line; one line at a time is in memory."""
    check_regular(path, what)
    start = 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                try:
                    yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8"), raw.endswith(b"\n")
                except UnicodeDecodeError as error:
                    raise InputError(f"not UTF-8 at byte {start + error.start}", file=path, advice="Save it as UTF-8.") from None
                start += len(raw)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=path) from None


def parse_row(line: str) -> dict[str, Any]:
    """One line of a JSON-lines file.

    Raises:
        ValueError: not a JSON object (NaN, infinity and numbers out of range are not JSON); its text is the reason.
    """
    try:
        row = json.loads(line, parse_constant=_refuse_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {_reason(error)}") from None
    if not isinstance(row, dict):
        raise ValueError(f"a {type(row).__name__} where an object was expected")
    return row


def read_text(path: Path, what: str = "file") -> str:
    """Read a regular UTF-8 file (a byte-order mark is dropped).

    Raises:
        InputError: missing, a folder, not a regular file, unreadable or not UTF-8.
    """
    check_regular(path, what)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 at byte {error.start}", file=path, advice="Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=path) from None


def check_regular(path: Path, what: str = "file") -> None:
    """Refuse what can't be read as a file: nothing there, a folder, a pipe, a device.

    Raises:
        InputError: names what is there instead.
    """
    try:
        found = path.exists()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=path) from None
    if not found:
        raise InputError(f"no such {what}", file=path, advice=_nearest(path))
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise InputError(f"is {kind}; expected a {what}", file=path)


def _nearest(path: Path) -> str:
    import difflib

    folder = path.parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3)
    return f"Did you mean {', '.join(near)}?" if near else "Check the path."


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text} is out of range")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _reason(error: Exception) -> str:
    return getattr(error, "msg", None) or str(error) or type(error).__name__
