"""Saved baselines: DIR/baselines/NAME/0001/, 0002/ ... A version is never changed; a new one says why, and what changed.

    NAME/0002/manifest.json      name, version, reason, gates, models, digests; `previous`: digest of version 1's manifest
    NAME/0002/diff.md            overall numbers that differ from the version before
    NAME/0002/eval/PART/         a finished evaluation, as in RUN/eval/LABEL: its prompts, responses, verdicts, scores, results

A part is what one suite (or the pairs, or the capability tasks) gave. Left out: whether a session may be saved (`align/blessing.py`).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evals.safe_text import for_markdown
from ..evals.store import read_run
from ..evals.types import SCHEMA_VERSION, EvalRun, MetricResult
from ..prompts.errors import InputError
from ..prompts.files import atomic_write, read_json, sha256_file, write_json
from .finished import adopt_evaluation
from .manifest import MANIFEST, git_state, versions, volatile
from .secrets import redact_text

FOLDER = "baselines"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Baseline:
    """One version."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def title(self) -> str:
        """`main/0002`."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def parts(self) -> Mapping[str, str]:
        """Part -> digest of its results.json."""
        return self.manifest["parts"]  # type: ignore[no-any-return]


def check_name(text: str, option: str, *, version: bool = False) -> None:
    """Refuse what can't be a baseline's name (with `version`: nor NAME/VERSION).

    Raises:
        InputError: it can't.
    """
    name, _, number = text.partition("/")
    if not _NAME.fullmatch(name) or (number and not (version and re.fullmatch(r"\d{1,6}", number))) or text.endswith("/"):
        raise InputError(f"{option} {text!r} is no name of a baseline", advice="Use letters, digits, dots, dashes and underscores: main.")


def find(reports: Path, text: str) -> Baseline | None:
    """The baseline NAME (its latest version) or NAME/VERSION; None where there is none.

    Raises:
        InputError: its manifest is damaged, or not the one that the version after it was made from.
    """
    name, _, number = text.partition("/")
    saved = _versions(reports / FOLDER / name)
    wanted = [folder for folder in saved if not number or int(folder.name) == int(number)]
    if not wanted:
        return None
    found = _read(wanted[-1])
    for later in saved:
        previous = _read(later).manifest.get("previous") or {}
        if previous.get("version") == found.folder.name and previous.get("manifest_sha256") != sha256_file(found.folder / MANIFEST):
            raise InputError("was changed after it was saved", file=found.folder / MANIFEST, advice="Restore it, or save a new version.")
    return found


def find_part(reports: Path, text: str, part: str) -> tuple[Path | None, str]:
    """Folder of a saved evaluation, or why there is none.

    Raises:
        InputError: the baseline is damaged.
    """
    baseline = find(reports, text)
    if baseline is None:
        known = ", ".join(sorted(folder.name for folder in (reports / FOLDER).glob("*") if _versions(folder))) or "none"
        return None, f"no baseline {text!r} was saved in {reports / FOLDER} (there: {known}); --align-save makes one"
    if part not in baseline.parts:
        return None, f"baseline {baseline.title} holds no {part} (it holds: {', '.join(baseline.parts)})"
    folder = baseline.folder / "eval" / part
    if not (folder / "results.json").is_file() or sha256_file(folder / "results.json") != baseline.parts[part]:
        raise InputError(
            "missing or changed since the baseline was saved", file=folder / "results.json", advice="Restore it, or save a new version."
        )
    return folder, ""


def suites_of(reports: Path, text: str) -> tuple[str, ...]:
    """The suites of a baseline, as they were asked for; none where there is no baseline.

    Raises:
        InputError: it is damaged.
    """
    baseline = find(reports, text)
    return tuple(suite for suite in baseline.manifest.get("asked", {}).values() if suite) if baseline else ()


def save(
    reports: Path, name: str, parts: Mapping[str, Path], *, asked: Mapping[str, str], reason: str, gates: Sequence[Mapping[str, str]]
) -> Baseline:
    """Add a version.

    Args:
        reports: the folder of `--align-report`.
        name: of the baseline.
        parts: part -> folder of a finished evaluation (eval/LABEL of a run).
        asked: part -> the suite as it was named; empty for pairs and capability.
        reason: why; needed from the second version on.
        gates: what passed: rows of the session's table.

    Raises:
        InputError: no reason, a part of the version before is missing, an evaluation is damaged, or the folder can't be written.
    """
    root = reports / FOLDER / name
    previous = find(reports, name)
    refuse_unfit(previous, parts, reason)
    number = 1 + max([0, *(int(folder.name) for folder in _versions(root))])
    draft, target = root / f".draft-{os.getpid()}", root / f"{number:04}"
    shutil.rmtree(draft, ignore_errors=True)
    for part, source in parts.items():
        adopt_evaluation(source, draft, part)
    diff = list(_diff(previous, draft, parts))
    atomic_write(draft / "diff.md", "\n".join(_diff_lines(name, previous, diff)))
    facts = {"name": name, "version": number, "reason": redact_text(reason) or "first version", "asked": dict(asked)}
    facts |= {"gates": [dict(gate) for gate in gates], "diff": diff}
    write_json(draft / MANIFEST, _manifest(facts, previous, draft, parts))
    try:
        draft.rename(target)
    except OSError:
        raise InputError("another session saved this version at the same time", file=target, advice="Run it again.") from None
    return _read(target)


def refuse_unfit(previous: Baseline | None, parts: Mapping[str, Path], reason: str) -> None:
    """Refuse a version that says less than the one before.

    Raises:
        InputError: it was given no reason, or lacks a part.
    """
    if previous is None:
        return
    if not reason:
        raise InputError(f"{previous.title} is there already", advice="Say why it gets a new version: --align-reason TEXT.")
    lost = [part for part in previous.parts if part not in parts]
    if lost:
        raise InputError(
            f"{previous.title} holds {', '.join(lost)}, and this session did not pass a gate on it", advice="Run the whole suite."
        )


def _versions(root: Path) -> list[Path]:
    found = [folder for folder in root.glob("*") if re.fullmatch(r"\d{4,6}", folder.name) and folder.is_dir()]
    return sorted(found, key=lambda folder: int(folder.name))


def _read(folder: Path) -> Baseline:
    path = folder / MANIFEST
    manifest = read_json(path, "baseline's manifest")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("parts"), dict) or manifest.get("schema_version") != SCHEMA_VERSION:
        raise InputError("is not a baseline's manifest that this version reads", file=path)
    return Baseline(folder, manifest)


def _manifest(facts: Mapping[str, Any], previous: Baseline | None, draft: Path, parts: Mapping[str, Path]) -> dict[str, Any]:
    runs = {part: read_run(draft / "eval" / part) for part in parts}
    named = ("model", "model_sha256", "adapter", "adapter_sha256", "reward_model", "reward_model_sha256")
    return {
        "schema_version": SCHEMA_VERSION,
        **facts,
        "previous": {"version": previous.folder.name, "manifest_sha256": sha256_file(previous.folder / MANIFEST)} if previous else None,
        "parts": {part: sha256_file(draft / "eval" / part / "results.json") for part in parts},
        "models": {part: {name: getattr(run.model, name) for name in named} for part, run in runs.items()},
        "suites": {part: dict(run.suites) for part, run in runs.items()},
        "versions": versions(),
        "git": git_state(),
        "volatile": volatile() | {"author": os.environ.get("GITHUB_ACTOR") or os.environ.get("USER") or ""},
    }


def _diff(previous: Baseline | None, draft: Path, parts: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    """Overall numbers that changed, appeared or went."""
    for part in parts if previous else ():
        assert previous is not None
        old = _overall(read_run(previous.folder / "eval" / part)) if part in previous.parts else {}
        new = _overall(read_run(draft / "eval" / part))
        for key in dict.fromkeys([*old, *new]):
            before, after = (numbers[key].value if key in numbers else None for numbers in (old, new))
            if before != after:
                yield {"part": part, "metric": key[0], "suite": key[1], "decoding": key[2], "old": before, "new": after}


def _overall(run: EvalRun) -> dict[tuple[str, str, str], MetricResult]:
    return {(row.metric, row.suite, row.decoding): row for row in run.metrics if not row.subset}


def _diff_lines(name: str, previous: Baseline | None, diff: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if previous is None:
        yield f"First version of {for_markdown(name)}.\n"
        return
    yield f"Against {for_markdown(previous.title)}:" + ("\n" if diff else " no overall number changed.\n")
    if diff:
        yield "| metric | suite | decoding | old | new |"
        yield "|---|---|---|--:|--:|"
    for row in diff:
        old, new = ("absent" if row[side] is None else f"{row[side]:.4g}" for side in ("old", "new"))
        yield f"| {row['metric']} | {for_markdown(row['suite'])} | {row['decoding']} | {old} | {new} |"
    yield ""
