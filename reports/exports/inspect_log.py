"""Logs that Inspect reads (`inspect view`, `read_eval_log`): JSON, one for each model, suite and decoding, with all samples.

Left out: capability documents, preference pairs, and differences between models: a log is of one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...evals.types import EvalRun, Record
from ...prompts.files import sha256_bytes, to_json
from ..report import Report
from .names import EPOCH, by_task, file_name, overall, task_name

_STOPS = {"stop": "stop", "length": "max_tokens", "replay": "unknown"}


def files(report: Report) -> dict[str, str]:
    """A log for each model, suite and decoding."""
    return {
        f"{file_name(run.model.label)}_{task_name(*at)}.json": to_json(_log(report, run, *at, rows), indent=1) + "\n"
        for run in report.runs
        for at, rows in by_task(run).items()
    }


def _log(report: Report, run: EvalRun, suite: str, decoding: str, records: Sequence[Record]) -> dict[str, Any]:
    task = task_name(suite, decoding)
    identity = sha256_bytes(f"{report.run}\0{run.model.label}\0{task}".encode("utf-8", "backslashreplace"))[:22]
    settings = next((item for item in run.decodings if item.name == decoding), None)
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "eval_id": identity,
            "run_id": identity,
            "task_id": identity,
            "created": EPOCH,
            "task": task,
            "dataset": {"name": suite, "samples": len({record.prompt.id for record in records}), "shuffled": False},
            "model": f"truenorth/{file_name(run.model.label)}",
            "config": {"epochs": settings.samples if settings else 1},
            "model_generate_config": {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens} if settings else {},
            "metadata": {
                "suite_sha256": run.suites.get(suite, ""),
                "judge": run.judge,
                "base": run.model.model,
                "adapter": run.model.adapter,
            },
        },
        "plan": {"name": "plan", "steps": []},
        "results": _results(run, suite, decoding, records),
        "stats": {"started_at": EPOCH, "completed_at": EPOCH, "model_usage": {}},
        "samples": [_sample(run, record) for record in records],
    }


def _results(run: EvalRun, suite: str, decoding: str, records: Sequence[Record]) -> dict[str, Any]:
    rows = [row for row in overall(run) if (row.suite, row.decoding) == (suite, decoding)]
    scores = []
    for row in rows:
        numbers = {row.metric: row.value, "ci_low": row.ci_low, "ci_high": row.ci_high}
        scores.append(
            {
                "name": row.metric,
                "scorer": row.judge or "truenorth",
                "scored_samples": row.n,
                "unscored_samples": row.n_invalid,
                "params": {"estimator": row.estimator, "unit": row.unit},
                "metrics": {name: {"name": name, "value": value, "params": {}} for name, value in numbers.items() if value is not None},
            }
        )
    return {"total_samples": len(records), "completed_samples": len(records), "scores": scores}


def _sample(run: EvalRun, record: Record) -> dict[str, Any]:
    prompt, generation, judgment, score = record.prompt, record.generation, record.judgment, record.score
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    reply = {"role": "assistant", "content": generation.response}
    scores: dict[str, Any] = {}
    if judgment:
        scores["outcome"] = {"value": judgment.outcome, "explanation": judgment.explanation, "metadata": {"judge": judgment.judge}}
        if judgment.correct is not None:
            scores["correct"] = {"value": judgment.correct}
    if score and score.reward is not None:
        scores["reward"] = {"value": score.reward}
    if score and score.kl_exact is not None:
        scores["kl"] = {"value": score.kl_exact}
    return {
        "id": prompt.id,
        "epoch": generation.sample + 1,
        "input": messages,
        "target": prompt.expected or "",
        "messages": [*messages, reply],
        "output": {
            "model": f"truenorth/{file_name(run.model.label)}",
            "choices": [{"message": reply, "stop_reason": _STOPS[generation.finish_reason]}],
        },
        "scores": scores,
        "metadata": {"category": prompt.category, "cluster": prompt.cluster},
        "store": {},
        "events": [],
        "model_usage": {},
        "attachments": {},
    }
