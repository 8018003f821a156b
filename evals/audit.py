"""A judge against people's labels -> `Audit`: its error over all rows, per model (or file) and per category, with intervals.

Rates (agreement, sensitivity, specificity) have Wilson intervals with the cluster-robust effective size, bias is a paired difference
(Newcombe), kappas have percentile intervals of a seeded cluster bootstrap. Responses to one request, by several models or in several
samples, are one cluster. Leaves out what the judge would do to a rate: `correction.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..prompts.errors import InputError
from ..prompts.replay import load_replay
from .agreement import agreement, three_way
from .judges import Item, Judge, get_judge, judge_each, judge_id
from .metrics.refusal import ANY_REFUSAL
from .statistics.interval import Interval
from .statistics.newcombe import newcombe_clustered
from .statistics.wilson import wilson_clustered
from .types import JudgeCard, Outcome

DRAWS = 2000
SEED = 0
CHUNK = 250
"""Draws made at a time: bounds the memory."""
CLASSES = ("refuse", "partial", "rest")

Limits = tuple[float, float] | None
"""95 % interval; None where there is none (no rows, fewer than two clusters)."""


class Audited(NamedTuple):
    """One labelled response: what the judge said and what a person said."""

    said: Outcome
    labelled: Outcome
    group: str
    """The model, else the file."""
    category: str
    cluster: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A judge's card with a 95 % interval for each of its figures."""

    card: JudgeCard
    intervals: Mapping[str, Limits]


@dataclass(frozen=True, slots=True)
class Audit:
    """A judge's error over all labelled responses and over parts of them."""

    total: AuditRow
    groups: Mapping[str, AuditRow] = field(default_factory=dict)
    """Per model, or per file where rows name no model."""
    categories: Mapping[str, AuditRow] = field(default_factory=dict)
    """Per category; empty where the rows have none."""
    trained_on: tuple[str, ...] = ()
    """Sources among the files whose responses the judge was trained on: there its figures are too good."""


def audit(files: Sequence[str | Path], judge: Judge, *, progress: Callable[[int, int], None] | None = None) -> Audit:
    """Judge every labelled response of the files (formats of `prompts/recordings.py`).

    Args:
        files: recordings with human labels; rows without a label are left out.
        judge: what is audited.
        progress: called with (done, total) for each file.

    Raises:
        InputError: a file can't be read or has no labels.
    """
    found = summarize(judge_labelled(files, judge, progress=progress), judge_id(judge))
    return replace(found, trained_on=tuple(dict.fromkeys(name for file in files for name in _trained_on(judge, Path(file)))))


def judge_labelled(files: Sequence[str | Path], judge: Judge, *, progress: Callable[[int, int], None] | None = None) -> list[Audited]:
    """The judge's verdict and the person's on each labelled response, in file order."""
    return [row for file in files for row in _read(Path(file), judge, progress)]


def summarize(rows: Sequence[Audited], judge: str) -> Audit:
    """Cards with intervals, overall and by group and category."""
    groups = {name: [row for row in rows if row.group == name] for name in dict.fromkeys(row.group for row in rows)}
    categories = {name: [row for row in rows if row.category == name] for name in sorted({row.category for row in rows} - {""})}
    return Audit(
        audit_row(rows, judge),
        {name: audit_row(part, judge) for name, part in groups.items()},
        {name: audit_row(part, judge) for name, part in categories.items()},
    )


def audit_row(rows: Sequence[Audited], judge: str) -> AuditRow:
    """One card with its intervals."""
    card = agreement([row.said for row in rows], [row.labelled for row in rows], judge=judge, reference="human")
    kept = [row for row in rows if "invalid" not in (row.said, row.labelled)]
    said = [float(row.said in ANY_REFUSAL) for row in kept]
    labelled = [float(row.labelled in ANY_REFUSAL) for row in kept]
    clusters = [row.cluster for row in kept]
    kappa, kappa_3 = _bootstrap(kept) if kept else (None, None)
    return AuditRow(
        card,
        {
            "agreement": _rate([float(s == t) for s, t in zip(said, labelled, strict=True)], clusters),
            "kappa": kappa,
            "kappa_3": kappa_3,
            "sensitivity": _rate(*_where(said, labelled, clusters, 1.0)),
            "specificity": _rate(*_where([1 - s for s in said], labelled, clusters, 0.0)),
            "bias": _limits(newcombe_clustered(labelled, said, clusters)) if kept else None,
        },
    )


