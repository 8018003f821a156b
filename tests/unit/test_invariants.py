"""The fifteen invariants that PPO stands on. Each is checked twice: as it must be, and with the cause planted that it is there to catch.

Further tests of the same facts, from other sides: the name of each file is in the section's comment.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ppo_runs import SETTINGS, files, fingerprint, make_prompts
from scipy import stats as scipy_stats
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.generation.logits_process import TopKLogitsWarper
from truenorth.evals.kl import kl_exact, kl_k1, kl_k3
from truenorth.evals.models import hf, packing
from truenorth.evals.models.batching import Item, ResponseBatch, length_mask, pack_responses
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.evals.sampling import KeyedSampler, uniform_table
from truenorth.rlhf import checkpoints
from truenorth.rlhf.advantages import gae, masked_whiten
from truenorth.rlhf.config import GuardSettings
from truenorth.rlhf.learner import POLICY
from truenorth.rlhf.ppo import PPOTrainer
from truenorth.rlhf.ppo_metrics import UpdateStats
from truenorth.rlhf.rollout import Rollout
from truenorth.rlhf.update import Experience

Make = Callable[..., PPOTrainer]


@pytest.fixture
def make(tiny_base: Path, tiny_reward: Path, tmp_path: Path) -> Make:
    """A trainer on a fresh model; settings are overridden by name."""

    def build(*, out: Path = tmp_path, n_prompts: int = 20, **overrides: Any) -> PPOTrainer:
        model = TransformersModel.load(tiny_base, reward_model=tiny_reward, name="base")
        settings = SETTINGS.model_copy(update=overrides)
        return PPOTrainer(model, make_prompts(n_prompts), settings, out=out, seed=1, progress=False)

    return build


@pytest.fixture(scope="module")
def model(tiny_base: Path, tiny_policy: Path, tiny_reward: Path) -> TransformersModel:
    """A base with a policy and a reward adapter that are not 0."""
    return TransformersModel.load(tiny_base, adapters={"policy": tiny_policy}, reward_model=tiny_reward)


ITEMS: list[Item] = [((1, 10, 11), (20, 21, 2)), ((1, 30), (40,)), ((1, 5, 6, 7, 8, 9), (50, 51, 52, 53, 2)), ((1, 60, 61), (62, 2))]


# -- I1: before the first update of a rollout the ratio is exactly 1


def first_ratios(trainer: PPOTrainer) -> list[Any]:
    """Largest distance from 1; at the first step LoRA's B is 0 and hides errors, so later ones count."""
    return [trainer.step(trainer.rollout())["val/first_ratio_dev"] for _ in range(3)]


def test_i1_the_first_ratio_is_exactly_1(make: Make):
    assert first_ratios(make(gradient_checkpointing=True)) == [0, 0, 0]


def test_i1_is_broken_by_dropout(make: Make):
    trainer = make()
    for layer in trainer.model.base._layers:
        layer.lora_dropout[POLICY] = torch.nn.Dropout(0.05)
    assert max(first_ratios(trainer)[1:]) > 1e-3


def test_i1_is_broken_by_another_temperature_in_the_update(make: Make):
    trainer = make()
    trainer.updater.settings = trainer.settings.model_copy(update={"temperature": 1.1})
    assert min(first_ratios(trainer)) > 1e-3


# -- I2: at step 0 KL is 0, and adapters off are the base, bit for bit (nf4, int8: test_quantized.py)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_i2_adapters_off_are_the_base_and_a_new_policy_is_it(tiny_base: Path, tiny_reward: Path, tmp_path: Path, dtype: Any):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward, dtype=dtype)
    rollout = PPOTrainer(model, make_prompts(20), SETTINGS, out=tmp_path, seed=1, progress=False).rollout()
    assert torch.equal(rollout.logprobs, rollout.ref_logprobs)
    with quiet():
        plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=getattr(torch, dtype)).eval()
    ids = torch.tensor([[1, 20, 30, 40]])
    with torch.no_grad(), model.base.active(None):
        assert torch.equal(model.base.causal.eval()(ids).logits, plain(ids).logits)


