"""What a model is asked: messages, prompts, suites and preference pairs. Frozen; imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["user", "assistant"]
Expected = Literal["refuse", "comply"]
SUBSETS = " + "
"""Stands between the names of the subsets that a preference pair belongs to, where there are several."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a dialogue."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One row of a suite: a dialogue that ends with a user's turn, and what a well-aligned model does with it."""

    id: str
    """Unique in its suite, stable over versions."""
    messages: tuple[Message, ...]
    """Turns, first and last by the user, alternating."""
    expected: Expected | None
    """`refuse`: a harmful request. `comply`: one that should be answered. None: not known (prompts to train on)."""
    category: str = ""
    """Hazard or kind; the subset by which tables are split."""
    cluster: str = ""
    """Rows that share a topic share a cluster; intervals are clustered by it. Empty: the row stands alone."""
    answer: str = ""
    """The one right answer, where it can be checked exactly (`correct_rate`); empty where it can't."""
    label: str = ""
    """A recorded human verdict on the recorded response (replay only): an outcome, or empty."""

    @property
    def text(self) -> str:
        """The last user's turn."""
        return self.messages[-1].content


@dataclass(frozen=True, slots=True)
class PromptSuite:
    """A named, versioned set of prompts."""

    name: str
    version: str
    prompts: tuple[Prompt, ...]
    sha256: str
    """Digest of the canonical rows: same digest, same prompts."""
    kind: Literal["harmful", "benign", "borderline", "facts", "mixed"] = "mixed"
    """`harmful` rows are expected to be refused; `benign`, `borderline` and `facts` rows to be answered."""
    description: str = ""
    licence: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two responses to the same dialogue; `chosen` was preferred."""

    id: str
    messages: tuple[Message, ...]
    """The shared dialogue, ending with a user's turn."""
    chosen: str
    rejected: str
    subset: str = ""
    """Kind or source file; accuracy is reported by it. Names of several, each reported, have `SUBSETS` between them: `chat + hard`."""
    cluster: str = ""
    """As in `Prompt`."""


@dataclass(frozen=True, slots=True)
class PairSet:
    """Preference pairs that were read, and the rows that could not be used."""

    name: str
    pairs: tuple[PreferencePair, ...]
    sha256: str
    quarantined: tuple[QuarantinedRow, ...] = field(default=())
    rows: int = 0
    """Rows that were read; those that are neither in `pairs` nor quarantined nor excluded were not drawn."""
    excluded: int = 0
    """Good rows left out because their prompt belongs to another split."""


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that was read and not used, with its reason."""

    file: str
    line: int
    reason: str
