"""A run folder -> RUN/report/, and the model cards in it: read, decide, draw, write. Redone at any time; the same run gives the same bytes.

All pages are drawn before anything is written; tables are written a row at a time. Nothing comes from the clock, the machine or the
folder's place.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..evals.comparison import compare
from ..evals.config import EvalConfig
from ..evals.correction import with_corrections
from ..evals.gates import make_gates
from ..evals.judge_card import JUDGE_CARD, read_judge_card
from ..evals.labelling import LABELS, read_labels
from ..evals.safe_text import without_secrets
from ..evals.store import judgment_journal, read_run
from ..evals.types import CandidateComparison, Comparison, EvalRun, JudgeCard, Outcome
from ..prompts.errors import InfrastructureError, InputError
from ..prompts.files import atomic_stream, atomic_write, read_json, read_text, sha256_bytes, to_json
from .csv_files import write_csv
from .exports import export_files
from .html import render_html
from .json_file import render_json
from .junit import render_junit
from .markdown import render_markdown
from .model_card import write_model_cards
from .parquet_files import write_parquet
from .redact import redact as redacted
from .report import Curve, Report, Verdicts
from .section import Export, Section
from .sections import build_sections
from .series import series_of, step_of

_STABLE = (
    "schema_version",
    "command",
    "argv",
    "profile",
    "config",
    "baseline",
    "candidates",
    "seeds",
    "versions",
    "git",
    "dtype",
    "threads",
    "hashes",
)
"""What of the manifest is shown: not the clock, not the host, not how often the run was interrupted."""


def build_report(run_folder: Path, out: Path | None = None, *, redact: bool = False, exports: Sequence[str] = ()) -> Comparison:
    """Decide a run and write its report; a run that is still going on gets one that says so, with what is finished.

    Args:
        run_folder: a folder with manifest.json and eval/LABEL/ for every label that the manifest names.
        out: where the files go; RUN/report by default.
        redact: replace texts that may be harmful by their digests (`redact.py`).
        exports: other tools' formats (`exports.FORMATS`), written to the folder `export` beside the report.

    Returns:
        The comparison that the report shows, not redacted.

    Raises:
        InputError: the folder is no run, an evaluation of a finished run is missing or damaged, or `out` can't be written.
        InfrastructureError: the run is not finished; the report is written.
    """
    manifest = _manifest(run_folder)
    unfinished = _unfinished(run_folder, manifest)
    comparison = _so_far(run_folder, manifest, unfinished) if unfinished else _compare(run_folder, manifest)
    curves = {name: _curve(run_folder / "train" / f"{name}.csv") for name in ("reward", "ppo")}
    shown = redacted(comparison) if redact else comparison
    checkpoints = () if unfinished else _checkpoints(run_folder, manifest, comparison)
    report = Report(shown, manifest, _run_name(manifest), curves, redact, unfinished, checkpoints, _second(run_folder, comparison))
    place = out or run_folder / "report"
    sections = build_sections(report)
    others = {f"export/{name}": text for name, text in export_files(report, exports).items()}
    _write(place, render(report, sections) | others, [export for section in sections for export in section.exports])
    if out is None and not unfinished:
        write_model_cards(run_folder, report)
    if unfinished:
        raise InfrastructureError(
            f"{run_folder}: the run is not finished ({', '.join(unfinished)} not evaluated)\n"
            f"{place / 'report.html'} shows what there is; run the same command again to finish, and this one to rebuild the report."
        )
    return comparison


def render(report: Report, sections: Sequence[Section]) -> dict[str, str]:
    """Content of every file of the report by its name, but for the sections' tables."""
    return {
        "report.html": render_html(report, sections),
        "summary.md": render_markdown(report),
        "results.json": render_json(report),
        "junit.xml": render_junit(report),
    }


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.exists():
        raise InputError(
            "is not a run folder: it has no manifest.json",
            file=folder,
            advice="Name a folder that `truenorth run`, `eval` or `compare` made.",
        )
    found = read_json(path, "manifest")
    if not isinstance(found, dict):
        raise InputError("is not a manifest: expected an object", file=path)
    kept: dict[str, Any] = _publishable({key: found[key] for key in _STABLE if key in found}, folder)
    return kept


def _compare(folder: Path, manifest: Mapping[str, Any]) -> Comparison:
    settings = _settings(folder, manifest)
    baseline, candidates = manifest.get("baseline"), manifest.get("candidates") or []
    if not candidates:
        raise InputError("names no candidate: nothing was evaluated", file=folder / "manifest.json", field="candidates")
    labelled = (manifest.get("config") or {}).get("labels")
    labels = read_labels(folder / LABELS) if labelled else ()
    comparison = compare(
        _read(folder, baseline) if baseline else None,
        [_read(folder, label) for label in candidates],
        make_gates(settings.gates),
        max_invalid_share=settings.max_invalid_share,
        require_probe=settings.probe == "check",
        labels=labels,
        judge_card=_judge_card(folder, manifest),
    )
    return with_corrections(comparison, labels)


