"""Models that an evaluation needs, each loaded once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evals.judges.server import patience
from ..evals.models.openai import PREFIX, OpenAIModel
from ..prompts.files import to_json
from .config import RunConfig, load_config

if TYPE_CHECKING:
    from ..evals.models.base import Generates
    from ..evals.models.hf import TransformersModel
    from .evaluation import Subject


class Models:
    """Models by what they are made from, each loaded when it is first needed, and once.

    Args:
        candidate: a model object that stands for the measured model.
        baseline: one that stands for the baseline.
    """

    def __init__(self, candidate: Generates | None = None, baseline: Generates | None = None) -> None:
        self.candidate, self.baseline = candidate, baseline
        self._loaded: dict[str, Any] = {}
        self._scorers: dict[int, dict[str, Any]] = {}

    @property
    def identity(self) -> list[str]:
        """What the given objects are."""
        return [str(model.card(None)) for model in (self.candidate, self.baseline) if model is not None]

    def get(self, subject: Subject, *, is_baseline: bool = False) -> Any:
        """The subject's model with its adapters and reward model."""
        given = self.baseline if is_baseline else self.candidate
        if given is not None:
            return given
        facts = subject.config.model_dump(mode="json", include={"model", "world", "seed"})
        adapters = {label: str(path) for label, path in {**subject.adapters, **subject.checkpoints}.items()}
        key = to_json([facts, adapters, str(subject.reward_model)])
        if key not in self._loaded:
            self._loaded[key] = open_model(subject)
        return self._loaded[key]

    def scorers(self, config: RunConfig, model: Any) -> dict[str, Any]:
        """Who else scores the responses of a model, loaded once for each (`scorers.py`)."""
        from .scorers import load_scorers

        if id(model) not in self._scorers:
            self._scorers[id(model)] = load_scorers(config, model)
        return self._scorers[id(model)]


def open_model(subject: Subject) -> TransformersModel | OpenAIModel:
    """Load the base once, with the adapters and the reward model on it. `tiny` is built or taken from the cache; a server is only named."""
    settings = subject.config.model
    if settings.name.startswith(PREFIX):
        with patience(**subject.config.server.model_dump()):
            return OpenAIModel.from_argument(settings.name.removeprefix(PREFIX))
    from ..evals.models.hf import TransformersModel
    from .pipeline import adapter_name, device, prepare_torch

    prepare_torch(subject.config)
    return TransformersModel.load(
        base_folder(subject.config), name=settings.name, dtype=settings.dtype, quantization=settings.quantization,
        attn_implementation=settings.attn_implementation, device=device(), batch_tokens=subject.config.eval.batch_tokens,
        adapters={**subject.adapters, **{adapter_name(label): path for label, path in subject.checkpoints.items()}},
        reward_model=subject.reward_model,
    )  # fmt: skip


def base_folder(config: RunConfig) -> Path | str:
    """Folder or hub name of the base model; the embedded one is trained unless it is cached."""
    if config.world is None:
        return config.model.name
    from ..prompts.embedded.world import build_world
    from ..rlhf.embedded.base import build_base
    from .caches import cache_folder

    return build_base(build_world(config.world.split_seed), config.world, config.seed, cache_folder())


def with_model(config: RunConfig, name: str) -> RunConfig:
    """The same settings for another model."""
    world = load_config("tiny").world if name == "tiny" else None
    return config.model_copy(update={"model": config.model.model_copy(update={"name": name}), "world": world})
