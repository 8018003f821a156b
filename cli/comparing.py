"""`truenorth compare`: a run folder made from finished evaluations. It holds copies of them, so its report can be rebuilt from it alone."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..evals.config import EvalConfig
from ..evals.gates import make_gates
from ..evals.judge_card import JUDGE_CARD, read_judge_card, refuse_other_judge
from ..evals.labelling import LABELS, read_labels
from ..evals.lm_eval_files import import_lm_eval, results_file
from ..evals.store import read_run
from ..evals.types import Comparison
from ..prompts.errors import InputError
from ..prompts.files import atomic_write, sha256_file
from .console import say
from .finished import adopt_evaluation, evaluation_folder
from .gates_file import load_gates
from .judge_card import keep_card
from .manifest import MANIFEST, build_manifest, eval_config, read_manifest
from .run_folder import RunFolder
from .verdict import exit_code


def run_comparison(
    base: Path,
    candidates: Sequence[Path],
    out: Path,
    gates: str | None,
    labels: Path | None = None,
    judge_card: Path | None = None,
) -> tuple[Comparison, int]:
    """Copy, decide and report.

    Args:
        base: a run, or an evaluation in one, or what lm-eval wrote (`--output_path DIR --log_samples`).
        candidates: the same.
        out: the comparison's folder.
        gates: a gates file or profile; those of the first candidate's run by default.
        labels: people's labels of both models' responses (`truenorth labels`); copied to OUT/labels.csv.
        judge_card: the judge's card, copied too; that of the first candidate's run by default.

    Raises:
        InputError: a folder is no finished evaluation, a gates or labels file or a card is wrong, or the card is another judge's.
    """
    if labels is not None:
        read_labels(labels)
        if len(candidates) > 1:
            raise InputError(f"--labels belong to one candidate; {len(candidates)} are given", file=labels)

    with tempfile.TemporaryDirectory() as scratch:
        folders = [_evaluation(path, Path(scratch) / f"{number}" / path.resolve().name) for number, path in enumerate((base, *candidates))]
        card = _card(judge_card, folders[1:])
        return _compared(_labelled(folders), out, gates, labels, card)


def _evaluation(path: Path, scratch: Path) -> Path:
    """The evaluation that a path means; lm-eval's own output is read into `scratch` first."""
    if (path / MANIFEST).exists() or results_file(path) is None:
        return evaluation_folder(path)
    folder = scratch / "eval" / "lm-eval"
    import_lm_eval(path, folder)
    return folder


def _card(given: Path | None, candidates: Sequence[Path]) -> Path | None:
    """The card that corrects the candidates' rates: the one that was given, else the first candidate's run's own copy."""
    own = candidates[0].resolve().parents[1] / JUDGE_CARD
    path = given or (own if own.is_file() else None)
    if path is not None:
        card = read_judge_card(path)
        for folder in candidates if given else candidates[:1]:
            refuse_other_judge(card, read_run(folder).judge, path)
    return path


def _compared(sources: dict[str, Path], out: Path, gates: str | None, labels: Path | None, card: Path | None) -> tuple[Comparison, int]:
    from ..reports.build import build_report

    settings = EvalConfig.model_validate(load_gates(gates)) if gates else _settings(next(iter(list(sources.values())[1:])))
    make_gates(settings.gates)
    names = list(sources)
    config: dict[str, Any] = {
        "eval": settings.model_dump(mode="json", include={"gates", "max_invalid_share", "inconclusive", "probe"}),
        "evaluations": {label: sha256_file(folder / "results.json") for label, folder in sources.items()},
    }
    config |= {name: sha256_file(path) for name, path in (("labels", labels), ("judge_card", card)) if path is not None}
    manifest = build_manifest("compare", config, baseline=names[0], candidates=names[1:], hashes=config["evaluations"])
    with RunFolder.open(out, manifest) as run:
        for label, folder in sources.items():
            run.do(f"adopt {label}", (f"eval/{label}/results.json",), lambda: adopt_evaluation(folder, out, label), say)  # noqa: B023 - done at once
        if labels is not None:
            run.do("labels", (LABELS,), partial(_copy, labels, out / LABELS), say)
        keep_card(run, card.read_bytes() if card else None)
        comparison = build_report(out)
        code = exit_code(comparison, settings.inconclusive)
        run.finish(comparison.verdict, code)
    return comparison, code


def _copy(source: Path, target: Path) -> None:
    atomic_write(target, source.read_bytes())


def _labelled(folders: Sequence[Path]) -> dict[str, Path]:
    """A label for each evaluation: its own, with its run's name in front where two are called the same."""
    own = [read_run(folder).model.label for folder in folders]
    labels: dict[str, Path] = {}
    for folder, label in zip(folders, own, strict=True):
        name = label if own.count(label) == 1 else f"{folder.resolve().parents[1].name}-{label}"
        count = sum(known == name or known.startswith(f"{name}-") for known in labels)
        labels[f"{name}-{count + 1}" if name in labels else name] = folder
    return labels


def _settings(folder: Path) -> EvalConfig:
    """What the run of an evaluation declared; nothing where it stands alone."""
    run = folder.resolve().parents[1]
    return eval_config(read_manifest(run), run) if (run / MANIFEST).is_file() else EvalConfig()
