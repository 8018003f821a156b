"""The files of one evaluation, `eval/LABEL/`: prompts.jsonl, generations.jsonl, judgments.jsonl, scores.jsonl, results.json.

Journals are appended row by row while a stage runs, so a kill loses at most the row in flight; a finished stage rewrites its journal in
canonical order, so the bytes don't depend on interruptions. results.json stands for a finished evaluation and is written last.
A folder is self-contained: its prompts are in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from ..prompts.errors import InfrastructureError, InputError
from ..prompts.files import append_jsonl, atomic_write, iter_jsonl, read_json, sha256_bytes, sha256_file, to_json, write_json, write_jsonl
from ..prompts.types import Prompt
from .quarantined_pairs import read_quarantined
from .serial import from_row, to_row
from .shards import ALONE, Shard
from .types import SCHEMA_VERSION, DocumentScore, EvalRun, Generation, Judgment, ModelCard, PairScore, Record, Score

PROBE_SUITE = "probe"
"""Suite name under which the probe's rows stand in the files; reading takes them out of the records."""

_FILES = ("prompts.jsonl", "generations.jsonl", "judgments.jsonl", "scores.jsonl")


Row = TypeVar("Row")


class Journal(Generic[Row]):
    """An append-only file of rows with unique keys; as a context manager it is open for appending.

    Damage is an InputError that names the line, with one exception: `resume` cuts off a last line without its newline first (the
    process was killed while writing it). Several processes append to a part each (`.STEM.RANK.jsonl`), which `gather` merges.
    """

    def __init__(
        self, path: Path, read: Callable[[Mapping[str, Any], int], Row], write: Callable[[Row], Mapping[str, Any]],
        key: Callable[[Row], str], *, resume: bool = False, shard: Shard = ALONE,
    ) -> None:  # fmt: skip
        self.path, self._read, self._write, self._key, self._shard = path, read, write, key, shard
        self.rows: dict[str, Row] = {}
        if resume and shard.main:
            _cut_torn_tail(path)
        if shard.main or not resume:
            self._load(path)
        if resume:
            self.gather()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        own = self.path if self._shard.count == 1 else self.path.with_name(f".{self.path.stem}.{self._shard.rank}.jsonl")
        self._stream = own.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()

    def append(self, row: Row) -> None:
        """Add a row, unless its key is there; it is with the operating system when this returns."""
        if self._key(row) not in self.rows:
            append_jsonl(self._stream, self._write(row))
            self.rows[self._key(row)] = row

    def gather(self) -> None:
        """Wait for all processes; make the parts that they wrote (or left behind when they were killed) one file, and read it."""
        self._shard.meet()
        if self._shard.main and (parts := sorted(self.path.parent.glob(f".{self.path.stem}.*.jsonl"))):
            for part in parts:
                _cut_torn_tail(part)
                self._load(part)
            self.write(self.rows)
            for part in parts:
                part.unlink()
        self._shard.meet()
        if not self._shard.main:
            self._load(self.path)

    def write(self, keys: Iterable[str]) -> None:
        """Rewrite the file as these keys, in this order."""
        write_jsonl(self.path, (self._write(self.rows[key]) for key in keys))

    def finish(self, keys: Sequence[str]) -> list[Row]:
        """Rewrite the file as these keys, in this order, and return their rows; all processes read the first one's."""
        self.gather()
        if self._shard.main:
            self.write(keys)
            self.rows = {key: self.rows[key] for key in keys}
        self._shard.meet()
        if not self._shard.main:
            self.rows = {}
            self._load(self.path)
        return list(self.rows.values())

    def _load(self, path: Path) -> None:
        if path.exists():
            for line, raw in iter_jsonl(path, path.stem):
                row = self._read(raw, line)
                self.rows.setdefault(self._key(row), row)


@dataclass(frozen=True, slots=True)
class Scored:
    """One row of scores.jsonl: a score, and a digest of all that determined it beside the row's own key."""

    source: str
    score: Score | PairScore | DocumentScore

    @property
    def key(self) -> str:
        """Unique in the file."""
        match self.score:
            case Score():
                return f"response/{self.score.key}"
            case PairScore():
                return f"pair/{self.score.suite}/{self.score.pair_id}"
            case DocumentScore():
                return f"document/{self.score.task}/{self.score.doc_id}"


