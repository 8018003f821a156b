"""Where a policy moved: the prompts and the tokens with the largest KL to the base. Rates of movement by suite and category are metrics.

A token's KL is that of the two distributions at its place, exact over the vocabulary; each response keeps its few largest
(`Score.moved`), so a token's total here is over those places alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from .types import EvalRun, Record


@dataclass(frozen=True, slots=True)
class MovedToken:
    """A token over all responses in which it stands among the most moved."""

    text: str
    nats: float
    """Summed over its places."""
    places: int


def most_moved_prompts(run: EvalRun, n: int = 20, *, decoding: str = "") -> tuple[Record, ...]:
    """The responses with the largest exact KL, largest first; of all decodings unless one is named."""
    scored = [(row.score.kl_exact, row) for row in run.records if row.score is not None and row.score.kl_exact is not None]
    kept = [(nats, row) for nats, row in scored if decoding in ("", row.generation.decoding)]
    return tuple(row for _, row in sorted(kept, key=lambda item: -item[0])[:n])


def most_moved_tokens(run: EvalRun, n: int = 20, *, decoding: str = "") -> tuple[MovedToken, ...]:
    """The tokens with the largest KL summed over their places, largest first."""
    nats: defaultdict[str, list[float]] = defaultdict(list)
    for row in run.records:
        if row.score is not None and decoding in ("", row.generation.decoding):
            for text, value in row.score.moved:
                nats[text].append(value)
    found = [MovedToken(text, sum(values), len(values)) for text, values in nats.items()]
    return tuple(sorted(found, key=lambda token: (-token.nats, token.text))[:n])
