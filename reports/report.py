"""What every section reads: the comparison, the manifest without its volatile part, the training curves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evals.estimate import CORRECTED
from ..evals.types import CandidateComparison, Comparison, EvalRun, MetricDelta, MetricResult, Outcome

Curve = Sequence[Mapping[str, float | str]]
Verdicts = Mapping[str, Sequence[tuple[str, Outcome]]]
"""Generation key to (judge, outcome) of judges that looked at the same replies after the first (`truenorth judge`)."""
Key = tuple[str, str, str, str]
"""(metric, suite, subset, decoding): what makes a row of two models the same row."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown. Nothing in it depends on when or where the report is built."""

    comparison: Comparison
    manifest: Mapping[str, Any] = field(default_factory=dict)
    run: str = "run"
    """Name of the run: its profile and a digest of its configuration and inputs."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    """`reward` and `ppo`: the rows of train/*.csv, one per step; cells that hold numbers are numbers."""
    redacted: bool = False
    unfinished: tuple[str, ...] = ()
    """Labels whose evaluation is still to be finished: there is no verdict yet, and finished ones stand without a comparison."""

    checkpoints: tuple[CandidateComparison, ...] = ()
    """Evaluations `LABEL@STEP` of a candidate LABEL, compared with the baseline like it, by step. No gate is decided on them."""

    second: Verdicts = field(default_factory=dict)

    @property
    def baseline(self) -> EvalRun | None:
        """The run that candidates are compared with."""
        return self.comparison.baseline

    @property
    def runs(self) -> tuple[EvalRun, ...]:
        """Baseline first, then the candidates."""
        candidates = tuple(item.candidate for item in self.comparison.candidates)
        return (self.baseline, *candidates) if self.baseline else candidates


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one candidate beside the baseline's."""

    tuned: MetricResult
    base: MetricResult | None
    delta: MetricDelta | None

    @property
    def corrected(self) -> bool:
        """Whether these are the numbers as people would judge them."""
        return self.tuned.estimator in CORRECTED


def key_of(item: MetricResult | MetricDelta) -> Key:
    """What two rows must share to be compared."""
    return item.metric, item.suite, item.subset, item.decoding


def rows_of(report: Report, comparison: CandidateComparison) -> Iterator[Row]:
    """Every metric of a candidate with the baseline's value and the difference, in the candidate's order, then those of the two together.

    Runs that can't be compared are not put side by side: their rows have no base.
    """
    comparable = report.baseline is not None and not comparison.differences
    base = {key_of(item): item for item in report.baseline.metrics} if report.baseline and comparable else {}
    deltas = {key_of(item): item for item in comparison.deltas}
    for tuned in (*comparison.candidate.metrics, *comparison.paired):
        yield Row(tuned, base.get(key_of(tuned)), deltas.get(key_of(tuned)))


def overall_rows(report: Report, comparison: CandidateComparison) -> list[Row]:
    """The rows that are no subset's."""
    return [row for row in rows_of(report, comparison) if not row.tuned.subset]


def corrected_rows(comparison: CandidateComparison) -> list[Row]:
    """The rates as people would judge them."""
    return [Row(rate.tuned, rate.base, rate.delta) for rate in comparison.corrected]


def decided_rows(report: Report, comparison: CandidateComparison) -> list[Row]:
    """What gates are decided on: the rows that are no subset's, as judged and as people would judge them."""
    return [*overall_rows(report, comparison), *corrected_rows(comparison)]


def change_rows(report: Report, comparison: CandidateComparison) -> list[Row]:
    """The same for sentences about changes: of what people would judge only the rows with a difference."""
    return [row for row in decided_rows(report, comparison) if row.delta or not row.corrected]


def evidence_id(run: EvalRun, result: MetricResult) -> str:
    """Id of the place on the page where a number is shown with its interval."""
    return f"e-{hashlib.sha256(chr(0).join((run.model.label, *key_of(result))).encode('utf-8', 'backslashreplace')).hexdigest()[:12]}"
