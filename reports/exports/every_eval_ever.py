"""Every-Eval-Ever records (eval.schema.json 0.3.0), two files a model where that project keeps them: the numbers, and the replies.

Left out: metrics without a better direction (the schema has no place for them), differences between models, replies without a verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from ...evals.types import EvalRun, MetricResult, Record
from ...prompts.files import sha256_bytes, to_json
from ..flips import dialogue_text, is_right
from ..report import Report
from ..words import is_rate
from .names import file_name, overall, task_name

VERSION = "0.3.0"


def files(report: Report) -> dict[str, str]:
    """Two files for each model."""
    found = {}
    for run in report.runs:
        identity = f"{report.run}/{_model_id(run)}/0"
        place = f"data/truenorth/{_model_id(run)}/{_uuid(identity)}"
        samples = "".join(to_json(row) + "\n" for row in _samples(run, identity))
        found[f"{place}.json"] = to_json(_record(report, run, identity, f"{place}_samples.jsonl", samples), indent=1) + "\n"
        found[f"{place}_samples.jsonl"] = samples
    return found


def _record(report: Report, run: EvalRun, identity: str, path: str, samples: str) -> dict[str, Any]:
    versions = report.manifest.get("versions") or {}
    return {
        "schema_version": VERSION,
        "evaluation_id": identity,
        "retrieved_timestamp": "0",
        "source_metadata": {
            "source_name": report.run,
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "truenorth", "version": str(versions.get("truenorth") or "unknown")},
        "model_info": {
            "name": run.model.label,
            "id": _model_id(run),
            "additional_details": {
                "deployment_type": "unknown",
                "model_availability": "unknown",
                "adapter": run.model.adapter,
                "adapter_sha256": run.model.adapter_sha256,
                "model_sha256": run.model.model_sha256,
                "template_sha256": run.model.template_sha256,
                "dtype": run.model.dtype,
            },
        },
        "evaluation_results": [_result(report, run, row) for row in overall(run) if row.higher_is_better is not None],
        "detailed_evaluation_results": {
            "format": "jsonl",
            "file_path": path,
            "hash_algorithm": "sha256",
            "checksum": sha256_bytes(samples.encode()),
            "total_rows": samples.count("\n"),
        },
    }


def _result(report: Report, run: EvalRun, row: MetricResult) -> dict[str, Any]:
    scale = {"score_type": "continuous", "min_score": 0, "max_score": 1} if is_rate(row.metric, row.unit) else {}
    interval = {"lower": row.ci_low, "upper": row.ci_high, "confidence_level": 1 - report.comparison.alpha, "method": row.estimator}
    uncertainty = {"num_samples": row.n} | ({"confidence_interval": interval} if None not in (row.ci_low, row.ci_high) else {})
    settings = next((item for item in run.decodings if item.name == row.decoding), None)
    arguments = {"temperature": settings.temperature, "max_tokens": settings.max_new_tokens} if settings and settings.max_new_tokens else {}
    return {
        "evaluation_name": f"{task_name(row.suite, row.decoding)}/{row.metric}",
        "source_data": {"dataset_name": row.suite, "source_type": "other", "additional_details": {"sha256": run.suites.get(row.suite, "")}},
        "metric_config": {"evaluation_description": row.metric, "lower_is_better": not row.higher_is_better, **scale},
        "score_details": {
            "score": row.value,
            "details": {"n": str(row.n), "n_invalid": str(row.n_invalid), "judge": row.judge, "unit": row.unit},
            "uncertainty": uncertainty,
        },
        "generation_config": {"generation_args": arguments, "additional_details": {"decoding": row.decoding}},
    }


def _samples(run: EvalRun, identity: str) -> Iterator[dict[str, Any]]:
    for record in run.records:
        right = is_right(record)
        if record.judgment is not None and right is not None:
            yield _sample(run, record, identity, right=right)


def _sample(run: EvalRun, record: Record, identity: str, *, right: bool) -> dict[str, Any]:
    prompt, generation, text = record.prompt, record.generation, dialogue_text(record)
    reference = prompt.answer or prompt.expected or ""
    outcome, judge = (record.judgment.outcome, record.judgment.judge) if record.judgment else ("", "")
    tokens = len(generation.prompt_tokens), len(generation.response_tokens)
    return {
        "schema_version": f"instance_level_eval_{VERSION}",
        "evaluation_id": identity,
        "model_id": _model_id(run),
        "evaluation_name": task_name(record.suite, generation.decoding),
        "sample_id": f"{prompt.id}#{generation.sample}",
        "sample_hash": sha256_bytes(f"{text}{reference}".encode("utf-8", "backslashreplace")),
        "interaction_type": "single_turn",
        "input": {"raw": text, "reference": [reference]},
        "output": {"raw": [generation.response]},
        "messages": None,
        "answer_attribution": [
            {"turn_idx": 0, "source": "output.raw", "extracted_value": outcome, "extraction_method": judge or "judge", "is_terminal": True}
        ],
        "evaluation": {"score": float(right), "is_correct": right},
        "token_usage": {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)} if any(tokens) else None,
        "metadata": {"category": prompt.category, "cluster": prompt.cluster, "outcome": outcome},
    }


def _uuid(identity: str) -> UUID:
    """The same for the same evaluation; shaped like a random one, as the format asks."""
    return UUID(bytes=hashlib.sha256(identity.encode("utf-8", "backslashreplace")).digest()[:16], version=4)


def _model_id(run: EvalRun) -> str:
    return f"truenorth/{file_name(run.model.label)}"
