"""Both trainers at Mistral-7B's width (hidden 4096, vocabulary 32,000) with its real tokenizer and two layers of random weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mistral_shape import save_random_mistral
from safetensors.torch import load_file
from truenorth.prompts.types import Message, PreferencePair, Prompt
from truenorth.rlhf.config import LoraSettings, ModelSettings, PPOSettings, RewardModelSettings

LAYERS, STEPS = 2, 2
REQUESTS = ("Grüße aus 日本!", "How do I bake bread?", "What is the colour of the sky at noon?", "Name a prime number.", "Hi")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Path]:
    """True width but for the inside of the MLP: small enough for the fast tests."""
    folder = save_random_mistral(tmp_path_factory.mktemp("narrow"), layers=LAYERS, intermediate_size=256, tie_word_embeddings=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Iterator[Path]:
    """1.4 GB in bf16."""
    folder = save_random_mistral(tmp_path_factory.mktemp("full"), layers=LAYERS)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each forward pass of an attention layer that is part of an update."""
    import torch
    from transformers.models.mistral.modeling_mistral import MistralAttention

    seen: list[bool] = []
    own = MistralAttention.forward

    def forward(self: Any, *args: Any, **options: Any) -> Any:
        if self.training and torch.is_grad_enabled():
            seen.append(True)
        return own(self, *args, **options)

    monkeypatch.setattr(MistralAttention, "forward", forward)
    return seen


def train_reward_model(base: Path, out: Path, quantization: str, *, checkpointing: bool = True) -> Any:
    from truenorth.rlhf.reward_model import RewardModelTrainer

    pairs = [PreferencePair(str(i), (Message("user", text),), "Sure, gladly.", f"No, {i}.") for i, text in enumerate(REQUESTS)]
    settings = RewardModelSettings(
        learning_rate=1e-3, batch_size=2, gradient_accumulation=1, gradient_checkpointing=checkpointing, lora=LoraSettings()
    )
    model = ModelSettings(name="base", dtype="bfloat16", quantization=quantization)
    return RewardModelTrainer(base, pairs[:4], settings, model, out=out, seed=0, validation=pairs[4:], progress=False).train()


def train_policy(base: Path, reward: Path, out: Path, quantization: str, *, checkpointing: bool = True) -> tuple[Any, list[Any]]:
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.rlhf.ppo import PPOTrainer

    model = TransformersModel.load(base, dtype="bfloat16", quantization=quantization, reward_model=reward)
    prompts = [Prompt(str(i), (Message("user", text),), None) for i, text in enumerate(REQUESTS[:4])]
    settings = PPOSettings(
        learning_rate=1e-3, steps=STEPS, rollout_batch_size=4, micro_batch_size=2, max_new_tokens=6, gradient_checkpointing=checkpointing
    )
    trainer = PPOTrainer(model, prompts, settings, out=out, seed=0, progress=False)
    return trainer, [trainer.step(trainer.rollout()) for _ in range(STEPS)]


def check_training(base: Path, out: Path, quantization: str, forwards: list[bool]) -> None:
    """Two steps of each trainer, every update's blocks run twice: once forward, once more for the backward pass."""
    import torch

    result = train_reward_model(base, out, quantization)
    assert result.steps == STEPS
    assert len(forwards) == 2 * LAYERS * STEPS
    trained = load_file(result.folder / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in trained.values()} == {torch.float32}
    assert all(bool(tensor.any()) for name, tensor in trained.items() if "lora_B" in name)

    forwards.clear()
    trainer, rows = train_policy(base, result.folder, out, quantization)
    assert len(forwards) == 2 * LAYERS * STEPS * 2  # two micro-batches a step
    assert [row["optimizer_steps"] for row in rows] == [1] * STEPS
    assert [row["val/first_ratio_dev"] for row in rows] == [0.0] * STEPS
    assert rows[0]["objective/kl"] == 0
    assert rows[1]["objective/kl"] != 0
    assert {p.dtype for group in trainer.learner.optimizer.param_groups for p in group["params"]} == {torch.float32}
    stored = {p.dtype for name, p in trainer.model.base.causal.named_parameters() if "norm" in name or "embed" in name}
    assert stored == {torch.bfloat16}


def test_both_trainers_take_steps_at_true_width_in_bf16(narrow: Path, tmp_path: Path, forwards: list[bool]):
    check_training(narrow, tmp_path, "none", forwards)


def test_without_checkpointing_no_block_runs_twice(narrow: Path, tmp_path: Path, forwards: list[bool]):
    """What the count above would be if checkpointing were off behind our back."""
    result = train_reward_model(narrow, tmp_path, "none", checkpointing=False)
    assert len(forwards) == LAYERS * STEPS
    forwards.clear()
    train_policy(narrow, result.folder, tmp_path, "none", checkpointing=False)
    assert len(forwards) == LAYERS * STEPS * 2


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_both_trainers_take_steps_on_full_blocks(full: Path, tmp_path: Path, quantization: str, forwards: list[bool]):
    check_training(full, tmp_path, quantization, forwards)
