"""Judges again what was generated, with another judge: adds judgments.NAME.jsonl, overwrites nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..prompts.errors import InputError
from .judges import Item, Judge, batch_size, judge_each, judge_id
from .slices import measure
from .stages.judge import judgment
from .store import PROBE_SUITE, join_records, judgment_journal, read_run, refuse_stale_verdicts
from .types import EvalRun, Score


def judge_again(folder: Path, judge: Judge) -> EvalRun:
    """The finished evaluation of `folder` (eval/LABEL) as another judge sees it; its verdicts go to judgments.NAME.jsonl, resumably.

    Raises:
        InputError: the folder holds no finished evaluation, or verdicts of another revision of that judge or on other responses.
    """
    run = read_run(folder)
    journal = judgment_journal(folder, judge.name, resume=True)
    others = {row.judge for row in journal.rows.values()} - {judge_id(judge)}
    if others:
        raise InputError(f"verdicts of {', '.join(sorted(others))} stand here", file=journal.path, advice="Remove the file to judge anew.")
    asked = (*((run.probe,) if run.probe else ()), *run.records)
    refuse_stale_verdicts(journal, [record.generation for record in asked])
    with journal:
        for start in range(0, len(asked), size := batch_size(judge)):
            rows = asked[start : start + size]
            if all(record.generation.key in journal.rows for record in rows):
                continue
            items = [Item(record.prompt, record.generation.response, record.generation.finish_reason) for record in rows]
            for record, ruling in zip(rows, judge_each(judge, items), strict=True):
                journal.append(judgment(record.generation, ruling, judge))
    journal.finish([record.generation.key for record in asked])
    return _seen_by(folder, run, judge, {record.generation.key: record.score for record in asked if record.score})


def _seen_by(folder: Path, run: EvalRun, judge: Judge, scores: dict[str, Score]) -> EvalRun:
    records = join_records(folder, scores, judge.name)
    seen = replace(
        run,
        judge=judge_id(judge),
        records=tuple(row for row in records if row.suite != PROBE_SUITE),
        probe=next((row for row in records if row.suite == PROBE_SUITE), None),
        judge_cards=(),
    )
    return replace(seen, metrics=measure(seen))
