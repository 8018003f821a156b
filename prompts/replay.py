"""Reads recorded responses as suites and responses: what a model answered elsewhere, to be judged here.

Rows are joined to prompts by id, else by exact prompt. Several responses to one prompt are its samples, in file order; where they carry
human labels each becomes a row of its own (`ID#2`, same cluster), because a label belongs to one response. Left out: the token ids, so
nothing that needs a model's probabilities can be measured on a recording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .errors import InputError, NothingToEvaluateError
from .files import read_json
from .recordings import recognise
from .rows import RowError, identifier, optional_text, parse_dialogue, parse_prompt, suite_sha256
from .tables import ARRAY, TEXT_FILES, iter_rows
from .types import Expected, Message, Prompt, PromptSuite


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded response."""

    suite: str
    prompt_id: str
    sample: int
    """0 for the first response to a prompt."""
    response: str
    """As recorded; half a surrogate pair is replaced by U+FFFD. May be empty."""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded responses. Prompts carry the human verdict on their response, where there is one, in `label`."""

    format: str
    """`replay`, or a public one by its name in `recordings.py`; names of several files' formats with spaces between."""
    suites: tuple[PromptSuite, ...]
    responses: tuple[Recorded, ...]
    unmatched: int = 0
    """Rows that belong to none of the suites they were to be joined to; they are left out."""
    missing: int = 0
    """Prompts of those suites without a response."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names in the file's `model` column, sorted."""
        return tuple(sorted({recorded.model for recorded in self.responses if recorded.model}))


def load_replay(
    *paths: str | Path, suites: Sequence[PromptSuite] = (), model: str | None = None, expected: Expected | None = None
) -> Replay:
    """Read .csv, .jsonl or .json files of recorded responses; several are read as if they were one.

    Args:
        paths: the files; `recordings.py` lists the columns that are known.
        suites: join the rows to these (a shipped suite, or those of another recording); without them the file makes its own, one for
            each name in its `suite` column, or one with the file's name.
        model: keep only the rows of that name in the `model` column.
        expected: what a good answer does to the requests of which the files don't say it.

    Raises:
        InputError: names file, line and field of the first thing wrong.
        NothingToEvaluateError: `model` leaves no row.
    """
    reader = _Reader(tuple(Path(path) for path in paths), tuple(suites))
    kinds = [_read(path, reader, model, expected) for path in reader.paths]
    return reader.finish(" ".join(dict.fromkeys(kinds)), model)


def _read(path: Path, reader: _Reader, model: str | None, expected: Expected | None) -> str:
    """Give one file's rows to the reader; returns the file's format."""
    kind = ""
    for line, row in _rows(path):
        try:
            known = recognise(row)
            kind = kind or known.name
            columns = known.convert(row)
            if model is None or optional_text(columns, "model") == model:
                reader.add(path, line, columns if columns.get("expected") else {**columns, "expected": expected})
        except RowError as error:
            raise InputError(error.problem, file=path, line=line, field=error.field, advice=error.advice) from None
    if not kind:
        raise InputError("0 responses: the file has no rows", file=path)
    return kind