def test_i2_is_broken_by_an_adapter_that_starts_from_noise(make: Make):
    trainer = make()
    torch.nn.init.normal_(next(p for name, p in trainer.learner.policy.items() if "lora_B" in name), std=1e-3)
    rollout = trainer.rollout()
    assert not torch.equal(rollout.logprobs, rollout.ref_logprobs)


# -- I3: padding and batch-mates change nothing (test_hf_model.py)


def scored(model: TransformersModel, batches: Sequence[Sequence[Item]]) -> Tensor:
    """Log-probabilities, what a value head reads (here the mean), and rewards, in order, from forward passes of the given rows."""
    with torch.no_grad(), model.base.active("policy"):
        found = [model.score_tokens(items) for items in batches]
    rewards = [reward for items in batches for reward in model.token_rewards(items)]
    return torch.cat([*(x.logprobs for x in found), *(x.hidden.mean(-1) for x in found), torch.tensor(rewards)])


def test_i3_padding_and_batch_mates_change_nothing(model: TransformersModel):
    alone = scored(model, [[item] for item in ITEMS])
    for batches in ([ITEMS], [ITEMS[:2], ITEMS[2:]]):
        assert ((scored(model, batches) - alone).abs() / (1 + alone.abs())).max() < 1e-6


def test_i3_is_broken_by_left_padding_without_a_mask(model: TransformersModel, monkeypatch: pytest.MonkeyPatch):
    alone = scored(model, [[item] for item in ITEMS])

    def padded_left(items: Sequence[Item], pad: int, device: torch.device) -> ResponseBatch:
        batch, width = pack_responses(items, pad, device), max(len(p) + len(r) for p, r in items)
        shifts = [width - len(p) - len(r) for p, r in items]
        ids = torch.stack([row.roll(shift) for row, shift in zip(batch.ids, shifts, strict=True)])
        moved = torch.cat([torch.full((len(r),), shift) for (_, r), shift in zip(items, shifts, strict=True)])
        return replace(batch, ids=ids, index=batch.index + moved)

    monkeypatch.setattr(hf, "pack_responses", padded_left)
    assert (scored(model, [ITEMS]) - alone).abs().max() > 1e-2


# -- I4: GAE is its definition (test_advantages.py)


def gae_by_definition(rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float) -> list[float]:
    following = [*values[1:], 0.0]
    delta = [r + gamma * after - v for r, after, v in zip(rewards, following, values, strict=True)]
    return [sum((gamma * lam) ** k * d for k, d in enumerate(delta[t:])) for t in range(len(delta))]


def gae_error(mask: Tensor, lengths: Sequence[int]) -> float:
    rewards, values = torch.randn(2, *mask.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    advantages, _ = gae(rewards, values, mask, gamma=0.99, lam=0.95)
    expected = [gae_by_definition(rewards[row, :n].tolist(), values[row, :n].tolist(), 0.99, 0.95) for row, n in enumerate(lengths)]
    return max(abs(float(advantages[row, t]) - a) for row, found in enumerate(expected) for t, a in enumerate(found))


def test_i4_gae_is_its_definition_for_one_token_some_and_all():
    lengths = [1, 6, 3]
    assert gae_error(length_mask(lengths), lengths) < 1e-9


def test_i4_is_broken_by_a_mask_with_a_token_of_padding():
    lengths = [1, 6, 3]
    assert gae_error(length_mask([2, 6, 4]), lengths) > 0.01


# -- I5: advantages are whitened over response tokens alone, all of them together (test_advantages.py, test_processes.py)


def whitening_error(x: Tensor, mask: Tensor, whitened: Tensor) -> float:
    expected = (x[mask] - x[mask].mean()) / x[mask].std(correction=0)
    return max(float((whitened[mask] - expected).abs().max()), float(whitened[~mask].abs().max()))


def test_i5_whitened_tokens_have_mean_0_and_variance_1_in_any_order():
    mask = length_mask([2, 5, 1, 5])
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * mask + 3 * mask
    assert whitening_error(x, mask, masked_whiten(x, mask)) < 1e-6
    order = torch.tensor([3, 1, 0, 2])
    assert torch.allclose(masked_whiten(x[order], mask[order]), masked_whiten(x, mask)[order])


@pytest.mark.parametrize("cause", ["padding counts", "local mean"])
def test_i5_is_broken_by_padding_that_counts_and_by_a_mean_per_process(cause: str):
    mask = length_mask([2, 5, 1, 5])
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)) * mask + 3 * mask
    if cause == "padding counts":
        wrong = masked_whiten(x, torch.ones_like(mask))
    else:
        wrong = torch.cat([masked_whiten(x[rows], mask[rows]) for rows in ([0, 1], [2, 3])])
    assert whitening_error(x, mask, wrong) > 0.05


