"""Checks a finished run against itself: hashes of its stages, metrics from the responses, the report from the metrics.

It proves that the files belong together, not who made them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..evals.slices import measure
from ..evals.store import read_run
from ..prompts.errors import InfrastructureError, InputError
from ..prompts.files import read_json, sha256_file
from .manifest import read_manifest
from .run_folder import digest


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    reason: str = ""


def verify(run: Path) -> list[Finding]:
    """Check everything that can be recomputed without a model.

    Raises:
        InputError: not a run.
        InfrastructureError: the run is not finished: nothing to verify yet.
    """
    manifest = read_manifest(run)
    if "verdict" not in manifest:
        raise InfrastructureError(f"{run}: the run is not finished\nRepeat its command to finish it.")
    labels = [label for label in (manifest.get("baseline"), *(manifest.get("candidates") or [])) if label]
    labels += sorted(path.parent.name for path in run.glob("eval/*@*/results.json"))  # checkpoints, which the manifest doesn't name
    return [
        *_stages(run, manifest),
        *(_checked(f"eval/{label}: metrics from the responses", partial(_metrics, run / "eval" / label)) for label in labels),
        _checked("report from the evaluations", partial(_report, run, manifest)),
    ]


def _stages(run: Path, manifest: dict[str, Any]) -> Iterator[Finding]:
    for stage, record in manifest.get("stages", {}).items():
        for name, expected in record["outputs"].items():
            found = digest(run / name)
            reason = "missing" if found is None else "" if found == expected else "changed since the run wrote it"
            yield Finding(f"{stage}: {name}", not reason, reason)


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        reason = check()
    except InputError as error:
        reason = " ".join(str(error).splitlines())
    return Finding(what, not reason, reason)


def _metrics(folder: Path) -> str:
    stored = read_run(folder)
    wrong = [
        f"{old.metric} {old.suite} {old.decoding}".strip() for old, new in zip(stored.metrics, measure(stored), strict=False) if old != new
    ]
    if len(stored.metrics) != len(measure(stored)):
        return f"{len(stored.metrics)} metrics are stored, {len(measure(stored))} follow from the responses"
    return f"{len(wrong)} differ, the first is {wrong[0]}" if wrong else ""


def _report(run: Path, manifest: dict[str, Any]) -> str:
    from ..reports.build import build_report

    stored = run / "report"
    redacted = bool(read_json(stored / "results.json", "report's results").get("redacted"))
    with tempfile.TemporaryDirectory() as scratch:
        comparison = build_report(run, Path(scratch), redact=redacted)
        differing = [file.name for file in sorted(Path(scratch).iterdir()) if not _same(file, stored / file.name)]
    if comparison.verdict != manifest["verdict"]:
        return f"the verdict is {comparison.verdict}, the manifest says {manifest['verdict']}"
    return f"{', '.join(differing)} can't be made again from the evaluations" if differing else ""


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and sha256_file(one) == sha256_file(other)
