"""Stages 3 and 4: reward and KL of responses, reward of preference pairs -> scores.jsonl.

Each row carries a digest of what determined it beside its key (`source`), so that a score of another reward model can't be taken for
this one's. Rows are scored in chunks that the plan alone determines, and an incomplete chunk is scored again as a whole: the composition
of a batch shows in the last bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...prompts.errors import InputError
from ...prompts.types import PairSet, PreferencePair, Prompt
from ..metrics.kl import SAMPLED
from ..models.base import ScoresKL, ScoresReward, SequenceKL
from ..preference import Preference, compare_both_orders
from ..store import Journal, Scored, refuse_changed, response_digest, score_journal
from ..types import Generation, PairScore, Score
from .job import Job, digest_of, place_of

CHUNK = 64
"""Rows scored between two writes."""
ALONE = 32
"""Pairs of a set whose chosen response is scored in a batch of its own, too."""
_LINE_MARK = re.compile(r"^[ \t]{0,8}(?:[-*+]|#{1,6}|>|\d{1,3}[.)])[ \t]|^```", re.MULTILINE)
_INLINE_MARK = re.compile(r"\*\*[^*\n]{1,200}\*\*|`[^`\n]{1,200}`")


def score(job: Job, generations: Sequence[Generation], pairs: Sequence[PairSet]) -> list[str]:
    """Score what is missing; returns the keys of all response and pair rows, in canonical order.

    A model without a reward head ranks no pairs; one that can't compare distributions gives no KL.

    Raises:
        InputError: the journal is damaged, a row was changed, or scored by another model or reward model, or two pairs share set and id.
        InfrastructureError: a score is not a finite number.
    """
    journal = score_journal(job.folder, resume=True, shard=job.shard)
    answers = _response_jobs(job, generations) if _has_reward(job) or isinstance(job.model, ScoresKL) else {}
    ranked = _pair_jobs(job, pairs) if _has_reward(job) else {}
    refuse_changed(journal, [*answers, *ranked])
    with journal:
        for stage, wanted, compute in (("score", answers, _score_responses), ("pairs", ranked, _score_pairs)):
            _refuse_stale(journal, wanted)
            for done, row in _in_chunks(job, journal, wanted, compute):
                journal.append(row)
                job.progress(stage, done, len(wanted))
    return [*answers, *ranked]


def _has_reward(job: Job) -> bool:
    return bool(job.card.reward_model) and isinstance(job.rewarder, ScoresReward)


@dataclass(frozen=True, slots=True)
class _ToScore:
    """One row that scores.jsonl should hold: what is scored, and the digest of all that determines its score."""

    source: str
    item: Any


def _response_jobs(job: Job, generations: Sequence[Generation]) -> dict[str, _ToScore]:
    card = job.card
    source = [card.model_sha256, card.adapter_sha256, card.tokenizer_sha256, card.template_sha256, card.reward_model_sha256, card.dtype]
    source += [f"{kind} {name}" for kind, name in (("independent", job.independent_sha256), ("comparer", job.comparer_id)) if name]
    wanted = {}
    for ask, row in zip(job.plan, generations, strict=True):
        base = job.base.get(place_of(row)) if job.base else None
        facts = [response_digest(row), *([base.key, response_digest(base)] if base else [])]
        wanted[f"response/{row.key}"] = _ToScore(digest_of(*source, *facts), (ask.prompt, row, base))
    return wanted


def _pair_jobs(job: Job, pairs: Sequence[PairSet]) -> dict[str, _ToScore]:
    card = job.card
    model = (card.model_sha256, card.tokenizer_sha256, card.template_sha256, card.reward_model_sha256, card.dtype)
    wanted: dict[str, _ToScore] = {}
    for group in pairs:
        for number, pair in enumerate(group.pairs):
            key = f"pair/{group.name}/{pair.id}"
            if key in wanted:
                raise InputError(f"pair set {group.name!r} has two pairs with id {pair.id!r}, or stands twice", field="eval.pairs")
            wanted[key] = _ToScore(digest_of(*model, *_texts(pair)), (group.name, pair, number < ALONE))
    return wanted


def _in_chunks(
    job: Job, journal: Journal[Scored], wanted: Mapping[str, _ToScore], compute: Callable[[Job, Sequence[Any]], list[Any]]
) -> Iterator[tuple[int, Scored]]:
    """(number, row) of each row in a chunk of which anything is missing."""
    keys = list(wanted)
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        if job.shard.takes(start // CHUNK) and any(key not in journal.rows for key in chunk):
            scores = compute(job, [wanted[key].item for key in chunk])
            for number, (key, score) in enumerate(zip(chunk, scores, strict=True), start + 1):
                yield number, Scored(wanted[key].source, score)


_Asked = tuple[Prompt, Generation, Generation | None]
"""Prompt, response, and the base's response to the same prompt."""


