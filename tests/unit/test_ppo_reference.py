from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from ppo_runs import SETTINGS, files, fingerprint, make_prompts
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.prompts.errors import InputError
from truenorth.rlhf.learner import POLICY
from truenorth.rlhf.ppo import PPOTrainer

Make = Callable[..., PPOTrainer]


@pytest.fixture
def make(tiny_base: Path, tiny_reward: Path, tiny_policy: Path, tmp_path: Path) -> Make:
    """A trainer whose reference is the adapter `sft`."""

    def build(*, out: Path = tmp_path, reference: str | None = "sft", **overrides: Any) -> PPOTrainer:
        model = TransformersModel.load(tiny_base, reward_model=tiny_reward, adapters={"sft": tiny_policy}, name="base")
        settings = SETTINGS.model_copy(update=overrides)
        return PPOTrainer(model, make_prompts(20), settings, out=out, seed=1, reference=reference, progress=False)

    return build


def test_the_policy_starts_as_the_reference_adapter_bit_for_bit(make: Make):
    trainer = make()
    ours, theirs = trainer.model.base.tensors(POLICY), trainer.model.base.tensors("sft")
    assert sorted(ours) == sorted(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    rollout = trainer.rollout()
    assert torch.equal(rollout.logprobs, rollout.ref_logprobs)


def test_the_kl_is_to_the_adapter_and_not_to_the_base(make: Make):
    trainer = make()
    trainer.step(trainer.rollout())
    rollout = trainer.rollout()
    model, items = trainer.model, rollout.items
    to_adapter = model.sequence_kl(items, adapter=POLICY, reference="sft")
    to_base = model.sequence_kl(items, adapter=POLICY, reference=None)
    found = rollout.k1.sum(1).tolist()
    assert found == pytest.approx([kl.k1 for kl in to_adapter], abs=1e-4)
    assert max(abs(kl.k1 - ours) for kl, ours in zip(to_base, found, strict=True)) > 0.1


def test_training_changes_the_policy_and_leaves_the_reference_frozen(make: Make):
    trainer = make()
    before = fingerprint(trainer.model)
    trainable = {name.split(".")[-2] for name, p in trainer.model.base.causal.named_parameters() if p.requires_grad}
    assert trainable == {POLICY}
    result = trainer.train()
    assert fingerprint(trainer.model) == before
    moved, start = load_file(result.policy / "adapter_model.safetensors"), trainer.model.base.tensors("sft")
    assert all(not torch.equal(moved[name], start[name]) for name in start)


def test_the_policy_folder_loads_with_peft_alone_and_is_what_was_trained(make: Make, tiny_base: Path):
    trainer = make()
    result = trainer.train()
    rows = torch.tensor([[1, 20, 30, 40]])
    with torch.no_grad(), quiet():
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base), result.policy).eval()(rows).logits
        with trainer.model.base.inference(), trainer.model.base.active(POLICY):
            ours = trainer.model.base.causal(rows).logits
    assert torch.allclose(plain, ours, atol=1e-5)


def test_a_checkpoint_against_another_reference_is_refused(make: Make, tmp_path: Path):
    make().train()
    before = files(tmp_path)
    with pytest.raises(InputError, match="another run: reference differ"):
        make(reference=None).train()
    assert files(tmp_path) == before


def test_a_reference_that_was_not_loaded_is_named(make: Make):
    with pytest.raises(InputError, match=r"no adapter 'nope' was loaded\nLoaded: sft, reward_model"):
        make(reference="nope")