@dataclass
class _Reader:
    """Collects rows into suites and responses."""

    paths: tuple[Path, ...]
    given: tuple[PromptSuite, ...]
    prompts: dict[str, dict[str, Prompt]] = field(default_factory=dict)
    responses: list[Recorded] = field(default_factory=list)
    unmatched: int = 0
    _places: dict[tuple[str, str], str] = field(default_factory=dict)
    _spelled: dict[str, str] = field(default_factory=dict)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given = tuple(_unlabelled(suite) for suite in self.given)
        self._match = _matcher(self.given)

    def add(self, path: Path, line: int, row: Mapping[str, Any]) -> None:
        """Take one row in our own column names."""
        response = _response(row)
        spelled = optional_text(row, "suite") or ("" if self.given else path.name.split(".")[0])
        found = self._match(row) if self.given else (_slug(spelled), parse_prompt(row))
        if found is None:
            self.unmatched += 1
            return
        suite, prompt = found
        self._check_spelling(suite, spelled)
        prompt = self._placed(suite, prompt, optional_text(row, "label"), f"line {line} of {path.name}")
        sample = 0 if prompt.label else self._counts[suite, prompt.id] - 1
        self.responses.append(Recorded(suite, prompt.id, sample, response, optional_text(row, "model")))

    def _check_spelling(self, suite: str, spelled: str) -> None:
        """Refuse two names that would be one suite: which rows belong together is not ours to guess."""
        if spelled and (first := self._spelled.setdefault(suite, spelled)) != spelled:
            raise RowError(f"{first!r} and {spelled!r} would both be the suite {suite!r}", "suite", "Write them in one way, or apart.")

    def _placed(self, suite: str, prompt: Prompt, label: str, place: str) -> Prompt:
        """The row's prompt under an id that is its own where it carries a label."""
        rows = self.prompts.setdefault(suite, {})
        first = rows.get(prompt.id)
        if first is not None and first.messages != prompt.messages:
            raise RowError(f"{prompt.id!r} is the id of another prompt on {self._places[suite, prompt.id]}", "id")
        self._places.setdefault((suite, prompt.id), place)
        count = self._counts[suite, prompt.id] = self._counts.get((suite, prompt.id), 0) + 1
        if label:
            number = f"#{count}" if count > 1 else ""
            prompt = replace(prompt, id=f"{prompt.id}{number}", label=label, cluster=prompt.cluster or prompt.id)
        return rows.setdefault(prompt.id, prompt)

    def finish(self, kind: str, model: str | None) -> Replay:
        """The whole file."""
        if not self.responses and model is not None and not self.unmatched:
            raise NothingToEvaluateError(f"{self.paths[0]}: no response of the model {model!r}")
        if not self.responses:
            names = ", ".join(suite.name for suite in self.given)
            advice = "Rows are joined by id, else by exact prompt."
            raise InputError(f"none of the {self.unmatched} rows belongs to {names}", file=self.paths[0], advice=advice)
        suites = tuple(self._joined(suite) for suite in self.given) or tuple(self._made(name) for name in self.prompts)
        answered = {(recorded.suite, recorded.prompt_id) for recorded in self.responses}
        missing = sum((suite.name, prompt.id) not in answered for suite in suites for prompt in suite.prompts)
        return Replay(kind, suites, tuple(self.responses), self.unmatched, missing)

    def _joined(self, suite: PromptSuite) -> PromptSuite:
        """A given suite with the labels of this file, and with a row more for each further labelled response."""
        rows = dict(self.prompts.get(suite.name, {}))
        prompts = tuple(rows.pop(prompt.id, prompt) for prompt in suite.prompts) + tuple(rows.values())
        return replace(suite, prompts=prompts, sha256=suite_sha256(prompts) if rows else suite.sha256)

    def _made(self, name: str) -> PromptSuite:
        prompts = tuple(self.prompts[name].values())
        digest = suite_sha256(prompts)
        return PromptSuite(name, digest[:12], prompts, digest, source=", ".join(path.name for path in self.paths))


def _unlabelled(suite: PromptSuite) -> PromptSuite:
    """A suite without the labels of another recording."""
    return replace(suite, prompts=tuple(replace(prompt, label="") for prompt in suite.prompts))


def _matcher(suites: Sequence[PromptSuite]) -> Callable[[Mapping[str, Any]], tuple[str, Prompt] | None]:
    """Finds a row's prompt in the suites: by id, else by exact dialogue; a `suite` column narrows the search."""
    by_id: dict[str, list[tuple[str, Prompt]]] = {}
    by_text: dict[tuple[Message, ...], list[tuple[str, Prompt]]] = {}
    for suite in suites:
        for prompt in suite.prompts:
            by_id.setdefault(prompt.id, []).append((suite.name, prompt))
            by_text.setdefault(prompt.messages, []).append((suite.name, prompt))

    def match(row: Mapping[str, Any]) -> tuple[str, Prompt] | None:
        messages, name = parse_dialogue(row), optional_text(row, "suite")
        same_id = [found for found in by_id.get(identifier(row), []) if not name or found[0] in (name, _slug(name))]
        same_text = [found for found in by_text.get(messages, []) if not name or found[0] in (name, _slug(name))]
        both = [found for found in same_id if found in same_text]
        if same_id and not same_text:
            raise RowError(f"{same_id[0][1].id!r} has another prompt in the suite {same_id[0][0]}", "id", "Correct the id or the prompt.")
        return next(iter(both or same_text), None)

    return match


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix.lower() == ARRAY:
        return enumerate(_json_items(path), 1)
    return iter_rows(path, "recording", kinds=TEXT_FILES)


def _json_items(path: Path) -> Iterable[Mapping[str, Any]]:
    """Rows of a JSON array, of `{"completions": [...]}`, or of HarmBench's object of arrays."""
    value = read_json(path, "recording")
    if isinstance(value, dict):
        value = value["completions"] if isinstance(value.get("completions"), list) else _flat(value.values())
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InputError("expected an array of objects", file=path)
    return value


def _flat(values: Iterable[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _response(row: Mapping[str, Any]) -> str:
    value = row.get("response")
    if not isinstance(value, str):
        raise RowError(f"is {type(value).__name__}, not text", "response", "An empty text stands for an empty response.")
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _slug(name: str) -> str:
    """A suite's name in small letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._") or "replay"
