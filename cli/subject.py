"""From the options of `truenorth eval` (and of the pytest plugin) to what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..evals.config import EvalConfig, ServerSettings
from ..evals.models.openai import PREFIX, OpenAIModel
from ..prompts.errors import InputError
from ..prompts.files import check_regular
from ..prompts.types import Expected
from ..rlhf.config import ModelSettings
from .config import RunConfig, load_config
from .evaluation import Subject
from .finished import is_run
from .gates_file import load_gates
from .labels import adapter_labels, checkpoint_labels
from .recordings import Recording


def make_subject(
    *,
    model: str | None = None,
    adapters: Sequence[Path] = (),
    checkpoints: Sequence[Path] = (),
    reward_model: Path | None = None,
    independent_reward_model: str = "",
    comparer: str = "",
    replay: Sequence[Path] = (),
    recorded_model: str = "",
    expected: Expected | None = None,
    suites: Sequence[str] = (),
    pairs: Sequence[str] = (),
    capability: Sequence[str] = (),
    baseline: Sequence[str] = (),
    judge: str | None = None,
    judge_card: Path | None = None,
    gates: str | None = None,
    limit: int | None = None,
    samples: int | None = None,
    temperatures: Sequence[float] = (),
    max_new_tokens: int | None = None,
    seed: int | None = None,
    dtype: str | None = None,
    quantization: str = "none",
    server_requests: int | None = None,
    server_timeout: float | None = None,
    keep_suites: bool = False,
) -> Subject:
    """What is measured; what isn't given is taken from the embedded profile for `tiny`, else from `EvalConfig`.

    Without `suites` the usual ones are asked, unless pairs or capability tasks are given and nothing else needs responses; with
    `keep_suites` they are kept even then, for a caller who picks what to measure.

    Raises:
        InputError: options that exclude or need each other, or a value out of range.
    """
    _check_together(model, replay, adapters, reward_model, pairs, capability)
    config = load_config("tiny") if model == "tiny" else RunConfig(model=_model_settings(model, dtype, quantization))
    settings = config.eval.model_dump(mode="json") | {"gates": [], "pairs": list(pairs), "capability": list(capability)}
    settings |= load_gates(gates) if gates else {}
    answered = keep_suites or checkpoints or independent_reward_model or comparer or _read_responses(settings["gates"])
    if (pairs or capability) and not answered:
        settings["suites"] = []
    given = {"suites": list(suites), "judge": judge, "limit": limit, "seed": seed}
    given |= {"independent_reward_model": independent_reward_model or None, "comparer": comparer or None}
    given |= {"judge_card": str(judge_card) if judge_card else None}
    if reward_model is not None and not is_adapter_folder(reward_model):
        given["reward_model"], reward_model = str(reward_model), None
    settings |= {key: value for key, value in given.items() if value not in (None, [])}
    settings["decodings"] = _decodings(settings["decodings"], temperatures, samples, max_new_tokens)
    asked = {"eval": _validated(settings), "server": ServerSettings(requests=server_requests, timeout=server_timeout)}
    return Subject(
        config=config.model_copy(update=asked), adapters=adapter_labels(adapters), reward_model=reward_model,
        suites_given=bool(suites), checkpoints=checkpoint_labels(checkpoints, adapters),
        **_compared(Recording(tuple(replay), recorded_model, expected) if replay else None, baseline),
    )  # fmt: skip


def _read_responses(gates: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a gate is on a metric of responses; one on an unknown metric is, too, until it is refused."""
    from ..evals.metrics import METRICS

    return any(gate["metric"] not in METRICS or METRICS[gate["metric"]].source in ("records", "both") for gate in gates)


def _compared(replay: Recording | None, baseline: Sequence[str]) -> dict[str, Any]:
    """What is recorded, and what it (or a model) is compared with: a model, a run, other files, or another model of the same files."""
    if replay is None or (len(baseline) == 1 and is_run(baseline[0])):
        if len(baseline) > 1:
            raise InputError(f"{len(baseline)} baselines", advice="Give one; only a recording may have several files.")
        return {"replay": replay, "baseline": "".join(baseline)}
    if len(baseline) == 1 and replay.model and not Path(baseline[0]).exists():
        return {"replay": replay, "baseline_replay": replace(replay, model=baseline[0])}
    for path in baseline:
        check_regular(Path(path), "recording")
    other = Recording(tuple(map(Path, baseline)), "", replay.expected)
    return {"replay": replay, "baseline_replay": other if baseline else None}


def is_adapter_folder(path: Path) -> bool:
    """Whether a reward model is to be read as an adapter: everything but a whole model's folder and a name of the hub."""
    is_model = (path / "config.json").is_file() and not (path / "adapter_config.json").is_file()
    return not is_model and (path.exists() or len(path.parts) != 2 or path.is_absolute())


def _check_together(
    model: str | None,
    replay: Sequence[Path],
    adapters: Sequence[Path],
    reward_model: Path | None,
    pairs: Sequence[str],
    capability: Sequence[str],
) -> None:
    if (model is None) == (not replay):
        raise InputError(
            "give --model or --replay" + (", not both" if model else ""), advice="For example: truenorth eval --model tiny --out DIR"
        )
    if replay and (adapters or reward_model or pairs or capability):
        raise InputError("--replay holds responses alone: --adapter, --reward-model, --pairs and --capability need a --model")
    if model is not None and model.startswith(PREFIX):
        OpenAIModel.from_argument(model.removeprefix(PREFIX))
        if adapters or reward_model or capability:
            raise InputError("a server gives text alone: --adapter, --reward-model and --capability need weights", field="model")
    for file in replay:
        check_regular(file, "recording")
    if pairs and reward_model is None:
        raise InputError("--pairs are ranked by a reward model: give --reward-model, too")


def _model_settings(name: str | None, dtype: str | None, quantization: str) -> ModelSettings:
    if dtype is None:
        from .pipeline import device

        loaded = name is not None and not name.startswith(PREFIX)
        dtype = "bfloat16" if loaded and device() == "cuda" else "float32"
    return ModelSettings.model_validate({"name": name or "recording", "dtype": dtype, "quantization": quantization})


def _decodings(
    found: list[dict[str, Any]], temperatures: Sequence[float], samples: int | None, max_new_tokens: int | None
) -> list[dict[str, Any]]:
    made = [{**found[0], "samples": 1, "temperature": value} for value in temperatures] or found
    if samples and all(one["temperature"] == 0 for one in made):
        raise InputError(f"--samples {samples} of greedy decoding are the same response", advice="Add --decoding t1.0.")
    changed = {"max_new_tokens": max_new_tokens} if max_new_tokens else {}
    return [{**one, **changed, **({"samples": samples} if samples and one["temperature"] > 0 else {})} for one in made]


def _validated(settings: dict[str, Any]) -> EvalConfig:
    try:
        return EvalConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(first["msg"], field=".".join(str(part) for part in first["loc"])) from None
