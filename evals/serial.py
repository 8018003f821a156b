"""Records <-> JSON objects. Reading checks every type; a wrong field names itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..prompts.errors import InputError

T = TypeVar("T")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
"""Validators are slow to build and immutable."""
_NAMES: dict[type[Any], tuple[str, ...]] = {}
"""Names of a record's fields, for the same reason."""
_SHARED = 100
"""Texts up to this length (names, ids, keys, verdicts) are one object wherever they are equal: they come back in every row."""


def to_row(value: Any) -> dict[str, Any]:
    """A record as a JSON-ready object, fields in declared order."""
    return {name: _plain(getattr(value, name)) for name in _names(type(value))}


def from_row(cls: type[T], row: Mapping[str, Any], *, file: Path, line: int | None = None) -> T:
    """The record that `row` holds; fields it doesn't know are ignored.

    Raises:
        InputError: a field is missing or has the wrong type.
    """
    shared = {name: sys.intern(value) if type(value) is str and len(value) <= _SHARED else value for name, value in row.items()}
    try:
        made: T = _adapter(cls).validate_python(shared)
        return made
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or None
        raise InputError(f"not a valid {cls.__name__}: {first['msg']}", file=file, line=line, field=place) from None


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]


def _names(cls: type[Any]) -> tuple[str, ...]:
    if cls not in _NAMES:
        _NAMES[cls] = tuple(field.name for field in fields(cls))
    return _NAMES[cls]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):  # most are
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return to_row(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value] if value and not isinstance(value[0], int | float | str) else list(value)
    return value
