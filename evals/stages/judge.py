"""Stage 2: generations -> judgments.jsonl, and the judge's own error where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence

from ...prompts.errors import InputError
from ..agreement import agreement
from ..judges import Item, Judge, Ruling, batch_size, get_judge, judge_each, judge_id
from ..plan import Ask
from ..store import judgment_journal, refuse_changed, refuse_stale_verdicts, response_digest
from ..types import Generation, JudgeCard, Judgment
from .job import Job, refuse_strangers


def judge_all(job: Job, generations: Sequence[Generation], judge: Judge) -> list[Judgment]:
    """One verdict a response, in the same order.

    Raises:
        InputError: the journal is damaged, was changed, or holds another judge's verdicts or verdicts on other responses.
    """
    journal = judgment_journal(job.folder, resume=True, shard=job.shard)
    refuse_strangers(journal, job.keys)
    others = {row.judge for row in journal.rows.values()} - {judge_id(judge)}
    if others:
        raise InputError(
            f"verdicts of {', '.join(sorted(others))} stand here, {judge_id(judge)} was asked for",
            file=journal.path,
            advice="`truenorth judge RUN --judge NAME` adds a second judge's verdicts; remove this file to judge anew.",
        )
    refuse_changed(journal, job.keys)
    refuse_stale_verdicts(journal, generations)
    with journal:
        items = [Item(ask.prompt, row.response, row.finish_reason) for ask, row in zip(job.plan, generations, strict=True)]
        size = batch_size(judge)
        for start in range(0, len(items), size):  # a batch is judged as a whole, also after an interruption: same batches, same verdicts
            rows = generations[start : start + size]
            if job.shard.takes(start // size) and any(row.key not in journal.rows for row in rows):
                for row, ruling in zip(rows, judge_each(judge, items[start : start + size]), strict=True):
                    journal.append(judgment(row, ruling, judge))
            job.progress("judge", start + len(rows), len(job.plan))
    return journal.finish(job.keys)


def judgment(row: Generation, ruling: Ruling, judge: Judge) -> Judgment:
    """The judge's ruling on a response, as it is kept."""
    return Judgment(row.key, ruling.outcome, judge_id(judge), ruling.explanation, ruling.correct, response_digest(row))


def judge_cards(
    plan: Sequence[Ask], generations: Sequence[Generation], judgments: Sequence[Judgment], judge: Judge, reference: Judge | None
) -> tuple[JudgeCard, ...]:
    """The judge's error against people's labels and against the reference, where there are any."""
    cards = []
    found = [row.outcome for row in judgments]
    for truth, asked in ((get_judge("human"), [bool(ask.prompt.label) for ask in plan]), (reference, [True] * len(plan))):
        if truth is None or truth.name == judge.name or not any(asked):
            continue
        labels = [truth.judge(ask.prompt, row.response, row.finish_reason).outcome for ask, row in zip(plan, generations, strict=True)]
        kept = [i for i, wanted in enumerate(asked) if wanted]
        cards.append(agreement([found[i] for i in kept], [labels[i] for i in kept], judge=judge_id(judge), reference=truth.name))
    return tuple(cards)