_KINDS: dict[str, type[Score] | type[PairScore] | type[DocumentScore]] = {"response": Score, "pair": PairScore, "document": DocumentScore}


def generation_journal(folder: Path, *, resume: bool = False, shard: Shard = ALONE) -> Journal[Generation]:
    """Responses, by their content key."""
    return _keyed_journal(folder / "generations.jsonl", Generation, resume, shard)


def judgment_journal(folder: Path, name: str = "", *, resume: bool = False, shard: Shard = ALONE) -> Journal[Judgment]:
    """Verdicts by their generation's key; `name` is set for a second judge's file."""
    return _keyed_journal(judgments_path(folder, name), Judgment, resume, shard)


def score_journal(folder: Path, *, resume: bool = False, shard: Shard = ALONE) -> Journal[Scored]:
    """Scores of responses, pairs and documents."""
    path = folder / "scores.jsonl"

    def read(row: Mapping[str, Any], line: int) -> Scored:
        kind = row.get("kind")
        if kind not in _KINDS:
            raise InputError(f"kind {kind!r} is none of {', '.join(_KINDS)}", file=path, line=line, field="kind")
        return Scored(str(row.get("source", "")), from_row(_KINDS[kind], row, file=path, line=line))

    def write(row: Scored) -> dict[str, Any]:
        fields = to_row(row.score)
        for name, value in fields.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InfrastructureError(f"{path}: {name} of {row.key} is {value}: the model's numbers overflowed")
        return {"kind": row.key.partition("/")[0], "source": row.source, **fields}

    return Journal(path, read, write, lambda row: row.key, resume=resume, shard=shard)


def judgments_path(folder: Path, name: str = "") -> Path:
    """judgments.jsonl, or judgments.NAME.jsonl of another judge."""
    return folder / (f"judgments.{name}.jsonl" if name else "judgments.jsonl")


def response_digest(row: Generation) -> str:
    """Digest of what a judge or a scorer sees of a response: text, tokens and how it ended. A server may answer the same key anew."""
    return sha256_bytes(to_json([row.response, row.finish_reason, list(row.response_tokens)]).encode())


def refuse_stale_verdicts(journal: Journal[Judgment], generations: Iterable[Generation]) -> None:
    """Raise InputError when verdicts were given on other responses than those that stand beside them."""
    rows = journal.rows
    stale = sum(row.key in rows and rows[row.key].response_sha256 != response_digest(row) for row in generations)
    if stale:
        raise InputError(
            f"{stale} of {len(rows)} verdicts were given on other responses than those in generations.jsonl",
            file=journal.path,
            advice="Remove this file to judge anew.",
        )


def refuse_changed(journal: Journal[Any], wanted: Iterable[str]) -> None:
    """Before a stage goes on in a finished evaluation: a journal that lacks nothing is the one that results.json was computed from.

    One that lacks rows is filled again; until then nothing here is finished.

    Raises:
        InputError: nothing is missing, yet the file is another one.
    """
    results = journal.path.with_name("results.json")
    if not results.exists():
        return
    if any(key not in journal.rows for key in wanted):
        forget_results(journal.path.parent)
        return
    found = read_json(results, "results file")
    digest = (found.get("files") or {}).get(journal.path.name) if isinstance(found, dict) else None
    if digest is not None and sha256_file(journal.path) != digest:
        raise InputError(
            "changed since the evaluation finished", file=journal.path,
            advice="Put the old file back, or remove this one and results.json to make it anew.",
        )  # fmt: skip


def forget_results(folder: Path) -> None:
    """What is about to get other rows is no finished evaluation any more."""
    (folder / "results.json").unlink(missing_ok=True)


def files_of(label: str) -> tuple[str, ...]:
    """The files of an evaluation, relative to its run folder."""
    return tuple(f"eval/{label}/{name}" for name in (*_FILES, "results.json"))


def write_prompts(folder: Path, suites: Mapping[str, Iterable[Prompt]]) -> None:
    """Snapshot of the prompts that were asked: rows {"suite": ..., id, messages, ...}."""
    write_jsonl(folder / "prompts.jsonl", ({"suite": name, **to_row(prompt)} for name, prompts in suites.items() for prompt in prompts))