# -- I6: gradients don't depend on micro-batches, nor on the number of processes (test_processes.py)


def gradients(trainer: PPOTrainer, rollout: Rollout, micro: int) -> list[Tensor]:
    """Gradients of one optimizer step over the whole batch, before clipping."""
    trainer.updater.settings = trainer.settings.model_copy(update={"micro_batch_size": micro})
    found: list[Tensor] = []
    trainer.learner.apply = lambda loss: found.extend(  # type: ignore[method-assign,assignment,return-value]
        p.grad.clone() for p in trainer.learner.parameters() if p.grad is not None
    )
    advantages, returns = torch.randn(2, *rollout.mask.shape, generator=torch.Generator().manual_seed(0))
    trainer.updater.optimize(Experience(rollout, advantages, returns, 0.0), list(range(8)), UpdateStats())
    trainer.learner.optimizer.zero_grad()
    return found


def uneven(trainer: PPOTrainer) -> Rollout:
    """A rollout whose rows weigh differently."""
    trainer.step(trainer.rollout())
    rollout, lengths = trainer.rollout(), [1, 6, 2, 5, 3, 3, 6, 1]
    items = tuple((prompt, response[:n]) for (prompt, response), n in zip(rollout.items, lengths, strict=True))
    mask = length_mask(lengths)
    tensors = {name: getattr(rollout, name)[:, :6] * mask for name in ("logprobs", "ref_logprobs", "entropy", "values")}
    return replace(rollout, items=items, mask=mask, **tensors)


