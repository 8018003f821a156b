"""Where each value of a configuration came from: a profile, a file and its line, or an override. Merged here, validated elsewhere."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..prompts.errors import InputError
from . import strict_yaml
from .strict_yaml import KeyPath, dotted

_VARIABLE = re.compile(r"\$\{\w+\}|\$[A-Za-z_]\w*")
_FILE_LIKE = re.compile(r"\.{1,2}/.*|.*\.(jsonl|json|csv|parquet|gz|yaml|yml|toml|txt)")
_OVERRIDE = re.compile(r"\s*([A-Za-z_][\w-]*(\.[\w-]+)*)\s*=(.*)", re.DOTALL)
_PATH_FIELDS = {("model", "name"), ("data", "name"), ("eval", "suites"), ("eval", "pairs"), ("eval", "capability"), ("eval", "judge_card")}


@dataclass(frozen=True)
class Place:
    """Where a value was written."""

    file: Path | None = None
    line: int | None = None
    override: str = ""

    def error(self, problem: str, path: KeyPath, advice: str = "") -> InputError:
        """The error that names this place and the field."""
        field = dotted(path) or None
        if self.override:
            return InputError(f"{problem} (-o {self.override})", field=field, advice=advice)
        return InputError(problem, file=self.file, line=self.line, field=field, advice=advice)


class Sources:
    """The merged value and the place of each of its parts.

    Args:
        profiles: folder of the shipped profiles.
    """

    def __init__(self, profiles: Path) -> None:
        self.profiles = profiles
        self.value: dict[str, Any] = {}
        self.places: dict[KeyPath, Place] = {}

    def start(self, profile_or_file: str) -> None:
        """Take a shipped profile, or a file (and the profile that it names)."""
        shipped = self.profiles / f"{profile_or_file}.yaml"
        if profile_or_file in self._names():
            self._take(shipped, profile_or_file)
        elif "/" in profile_or_file or Path(profile_or_file).suffix in {".yaml", ".yml"} or Path(profile_or_file).is_file():
            self._take(Path(profile_or_file), "")
        else:
            raise InputError(f"no profile {profile_or_file!r}", advice=self._which(profile_or_file) + " Or give the path of a YAML file.")

    def override(self, text: str) -> None:
        """Apply one `dotted.key=value`."""
        match = _OVERRIDE.fullmatch(text)
        if match is None:
            raise InputError(f"override {text!r} is not of the form dotted.key=value", advice="For example: -o ppo.steps=20")
        keys = match[1].replace("-", "_").split(".")
        if keys[0] == "profile":
            raise InputError(f"the profile can't be an override (-o {text})", advice="Give its name as the argument: truenorth run tiny")
        place = Place(override=text)
        try:
            value = strict_yaml.parse(match[3].strip()).value
        except InputError as error:
            raise InputError(f"{error.problem} (-o {text})", field=match[1], advice=error.advice) from None
        self._set(keys, value, place)

    def place(self, path: KeyPath) -> Place:
        """The place of a value, or of the nearest thing around it that has one."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return Place()

    def _take(self, file: Path, name: str) -> None:
        document = strict_yaml.read(file, "configuration")
        if document.value is None:
            raise InputError("is empty", file=file, advice="Start with `profile: tiny`, and below it what differs.")
        if not isinstance(document.value, dict):
            kind = type(document.value).__name__
            raise InputError(f"holds a {kind} where a map of settings was expected", file=file, advice="For example: `profile: tiny`.")
        self._check_text(document.value, (), file, document.lines)
        parent = document.value.get("profile")
        if parent and parent != name:
            self._take_parent(parent, file, document.lines.get(("profile",)))
        if not name:
            _resolve_paths(document.value, file.parent)
        self.places.setdefault((), Place(file))
        self._merge(self.value, document.value, (), file, document.lines)
        if name:
            self.value["profile"] = name

    def _take_parent(self, parent: Any, file: Path, line: int | None) -> None:
        if parent not in self._names():
            raise InputError(f"no profile {parent!r}", file=file, line=line, field="profile", advice=self._which(str(parent)))
        self._take(self.profiles / f"{parent}.yaml", parent)
        self.places[()] = Place(file)

    def _merge(self, into: dict[str, Any], new: dict[str, Any], at: KeyPath, file: Path, lines: dict[KeyPath, int]) -> None:
        for key, value in new.items():
            path = (*at, key)
            self._forget(path)
            self.places[path] = Place(file, lines.get(path))
            if isinstance(value, dict) and isinstance(into.get(key), dict):
                self._merge(into[key], value, path, file, lines)
            else:
                into[key] = value
                self.places |= {inner: Place(file, line) for inner, line in lines.items() if inner[: len(path)] == path}

    def _set(self, keys: list[str], value: Any, place: Place) -> None:
        target: Any = self.value
        path: KeyPath = ()
        for position, key in enumerate(keys):
            part: str | int = int(key) if isinstance(target, list) and key.isdigit() else key
            path = (*path, part)
            if isinstance(target, list) and not (isinstance(part, int) and part < len(target)):
                raise place.error(f"no item {key!r} in a list of {len(target)}", path)
            if position == len(keys) - 1:
                target[part] = value
                break
            if isinstance(target, dict) and target.get(key) is None:
                target[key] = {}
            target = target[part]
            if not isinstance(target, dict | list):
                raise place.error(f"{dotted(path)} is not a group of settings", (*path, keys[position + 1]))
        self._forget(path)
        self.places[path] = place

    def _forget(self, path: KeyPath) -> None:
        if not isinstance(self._at(path), dict):
            self.places = {known: place for known, place in self.places.items() if known[: len(path)] != path}

    def _at(self, path: KeyPath) -> Any:
        value: Any = self.value
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _check_text(self, value: Any, at: KeyPath, file: Path, lines: dict[KeyPath, int]) -> None:
        if isinstance(value, str) and _VARIABLE.search(value):
            place = Place(file, lines.get(at))
            raise place.error(f"is {value!r}; environment variables are not expanded", at, "Write the value, or give it with -o.")
        for key, inner in _items(value):
            self._check_text(inner, (*at, key), file, lines)

    def _names(self) -> list[str]:
        return sorted(path.stem for path in self.profiles.glob("*.yaml"))

    def _which(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._names(), n=1)
        return f"Did you mean {near[0]}?" if near else f"Profiles: {', '.join(self._names())}."


def _items(value: Any) -> list[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _resolve_paths(value: dict[str, Any], folder: Path) -> None:
    """Make relative paths of a file relative to that file."""
    for section, key in _PATH_FIELDS:
        group = value.get(section)
        if isinstance(group, dict) and isinstance(found := group.get(key), str):
            group[key] = _resolve(found, folder)
        elif isinstance(group, dict) and isinstance(found, list):
            group[key] = [_resolve(item, folder) if isinstance(item, str) else item for item in found]


def _resolve(name: str, folder: Path) -> str:
    return str((folder / name).resolve()) if _FILE_LIKE.fullmatch(name) else name
