"""What every stage knows, and the guard that keeps another run's rows out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...prompts.errors import InputError
from ...prompts.files import sha256_bytes, to_json
from ..config import EvalConfig
from ..plan import Ask
from ..preference import Comparer
from ..shards import ALONE, Shard
from ..store import Journal
from ..types import Generation, ModelCard

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""
Place = tuple[str, str, str, int]
"""Suite, prompt, decoding and sample: what the responses of two models to the same request share."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every stage knows."""

    model: Any
    adapter: str | None
    card: ModelCard
    folder: Path
    plan: Sequence[Ask]
    config: EvalConfig
    progress: Progress
    rewarder: Any = None
    """Scores responses and pairs; the model itself where it has a reward head."""
    independent: Any = None
    """A reward model that the policy was not trained against."""
    comparer: Comparer | None = None
    """Compares responses with the base's."""
    base: Mapping[Place, Generation] = field(default_factory=dict)
    """The base's responses."""
    shard: Shard = ALONE
    """Which groups of rows this process does."""
    base_sha256: str = ""
    """Digest of the bare model that gave the base's responses; empty when it was none."""

    @property
    def independent_sha256(self) -> str:
        """Digest of the independent reward model; empty without one."""
        return str(self.independent.sha256) if self.independent is not None else ""

    @property
    def comparer_id(self) -> str:
        """Name and revision of the comparing judge; empty without one."""
        return f"{self.comparer.name}@{self.comparer.revision}" if self.comparer else ""

    @property
    def keys(self) -> list[str]:
        """Of all responses wanted, in canonical order."""
        return [ask.key for ask in self.plan]


def place_of(row: Generation) -> Place:
    """Where a response stands, whoever gave it."""
    return row.suite, row.prompt_id, row.decoding, row.sample


def refuse_strangers(journal: Journal[Any], wanted: Iterable[str]) -> None:
    """Raise InputError when the journal holds rows that were not asked for: another run's leftovers."""
    strangers = len(set(journal.rows) - set(wanted))
    if strangers:
        raise InputError(
            f"{strangers} of {len(journal.rows)} rows belong to another model, prompt set or setting",
            file=journal.path,
            advice="Choose another --out, or repeat the settings that this folder was made with.",
        )


def digest_of(*facts: str) -> str:
    """Digest of an ordered list of facts."""
    return sha256_bytes(to_json(facts).encode())
