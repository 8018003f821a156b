"""Reads public prompt sets, from a file or the hub, as rows of ours; `formats.py` says what their columns mean.

A row without an id is named by the digest of its request; where a request stands twice, the second is `DIGEST#2`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import InputError
from .files import read_json
from .formats import FORMATS, Format, find_format, parts_of, recognise
from .rows import RowError, dialogue_digest, did_you_mean
from .sources import hub_dataset
from .tables import ARRAY, TEXT_FILES, OnBad, iter_rows, suffix_of
from .types import Message

Rows = Iterator[tuple[int, dict[str, Any]]]


def parse_reference(text: str) -> tuple[Format, Path | None] | None:
    """The format and the file that `NAME:FILE` means, or the format alone for `NAME` (the hub); None when it is no such reference.

    Raises:
        InputError: `NAME:FILE` with an unknown name.
    """
    name, colon, file = text.partition(":")
    if not re.fullmatch(r"[\w-]+", name) or os.path.lexists(text):
        return None
    known = find_format(name, Path(file).name)
    if colon and known is None:
        names = [each.name for each in FORMATS]
        raise InputError(f"no public set is called {name!r}", advice=did_you_mean(name, names) or f"There are: {', '.join(names)}.")
    return (known, Path(file) if file else None) if known else None


def recognise_file(path: Path) -> Format | None:
    """The public format of a plain file, or None; a file that can't be read is left to its reader to report."""
    try:
        first = next(file_rows(path, on_bad=lambda _line, _reason: None), None)
    except InputError:
        return None
    return recognise(first[1], path.name) if first else None


def check_columns(path: Path, known: Format) -> None:
    """Refuse a file that was called one set and has the columns of another: its verdicts would be wrong.

    Raises:
        InputError: names both sets.
    """
    found = recognise_file(path)
    if found and not found.name.startswith(known.name) and not known.name.startswith(found.name):
        raise InputError(f"was called {known.name}, but has the columns of {found.name}", file=path, advice=f"Say {found.name}:FILE.")


def file_rows(path: Path, *, on_bad: OnBad | None = None) -> Rows:
    """(Line or number, row) of a .jsonl, .csv or .json file, as it stands.

    Raises:
        InputError: see `iter_rows`; .json that is neither an array of objects nor questions by category and subcategory.
    """
    if path.suffix.lower() == ARRAY:
        return _json_rows(path)
    return iter_rows(path, "suite", on_bad=on_bad, kinds=TEXT_FILES)


def hub_rows(known: Format) -> Rows:
    """(Number, row) of the set on the hub, as it stands.

    Raises:
        InputError: it isn't there, or the hub may not be asked.
        InfrastructureError: the hub can't be reached.
    """
    hub = known.hub
    if hub is None:
        parts = ", ".join(part.name for part in parts_of(known))
        raise InputError(f"{known.name!r} has parts on the hub", advice=f"Name one: {parts}.")
    rows = (dict(row) for config in hub.configs for row in hub_dataset(hub.name, hub.split, config=config))
    return enumerate(rows, 1)


def converted(known: Format, rows: Rows, file: Path, *, on_bad: OnBad | None = None) -> Rows:
    """The rows in our names; bad ones go to `on_bad`.

    Raises:
        InputError: a bad row, where `on_bad` is not given.
    """
    seen: Counter[str] = Counter()
    for line, row in rows:
        try:
            ours = known.convert(row)
        except RowError as error:
            if on_bad is None:
                raise InputError(error.problem, file=file, line=line, field=error.field, advice=error.advice) from None
            on_bad(line, str(error))
            continue
        if ours["id"] is None and isinstance(ours["prompt"], str):
            ours["id"] = _numbered(ours["prompt"], seen)
        yield line, ours


def suite_name(known: Format, file: Path | None) -> str:
    """The format's name, and the file's where it says more."""
    if file is None:
        return known.name
    stem = re.sub(r"[^a-z0-9._]+", "-", file.name.lower().removesuffix(suffix_of(file) or file.suffix.lower())).strip("-._")
    said = re.sub(r"[^a-z0-9]", "", stem).startswith(re.sub(r"[^a-z0-9]", "", known.name))
    return stem if said else f"{known.name}-{stem}".strip("-")


def _numbered(prompt: str, seen: Counter[str]) -> str:
    digest = dialogue_digest((Message("user", prompt),))
    seen[digest] += 1
    return f"{digest}#{seen[digest]}" if seen[digest] > 1 else digest


def _json_rows(path: Path) -> Rows:
    value = read_json(path, "suite")
    rows = list(_nested(value)) if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError("expected an array of objects, or questions by category and subcategory", file=path)
    return enumerate(rows, 1)


def _nested(value: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Rows of CatQA's category -> subcategory -> questions; None for what is shaped otherwise."""
    for category, subcategories in value.items():
        for subcategory, questions in subcategories.items() if isinstance(subcategories, dict) else [("", None)]:
            for question in questions if isinstance(questions, list) else [None]:
                found = {"Question": question, "Category": category, "Subcategory": subcategory.rstrip(":")}
                yield found if question is not None else None
