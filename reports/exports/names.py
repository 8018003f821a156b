"""Names of exported files and tasks, and a run's replies by task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...evals.slices import group_by
from ...evals.types import EvalRun, MetricResult, Record
from ...prompts.files import sha256_bytes

EPOCH = "1970-01-01T00:00:00+00:00"


def file_name(text: str) -> str:
    """A name that is a file's on every system: letters, digits, `.`, `-` and `_`; a changed one carries a digest, so that none meet."""
    plain = re.sub(r"[^\w.-]", "_", text, flags=re.ASCII).lstrip(".")[:100]
    return plain if plain == text else f"{plain}-{sha256_bytes(text.encode('utf-8', 'backslashreplace'))[:8]}"


def by_task(run: EvalRun) -> Mapping[tuple[str, str], Sequence[Record]]:
    """(suite, decoding) to replies."""
    return group_by(run.records, lambda record: (record.suite, record.generation.decoding))


def overall(run: EvalRun) -> list[MetricResult]:
    """Rows with a value that are no subset's."""
    return [row for row in run.metrics if not row.subset and row.value is not None]


def task_name(suite: str, decoding: str) -> str:
    """`harmful_greedy`, or the suite alone where there is no decoding."""
    return file_name(f"{suite}_{decoding}" if decoding else suite)
