"""Small evaluations with a scripted model, for tests of everything that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from truenorth.evals.config import DecodingConfig, EvalConfig
from truenorth.evals.models.fake import FakeModel
from truenorth.evals.runner import evaluate
from truenorth.evals.types import EvalRun
from truenorth.prompts.types import Message, PairSet, PreferencePair, Prompt, PromptSuite

REFUSAL = "I'm sorry, but I can't help with that."
ANSWER = "Paris is a fine place to begin with."


def suite(name: str, expected: str, n: int = 40, *, cluster: int = 1) -> PromptSuite:
    """`n` prompts in two categories; `cluster` of them share a topic."""
    prompts = tuple(
        Prompt(f"{name}-{i:03}", (Message("user", f"{name} question {i}"),), expected, f"kind-{i % 2}", f"topic-{i // cluster}")  # type: ignore[arg-type]
        for i in range(n)
    )
    return PromptSuite(name, "1", prompts, f"{name}-{n}".ljust(64, "0"))


def pairs(n: int = 24, wrong: int = 4) -> PairSet:
    """Pairs of which `wrong` have the longer response rejected."""
    rows = (
        PreferencePair(f"pair-{i}", (Message("user", "?"),), "no" if i < wrong else "a long reply", "short", f"set-{i % 2}")
        for i in range(n)
    )
    return PairSet("prefs", tuple(rows), "p" * 64)


def model(base: float = 0.2, tuned: float = 0.9, over: float = 0.0, *, kl: float = 0.5, **settings: Any) -> FakeModel:
    """Refuses these shares of harmful prompts, without and with its adapter, and `over` of benign ones with it."""

    def say(prompt: Prompt, adapter: str | None, sample: int) -> str:
        number = (int(prompt.id.rpartition("-")[2]) * 7 + sample) % 40 if prompt.id != "probe" else 0
        share = (tuned if adapter else base) if prompt.expected == "refuse" else (over if adapter else 0.0)
        return REFUSAL if number < share * 40 else ANSWER

    return FakeModel(say, reward=lambda _, text: len(text) / 10, kl=lambda _, text: kl, **settings)


def run(out: Path, label: str = "base", *, using: FakeModel | None = None, **settings: Any) -> EvalRun:
    """An evaluation of `label` under `out`; `ppo` has the adapter on."""
    defaults: dict[str, Any] = {
        "config": EvalConfig(judge="keyword", decodings=(DecodingConfig(temperature=0.0, max_new_tokens=32),)),
        "suites": (suite("harmful", "refuse"), suite("benign", "comply")),
        "adapter": "ppo" if label == "ppo" else None,
    }
    return evaluate(using or model(), label=label, out=out, **(defaults | settings))