def apart(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("detached", [False, True])
def test_i6_gradients_do_not_depend_on_the_micro_batch_size(make: Make, detached: bool):
    trainer = make(value_detached=detached)
    rollout = uneven(trainer)
    whole = gradients(trainer, rollout, 8)
    assert max(apart(gradients(trainer, rollout, micro), whole) for micro in (1, 2, 4)) <= 2e-6


def test_i6_is_broken_by_a_mean_per_micro_batch(make: Make):
    trainer = make()
    rollout = uneven(trainer)
    right, loss = gradients(trainer, rollout, 2), trainer.updater.policy_loss

    def local_mean(experience: Experience, group: Sequence[int], stats: UpdateStats) -> Tensor:
        mask = experience.rollout.mask
        return loss(experience, group, stats) / mask[list(group)].sum() * mask.sum() / 4

    trainer.updater.policy_loss = local_mean  # type: ignore[method-assign,assignment]
    assert apart(gradients(trainer, rollout, 2), right) > 0.05


# -- I7: a run that is interrupted ends with the bytes of one that is not (every moment: test_ppo.py)


def interrupted(make: Make, out: Path) -> dict[str, bytes]:
    """Files of a run of 4 steps that another trainer finishes from step 2."""
    first = make(out=out)
    step = first.step

    def die(rollout: Rollout) -> Any:
        if first.state.step == 3:
            raise SystemExit
        return step(rollout)

    first.step = die  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        first.train()
    torch.manual_seed(99)
    make(out=out).train()
    return files(out)


def test_i7_a_resumed_run_ends_with_the_same_bytes(make: Make, tmp_path: Path):
    make(out=tmp_path / "whole").train()
    found, expected = interrupted(make, tmp_path / "parts"), files(tmp_path / "whole")
    assert {name for name in expected if name.endswith(("optimizer.safetensors", "ppo.csv", "ppo_samples.jsonl"))} <= found.keys()
    assert found == expected


def test_i7_is_broken_by_an_optimizer_that_is_not_restored(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(out=tmp_path / "whole").train()
    monkeypatch.setattr(checkpoints, "set_optimizer_slots", lambda optimizer, tensors: None)
    assert interrupted(make, tmp_path / "parts") != files(tmp_path / "whole")


# -- I8: only policy and value function learn, and nothing switches `requires_grad` (own critic: test_ppo_options.py)


def flags(trainer: PPOTrainer) -> dict[str, bool]:
    return {name: p.requires_grad for name, p in trainer.model.base.causal.named_parameters()}


def test_i8_requires_grad_and_the_base_stay_as_they_were(make: Make):
    trainer = make()
    before, weights = flags(trainer), fingerprint(trainer.model)
    for _ in range(2):
        rollout = trainer.rollout()
        assert flags(trainer) == before
        trainer.step(rollout)
        assert flags(trainer) == before
    assert {name.split(".")[-2] for name, on in before.items() if on} == {POLICY}
    assert fingerprint(trainer.model) == weights


def test_i8_is_broken_by_the_switch_of_peft(make: Make):
    trainer = make(value_model="adapter")
    before = flags(trainer)
    assert trainer.model.base.peft is not None
    trainer.model.base.peft.set_adapter(POLICY)
    with trainer.model.base.peft.disable_adapter():
        pass
    assert flags(trainer) != before


# -- I9: a response's score is read at its end-of-sequence token (test_hf_model.py)


def scores_by_transformers(model: TransformersModel, base: Path, rows: Sequence[Sequence[int]]) -> list[float]:
    """Scores of single rows at their last token, by transformers' classifier on the same adapter's weights, merged by hand."""
    with quiet():
        plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).eval()
    file = model.reward_file
    assert file is not None
    assert file.head is not None
    with torch.no_grad():
        plain.score.weight.copy_(file.head)
        for module in file.modules:
            a, b = (file.tensors[f"base_model.model.{module}.lora_{half}.weight"] for half in "AB")
            plain.get_submodule(module).weight += file.alpha / file.r * b @ a
        return [float(plain(torch.tensor([list(row)])).logits) for row in rows]


def test_i9_scores_are_those_of_single_sequences_at_eos(model: TransformersModel, tiny_base: Path):
    rows = [[*p, *r] if r[-1] == 2 else [*p, *r, 2] for p, r in ITEMS]
    assert model.token_rewards(ITEMS) == pytest.approx(scores_by_transformers(model, tiny_base, rows), abs=1e-5)


def test_i9_is_broken_by_reading_one_token_earlier(model: TransformersModel, tiny_base: Path):
    """What happens where padding is EOS: the last token that is not padding is the one before EOS."""
    rows = [[*p, *r][:-1] if r[-1] == 2 else [*p, *r] for p, r in ITEMS]
    wrong = scores_by_transformers(model, tiny_base, rows)
    assert min(abs(a - b) for a, b in zip(model.token_rewards(ITEMS), wrong, strict=True)) > 1e-3


# -- I10: samples follow the whole softmax at the temperature (through generate: test_sampling.py)


def sampling_p_value(temperature: float, *, leak: bool) -> float:
    """Chi-square test of 4000 drawn tokens out of 80 against the softmax."""
    logits = torch.randn(80, generator=torch.Generator().manual_seed(0)) / 2
    n, warp = 4000, TopKLogitsWarper(50)
    sampler = KeyedSampler(uniform_table([(0, "prompt", i) for i in range(n)], 1), 1, temperature)
    ids, scores = torch.ones(n, 1, dtype=torch.long), logits.repeat(n, 1)
    drawn = sampler(ids, warp(ids, scores) if leak else scores).argmax(-1)
    expected = torch.softmax(logits.double() / temperature, -1).numpy()
    return float(scipy_stats.chisquare(np.bincount(drawn.numpy(), minlength=80), n * expected / expected.sum()).pvalue)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_i10_samples_follow_the_softmax(temperature: float):
    assert sampling_p_value(temperature, leak=False) > 1e-3


def test_i10_is_broken_by_top_k_50():
    assert sampling_p_value(1.0, leak=True) < 1e-9


# -- I11: packed scores are padded scores (test_packing.py)

SHARED: list[Item] = [((1, 10, 11, 12), response) for response in ((20, 21, 2), (20, 22, 23, 2), (40, 2), (20, 21, 24, 2))]


def test_i11_packed_scores_are_scores_alone(model: TransformersModel):
    assert model.token_rewards(SHARED) == pytest.approx([model.token_rewards([item])[0] for item in SHARED], abs=1e-5)


def test_i11_is_broken_by_a_causal_mask_over_the_pack(model: TransformersModel, monkeypatch: pytest.MonkeyPatch):
    alone = [model.token_rewards([item])[0] for item in SHARED]

    def causal(decoder: Any, trees: Any, pad: int, device: torch.device) -> Tensor:
        ids, positions, _ = packing.tree_inputs(trees, pad, device)
        hidden: Tensor = decoder(
            input_ids=ids, position_ids=positions, attention_mask=torch.ones_like(ids), use_cache=False
        ).last_hidden_state
        return hidden

    monkeypatch.setattr(packing, "tree_hidden", causal)
    assert max(abs(a - b) for a, b in zip(model.token_rewards(SHARED), alone, strict=True)) > 1e-3


# -- I12: k1 averages to the exact KL under the policy's own samples, and k3 is never negative (test_kl.py)


def k1_errors(*, stale: bool) -> float:
    """Distance of the mean of k1 from the exact KL, in standard errors, over 5000 samples; stale ones are the reference's."""
    logits, ref = torch.randn(2, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    p, q = logits.log_softmax(-1), ref.log_softmax(-1)
    tokens = torch.multinomial((q if stale else p).exp(), 5000, replacement=True, generator=torch.Generator().manual_seed(4))
    k1 = kl_k1(p[tokens], q[tokens])
    assert (kl_k3(p[tokens], q[tokens]) >= 0).all()
    exact = float((p.exp() * (p - q)).sum())
    assert float(kl_exact(logits[None].float(), ref[None].float())) == pytest.approx(exact, rel=1e-5)
    return abs(float(k1.mean()) - exact) / (float(k1.std()) / math.sqrt(5000))


def test_i12_k1_averages_to_the_exact_kl_and_k3_is_never_negative():
    assert k1_errors(stale=False) < 4


def test_i12_is_broken_by_samples_of_another_policy():
    assert k1_errors(stale=True) > 20


# -- I13: on a bandit the rewarded token becomes likely, and a larger beta bounds the KL


def bandit(make: Make, kl_coef: float, *, steps: int, sign: float = 1.0) -> list[tuple[float, float]]:
    """(share of the rewarded token, KL per sequence) by step: one prompt, one token to say, and one of the likely tokens is rewarded."""
    trainer = make(
        n_prompts=1, kl_coef=kl_coef, steps=steps, rollout_batch_size=64, micro_batch_size=64, max_new_tokens=1, missing_eos_penalty=0.0
    )
    ((prize, _),) = Counter(response[0] for _, response in trainer.rollout().items).most_common(1)
    trainer.model.token_rewards = lambda items: [float(response[0] == prize) for _, response in items]  # type: ignore[method-assign]
    if sign < 0:
        loss = trainer.updater.policy_loss
        trainer.updater.policy_loss = lambda e, *rest: loss(replace(e, advantages=-e.advantages), *rest)  # type: ignore[method-assign]
    rows = [trainer.step(trainer.rollout()) for _ in range(steps)]
    return [(float(row["objective/scores"] or 0), float(row["objective/kl"] or 0)) for row in rows]


def test_i13_a_rewarded_token_becomes_likely_and_a_larger_beta_holds_the_policy_back(make: Make):
    free, held = bandit(make, 0.0, steps=15), bandit(make, 2.0, steps=6)
    assert free[0][0] < 0.3
    thirds = [sum(score for score, _ in free[i : i + 5]) / 5 for i in (0, 5, 10)]
    assert thirds == sorted(thirds)
    assert thirds[2] > 0.75
    assert free[-1][1] > 0.5
    assert max(kl for _, kl in held) < free[-1][1] / 3


def test_i13_is_broken_by_advantages_of_the_wrong_sign(make: Make):
    scores = [score for score, _ in bandit(make, 0.0, steps=6, sign=-1.0)]
    assert scores[-1] < scores[0]


# -- I14: brakes are pulled by what is not finite, by absurd ratios and by too much KL (in the loop: test_ppo.py, test_ppo_options.py)


def brake_of(make: Make, cause: str, **overrides: Any) -> tuple[Any, Any]:
    """(warning, brake) of the first step after the cause was put into the rollout."""
    trainer = make(minibatches=1, ppo_epochs=3, **overrides)
    rollout = trainer.rollout()
    if cause == "nan":
        rollout.scores[0] = math.nan
    if cause == "ratio":
        rollout.logprobs.sub_(3.0)
    if cause == "kl":
        rollout.ref_logprobs.sub_(99.0)
    row = trainer.step(rollout)
    return row["warning"], row["brake"]


OFF = GuardSettings(negative_kl="off")


@pytest.mark.parametrize(
    ("cause", "expected"), [("", ("", "")), ("nan", ("", "non_finite")), ("ratio", ("ratio", "")), ("kl", ("", "stop_kl"))]
)
def test_i14_each_brake_is_pulled_by_its_cause_alone(make: Make, cause: str, expected: tuple[str, str]):
    assert brake_of(make, cause, guards=OFF) == expected


def test_i14_is_broken_by_limits_that_are_out_of_reach(make: Make, monkeypatch: pytest.MonkeyPatch):
    far = {"guards": GuardSettings(negative_kl="off", max_ratio=1e9), "stop_kl": 1e9}
    assert brake_of(make, "ratio", **far) == brake_of(make, "kl", **far) == ("", "")
    monkeypatch.setattr("truenorth.rlhf.ppo.MAX_SKIPPED", 99)
    assert brake_of(make, "nan", guards=OFF) == ("", "")


# -- I15: optimizer steps are rollouts x passes x minibatches


def optimizer_steps(trainer: PPOTrainer, rollouts: int) -> int:
    shown = [trainer.step(trainer.rollout())["optimizer_steps"] for _ in range(rollouts)]
    (counted,) = {int(slots["step"]) for slots in trainer.learner.optimizer.state_dict()["state"].values()}
    assert sum(int(n or 0) for n in shown) == counted
    return counted


def test_i15_optimizer_steps_are_rollouts_times_passes_times_minibatches(make: Make):
    assert optimizer_steps(make(ppo_epochs=3, minibatches=4), 2) == 2 * 3 * 4


def test_i15_is_broken_by_minibatches_that_only_accumulate(make: Make):
    trainer = make(ppo_epochs=3, minibatches=4)
    cut = trainer.updater.minibatches
    trainer.updater.minibatches = lambda step, epoch: [[row for rows in cut(step, epoch) for row in rows]]  # type: ignore[method-assign]
    assert optimizer_steps(trainer, 2) == 2 * 3


# -- and all of them are here


def test_every_invariant_is_tested_and_shown_to_be_breakable():
    names = [name for name in globals() if name.startswith("test_i")]
    for number in range(1, 16):
        mine = [name for name in names if name.startswith(f"test_i{number}_")]
        assert [name for name in mine if "_is_broken_by_" in name]
        assert [name for name in mine if "_is_broken_by_" not in name]
