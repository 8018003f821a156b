"""Reads a capability task: the name of one that lm-eval ships, or a YAML file beside its own data.

A YAML file is data here, never code: `!function`, includes, loading scripts, unknown keys, files outside its folder and templates
that reach for Python's internals are refused. Leaves out running it (`capability.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ..prompts.errors import InputError
from ..prompts.files import read_text, sha256_bytes, sha256_file, to_json
from .plan import nearest

KEYS = frozenset(
    {
        *("task", "task_alias", "tag", "metadata", "dataset_path", "dataset_name", "dataset_kwargs", "num_fewshot", "repeats"),
        *("training_split", "validation_split", "test_split", "fewshot_split", "output_type", "description"),
        *("doc_to_text", "doc_to_target", "doc_to_choice", "target_delimiter", "fewshot_delimiter"),
        *("metric_list", "generation_kwargs", "filter_list", "should_decontaminate", "doc_to_decontamination_query"),
    }
)
FORMATS = frozenset({"json", "csv", "parquet", "text"})
FILTERS = frozenset(
    {"capitalize", "first", "float", "int", "join", "last", "length", "lower", "replace", "string", "title", "trim", "upper"}
)
_FILTERS = f"Filters: {', '.join(sorted(FILTERS))}."
_SUPPORTED = f"Supported: {', '.join(sorted(KEYS))}."


@dataclass(frozen=True, slots=True)
class CapabilityTask:
    """A task that is ready to run."""

    name: str
    digest: str
    """Of the YAML files and their data; of name and version for a task that lm-eval ships."""
    spec: str | tuple[Mapping[str, Any], ...]
    """What lm-eval is given: the name, or the settings of each task with absolute paths of the data."""
    cluster_by: str = ""
    """Field of the documents that says which belong together (`metadata.cluster_by`); empty: each stands alone."""


def load_task(name_or_path: str) -> CapabilityTask:
    """The task of a YAML file (a path that ends in .yaml or .yml), else the one that lm-eval ships under that name.

    A file with `group: NAME` and `task: [one.yaml, two.yaml]` is a group of local tasks, which lie in its folder.

    Raises:
        InputError: missing, malformed or unsafe; the message names file and field.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return _from_file(Path(name_or_path))
    from lm_eval.tasks import TaskManager

    known = TaskManager().all_tasks
    if name_or_path not in known:
        raise InputError(f"lm-eval has no task named {name_or_path!r}", field="eval.capability", advice=nearest(name_or_path, known)[:300])
    return CapabilityTask(name_or_path, sha256_bytes(f"{name_or_path} of lm-eval {version('lm_eval')}".encode()), name_or_path)


def _from_file(path: Path) -> CapabilityTask:
    spec = _parse(path)
    return _group(spec, path) if "group" in spec else _task(spec, path)


def _task(spec: Mapping[str, Any], path: Path) -> CapabilityTask:
    for key in spec:
        if key not in KEYS:
            raise InputError(f"{key!r} is not supported in a task file", file=path, field=str(key), advice=_SUPPORTED)
    if not isinstance(spec.get("task"), str) or not spec["task"].strip():
        raise InputError("a task needs a name", file=path, field="task")
    if spec.get("dataset_path") not in FORMATS:
        raise InputError(
            f"{spec.get('dataset_path')!r} is not one of {', '.join(sorted(FORMATS))}",
            file=path,
            field="dataset_path",
            advice="Put the data beside the task file and name it under dataset_kwargs.data_files.",
        )
    for field in ("doc_to_text", "doc_to_target", "doc_to_choice", "doc_to_decontamination_query", "description"):
        for template in _texts(spec.get(field)):
            _check_template(template, path, field)
    files = _data_files(spec, path)
    digest = sha256_bytes(to_json([sha256_file(path), *map(sha256_file, sorted(set(_leaves(files))))]).encode())
    return CapabilityTask(spec["task"], digest, ({**spec, "dataset_kwargs": {"data_files": files}},), _cluster_by(spec, path))


