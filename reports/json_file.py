"""`results.json`: every fact of the report for programs, with a schema version and no NaN."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..evals.estimate import bounds
from ..evals.judges.published import published_cards
from ..evals.types import (
    SCHEMA_VERSION,
    CandidateComparison,
    CorrectedRate,
    EvalRun,
    GateDecision,
    JudgeCard,
    MetricDelta,
    MetricResult,
    Record,
)
from ..prompts.files import to_json
from .headline import headline, sorted_decisions
from .report import Report, rows_of
from .series import series_of, step_of


def render_json(report: Report) -> str:
    """The document as text, keys in a fixed order.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return to_json(results(report), indent=1) + "\n"


def results(report: Report) -> dict[str, Any]:
    """The document. `models` hold the numbers, `candidates` the differences and decisions."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "truenorth.report",
        "run": report.run,
        "verdict": report.comparison.verdict,
        "alpha": report.comparison.alpha,
        "redacted": report.redacted,
        "unfinished": list(report.unfinished),
        "baseline": report.baseline.model.label if report.baseline else None,
        "candidates": [_candidate(report, item) for item in report.comparison.candidates],
        "checkpoints": [_checkpoint(report, item) for item in report.checkpoints],
        "models": [_model(run, report.comparison.judge_card) for run in report.runs],
    }


def _candidate(report: Report, comparison: CandidateComparison) -> dict[str, Any]:
    said = headline(report, comparison)
    return {
        "label": comparison.candidate.model.label,
        "verdict": comparison.verdict,
        "headline": said.sentence,
        "differences": list(comparison.differences),
        "gates": [_gate(decision) for decision in sorted_decisions(comparison)],
        "deltas": [_delta(row.delta, row.base) for row in rows_of(report, comparison) if row.delta is not None],
        "paired": [_metric(result) for result in comparison.paired],
        "corrected": [_corrected(rate) for rate in comparison.corrected],
    }


def _checkpoint(report: Report, comparison: CandidateComparison) -> dict[str, Any]:
    label = comparison.candidate.model.label
    return {
        "label": label,
        "of": series_of(label),
        "step": step_of(label),
        "differences": list(comparison.differences),
        "metrics": [_metric(result) for result in comparison.candidate.metrics],
        "deltas": [_delta(row.delta, row.base) for row in rows_of(report, comparison) if row.delta is not None],
        "paired": [_metric(result) for result in comparison.paired],
    }


def _gate(decision: GateDecision) -> dict[str, Any]:
    row = asdict(decision)
    return {**row.pop("gate"), **row}


def _delta(delta: MetricDelta, base: MetricResult | None) -> dict[str, Any]:
    return {**asdict(delta), "baseline_value": base.value if base else None}


def _corrected(rate: CorrectedRate) -> dict[str, Any]:
    return {
        "tuned": _metric(rate.tuned),
        "base": _metric(rate.base) if rate.base else None,
        "delta": _delta(rate.delta, rate.base) if rate.delta else None,
    }


def _model(run: EvalRun, given: JudgeCard | None) -> dict[str, Any]:
    return {
        **asdict(run.model),
        "judge": run.judge,
        "suites": dict(run.suites),
        "decodings": [asdict(decoding) for decoding in run.decodings],
        "settings": dict(run.settings),
        "metrics": [_metric(result) for result in run.metrics],
        "judge_cards": _judge_cards(run, given),
        "published_cards": [_card(card, "published") for card in published_cards(run.judge)],
        "n_responses": len(run.records),
        "probe": _probe(run.probe),
    }


def _judge_cards(run: EvalRun, given: JudgeCard | None) -> list[dict[str, Any]]:
    """What is known of the judge's error by labels of this run's replies, and by the card that the user measured on others."""
    others = [given] if given and given.judge == run.judge else []
    return [*(_card(card, "run") for card in run.judge_cards), *(_card(card, "given") for card in others)]


def _card(card: JudgeCard, source: str) -> dict[str, Any]:
    return {**asdict(card), "source": source}


def _metric(result: MetricResult) -> dict[str, Any]:
    found = bounds(result)
    return {**asdict(result), "bounds": list(found) if found else None}


def _probe(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    judgment = record.judgment
    return {
        "prompt": record.prompt.text,
        "response": record.generation.response,
        "outcome": judgment.outcome if judgment else None,
        "judge": judgment.judge if judgment else None,
    }
