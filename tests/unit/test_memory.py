from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import save_tiny_model
from truenorth.cli.config import load_config
from truenorth.cli.memory_plan import examine_memory, model_shape
from truenorth.rlhf.config import LoraSettings, ModelSettings, PPOSettings, RewardModelSettings
from truenorth.rlhf.memory import GB, KNOWN, ModelShape, plan_memory, smaller, weight_bytes

MISTRAL = KNOWN["mistralai/Mistral-7B-Instruct-v0.2"]
DEFAULTS = (RewardModelSettings(), PPOSettings())


def test_mistral_7b_by_hand():
    """Published: 7,241,732,096 parameters. 32 x (2 x 4096^2 + 2 x 4096 x 1024 + 3 x 4096 x 14336) are in linear layers."""
    assert MISTRAL.linear_parameters == 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336) == 6_979_321_856
    assert MISTRAL.linear_parameters + MISTRAL.other_parameters == 7_241_732_096
    assert weight_bytes(MISTRAL, ModelSettings()) == 14_483_464_192
    assert weight_bytes(MISTRAL, ModelSettings(quantization="nf4")) == pytest.approx(4.13e9, rel=0.01)
    assert weight_bytes(MISTRAL, ModelSettings(quantization="int8")) == pytest.approx(7.50e9, rel=0.01)
    assert MISTRAL.lora_parameters(LoraSettings(r=16)) == 41_943_040
    assert MISTRAL.lora_parameters(LoraSettings(r=16, target_modules=("q_proj", "v_proj"))) == 6_815_744
    assert MISTRAL.kv_bytes(2) == 128 * 1024
    kept = 2 * (2 * 4096 + 2 * 1024 + 3 * 14336) + 8 * 4096 + 4 * (6 * 4096 + 14336)
    assert MISTRAL.block_bytes(2, LoraSettings()) == kept
    assert kept == pytest.approx(344 * 1024, rel=0.2)  # an independent estimate of the same block
    assert MISTRAL.block_bytes(2, LoraSettings(), mask_bytes=1) == kept + 6 * 4096 + 14336
    assert MISTRAL.block_bytes(2, LoraSettings(target_modules=("q_proj", "v_proj"))) == kept - 4 * (4 * 4096 + 14336)


