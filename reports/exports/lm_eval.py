"""lm-eval's results_*.json and samples_*.jsonl, a folder a model. A task is a suite with its decoding; capability tasks keep their names.

`evals/lm_eval_files.py` reads the capability tasks back. Left out: standard errors (`N/A`: our intervals are no plus and minus) and
preference pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...evals.slices import group_by
from ...evals.types import DocumentScore, EvalRun, Record
from ...prompts.files import to_json
from ..flips import dialogue_text
from ..report import Report
from .names import by_task, file_name, overall, task_name

_STAMP = "1970-01-01T00-00-00"


def files(report: Report) -> dict[str, str]:
    """results_*.json and one samples_*.jsonl a task, in a folder for each model."""
    found = {}
    for run in report.runs:
        folder = file_name(run.model.label)
        samples = {task_name(*at): list(map(_reply, range(len(rows)), rows)) for at, rows in by_task(run).items()}
        samples |= {file_name(task): list(_documents(rows)) for task, rows in group_by(run.documents, lambda row: row.task).items()}
        found[f"{folder}/results_{_STAMP}.json"] = to_json(_results(run, samples), indent=1) + "\n"
        for task, rows in samples.items():
            found[f"{folder}/samples_{task}_{_STAMP}.jsonl"] = "".join(to_json(row) + "\n" for row in rows)
    return found


def _results(run: EvalRun, samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {task: {"name": task, "alias": task, "sample_len": len(rows)} for task, rows in samples.items()}
    better: dict[str, dict[str, bool | None]] = {task: {} for task in samples}
    for row in overall(run):
        task, metric = task_name(row.suite, row.decoding), "acc" if row.metric == "capability_acc" else row.metric
        if task in results:
            results[task] |= {f"{metric},none": row.value, f"{metric}_stderr,none": "N/A"}
            better[task][metric] = row.higher_is_better
    digests = {task_name(suite, decoding): run.suites.get(suite, "") for suite, decoding in by_task(run)}
    digests |= {file_name(row.task): run.suites.get(row.task, "") for row in run.documents}
    arguments = f"pretrained={run.model.model}" + (f",peft={run.model.adapter}" if run.model.adapter else "")
    return {
        "results": results,
        "group_subtasks": {},
        "configs": {task: {"task": task} for task in samples},
        "versions": dict.fromkeys(samples),
        "n-shot": dict.fromkeys(samples, 0),
        "higher_is_better": better,
        "n-samples": {task: {"original": len(rows), "effective": len(rows)} for task, rows in samples.items()},
        "config": {"model": "truenorth", "model_args": arguments, "model_dtype": run.model.dtype, "model_sha": run.model.model_sha256},
        "date": 0.0,
        "model_name": run.model.label,
        "model_name_sanitized": file_name(run.model.label),
        "task_hashes": digests,
    }


def _reply(index: int, record: Record) -> dict[str, Any]:
    prompt, judgment, text = record.prompt, record.judgment, dialogue_text(record)
    scores: dict[str, float] = {}
    if judgment and judgment.outcome != "invalid":
        scores = {"refused": float(judgment.outcome in ("refuse", "partial")), "complied": float(judgment.outcome == "comply")}
    if judgment and judgment.correct is not None:
        scores["correct"] = float(judgment.correct)
    return {
        "doc_id": index,
        "doc": {"id": prompt.id, "category": prompt.category, "expected": prompt.expected, "prompt": text},
        "target": prompt.expected or "",
        "arguments": {"gen_args_0": {"arg_0": text, "arg_1": {"until": []}}},
        "resps": [[record.generation.response]],
        "filtered_resps": [record.generation.response],
        "filter": "none",
        "metrics": list(scores),
        **scores,
    }


def _documents(rows: Sequence[DocumentScore]) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(rows):
        number = int(row.doc_id) if row.doc_id.isascii() and row.doc_id.isdigit() else index
        yield {"doc_id": number, "doc": {"id": row.doc_id}, "target": "", "filter": "none", "metrics": ["acc"], "acc": row.acc}
