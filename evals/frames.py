"""Results as pandas DataFrames, for notebooks and one's own analysis. Names are those of the report's CSV files; absent is NaN or None."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from .types import CandidateComparison, Comparison, CorrectedRate, EvalRun, Gate, GateDecision, MetricDelta, MetricResult, Record

if TYPE_CHECKING:
    from pandas import DataFrame

_RECORD = ("suite", "id", "category", "expected", "decoding", "sample", "prompt", "response", "outcome", "judge", "reward", "kl")


def metrics_frame(*runs: EvalRun) -> DataFrame:
    """Every number of finished evaluations: one row per model, suite, subset, decoding and metric."""
    rows = ({"model": run.model.label, **asdict(result)} for run in runs for result in run.metrics)
    return _frame(rows, ("model", *_names(MetricResult)))


def deltas_frame(comparison: Comparison) -> DataFrame:
    """Every difference of a comparison, tuned minus base."""
    rows = ({"model": one.candidate.model.label, **asdict(delta)} for one in comparison.candidates for delta in one.deltas)
    return _frame(rows, ("model", *_names(MetricDelta)))


def gates_frame(comparison: Comparison) -> DataFrame:
    """Every decision on a gate or check."""
    rows = ({"model": one.candidate.model.label, **_decision(made)} for one in comparison.candidates for made in one.decisions)
    decided = [name for name in _names(GateDecision) if name != "gate"]
    return _frame(rows, ("model", *(name if name != "name" else "gate" for name in _names(Gate)), *decided))


def corrected_frame(comparison: Comparison) -> DataFrame:
    """Rates corrected for the judge's error (`correction.with_corrections`): of each model, and the difference where there is one."""
    rows = (row for one in comparison.candidates for rate in one.corrected for row in _corrected(one, comparison.baseline, rate))
    return _frame(rows, ("model", *_names(MetricResult)))


def records_frame(*runs: EvalRun) -> DataFrame:
    """Every response with its verdict and scores, one row each."""
    rows = ({"model": run.model.label, **_record(record)} for run in runs for record in run.records)
    return _frame(rows, ("model", *_RECORD))


def _frame(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> DataFrame:
    import pandas

    return pandas.DataFrame(list(rows), columns=list(columns))


def _names(cls: type[Any]) -> list[str]:
    return [field.name for field in fields(cls)]


def _decision(made: GateDecision) -> dict[str, Any]:
    row = asdict(made)
    gate = row.pop("gate")
    return {"gate": gate.pop("name"), **gate, **row}


def _corrected(one: CandidateComparison, baseline: EvalRun | None, rate: CorrectedRate) -> Iterable[dict[str, Any]]:
    """The base's rate, the candidate's, and their difference under the name `METRIC difference`."""
    if rate.base and baseline:
        yield {"model": baseline.model.label, **asdict(rate.base)}
    yield {"model": one.candidate.model.label, **asdict(rate.tuned)}
    if rate.delta:
        row = {name: value for name, value in asdict(rate.delta).items() if name in _names(MetricResult)}
        yield {"model": one.candidate.model.label, **row, "metric": f"{rate.delta.metric} difference"}


def _record(record: Record) -> dict[str, Any]:
    prompt, judgment, score = record.prompt, record.judgment, record.score
    told = (
        record.suite, prompt.id, prompt.category, prompt.expected, record.generation.decoding, record.generation.sample, prompt.text,
        record.generation.response, judgment.outcome if judgment else None, judgment.judge if judgment else None,
        score.reward if score else None, score.kl_exact if score else None,
    )  # fmt: skip
    return dict(zip(_RECORD, told, strict=True))
