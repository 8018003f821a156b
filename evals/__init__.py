"""How models are measured: models, judges, metrics, statistics, gates and the store. Never imports torch on its own."""

if __name__ != "truenorth.evals":  # a checkout's root on sys.path must not give a second copy of every class
    raise ImportError("import truenorth.evals, not evals: install the package (pip install -e .)")

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import agreement as judge_agreement
    from .audit import audit as audit_judge
    from .comparison import compare
    from .config import DecodingConfig, EvalConfig, GateConfig
    from .correction import with_corrections
    from .estimate import bounds, paired_delta
    from .estimate import estimate as estimate_metric
    from .frames import corrected_frame, deltas_frame, gates_frame, metrics_frame, records_frame
    from .gates import decide, make_gates
    from .judge_card import read_judge_card
    from .judges import Ruling, get_judge, list_judges
    from .labelling import items_to_label, read_labels, write_labels
    from .metrics import METRICS
    from .models.base import Generated
    from .models.fake import FakeModel
    from .models.hf import TransformersModel
    from .models.openai import OpenAIModel
    from .models.replay import ReplayModel
    from .movement import most_moved_prompts, most_moved_tokens
    from .recorded import evaluate_recording
    from .rejudge import judge_again
    from .runner import evaluate
    from .shards import join_processes
    from .store import read_run, write_run
    from .types import Comparison, Decoding, EvalRun, GateDecision, JudgeCard, MetricDelta, MetricResult, ModelCard, Record

_HOMES = {
    "METRICS": "metrics",
    "Comparison": "types",
    "Decoding": "types",
    "DecodingConfig": "config",
    "EvalConfig": "config",
    "EvalRun": "types",
    "FakeModel": "models.fake",
    "GateConfig": "config",
    "GateDecision": "types",
    "Generated": "models.base",
    "JudgeCard": "types",
    "MetricDelta": "types",
    "MetricResult": "types",
    "ModelCard": "types",
    "OpenAIModel": "models.openai",
    "Record": "types",
    "ReplayModel": "models.replay",
    "Ruling": "judges",
    "TransformersModel": "models.hf",
    "audit_judge": "audit:audit",
    "bounds": "estimate",
    "compare": "comparison",
    "corrected_frame": "frames",
    "decide": "gates",
    "deltas_frame": "frames",
    "estimate_metric": "estimate:estimate",
    "evaluate": "runner",
    "evaluate_recording": "recorded",
    "gates_frame": "frames",
    "get_judge": "judges",
    "items_to_label": "labelling",
    "join_processes": "shards",
    "judge_again": "rejudge",
    "judge_agreement": "agreement:agreement",
    "list_judges": "judges",
    "make_gates": "gates",
    "metrics_frame": "frames",
    "most_moved_prompts": "movement",
    "most_moved_tokens": "movement",
    "paired_delta": "estimate",
    "read_judge_card": "judge_card",
    "read_labels": "labelling",
    "read_run": "store",
    "records_frame": "frames",
    "with_corrections": "correction",
    "write_labels": "labelling",
    "write_run": "store",
}
"""Name -> its module, and its name there where that is the module's own (which would hide it)."""
__all__ = [
    "METRICS",
    "Comparison",
    "Decoding",
    "DecodingConfig",
    "EvalConfig",
    "EvalRun",
    "FakeModel",
    "GateConfig",
    "GateDecision",
    "Generated",
    "JudgeCard",
    "MetricDelta",
    "MetricResult",
    "ModelCard",
    "OpenAIModel",
    "Record",
    "ReplayModel",
    "Ruling",
    "TransformersModel",
    "audit_judge",
    "bounds",
    "compare",
    "corrected_frame",
    "decide",
    "deltas_frame",
    "estimate_metric",
    "evaluate",
    "evaluate_recording",
    "gates_frame",
    "get_judge",
    "items_to_label",
    "join_processes",
    "judge_again",
    "judge_agreement",
    "list_judges",
    "make_gates",
    "metrics_frame",
    "most_moved_prompts",
    "most_moved_tokens",
    "paired_delta",
    "read_judge_card",
    "read_labels",
    "read_run",
    "records_frame",
    "with_corrections",
    "write_labels",
    "write_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that importing the package stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, _, own = _HOMES[name].partition(":")
    return getattr(import_module(f".{module}", __name__), own or name)
