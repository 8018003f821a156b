"""Accuracy on lm-eval tasks, from per-document results, so that base and tuned are paired by document.

A group's number is made here, not by lm-eval: the plain mean over its tasks, each counting the same whatever its size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..types import DocumentScore, ItemValue
from .base import Metric


def accuracy_items(documents: Sequence[DocumentScore]) -> list[ItemValue]:
    """One item a document; clustered where documents are about the same thing."""
    return [_item(row) for row in documents]


def group_items(documents: Sequence[DocumentScore]) -> list[ItemValue]:
    """One item a document, apart by task; none where all are of one task."""
    return [_item(row, row.task) for row in documents] if len({row.task for row in documents}) > 1 else []


def _item(row: DocumentScore, part: str = "") -> ItemValue:
    cluster = f"{row.task}/{row.cluster or row.doc_id}"
    return ItemValue(f"{row.task}/{row.doc_id}", cluster, row.acc, part=part)


def mean_of_means(parts: Sequence[str], sums: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Plain mean over the parts; NaN where one of them has nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (sums / weights).mean(axis=-1)
    return found


METRICS = (
    Metric(
        "capability_acc",
        "fraction",
        True,
        "documents",
        accuracy_items,
        True,
        "Share of a task's documents answered right.",
        "mean of lm-eval's per-document `acc`",
    ),
    Metric(
        "capability_mean",
        "fraction",
        True,
        "groups",
        group_items,
        False,
        "Mean accuracy over the tasks of a group, each task counting the same.",
        "mean over tasks of the mean of lm-eval's per-document `acc`",
        combine=mean_of_means,
    ),
)