def _judge_card(folder: Path, manifest: Mapping[str, Any]) -> JudgeCard | None:
    """The run's copy of the card that it was given."""
    config = manifest.get("config") or {}
    given = config.get("judge_card") or (config.get("eval") or {}).get("judge_card")
    return read_judge_card(folder / JUDGE_CARD) if given else None


def _checkpoints(folder: Path, manifest: Mapping[str, Any], comparison: Comparison) -> tuple[CandidateComparison, ...]:
    """Evaluations of candidates' checkpoints, `eval/ppo@20/`, as far as they are finished; without their replies."""
    candidates = [str(label) for label in manifest.get("candidates") or []]
    found = [(step, path.parent.name) for path in folder.glob("eval/*@*/results.json") if (step := step_of(path.parent.name)) is not None]
    labels = [label for _, label in sorted(found) if series_of(label) in candidates and label not in candidates]
    compared = compare(comparison.baseline, [_read(folder, label) for label in labels]).candidates
    return tuple(replace(item, candidate=replace(item.candidate, records=(), pairs=(), documents=())) for item in compared)


def _second(folder: Path, comparison: Comparison) -> Verdicts:
    """What other judges said of the same replies: judgments.NAME.jsonl of every evaluation."""
    labels = [run.model.label for run in (comparison.baseline, *(item.candidate for item in comparison.candidates)) if run]
    verdicts: dict[str, list[tuple[str, Outcome]]] = {}
    for path in (path for label in labels for path in sorted((folder / "eval" / label).glob("judgments.*.jsonl"))):
        for key, row in judgment_journal(path.parent, path.name.split(".", 1)[1].removesuffix(".jsonl")).rows.items():
            verdicts.setdefault(key, []).append((row.judge, row.outcome))
    return verdicts


def _unfinished(folder: Path, manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Labels that the run has yet to evaluate; none when it ended with a verdict, where a missing evaluation is damage."""
    if "verdict" in read_json(folder / "manifest.json", "manifest"):
        return ()
    labels = [manifest.get("baseline"), *(manifest.get("candidates") or [])]
    return tuple(label for label in labels if _is_label(label) and not (folder / "eval" / label / "results.json").exists())


def _so_far(folder: Path, manifest: Mapping[str, Any], unfinished: Sequence[str]) -> Comparison:
    """Finished evaluations side by side, without a baseline, gates or a verdict: half a comparison would mislead."""
    labels = [manifest.get("baseline"), *(manifest.get("candidates") or [])]
    runs = [_read(folder, label) for label in labels if label and label not in unfinished]
    return Comparison(None, tuple(CandidateComparison(run, (), (), "none") for run in runs), "none")


def _settings(folder: Path, manifest: Mapping[str, Any]) -> EvalConfig:
    try:
        return EvalConfig.model_validate((manifest.get("config") or {}).get("eval") or {})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("config", "eval", *(str(part) for part in first["loc"])))
        raise InputError(str(first["msg"]), file=folder / "manifest.json", field=field) from None


def _read(folder: Path, label: object) -> EvalRun:
    if not _is_label(label):
        raise InputError(f"{label!r} is no label of an evaluation", file=folder / "manifest.json", field="candidates")
    run = read_run(folder / "eval" / str(label))
    return replace(
        run,
        model=replace(run.model, **{name: _publishable(getattr(run.model, name), folder) for name in ("model", "adapter", "reward_model")}),
    )


def _is_label(label: object) -> bool:
    return isinstance(label, str) and label not in ("", ".", "..") and not {"/", "\0"} & set(label)


def _curve(path: Path) -> Curve:
    if not path.exists():
        return ()
    return tuple(
        {key: _cell(value) for key, value in row.items() if key and isinstance(value, str)}
        for row in csv.DictReader(io.StringIO(read_text(path, "training curve")))
    )


def _cell(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _run_name(manifest: Mapping[str, Any]) -> str:
    """Profile and a digest of what determines the results: the same run in another folder has the same name."""
    determined = {key: manifest.get(key) for key in ("config", "seeds", "hashes")}
    return f"{manifest.get('profile') or manifest.get('command') or 'run'}-{sha256_bytes(to_json(determined).encode())[:8]}"


def _publishable(value: Any, folder: Path) -> Any:
    """`value` with the run folder's own path, wherever it stands in it, as RUN, and without access tokens."""
    if isinstance(value, str):
        value = without_secrets(value)
        for path in (str(folder.resolve()), str(folder.absolute())):
            value = value.replace(path, "RUN")
        return value
    if isinstance(value, Mapping):
        return {key: _publishable(item, folder) for key, item in value.items()}
    return [_publishable(item, folder) for item in value] if isinstance(value, list | tuple) else value


def _write(out: Path, files: Mapping[str, str], tables: Sequence[Export]) -> None:
    try:
        for name, content in files.items():
            atomic_write(out / name, content)
        for table in tables:
            with atomic_stream(out / table.file) as stream:
                write_csv(table, stream)
            if table.parquet:
                with atomic_stream(out / table.parquet) as stream:
                    write_parquet(table, stream)
    except OSError as error:
        raise InputError(f"the report can't be written: {error.strerror or error}", file=out, advice="Choose another folder.") from None