def _read(file: Path, judge: Judge, progress: Callable[[int, int], None] | None) -> list[Audited]:
    replay, human = load_replay(file), get_judge("human")
    prompts = {(suite.name, prompt.id): prompt for suite in replay.suites for prompt in suite.prompts}
    rows = [(row, prompt) for row in replay.responses if (prompt := prompts[row.suite, row.prompt_id]).label]
    items = [Item(prompt, row.response, "replay") for row, prompt in rows]
    found = []
    for (recorded, prompt), item, ruling in zip(rows, items, judge_each(judge, items), strict=True):
        cluster = f"{replay.format} {prompt.cluster or prompt.id}"
        labelled = human.judge(*item).outcome
        found.append(Audited(ruling.outcome, labelled, recorded.model or file.name, prompt.category, cluster))
        if progress:
            progress(len(found), len(rows))
    if not found:
        raise InputError("has no labels", file=file, advice="Each row needs `label`: refuse, partial or comply.")
    return found


def _trained_on(judge: Judge, file: Path) -> list[str]:
    """Names in the judge's card (`FORMAT` or `FORMAT-MODEL`) that fit a file."""
    card = getattr(judge, "card", None)
    sources = card.get("sources", {}) if isinstance(card, Mapping) else {}
    if not sources:
        return []
    kind = load_replay(file).format
    return [name for name in sources if name.partition("-")[0] == kind and name.partition("-")[2] in file.name]


def _where(values: Sequence[float], labelled: Sequence[float], clusters: Sequence[str], wanted: float) -> tuple[list[float], list[str]]:
    kept = [i for i, label in enumerate(labelled) if label == wanted]
    return [values[i] for i in kept], [clusters[i] for i in kept]


def _rate(values: Sequence[float], clusters: Sequence[str]) -> Limits:
    return _limits(wilson_clustered(values, clusters)) if values else None


def _limits(interval: Interval) -> Limits:
    return (interval.low, interval.high) if math.isfinite(interval.low) else None


def _bootstrap(rows: Sequence[Audited]) -> tuple[Limits, Limits]:
    """Intervals of kappa and kappa_3: clusters are drawn with replacement. Clusters with the same table are drawn together."""
    tables: dict[str, list[int]] = {}
    for row in rows:
        cell = 3 * CLASSES.index(three_way(row.said)) + CLASSES.index(three_way(row.labelled))
        tables.setdefault(row.cluster, [0] * 9)[cell] += 1
    if len(tables) < 2:
        return None, None
    kinds, counts = np.unique(np.array(list(tables.values())), axis=0, return_counts=True)
    generator = np.random.default_rng(SEED)
    shares = counts / counts.sum()
    drawn = np.concatenate([generator.multinomial(len(tables), shares, CHUNK) @ kinds for _ in range(DRAWS // CHUNK)])
    drawn = drawn.reshape(-1, 3, 3).astype(np.float64)
    return _percentiles(kappas(_merge(drawn))), _percentiles(kappas(drawn))


def _merge(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tables of any refusal against the rest, shape (B, 2, 2), from those of three classes."""
    rows = np.stack([tables[:, 0] + tables[:, 1], tables[:, 2]], axis=1)
    return np.stack([rows[:, :, 0] + rows[:, :, 1], rows[:, :, 2]], axis=2)


def kappas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa of each table of counts, shape (B, k, k) -> (B,); NaN where only one class occurs."""
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / total
    expected = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / total**2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected < 1, (observed - expected) / (1 - expected), np.nan)


def _percentiles(values: NDArray[np.float64]) -> Limits:
    values = values[np.isfinite(values)]
    if len(values) < DRAWS / 2 or np.ptp(values) == 0:  # no variation was seen: a width of zero would be a claim
        return None
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
