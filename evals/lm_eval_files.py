"""What `lm_eval --output_path DIR --log_samples` left behind as a finished evaluation of ours: two can be compared by document.

Read are `results_*.json` (the newest by its name) and the `samples_*.jsonl` beside it. Per document the first of `acc` and `exact_match`
counts, from the first filter. Left out: aggregates that no document shows (perplexity, F1 over a corpus), and lm-eval's standard errors,
which know nothing of the pairing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..prompts.errors import InputError
from ..prompts.files import iter_jsonl, read_json, sha256_bytes, to_json
from .capability import SCORES
from .slices import measure
from .store import Scored, generation_journal, judgment_journal, score_journal, write_prompts, write_run
from .types import DocumentScore, EvalRun, ModelCard

_SETTINGS = ("chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn")
_CONFIG = ("limit", "random_seed", "numpy_seed", "torch_seed", "fewshot_seed")


def results_file(path: Path) -> Path | None:
    """The newest results_*.json that a path means: the file itself, or one in the folder or a folder below; None where there is none."""
    if path.is_file():
        return path if path.name.startswith("results_") and path.suffix == ".json" else None
    return max((*path.glob("results_*.json"), *path.glob("*/results_*.json")), key=lambda file: file.name, default=None)


def import_lm_eval(path: Path, folder: Path) -> EvalRun:
    """Read lm-eval's output and write it to `folder` as a finished evaluation.

    Raises:
        InputError: it is no output of lm-eval, its samples were not logged, or a task has no per-document accuracy.
    """
    file = results_file(path)
    result = read_json(file, "lm-eval results") if file else None
    if file is None or not isinstance(result, dict) or not isinstance(result.get("results"), dict):
        raise InputError("is no output of lm-eval", file=path, advice="Give the folder of `lm_eval --output_path DIR --log_samples`.")
    tasks = {name: list(_documents(file, name)) for name in sorted(result["results"]) if name not in (result.get("groups") or {})}
    run = EvalRun(
        model=_card(result),
        suites={name: _digest(result, name, rows) for name, rows in tasks.items()},
        decodings=(),
        judge="",
        metrics=(),
        documents=tuple(row for rows in tasks.values() for row in rows),
        settings=_settings(result, tasks),
    )
    run = EvalRun(run.model, run.suites, (), "", measure(run), documents=run.documents, settings=run.settings)
    _write(folder, run)
    return run


def _documents(file: Path, task: str) -> Iterator[DocumentScore]:
    samples = file.with_name(f"samples_{task}_{file.stem.removeprefix('results_')}.jsonl")
    if not samples.is_file():
        raise InputError(
            f"the documents of task {task!r} are not there: no {samples.name}", file=file, advice="Run lm_eval with --log_samples."
        )
    first_filter, metric = None, ""
    for line, row in iter_jsonl(samples, "samples"):
        if not metric:
            first_filter, metric = row.get("filter"), next((name for name in SCORES if name in row), "")
        value = row.get(metric)
        if not metric or not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(f"task {task!r} has no {' or '.join(SCORES)} here", file=samples, line=line, field=metric or SCORES[0])
        if row.get("filter") == first_filter:
            yield DocumentScore(task, str(row.get("doc_id")), float(value))


def _card(result: Mapping[str, Any]) -> ModelCard:
    """The model as lm-eval names it; its label is the last part of that name, or of the adapter's."""
    config = result.get("config") or {}
    arguments = config.get("model_args") or {}
    given = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part) if isinstance(arguments, str) else dict(arguments)
    adapter = str(given.get("peft") or "")
    name = str(given.get("pretrained") or result.get("model_name") or "model")
    label = PurePosixPath(adapter or name).name or "model"
    return ModelCard(label, name, str(config.get("model_sha") or ""), adapter=adapter, dtype=str(config.get("model_dtype") or ""))


def _digest(result: Mapping[str, Any], task: str, rows: list[DocumentScore]) -> str:
    """lm-eval's own hash of a task's documents and prompts; else one of the documents' names."""
    own = (result.get("task_hashes") or {}).get(task)
    return str(own) if own else sha256_bytes(to_json([row.doc_id for row in rows]).encode())


def _settings(result: Mapping[str, Any], tasks: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be equal: few-shot examples, versions, chat template, limit and seeds."""
    config = result.get("config") or {}
    by_task = {f"{key} of {task}": (result.get(key) or {}).get(task) for key in ("n-shot", "versions") for task in tasks}
    return by_task | {key: result.get(key) for key in _SETTINGS} | {key: config.get(key) for key in _CONFIG}


def _write(folder: Path, run: EvalRun) -> None:
    write_prompts(folder, {})
    with generation_journal(folder), judgment_journal(folder), score_journal(folder) as scores:
        for row in run.documents:
            scores.append(Scored("", row))
    write_run(folder, run)
