"""Reads preference pairs: HH-RLHF by hub name, file or folder, sets of known shapes (`pair_formats.py`), or plain rows.

A plain row is {prompt | messages, chosen, rejected, subset?, id?, cluster?}.

A row that can't be used is put aside with its reason and counted, never repaired and never dropped in silence; too many of them stop
the reading. The sample of N pairs depends on the seed and on the pairs' content alone, not on files or their order, and a smaller
sample is the start of a larger one. Left out: near-duplicates, truncation (the trainer counts what is too long).
"""

from __future__ import annotations

import hashlib
import heapq
import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError, NothingToEvaluateError
from .files import to_json, write_jsonl
from .hh import split_transcripts
from .pair_formats import has_pair_columns, plain_rows
from .rows import RowError, dialogue_digest, did_you_mean, filled_text, identifier, optional_text, parse_dialogue
from .sources import Source, find_sources, set_name
from .template import count_marked
from .types import Message, PairSet, PreferencePair, Prompt, QuarantinedRow

if TYPE_CHECKING:
    from .embedded.topics import HeldOut

EMBEDDED = "tiny-pairs"
log = logging.getLogger(__name__)


def load_pairs(
    name_or_path: str | Path,
    *,
    split: str = "train",
    limit: int | None = None,
    seed: int = 0,
    exclude_prompts: Collection[str] = frozenset(),
    max_bad_rows: float = 0.02,
    split_seed: int = 0,
) -> PairSet:
    """Read preference pairs.

    Args:
        name_or_path: a hub data set, a .json, .jsonl, .jsonl.gz, .csv or .parquet file, a folder of such files, or `tiny-pairs`.
        split: `train` or `test`; in a folder, the files of that name. A single file is taken as it is. Of `tiny-pairs`: `test` or
            `validation`.
        limit: draw at most so many pairs; None takes all.
        seed: seeds the draw and the order.
        exclude_prompts: `prompt_hashes` of another split, whose prompts must not be drawn.
        max_bad_rows: largest share of rows, in [0, 1], that may be put aside.
        split_seed: which redraw of the embedded world `tiny-pairs` means.

    Raises:
        InputError: not found, damaged, without rows, of other columns, or with too many bad rows.
        InfrastructureError: the hub can't be reached.
        NothingToEvaluateError: every good row was excluded.
    """
    if str(name_or_path) == EMBEDDED:
        return _embedded(split_seed, "validation" if split == "validation" else "test", limit, seed)
    reading = _Reading(frozenset(exclude_prompts))
    found = (pair for source in find_sources(name_or_path, split) for pair in reading.pairs(source))
    pairs = sample(found, limit, seed)
    _check_share(str(name_or_path), reading, max_bad_rows)
    if not pairs:
        raise NothingToEvaluateError(
            f"{name_or_path}: each of the {reading.excluded} pairs was excluded: their prompts are in another split"
        )
    if marked := count_marked(pair.messages for pair in pairs):
        log.warning("%s: %d dialogues hold [INST] or [/INST], which the model can't tell from the template's own.", name_or_path, marked)
    name = set_name(name_or_path)
    return PairSet(name, pairs, pairs_sha256(pairs), tuple(reading.quarantined), reading.rows, reading.excluded)


def sample(pairs: Iterable[PreferencePair], limit: int | None, seed: int) -> tuple[PreferencePair, ...]:
    """At most `limit` pairs in an order that `seed` and each pair's content give."""

    def rank(pair: PreferencePair) -> bytes:
        return hashlib.sha256(f"{seed}\0{pair_digest(pair)}".encode()).digest()

    return tuple(sorted(pairs, key=rank) if limit is None else heapq.nsmallest(limit, pairs, key=rank))


def prompt_hashes(items: Iterable[Prompt | PreferencePair]) -> frozenset[str]:
    """Digests of the dialogues of an evaluation split, for `exclude_prompts`."""
    return frozenset(prompt_hash(item.messages) for item in items)


def prompt_hash(messages: Iterable[Message]) -> str:
    """Digest of a dialogue that doesn't depend on case, blanks or Unicode form."""
    turns = [(m.role, " ".join(unicodedata.normalize("NFKC", m.content).casefold().split())) for m in messages]
    return hashlib.sha256(to_json(turns).encode()).hexdigest()


def pair_digest(pair: PreferencePair) -> str:
    """Digest of what a pair says: dialogue and both responses."""
    content = [[[m.role, m.content] for m in pair.messages], pair.chosen, pair.rejected]
    return hashlib.sha256(to_json(content).encode()).hexdigest()


