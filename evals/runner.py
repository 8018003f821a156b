"""Runs one evaluation in numbered stages, each a function that reads the files of the ones before and can be redone alone.

    1 generate   prompts -> generations.jsonl        4 pairs        preference pairs -> scores.jsonl
    2 judge      generations -> judgments.jsonl      5 capability   lm-eval tasks -> scores.jsonl, lm_eval/
    3 score      reward and KL -> scores.jsonl       6 metrics      everything -> results.json

What is on disk is never computed again; what is on disk and was not asked for is an error, so that no number can come from another
model's leftovers. The probe is one more prompt, always greedy. Leaves out gates and comparison.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..prompts.errors import InputError
from ..prompts.probe import PROBE
from ..prompts.types import PairSet, Prompt, PromptSuite
from .capability_task import load_task
from .config import EvalConfig
from .judges import Judge, get_judge, judge_id
from .models.base import Generates, RewardModel
from .plan import Ask, make_decodings, make_plan
from .preference import Comparer
from .shards import ALONE, Shard
from .slices import measure
from .stages.applied import refuse_idle_adapter
from .stages.documents import score_documents
from .stages.generate import generate
from .stages.job import Job, Progress, place_of
from .stages.judge import judge_all, judge_cards
from .stages.score import score
from .store import attach_rows, generation_journal, read_run_card, write_prompts, write_run
from .types import Decoding, EvalRun
from .worst_pairs import write_worst


def evaluate(
    model: Generates,
    *,
    label: str,
    out: Path,
    config: EvalConfig,
    suites: Sequence[PromptSuite],
    adapter: str | None = None,
    pairs: Sequence[PairSet] = (),
    capability: Sequence[str] = (),
    judge: Judge | None = None,
    reference: Judge | None = None,
    probe: Prompt | None = PROBE,
    decodings: Sequence[Decoding] | None = None,
    reward_model: RewardModel | None = None,
    independent: RewardModel | None = None,
    comparer: Comparer | None = None,
    baseline: Path | None = None,
    progress: Progress | None = None,
    shard: Shard = ALONE,
) -> EvalRun:
    """Measure one model; everything goes to OUT/eval/LABEL/, and a second call goes on where the first one stopped.

    Args:
        model: answers; scores KL and reward where it can (`models/base.py`).
        label: folder name under eval/, e.g. `base`, `ppo`.
        out: the run folder.
        config: decodings, limit, seed, judge.
        suites: loaded suites; `config.limit` prompts of each are asked.
        adapter: name of the adapter switched on; None is the base.
        pairs: preference pairs that a reward model ranks.
        capability: lm-eval task names or YAML paths.
        judge: instead of the one that `config.judge` names.
        reference: a judge taken for the truth (people's labels are, where prompts carry them); the judge's error against it is recorded.
        probe: the request shown first; None where there is none to ask (replay).
        decodings: instead of those of `config`; a recording has its own.
        reward_model: scores instead of the model's own reward head.
        independent: a reward model that the policy was not trained against, for `win_rate`; the same for base and tuned.
        comparer: a judge that compares each response with the baseline's, in both orders.
        baseline: the baseline's finished evaluation, eval/LABEL: forward KL and the comparing judge read its responses.
        progress: called as rows are finished.
        shard: which part of the rows this process computes; all processes make the same call (`shards.py`).

    Raises:
        InputError: the label is no folder name, ids are not unique, or the folder is damaged or holds rows of another model, prompt set,
            judge or reward model; what is in it stays as it is.
        NothingToEvaluateError: a suite is empty.
        InfrastructureError: the adapter does nothing, the model gave fewer responses than asked for, or a score is not a finite number.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9@._-]*", label):
        raise InputError(f"label {label!r} is no folder name", advice="Use letters, digits, dots, dashes, underscores and @.")
    decodings = tuple(decodings or make_decodings(config.decodings))
    card = replace(model.card(adapter), label=label)
    if reward_model is not None:
        card = replace(card, reward_model=reward_model.name, reward_model_sha256=reward_model.sha256)
    plan = make_plan(card, suites, decodings, limit=config.limit, seed=config.seed, probe=probe)
    tasks = [load_task(name) for name in capability]
    base = {} if baseline is None else {place_of(row): row for row in generation_journal(baseline).rows.values()}
    job = Job(
        model, adapter, card, out / "eval" / label, plan, config, progress or _silent, reward_model or model, independent, comparer, base,
        shard, base_sha256=_bare_model(baseline) if baseline else "",
    )  # fmt: skip
    chosen = judge or get_judge(config.judge)

    if not (job.folder / "generations.jsonl").exists():
        refuse_idle_adapter(job)
    generations = generate(job)
    if shard.main:
        write_prompts(job.folder, _snapshot(plan))  # not before another run's folder was recognised
    judgments = judge_all(job, generations, chosen)
    score_documents(job, score(job, generations, pairs), tasks)

    digests = {source.name: source.sha256 for source in suites} | {group.name: group.sha256 for group in pairs}
    digests |= {task.name: task.digest for task in tasks}
    cards = judge_cards(plan, generations, judgments, chosen, reference)
    run = EvalRun(card, digests, decodings, judge_id(chosen), (), judge_cards=cards, settings=_settings(job))
    run = attach_rows(job.folder, run)
    run = replace(run, metrics=measure(run))
    if shard.main:
        write_worst(job.folder, run.pairs, pairs)
        write_run(job.folder, run)
    shard.meet()
    return run


def _settings(job: Job) -> dict[str, Any]:
    found = {"seed": job.config.seed, "limit": job.config.limit, "template_sha256": job.card.template_sha256, "dtype": job.card.dtype}
    return found | ({"independent_reward_model": job.independent_sha256} if job.independent_sha256 else {})


def _bare_model(folder: Path) -> str:
    """Digest of the model that an evaluation measured without an adapter; empty for one with an adapter."""
    card = read_run_card(folder)
    return "" if card.adapter_sha256 else card.model_sha256


def _snapshot(plan: Sequence[Ask]) -> dict[str, list[Prompt]]:
    suites: dict[str, dict[str, Prompt]] = {}
    for ask in plan:
        suites.setdefault(ask.suite, {})[ask.prompt.id] = ask.prompt
    return {name: list(prompts.values()) for name, prompts in suites.items()}


def _silent(stage: str, done: int, total: int) -> None:
    """No progress wanted."""