def _score_responses(job: Job, items: Sequence[_Asked]) -> list[Score]:
    texts = [(prompt.messages, row.response) for prompt, row, _ in items]
    unknown: list[float | None] = [None] * len(items)
    rewards = job.rewarder.rewards(texts) if _has_reward(job) else unknown
    independent = job.independent.rewards(texts) if job.independent is not None else unknown
    divergences, forward = _divergences(job, [row for _, row, _ in items]), _forward(job, [base for *_, base in items])
    found = []
    for i, (prompt, row, base) in enumerate(items):
        exact, k1, k3, moved = (kl.exact, kl.k1, kl.k3, kl.moved) if (kl := divergences[i]) else (None, None, None, ())
        preferred = compare_both_orders(job.comparer, prompt, base.response, row.response) if job.comparer and base else Preference()
        found.append(
            Score(row.key, len(row.response_tokens), rewards[i], exact, k1, k3, forward[i], independent[i], *preferred, moved=moved)
        )
    return found


def _divergences(job: Job, rows: Sequence[Generation | None], *, forward: bool = False) -> list[SequenceKL | None]:
    """KL of each response whose tokens are known, in the order of `rows`: of the policy to its base, or the other way round."""
    known = [(i, row) for i, row in enumerate(rows) if row is not None and row.prompt_tokens and row.response_tokens]
    found: list[SequenceKL | None] = [None] * len(rows)
    if known and isinstance(job.model, ScoresKL):
        first, second = (None, job.adapter) if forward else (job.adapter, None)
        scored = job.model.sequence_kl([(row.prompt_tokens, row.response_tokens) for _, row in known], adapter=first, reference=second)
        for (i, _), value in zip(known, scored, strict=True):
            found[i] = value
    return found


def _forward(job: Job, rows: Sequence[Generation | None]) -> list[float | None]:
    """KL(base || policy) over the base's responses, where they are draws of the very base that the adapter sits on."""
    own = job.adapter is not None and job.base_sha256 == job.card.model_sha256
    drawn = [row if own and row is not None and row.decoding == SAMPLED else None for row in rows]
    return [None if kl is None else kl.exact for kl in _divergences(job, drawn, forward=True)]


def _score_pairs(job: Job, items: Sequence[tuple[str, PreferencePair, bool]]) -> list[PairScore]:
    rewards = job.rewarder.rewards([(pair.messages, text) for _, pair, _ in items for text in (pair.chosen, pair.rejected)])
    found = []
    for i, (name, pair, checked) in enumerate(items):
        alone = job.rewarder.rewards([(pair.messages, pair.chosen)])[0] if checked else None
        found.append(PairScore(
            name, pair.id, rewards[2 * i], rewards[2 * i + 1], pair.subset, pair.cluster,
            _words(pair.chosen), _words(pair.rejected), marks_of(pair.chosen), marks_of(pair.rejected), alone,
        ))  # fmt: skip
    return found


def _words(text: str) -> int:
    return len(text.split())


def marks_of(text: str) -> int:
    """Marks of layout in a Markdown text: list items, headings, quotes and rules at the start of lines, bold, code."""
    return len(_LINE_MARK.findall(text)) + len(_INLINE_MARK.findall(text))


def _refuse_stale(journal: Journal[Scored], wanted: dict[str, _ToScore]) -> None:
    stale = [key for key, item in wanted.items() if key in journal.rows and journal.rows[key].source != item.source]
    if stale:
        raise InputError(
            f"{len(stale)} scores come from another model, reward model, response or pair file, the first is {stale[0]}",
            file=journal.path,
            advice="Choose another --out, or remove this file to score anew.",
        )


def _texts(pair: PreferencePair) -> tuple[str, ...]:
    return (*(f"{message.role}:{message.content}" for message in pair.messages), pair.chosen, pair.rejected)