def _cluster_by(spec: Mapping[str, Any], path: Path) -> str:
    metadata = spec.get("metadata")
    field = metadata.get("cluster_by", "") if isinstance(metadata, dict) else ""
    if not isinstance(field, str):
        raise InputError(f"{field!r} is no name of a field", file=path, field="metadata.cluster_by")
    return field


def _group(spec: Mapping[str, Any], path: Path) -> CapabilityTask:
    name, files = spec.get("group"), spec.get("task")
    if set(spec) != {"group", "task"} or not isinstance(name, str) or not name.strip():
        raise InputError("a group has `group` (its name) and `task` (files), and nothing else", file=path, field="group")
    if not isinstance(files, list) or len(files) < 2:
        raise InputError("a group needs the files of two tasks or more", file=path, field="task")
    places = [Path(_inside(file, path, "task")) for file in files]
    members = [_task(_parse(place), place) for place in places]
    names = [member.name for member in members]
    if len({name, *names}) <= len(names):
        raise InputError(f"two of {', '.join([name, *names])} have the same name", file=path, field="task")
    if len({member.cluster_by for member in members}) > 1:
        raise InputError("its tasks have different metadata.cluster_by", file=path, field="task")
    specs = tuple(one for member in members if not isinstance(member.spec, str) for one in member.spec)
    digest = sha256_bytes(to_json([name, *(member.digest for member in members)]).encode())
    return CapabilityTask(name, digest, specs, members[0].cluster_by)


def _parse(path: Path) -> dict[str, Any]:
    try:
        spec = yaml.safe_load(read_text(path, "task file"))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        problem = getattr(error, "problem", None) or type(error).__name__
        raise InputError(f"not a plain YAML file: {problem}", file=path, line=line, advice="`!function` and other tags run code.") from None
    if not isinstance(spec, dict):
        raise InputError("a task file holds key: value lines", file=path)
    return spec


def _data_files(spec: Mapping[str, Any], path: Path) -> Any:
    """`data_files` with absolute paths, each inside the task file's folder."""
    kwargs = spec.get("dataset_kwargs")
    files = kwargs.get("data_files") if isinstance(kwargs, dict) else None
    if not isinstance(kwargs, dict) or set(kwargs) != {"data_files"} or not files:
        raise InputError("needs data_files and nothing else", file=path, field="dataset_kwargs")
    if isinstance(files, dict):
        return {split: _inside(name, path) for split, name in files.items()}
    return _inside(files, path)


def _inside(name: Any, path: Path, field: str = "dataset_kwargs.data_files") -> Any:
    if isinstance(name, list):
        return [_inside(one, path, field) for one in name]
    if not isinstance(name, str):
        raise InputError(f"{name!r} is not a file name", file=path, field=field)
    folder = path.parent.resolve()
    found = (folder / name).resolve()
    if not found.is_relative_to(folder) or any(sign in name for sign in "*?["):
        raise InputError(f"{name!r} is not a file inside {folder}", file=path, field=field)
    if not found.is_file():
        raise InputError(f"no such {'task' if field == 'task' else 'data'} file: {name}", file=path, field=field)
    return str(found)


def _leaves(files: Any) -> Iterator[Path]:
    if isinstance(files, str):
        yield Path(files)
    else:
        for part in files.values() if isinstance(files, dict) else files:
            yield from _leaves(part)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return [value]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []


def _check_template(template: str, path: Path, field: str) -> None:
    """Refuse what a template doesn't need: private attributes, and filters that fetch attributes by name."""
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment().parse(template)
    except TemplateSyntaxError as error:
        raise InputError(f"template: {error.message}", file=path, field=field) from None
    private = [node.attr for node in tree.find_all(nodes.Getattr) if node.attr.startswith("_")]
    private += [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str) and "__" in node.value]
    filters = [node.name for node in tree.find_all(nodes.Filter) if node.name not in FILTERS]
    statements = [type(node).__name__ for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends))]
    for refused in (*private, *filters, *statements):
        raise InputError(
            f"{refused!r} is not allowed in a template", file=path, field=field, advice=f"Filters: {', '.join(sorted(FILTERS))}."
        )
