"""Stage 5: capability tasks -> rows of scores.jsonl, and lm-eval's own result beside them."""

from __future__ import annotations

from collections.abc import Sequence

from ...prompts.errors import InputError
from ..capability import HoldsModule, run_task
from ..capability_task import CapabilityTask
from ..store import Scored, forget_results, score_journal
from ..types import DocumentScore
from .job import Job, digest_of, refuse_strangers


def score_documents(job: Job, scored: Sequence[str], tasks: Sequence[CapabilityTask]) -> None:
    """Run the tasks that are missing, and put scores.jsonl into canonical order: `scored`, then the tasks' documents.

    A task's rows are written all at once: half a task would pass for a whole one. The first of several processes runs all tasks.

    Raises:
        InputError: the journal holds rows that were not asked for, or the backend can't run capability tasks.
    """
    journal = score_journal(job.folder, resume=True, shard=job.shard)
    sources = {_task_source(job, task): task for task in tasks}
    documents = {key: row.source for key, row in journal.rows.items() if key.startswith("document/")}
    there = {source: [key for key, made in documents.items() if made == source] for source in sources}
    refuse_strangers(journal, [*scored, *(key for keys in there.values() for key in keys)])
    for done, (source, task) in enumerate(sources.items() if job.shard.main else (), 1):
        if not there[source]:
            forget_results(job.folder)
            rows = [Scored(source, score) for score in _run_task(job, task)]
            journal.rows |= {row.key: row for row in rows}
            there[source] = [row.key for row in rows]
            journal.write([*scored, *(key for keys in there.values() for key in keys)])
        job.progress("capability", done, len(tasks))
    journal.finish([*scored, *(key for keys in there.values() for key in keys)])


def _task_source(job: Job, task: CapabilityTask) -> str:
    card, config = job.card, job.config
    model = (card.model_sha256, card.adapter_sha256, card.tokenizer_sha256, card.dtype)
    return digest_of(*model, task.digest, str(config.limit), str(config.seed))


def _run_task(job: Job, task: CapabilityTask) -> list[DocumentScore]:
    if not isinstance(job.model, HoldsModule):
        raise InputError(f"this backend can't run capability task {task.name!r}", field="eval.capability")
    return run_task(job.model, task, adapter=job.adapter, limit=job.config.limit, seed=job.config.seed, out=job.folder / "lm_eval")