def read_prompts(folder: Path) -> dict[tuple[str, str], Prompt]:
    """(suite, id) -> prompt of the snapshot."""
    path = folder / "prompts.jsonl"
    return {
        (str(row.get("suite")), str(row.get("id"))): from_row(Prompt, row, file=path, line=line)
        for line, row in iter_jsonl(path, "prompts")
    }


def write_run(folder: Path, run: EvalRun) -> None:
    """Write results.json: the run without its records, which stand in the journals."""
    bare = replace(run, records=(), pairs=(), documents=(), probe=None, quarantined={})
    row = {key: value for key, value in to_row(bare).items() if key not in ("records", "pairs", "documents", "probe", "quarantined")}
    files = {name: sha256_file(folder / name) for name in _FILES if (folder / name).exists()}
    write_json(folder / "results.json", {"schema_version": row.pop("schema_version"), "files": files, **row})


def read_run(folder: Path) -> EvalRun:
    """A finished evaluation with its records joined.

    Raises:
        InputError: the folder holds no finished evaluation, was written by a newer version, or is damaged.
    """
    path = folder / "results.json"
    if not path.exists():
        raise InputError(
            "no finished evaluation here (results.json is missing)", file=folder, advice="Run the same command again to finish it."
        )
    row = read_json(path, "results file")
    if not isinstance(row, dict) or row.get("schema_version") != SCHEMA_VERSION:
        found = row.get("schema_version") if isinstance(row, dict) else None
        raise InputError(f"schema version {found!r}; this version reads {SCHEMA_VERSION}", file=path, field="schema_version")
    _check_files(folder, row.get("files"))
    return attach_rows(folder, from_row(EvalRun, row, file=path))


def read_run_card(folder: Path) -> ModelCard:
    """What a finished evaluation measured, without reading its rows.

    Raises:
        InputError: as `read_run`.
    """
    path = folder / "results.json"
    row = read_json(path, "results file") if path.exists() else None
    if not isinstance(row, dict) or not isinstance(row.get("model"), dict):
        raise InputError("no finished evaluation here", file=folder, advice="Run the same command again to finish it.")
    return from_row(ModelCard, row["model"], file=path)


def _check_files(folder: Path, digests: Any) -> None:
    """The journals are those that results.json was computed from."""
    for name, digest in digests.items() if isinstance(digests, dict) else ():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise InputError(
                "missing, cut or changed since the evaluation finished",
                file=folder / name,
                advice="Run the same command again to redo what is missing.",
            )


def attach_rows(folder: Path, run: EvalRun) -> EvalRun:
    """The run with records, pairs, documents and probe from the journals beside it, and the rows that were put aside."""
    scores = [row.score for row in score_journal(folder).rows.values()]
    records = join_records(folder, {row.key: row for row in scores if isinstance(row, Score)})
    return replace(
        run,
        records=tuple(row for row in records if row.suite != PROBE_SUITE),
        probe=next((row for row in records if row.suite == PROBE_SUITE), None),
        pairs=tuple(row for row in scores if isinstance(row, PairScore)),
        documents=tuple(row for row in scores if isinstance(row, DocumentScore)),
        quarantined=read_quarantined(folder),
    )


def join_records(folder: Path, scores: Mapping[str, Score], judge: str = "") -> list[Record]:
    """Generations with prompts, verdicts and scores, in the file's order.

    Raises:
        InputError: a generation's prompt is not in the snapshot.
    """
    prompts, judgments = read_prompts(folder), judgment_journal(folder, judge).rows
    records = []
    for row in generation_journal(folder).rows.values():
        if (row.suite, row.prompt_id) not in prompts:
            raise InputError(f"prompt {row.prompt_id!r} of suite {row.suite!r} is missing", file=folder / "prompts.jsonl")
        records.append(Record(row.suite, prompts[row.suite, row.prompt_id], row, judgments.get(row.key), scores.get(row.key)))
    return records


def _keyed_journal(path: Path, cls: type[Any], resume: bool, shard: Shard) -> Journal[Any]:
    return Journal(
        path, lambda row, line: from_row(cls, row, file=path, line=line), to_row, lambda row: row.key, resume=resume, shard=shard
    )


def _cut_torn_tail(path: Path) -> None:
    """Drop what follows the last newline: a row whose writing was interrupted."""
    data = path.read_bytes() if path.is_file() else b""
    if data and not data.endswith(b"\n"):
        atomic_write(path, data[: data.rfind(b"\n") + 1])
