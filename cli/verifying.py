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
from .earlier_report import links_without, unseen_judges
from .manifest import read_manifest
from .run_folder import digest


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    reason: str = ""


Said = tuple[bool, str]
"""Whether it is as it should be, and what there is to say."""


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


def _checked(what: str, check: Callable[[], Said]) -> Finding:
    try:
        return Finding(what, *check())
    except InputError as error:
        return Finding(what, False, " ".join(str(error).splitlines()))


def _metrics(folder: Path) -> Said:
    stored = read_run(folder)
    found = measure(stored)
    if len(stored.metrics) != len(found):
        return False, f"{len(stored.metrics)} metrics are stored, {len(found)} follow from the responses"
    wrong = [f"{old.metric} {old.suite} {old.decoding}".strip() for old, new in zip(stored.metrics, found, strict=True) if old != new]
    return not wrong, f"{len(wrong)} differ, the first is {wrong[0]}" if wrong else ""


def _report(run: Path, manifest: dict[str, Any]) -> Said:
    """The report, made again; one that is older than a further judge's verdicts has to be right without them."""
    reason = _differing(run, manifest, run)
    if reason and (unseen := unseen_judges(run)):
        judges = ", ".join(dict.fromkeys(unseen.values()))
        with tempfile.TemporaryDirectory() as scratch:
            if not _differing(run, manifest, links_without(run, unseen, Path(scratch) / "run")):
                return True, f"older than the verdicts of {judges}; `truenorth report {run}` shows them"
    return not reason, reason


def _differing(run: Path, manifest: dict[str, Any], source: Path) -> str:
    """What of the stored report does not come out of the evaluations in `source`; empty for nothing."""
    from ..reports.build import build_report

    stored = run / "report"
    redacted = bool(read_json(stored / "results.json", "report's results").get("redacted"))
    with tempfile.TemporaryDirectory() as scratch:
        comparison = build_report(source, Path(scratch), redact=redacted)
        differing = [file.name for file in sorted(Path(scratch).iterdir()) if not _same(file, stored / file.name)]
    if comparison.verdict != manifest["verdict"]:
        return f"the verdict is {comparison.verdict}, the manifest says {manifest['verdict']}"
    return f"{', '.join(differing)} can't be made again from the evaluations" if differing else ""


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and sha256_file(one) == sha256_file(other)
