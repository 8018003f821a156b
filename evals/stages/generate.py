"""Stage 1: prompts -> generations.jsonl, in groups that the plan alone determines.

Floating point makes a batch's composition visible in the last bits, and a near tie can turn on them. So a group of which anything is
missing is asked for again as a whole, in the batches of the first time; rows that are there are kept. A model that computes no batches
of ours (`AnswersEach`: a server, a recording) is asked for what is missing alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...prompts.errors import InfrastructureError
from ..models.base import AnswersEach, Generated
from ..plan import Ask
from ..store import generation_journal, refuse_changed
from ..types import Generation
from .job import Job, refuse_strangers

GROUP = 128
"""Prompts of one call."""


def generate(job: Job) -> list[Generation]:
    """Every response wanted, in canonical order.

    Raises:
        InputError: the journal is damaged, was changed, or holds rows of another model, prompt set or setting.
        InfrastructureError: the model gave fewer responses than asked for, or saw a prompt with the template applied twice.
    """
    journal = generation_journal(job.folder, resume=True, shard=job.shard)
    refuse_strangers(journal, job.keys)
    refuse_changed(journal, job.keys)
    with journal:
        for number, group in enumerate(_groups(job.plan)):
            missing = [ask for ask in group if ask.key not in journal.rows]
            if job.shard.takes(number) and missing:
                for row in _missing(job, missing) if isinstance(job.model, AnswersEach) else _responses(job, group):
                    journal.append(row)
                    job.progress("generate", len(journal.rows), len(job.plan))
    journal.gather()
    lost = len(job.plan) - len(journal.rows)
    if lost:
        raise InfrastructureError(f"the model gave no response to {lost} of {len(job.plan)} requests")
    return journal.finish(job.keys)


def _groups(plan: Sequence[Ask]) -> Iterator[list[Ask]]:
    """Requests that one call serves: one decoding, up to GROUP prompts, all samples of a prompt together."""
    for decoding in dict.fromkeys(ask.decoding for ask in plan):
        asks = [ask for ask in plan if ask.decoding == decoding]
        for start in range(0, len(asks), GROUP * decoding.samples):
            yield asks[start : start + GROUP * decoding.samples]


def _missing(job: Job, asks: Sequence[Ask]) -> Iterator[Generation]:
    """Of a model that answers each request apart."""
    wanted = [(ask.prompt, ask.sample) for ask in asks]
    for row in job.model.answer_each(wanted, asks[0].decoding, adapter=job.adapter, seed=job.config.seed):
        yield _generation(asks[row.index], row)


def _responses(job: Job, asks: Sequence[Ask]) -> Iterator[Generation]:
    prompts = list({(ask.suite, ask.prompt.id): ask for ask in asks}.values())
    wanted = {(ask.suite, ask.prompt.id, ask.sample): ask for ask in asks}
    drawn = job.model.generate([ask.prompt for ask in prompts], asks[0].decoding, adapter=job.adapter, seed=job.config.seed)
    for row in drawn:
        first = prompts[row.index]
        ask = wanted.get((first.suite, first.prompt.id, row.sample))
        if ask is not None:
            yield _generation(ask, row)


def _generation(ask: Ask, row: Generated) -> Generation:
    tokens = tuple(row.prompt_tokens), tuple(row.response_tokens)
    _refuse_doubled(ask, tokens[0])
    return Generation(ask.key, ask.suite, ask.prompt.id, ask.decoding.name, row.sample, row.text, row.finish_reason, *tokens)


def _refuse_doubled(ask: Ask, tokens: Sequence[int]) -> None:
    """A prompt begins with the one beginning-of-sequence token that it holds."""
    if tokens and tokens.count(tokens[0]) > 1:
        raise InfrastructureError(
            f"prompt {ask.prompt.id!r} of {ask.suite}: the model saw {tokens.count(tokens[0])} beginnings of a sequence, one is right\n"
            "The chat template was applied twice, or a tokenizer added a token of its own to a rendered prompt."
        )
