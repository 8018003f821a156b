"""What a run does: `RunConfig`, and how it is made from a shipped profile or a file and from `-o dotted.key=value` overrides.

A file may say `profile: tiny` to start from a shipped profile and change some of it; maps are merged, everything else is replaced.
Environment variables are never expanded. Nothing heavy is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..evals.config import EvalConfig, GateConfig, ServerSettings
from ..evals.gate_problem import gate_problem
from ..evals.judges import list_judges
from ..rlhf.config import DataSettings, ModelSettings, PPOSettings, RewardModelSettings
from ..rlhf.embedded.settings import EmbeddedSettings
from .config_sources import Sources
from .console import did_you_mean
from .strict_yaml import KeyPath
from .validation import validate

PROFILES = Path(__file__).parent / "profiles"


class ReportSettings(BaseModel):
    """What the report shows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redact: bool = Field(default=False, description="Leave prompts and responses out of the report's files.")


class RunConfig(BaseModel):
    """Everything that determines a run's results, and how servers are asked, which a resumed run may change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(default="", description="Shipped profile this started from; empty for none.")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=0, description="Seeds everything but the embedded world's split.")
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    world: EmbeddedSettings | None = Field(default=None, description="The embedded world; only with `model.name: tiny`.")
    reward_model: RewardModelSettings = RewardModelSettings()
    ppo: PPOSettings = PPOSettings()
    eval: EvalConfig = EvalConfig()
    report: ReportSettings = ReportSettings()
    server: ServerSettings = Field(default=ServerSettings(), exclude=True, description="How servers are asked; not kept with the run.")

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        for bad, problem in _conflicts(self):
            if bad:
                raise ValueError(problem)
        return self


def _conflicts(config: RunConfig) -> list[tuple[bool, str]]:
    """Settings that are right one by one and wrong together: (whether they are, the sentence that names both)."""
    model, data, ppo = config.model, config.data, config.ppo
    tiny = model.name == "tiny"
    return [
        (tiny != (config.world is not None), f"model.name {model.name!r} and world: `tiny` needs a world, and only `tiny` has one"),
        (data.name == "tiny" and not tiny, f"data.name 'tiny' needs model.name 'tiny', not {model.name!r}"),
        (tiny and model.quantization != "none", f"model.quantization {model.quantization!r} can't be used with model.name 'tiny'"),
        (
            model.attn_implementation == "flash_attention_2" and model.dtype == "float32",
            "model.attn_implementation 'flash_attention_2' needs model.dtype 'bfloat16'",
        ),
        (
            ppo.rollout_batch_size % ppo.minibatches != 0,
            f"ppo.minibatches {ppo.minibatches} must divide ppo.rollout_batch_size {ppo.rollout_batch_size}",
        ),
        (
            config.eval.checkpoints > 0 and ppo.publish_every == 0,
            f"eval.checkpoints {config.eval.checkpoints} needs ppo.publish_every of at least 1",
        ),
        (
            ppo.select == "best_validation" and ppo.validate_every == 0,
            "ppo.select 'best_validation' needs ppo.validate_every of at least 1",
        ),
    ]


def profile_names() -> list[str]:
    """The profiles that ship."""
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def load_config(profile_or_file: str, overrides: list[str] | tuple[str, ...] = ()) -> RunConfig:
    """Read, merge and validate.

    Args:
        profile_or_file: a shipped profile's name, or the path of a YAML file.
        overrides: `dotted.key=value`, applied in order; the value is YAML (`eval.suites=[harmful]`).

    Raises:
        InputError: names file, line and field, or the override, and says what is allowed.
    """
    sources = Sources(PROFILES)
    sources.start(profile_or_file)
    for text in overrides:
        sources.override(text)
    seed = sources.value.get("seed")
    if isinstance(sources.value.setdefault("eval", {}), dict) and isinstance(seed, int):
        sources.value["eval"].setdefault("seed", seed)
    config = validate(RunConfig, sources)
    _check_names(config, sources)
    return config


def _check_names(config: RunConfig, sources: Sources) -> None:
    """Judge and metrics exist: found out now, and not after the training."""
    judge = config.eval.judge
    if ":" not in judge and judge not in list_judges():
        raise sources.place(("eval", "judge")).error(f"no judge named {judge!r}", ("eval", "judge"), did_you_mean(judge, list_judges()))
    for index, gate in enumerate(config.eval.gates):
        refuse_senseless(gate, ("eval", "gates", index), sources)


def refuse_senseless(gate: GateConfig, at: KeyPath, sources: Sources) -> None:
    """A gate that could never be decided is an error where it stands.

    Raises:
        InputError: see `evals.gate_problem`; names file, line and field.
    """
    if found := gate_problem(gate):
        field, problem, advice = found
        raise sources.place((*at, field)).error(problem, (*at, field), advice)
