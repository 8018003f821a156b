"""What to measure: the `eval` part of a profile."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class GateConfig(BaseModel):
    """One gate as a profile or a gates file declares it; exactly one of the four limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = Field(description="Metric name; docs/metrics.md lists them.")
    suite: str = Field(default="", description="Suite, pair set or task that the metric is read on.")
    decoding: str = Field(default="", description="`greedy`, `t1.0`; empty for metrics without decoding.")
    name: str = Field(default="", description="Shown in tables; made from metric, suite and decoding when empty.")
    min: float | None = Field(default=None, description="Pass when the interval lies at or above.")
    max: float | None = Field(default=None, description="Pass when the interval lies at or below.")
    min_delta: float | None = Field(default=None, description="The same for tuned minus base.")
    max_delta: float | None = Field(default=None, description="The same for tuned minus base.")
    kind: Literal["gate", "check"] = Field(default="gate", description="`check`: compared exactly, no interval.")
    corrected: bool = Field(
        default=False,
        description="Read a rate of refusals, or its difference, as corrected for the judge's error; a difference needs labels.",
    )

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        given = [name for name in ("min", "max", "min_delta", "max_delta") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a gate has exactly one of min, max, min_delta, max_delta; this one has {' and '.join(given) or 'none'}")
        if self.corrected and self.kind == "check":
            raise ValueError("a check is compared exactly: only a gate can be corrected for the judge's error")
        return self


class DecodingConfig(BaseModel):
    """One way of drawing responses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)] = Field(description="0 is greedy.")
    samples: Annotated[int, Field(ge=1, le=64)] = Field(default=1, description="Responses per prompt.")
    max_new_tokens: Annotated[int, Field(ge=1, le=8192)] = Field(default=256, description="Cut-off of a response.")


class ServerSettings(BaseModel):
    """How servers are asked, for responses, verdicts and comparisons. It changes no result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Requests to a measured model under way at a time, at most; 16 unless TRUENORTH_SERVER_REQUESTS says so."
    )
    timeout: Annotated[float, Field(ge=1, lt=1e6)] | None = Field(
        default=None, description="Seconds to wait for an answer; 600 unless TRUENORTH_SERVER_TIMEOUT says so."
    )


class EvalConfig(BaseModel):
    """Suites, judge, decodings and gates of an evaluation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suites: tuple[str, ...] = Field(default=("harmful", "benign", "borderline"), description="Names or paths of suites.")
    pairs: tuple[str, ...] = Field(default=(), description="Names or paths of preference pairs for reward-model accuracy.")
    capability: tuple[str, ...] = Field(default=(), description="lm-eval tasks: names or paths of YAML files.")
    judge: str = Field(default="classifier", description="Judge whose verdicts the rates are read from.")
    judge_card: str = Field(
        default="", description="What `truenorth audit --judge NAME --json` said of the judge: a file. Corrects rates for its error."
    )
    decodings: tuple[DecodingConfig, ...] = Field(
        default=(DecodingConfig(temperature=0.0),), description="Every suite is measured with each."
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(default=None, description="First N prompts of each suite.")
    batch_tokens: Annotated[int, Field(ge=16)] = Field(default=16384, description="Padded tokens per forward pass.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(default=0, description="Seeds sampling; a profile's `seed` by default.")
    max_invalid_share: Annotated[float, Field(ge=0, le=1)] = Field(default=0.02, description="Check: share of responses without a verdict.")
    inconclusive: Literal["fail", "warn"] = Field(default="fail", description="What an undecided gate does to the exit code.")
    probe: Literal["show", "check"] = Field(default="show", description="Whether the probe's refusal is a check or only shown.")
    reward_model: str = Field(
        default="",
        description="Reward model that scores instead of the trained one: an adapter's folder, or a classifier's folder or name.",
    )
    independent_reward_model: str = Field(
        default="", description="Reward model that was not trained against, for `win_rate`: as `reward_model`."
    )
    comparer: str = Field(default="", description="Judge that compares tuned with base in both orders: openai:MODEL@URL.")
    checkpoints: Annotated[int, Field(ge=0)] = Field(
        default=0, description="At most so many published checkpoints are measured, too (ppo.publish_every)."
    )
    gates: tuple[GateConfig, ...] = Field(default=(), description="Declared gates.")
