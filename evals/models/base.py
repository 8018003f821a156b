"""What the rest of the code may ask of a model: three small roles, so that a backend implements only what it can do.

Nothing outside a backend knows about padding, batching, devices or how adapters are switched. Results never depend on batching.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from ...prompts.types import Message, Prompt
from ..types import Decoding, ModelCard


@dataclass(frozen=True, slots=True)
class Generated:
    """A response as a backend returns it."""

    index: int
    """Position of its prompt in the request."""
    sample: int
    text: str
    finish_reason: Literal["stop", "length", "replay"]
    prompt_tokens: tuple[int, ...] = ()
    response_tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceKL:
    """KL(adapter || reference) summed over a response's tokens, in nats, in three estimators (`evals/kl.py`)."""

    exact: float
    k1: float
    k3: float
    n_tokens: int
    moved: tuple[tuple[str, float], ...] = ()
    """The response's tokens with the largest exact KL: text and nats, largest first; none where the two don't differ."""


@runtime_checkable
class Generates(Protocol):
    """A model that answers prompts."""

    def card(self, adapter: str | None) -> ModelCard:
        """Identity of the model with that adapter: everything that determines its responses."""
        ...

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, *, adapter: str | None, seed: int) -> Iterator[Generated]:
        """Yield `decoding.samples` responses per prompt, in any order, as they are finished.

        A response depends on (weights, adapter, prompt, decoding, seed, sample) alone, never on the other prompts.
        """
        ...


@runtime_checkable
class AnswersEach(Protocol):
    """A model in which nothing is computed in batches of ours: a response is the same to the last bit whatever else is asked for.

    After an interruption only the responses that are missing are asked for.
    """

    def answer_each(
        self, wanted: Sequence[tuple[Prompt, int]], decoding: Decoding, *, adapter: str | None, seed: int
    ) -> Iterator[Generated]:
        """Yield a response per (prompt, sample), in any order; `index` is the position of the pair."""
        ...


@runtime_checkable
class ScoresKL(Protocol):
    """A model that can compare an adapter's distribution with its base's on given tokens."""

    def sequence_kl(
        self, items: Sequence[tuple[Sequence[int], Sequence[int]]], *, adapter: str | None, reference: str | None = None
    ) -> list[SequenceKL]:
        """KL of `adapter` against `reference` (None: the base, adapters off) for (prompt tokens, response tokens) pairs."""
        ...


@runtime_checkable
class ScoresReward(Protocol):
    """A model with a reward head."""

    def rewards(self, items: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        """Reward of each (dialogue, response), in the reward model's own units, read at the end-of-sequence token."""
        ...


@runtime_checkable
class RewardModel(ScoresReward, Protocol):
    """A reward model apart from the model that answers."""

    @property
    def name(self) -> str:
        """As it stands in reports."""
        ...

    @property
    def sha256(self) -> str:
        """Digest of its weights."""
        ...