def pairs_sha256(pairs: Iterable[PreferencePair]) -> str:
    """Digest of the canonical rows, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update((to_json(asdict(pair)) + "\n").encode())
    return digest.hexdigest()


def write_quarantine(path: Path, rows: Iterable[QuarantinedRow]) -> None:
    """Write {file, line, reason} of each row that was put aside, one JSON object a line."""
    write_jsonl(path, (asdict(row) for row in rows))


def reasons_text(rows: Iterable[QuarantinedRow], n: int = 4) -> str:
    """The `n` most frequent reasons, each with its count: `3 x an empty reply, 1 x chosen equals rejected`."""
    counts = Counter(row.reason if len(row.reason) <= 100 else f"{row.reason[:99]}…" for row in rows).most_common()
    more = sum(count for _, count in counts[n:])
    return ", ".join([f"{count} x {reason}" for reason, count in counts[:n]] + ([f"{more} more"] if more else []))


def parse_pair(row: Mapping[str, Any], subset: str = "") -> PreferencePair:
    """A pair of one row: HH transcripts, or plain columns when the row has `prompt` or `messages`.

    Raises:
        RowError: why the row can't be used.
    """
    chosen, rejected = (filled_text(row.get(name), name) for name in ("chosen", "rejected"))
    if chosen == rejected:
        raise RowError("chosen equals rejected")
    if row.get("prompt") is None and row.get("messages") is None:
        messages, chosen, rejected = split_transcripts(chosen, rejected)
    else:
        messages = parse_dialogue(row)
    if not chosen or not rejected:
        raise RowError("an empty reply")
    if chosen.strip() == rejected.strip():
        raise RowError("chosen equals rejected")
    pair = PreferencePair(
        id=identifier(row),
        messages=messages,
        chosen=chosen,
        rejected=rejected,
        subset=optional_text(row, "subset") or subset,
        cluster=optional_text(row, "cluster") or dialogue_digest(messages),
    )
    return pair if pair.id else replace(pair, id=pair_digest(pair)[:16])


@dataclass
class _Reading:
    """One pass over the sources: what was read, put aside and left out so far."""

    exclude: frozenset[str]
    rows: int = 0
    excluded: int = 0
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def pairs(self, source: Source) -> Iterator[PreferencePair]:
        """The good pairs of one source."""

        def put_aside(line: int, reason: str) -> None:
            self.rows += 1
            self.quarantined.append(QuarantinedRow(source.label, line, reason))

        checked = False
        for line, row in source.rows(put_aside):
            checked = checked or _check_columns(source, line, row)
            try:
                pairs = [parse_pair(plain, source.subset) for plain in plain_rows(row, source.subset)]
                self._check_new(pairs)
            except RowError as error:
                put_aside(line, str(error))
                continue
            self.rows += len(pairs)
            kept = [pair for pair in pairs if not self.exclude or prompt_hash(pair.messages) not in self.exclude]
            self.excluded += len(pairs) - len(kept)
            yield from kept

    def _check_new(self, pairs: Sequence[PreferencePair]) -> None:
        ids = {pair.id for pair in pairs}
        if ids & self._seen or len(ids) < len(pairs):
            raise RowError("the same pair or id as an earlier row")
        self._seen |= ids


def _check_columns(source: Source, line: int, row: Mapping[str, Any]) -> bool:
    missing = [name for name in ("chosen", "rejected") if name not in row]
    if not has_pair_columns(row):
        problem = f"no column {' and '.join(missing)}; found: {', '.join(map(str, row)) or 'none'}"
        near = (
            did_you_mean(missing[0], row) or "A pair needs `chosen` and `rejected`, and `prompt` or `messages` unless they are transcripts."
        )
        raise InputError(problem, file=source.path or source.label, line=line, advice=near)
    return True


def _check_share(name: str, reading: _Reading, max_bad_rows: float) -> None:
    if not reading.rows:
        raise InputError("0 pairs: there are no rows", file=name)
    bad = len(reading.quarantined)
    if bad == reading.rows or bad / reading.rows > max_bad_rows:
        first = reading.quarantined[0]
        raise InputError(
            f"{bad} of {reading.rows} rows can't be used, more than the allowed {max_bad_rows:.1%}: {reasons_text(reading.quarantined)}",
            file=name,
            advice=f"The first is {first.file}:{first.line}. Mend them, or allow more with max_bad_rows.",
        )


def _embedded(split_seed: int, split: HeldOut, limit: int | None, seed: int) -> PairSet:
    from .embedded import build_world

    pairs = sample(build_world(split_seed).pairs(split), limit, seed)
    return PairSet(EMBEDDED, pairs, pairs_sha256(pairs), rows=len(pairs))