def test_phases_of_the_recipe_by_hand():
    plan = plan_memory(MISTRAL, ModelSettings(), *DEFAULTS, device="cuda", batch_tokens=16384)
    lora = 41_943_040
    assert plan.phases["update"]["optimizer"] == 12 * (lora + 4097)
    assert plan.phases["update"]["adapters"] == 4 * (2 * lora + 4096 + 4097)
    assert plan.phases["rollout"]["kv_cache"] == 21 * 768 * 128 * 1024  # 16384 // 768 rows
    block = 4 * 768 * (MISTRAL.block_bytes(2, LoraSettings()) + 14336 * 10)
    assert plan.phases["update"]["activations"] == block + 4 * 768 * 32 * 4096 * 2
    assert plan.phases["update"]["logits"] == 0  # 4 x 256 x 32000 x 20 bytes, less than a block's pass, which comes after them
    plain = plan_memory(
        MISTRAL, ModelSettings(), RewardModelSettings(), PPOSettings(max_new_tokens=2048), device="cuda", batch_tokens=16384
    )
    assert plain.phases["update"]["logits"] == 4 * 2048 * 32000 * 20 - 4 * 2560 * (block // 4 // 768)
    assert plan.phases["score"]["activations"] == 16384 * (14336 * 10 + 4 * 4096 * 2)
    quantised = plan_memory(MISTRAL, ModelSettings(quantization="nf4"), *DEFAULTS, device="cuda", batch_tokens=16384)
    assert (plan.phases["update"]["workspace"], quantised.phases["update"]["workspace"]) == (0, 2 * 4096 * 14336)
    assert plan.phases["reward"]["base_weights"] == 14_483_464_192 - 2 * 32000 * 4096  # no output layer
    assert plan.total_bytes == max(sum(parts.values()) for parts in plan.phases.values())


def test_weights_and_adapters_are_those_of_a_real_model(tiny_base: Path):
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.rlhf.learner import Learner

    shape = ModelShape.from_config(json.loads((tiny_base / "config.json").read_text()))
    stored = sum(tensor.numel() * tensor.element_size() for tensor in load_file(tiny_base / "model.safetensors").values())
    for dtype, factor in (("float32", 1), ("bfloat16", 2)):
        assert weight_bytes(shape, ModelSettings(dtype=dtype)) * factor == stored  # type: ignore[arg-type]
    settings = PPOSettings(lora=LoraSettings(r=4), value_model="adapter", value_init="zero", gradient_checkpointing=False)
    learner = Learner(TransformersModel.load(tiny_base), settings, seed=0)
    assert sum(p.numel() for p in learner.policy.values()) == shape.lora_parameters(settings.lora)
    trained = sum(p.numel() for group in learner.optimizer.param_groups for p in group["params"])
    plan = plan_memory(shape, ModelSettings(dtype="float32"), RewardModelSettings(), settings, device="cpu", batch_tokens=4096)
    assert plan.phases["update"]["optimizer"] == 12 * trained


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("bfloat16", 2)])
@pytest.mark.parametrize("dropout", [0.0, 0.05])
def test_what_a_block_keeps_is_about_what_torch_keeps(tmp_path: Path, dtype: str, width: int, dropout: float):
    """Against torch's own hooks on the blocks of a real model, LoRA on every layer."""
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.rlhf.learner import POLICY
    from truenorth.rlhf.lora import lora_config

    base = save_tiny_model(tmp_path, hidden_size=64, intermediate_size=192)
    shape, lora = ModelShape.from_config(json.loads((base / "config.json").read_text())), LoraSettings(r=1, dropout=dropout)
    model = TransformersModel.load(base, dtype=dtype)  # type: ignore[arg-type]
    model.base.new_adapter(POLICY, lora_config(lora, "CAUSAL_LM", model.base.causal, dropout=dropout), seed=0)
    model.base.causal.train()
    weights = {p.untyped_storage().data_ptr() for p in model.base.causal.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    rows, length = 4, 64
    with model.base.active(POLICY), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.base.hidden(torch.ones(rows, length, dtype=torch.long))
    assert hidden.requires_grad
    counted = shape.layers * shape.block_bytes(width, lora, mask_bytes=4 if dropout else 0) * rows * length
    assert 0.85 * counted < sum(kept.values()) < 1.15 * counted


def test_larger_settings_need_more_and_checkpointing_less():
    def total(**changes: object) -> int:
        ppo = PPOSettings().model_copy(update=changes)
        return plan_memory(MISTRAL, ModelSettings(), RewardModelSettings(), ppo, device="cuda", batch_tokens=16384).totals["update"]

    assert total(micro_batch_size=8) > total() > total(micro_batch_size=1)
    assert total(gradient_checkpointing=False) > total() + 20 * GB
    assert total(value_model="adapter") > total()


def test_the_mildest_change_that_fits_is_found_and_does_fit():
    options = {"device": "cuda", "batch_tokens": 16384}
    settings = (MISTRAL, ModelSettings(), *DEFAULTS)
    plan = plan_memory(*settings, **options)
    assert plan.fits(80 * GB)
    assert not plan.fits(20 * GB)
    assert smaller(*settings, 20 * GB, **options) is not None
    assert smaller(*settings, 12 * GB, **options)["model.quantization"] == "nf4"  # type: ignore[index]
    assert "model.quantization" not in smaller(*settings, 20 * GB, **options)  # type: ignore[operator]
    assert smaller(*settings, 2 * GB, **options) is None


@pytest.mark.parametrize("profile", ["tiny", "mistral-7b", "mistral-7b-qlora"])
def test_every_shipped_profile_has_a_plan(profile: str, tmp_path: Path):
    config = load_config(profile)
    facts = examine_memory(config, model_shape(config, tmp_path), "cpu", 1000 * GB)
    assert facts["fits"] is True
    assert facts["parts"]["base_weights"] > 0
    assert facts["total_bytes"] <= sum(facts["parts"].values())
    too_small = examine_memory(config, model_shape(config, tmp_path), "cpu", 1000.0)
    assert too_small["fits"] is False
    assert "No setting makes it fit" in too_small["advice"]


def test_advice_names_settings_that_the_configuration_accepts(tmp_path: Path):
    config = load_config("mistral-7b")
    facts = examine_memory(config, model_shape(config, tmp_path), "cuda", 12 * GB)
    overrides = facts["advice"].removeprefix("It fits with: -o ").split(" -o ")
    changed = load_config("mistral-7b", overrides)
    assert examine_memory(changed, model_shape(changed, tmp_path), "cuda", 12 * GB)["fits"] is True


def test_a_base_that_is_not_at_hand_has_no_plan_and_its_config_is_enough(tmp_path: Path, tiny_base: Path):
    config = load_config("mistral-7b", ["model.name=somebody/unknown"])
    assert model_shape(config, tmp_path) is None
    assert examine_memory(config, None, "cpu", 1.0)["fits"] is None
    snapshot = tmp_path / "models--somebody--unknown" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((tiny_base / "config.json").read_bytes())
    assert model_shape(config, tmp_path) == model_shape(load_config("mistral-7b", [f"model.name={tiny_base}"]), tmp_path)
