"""Capability: lm-eval's tasks on the model that is already loaded, one score a document, so that base and tuned pair by document.

lm-eval's caches are not used: its keys know nothing of the model. Its own result stays beside ours, without the facts that change from
run to run. Global random state is put back. Leaves out reading task files (`capability_task.py`).
"""

from __future__ import annotations

import logging
import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..prompts.errors import InputError, NothingToEvaluateError
from ..prompts.files import atomic_write, to_json
from .capability_task import CapabilityTask
from .types import DocumentScore

BATCH_SIZE = 16
SCORES = ("acc", "exact_match")
"""Per-document figures that count as accuracy, the first that a task has."""
KEPT = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "samples")


@runtime_checkable
class HoldsModule(Protocol):
    """A model that can lend its module."""

    tokenizer: Any

    def using(self, adapter: str | None) -> Any:
        """Context manager that gives the causal language model with that adapter on (None: the base), in eval mode without gradients."""
        ...


def run_task(
    model: HoldsModule, task: CapabilityTask, *, adapter: str | None, limit: int | None = None, seed: int = 0, out: Path | None = None
) -> list[DocumentScore]:
    """Accuracy of every document of a task (of every member, where the task is a group).

    Args:
        model: lends its module.
        task: from `load_task`.
        adapter: switched on for the time of the run.
        limit: first N documents of each task.
        seed: draws the few-shot examples.
        out: folder for lm-eval's own result, TASK.json.

    Raises:
        InputError: the task reports no per-document accuracy, or its data can't be read.
        NothingToEvaluateError: no documents.
    """
    with model.using(adapter) as module, _random_state_kept(), _quiet(), tempfile.TemporaryDirectory() as cache:
        result = _simple_evaluate(module, model.tokenizer, task, limit, seed, cache)
    group = task.name if len(result["samples"]) > 1 else ""
    scores = [score for name, rows in result["samples"].items() for score in _scores(name, rows, group, task.cluster_by)]
    if not scores:
        raise NothingToEvaluateError(f"capability task {task.name!r} has no documents")
    if out is not None:
        atomic_write(out / f"{_file_name(task.name)}.json", to_json(_kept(result, task), indent=1) + "\n")
    return scores


def _simple_evaluate(module: Any, tokenizer: Any, task: CapabilityTask, limit: int | None, seed: int, cache: str) -> dict[str, Any]:
    from jinja2 import TemplateError
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    from .models.harness import EngineLM

    specs: list[Any] = [task.spec] if isinstance(task.spec, str) else [_with_cache(spec, cache) for spec in task.spec]
    try:
        return simple_evaluate(  # type: ignore[no-any-return]
            model=EngineLM(module, tokenizer, BATCH_SIZE),
            tasks=specs,
            task_manager=TaskManager(include_defaults=isinstance(task.spec, str)),
            limit=limit,
            bootstrap_iters=0,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    except (TemplateError, ValueError, LookupError, TypeError, OSError) as error:  # what a wrong document or setting leads to
        raise InputError(f"capability task {task.name!r}: {type(error).__name__}: {error}", field="eval.capability") from error


def _with_cache(spec: Mapping[str, Any], cache: str) -> dict[str, Any]:
    """The settings, with the data set's cache in a folder that goes away: a stale one could stand for changed data."""
    return {**spec, "dataset_kwargs": {**spec["dataset_kwargs"], "cache_dir": cache}}


def _scores(task: str, rows: Sequence[Mapping[str, Any]], group: str, cluster_by: str) -> Iterator[DocumentScore]:
    """One score a document, from the first filter; clustered by a field of the documents where one is named."""
    if not rows:
        return
    name = next((name for name in SCORES if name in rows[0]), None)
    if name is None:
        has = ", ".join(map(str, rows[0].get("metrics", ()))) or "none"
        raise InputError(f"task {task!r} reports no {' or '.join(SCORES)} per document; it has: {has}", field="eval.capability")
    for row in rows:
        if row.get("filter") == rows[0].get("filter"):
            yield DocumentScore(task, str(row["doc_id"]), float(row[name]), group, _cluster(row, cluster_by))


def _cluster(row: Mapping[str, Any], field: str) -> str:
    document = row.get("doc")
    if not field:
        return ""
    if not isinstance(document, Mapping) or document.get(field) is None:
        raise InputError(f"document {row['doc_id']} has no {field!r}", field="metadata.cluster_by")
    return str(document[field])


def _kept(result: Mapping[str, Any], task: CapabilityTask) -> Any:
    """lm-eval's result without clock, machine and temporary paths, and with nothing that JSON lacks."""
    kept = {name: result[name] for name in KEPT if name in result}
    if not isinstance(task.spec, str):
        kept["configs"] = {
            spec["task"]: {**spec, "dataset_kwargs": {"data_files": _names(spec["dataset_kwargs"]["data_files"])}} for spec in task.spec
        }
    return _plain(kept)


def _names(files: Any) -> Any:
    """Data files without their folders: the same task has the same bytes wherever it lies."""
    if isinstance(files, Mapping):
        return {split: _names(part) for split, part in files.items()}
    return [_names(part) for part in files] if isinstance(files, list | tuple) else Path(files).name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _file_name(task: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in task)


@contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval's notes to task authors, and the data set's own progress bar; both are put back."""
    import datasets

    logger, bars = logging.getLogger("lm_eval"), datasets.utils.logging.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """lm-eval seeds the global generators; give back what was there."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
