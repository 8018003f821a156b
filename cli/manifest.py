"""`manifest.json`: what a run was made from. Volatile facts (clock, host, process, durations) stand under `volatile` alone.

A manifest never holds a secret: texts and keys that look like one are replaced before it is written.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel, ValidationError

from ..evals.config import EvalConfig
from ..evals.types import SCHEMA_VERSION
from ..prompts.errors import InputError
from ..prompts.files import read_json
from .secrets import redact

MANIFEST = "manifest.json"
PACKAGES = (
    "truenorth",
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "bitsandbytes",
    "lm_eval",
    "tokenizers",
    "numpy",
    "scipy",
)
REQUIRED = {"schema_version": int, "command": str, "config": dict, "volatile": dict}


def build_manifest(
    command: str,
    config: BaseModel | Mapping[str, Any],
    *,
    profile: str = "",
    baseline: str | None = None,
    candidates: Sequence[str] = (),
    seeds: Mapping[str, int] | None = None,
    dtype: str = "",
    threads: int | None = None,
    hashes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The manifest of a fresh run.

    Args:
        command: `run`, `train`, `eval` or `compare`.
        config: everything that determines the results; a resume compares it.
        profile: shipped profile it started from.
        baseline: label of the model that the others are compared with; None without one.
        candidates: labels of the other models.
        seeds: every seed by its name.
        dtype: of the models' weights.
        threads: CPU threads; chosen once, a resume takes them from here.
        hashes: sha256 of data, suites, template, adapters by name.
    """
    settings = config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config)
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        **_arguments(),
        "profile": profile,
        "config": redact(settings),
        "baseline": baseline,
        "candidates": list(candidates),
        "seeds": dict(seeds or {}),
        "versions": versions(),
        "git": git_state(),
        "dtype": dtype,
        "threads": threads,
        "hashes": dict(hashes or {}),
        "attempts": [],
        "volatile": volatile(),
    }


def _arguments() -> dict[str, Any]:
    """What the user typed, where a command line was typed."""
    context = click.get_current_context(silent=True)
    typed = context.find_root().obj if context else None
    return {"argv": redact(list(typed))} if isinstance(typed, tuple) else {}


def read_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run folder.

    Raises:
        InputError: there is no such folder, it is not a run, or its manifest is damaged or from a newer version.
    """
    if not run.exists():
        raise InputError("no such run folder", file=run, advice="Give the --out folder of `truenorth run`, `eval` or `compare`.")
    path = run / MANIFEST
    if not run.is_dir() or not path.exists():
        raise InputError(
            f"is not a run: it has no {MANIFEST}", file=run, advice="Give the --out folder of `truenorth run`, `eval` or `compare`."
        )
    manifest = read_json(path, "manifest")
    if not isinstance(manifest, dict):
        raise InputError("is not a manifest of ours: not an object", file=path)
    for key, kind in REQUIRED.items():
        if not isinstance(manifest.get(key), kind):
            raise InputError(f"is not a manifest of ours: no {kind.__name__} here", file=path, field=key)
    if manifest["schema_version"] > SCHEMA_VERSION:
        raise InputError(
            f"schema version {manifest['schema_version']} is newer than {SCHEMA_VERSION}, the newest that this version of truenorth reads",
            file=path,
            advice="Upgrade truenorth.",
        )
    return manifest


def eval_config(manifest: Mapping[str, Any], run: Path) -> EvalConfig:
    """The evaluation settings of a run: gates, and what undecided ones mean.

    Raises:
        InputError: they are malformed.
    """
    try:
        return EvalConfig.model_validate(manifest["config"].get("eval") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(["config", "eval", *map(str, first["loc"])])
        raise InputError(first["msg"], file=run / MANIFEST, field=place) from None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine results; nothing is imported."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """Commit of the checkout that this code runs from and whether it has changes; both None for an installed package."""
    folder = Path(__file__).resolve().parent
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != folder.parent:
        return {"commit": None, "dirty": None}
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def volatile() -> dict[str, Any]:
    """What differs between two equal runs."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "pid": os.getpid(),
        "durations_s": {},
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
