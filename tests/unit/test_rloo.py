"""RLOO by TRL's trainer inside PPO's loop, on a tiny model."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ppo_runs import SETTINGS, files, fingerprint, make_prompts, read_rows
from tiny_models import WORDS
from truenorth.evals.models.hf import TransformersModel
from truenorth.prompts.errors import InputError
from truenorth.rlhf.config import GuardSettings
from truenorth.rlhf.learner import POLICY
from truenorth.rlhf.ppo import PPOTrainer
from truenorth.rlhf.ppo_metrics import COLUMNS
from truenorth.rlhf.rloo import RLOOTrainer

RLOO = SETTINGS.model_copy(update={"algorithm": "rloo", "generations": 4, "steps": 3, "minibatches": 1, "ppo_epochs": 1})


def make_trainer(base: Path, reward: Path, out: Path, *, function: Any = None, **changes: Any) -> RLOOTrainer:
    model = TransformersModel.load(base, reward_model=None if function else reward)
    return RLOOTrainer(model, make_prompts(6), RLOO.model_copy(update=changes), out=out, seed=3, reward=function, progress=False)


def test_it_leaves_the_files_columns_and_policy_folder_of_ppo(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    trainer = make_trainer(tiny_base, tiny_reward, tmp_path, minibatches=2, ppo_epochs=2)
    before = fingerprint(trainer.model)
    result = trainer.train()
    rows = read_rows(tmp_path)
    assert result.steps == len(rows) == 3
    assert tuple(rows[0]) == COLUMNS
    assert [row["optimizer_steps"] for row in rows] == ["4"] * 3
    assert float(rows[0]["objective/kl"]) == 0
    assert float(rows[2]["objective/kl"]) != 0
    assert (rows[0]["loss/value_avg"], rows[0]["val/explained_var"], rows[0]["brake"]) == ("", "", "")
    assert fingerprint(trainer.model) == before
    assert {name for name, p in trainer.model.base.causal.named_parameters() if p.requires_grad} == set(trainer.learner.policy)
    assert "trained with RLOO" in (result.policy / "README.md").read_text(encoding="utf-8")
    again = TransformersModel.load(tiny_base, adapters={"ppo": result.policy})
    assert again.base.tensors("ppo").keys() == trainer.learner.policy_tensors().keys()
    assert all(torch.equal(t, trainer.learner.policy_tensors()[name]) for name, t in again.base.tensors("ppo").items())


def test_the_gradient_is_that_of_leave_one_out_by_hand(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    """With old = new the ratio is 1, so the loss's gradient is -mean of A_i grad log pi(y_i); A_i = R_i - mean of the other three R."""
    trainer = make_trainer(tiny_base, tiny_reward, tmp_path, kl_coef=0.3, max_grad_norm=1e9, micro_batch_size=3)
    trainer.step(trainer.rollout())  # so that the policy is not the reference any more
    rollout = trainer.rollout()
    seen: dict[str, torch.Tensor] = {}
    trainer.learner.optimizer.register_step_pre_hook(lambda *_: seen.update({n: p.grad.clone() for n, p in trainer.learner.policy.items()}))
    trainer.step(rollout)

    assert [p.id for p in rollout.prompts] == [p for p in dict.fromkeys(q.id for q in rollout.prompts) for _ in range(4)]
    twin = make_trainer(tiny_base, tiny_reward, tmp_path / "twin", kl_coef=0.3, max_grad_norm=1e9)
    twin.step(twin.rollout())
    penalty = 0.3 * (rollout.logprobs - rollout.ref_logprobs).sum(1)
    missing = RLOO.missing_eos_penalty * (~rollout.ended).float()
    rewards = (rollout.scores - missing - penalty).view(2, 4)
    baseline = torch.stack([rewards[:, [j for j in range(4) if j != i]].mean(1) for i in range(4)], dim=1)
    advantages = (rewards - baseline).flatten()
    assert float(advantages.abs().max()) > 0.05
    with twin.model.base.active(POLICY):
        logprobs = twin.model.score_tokens(rollout.items, temperature=RLOO.temperature).logprobs
        weights = torch.cat([a.expand(len(response)) for a, (_, response) in zip(advantages, rollout.items, strict=True)])
        (-(weights * logprobs).sum() / 8).backward()
    for name, parameter in twin.learner.policy.items():
        assert parameter.grad is not None
        torch.testing.assert_close(seen[name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_a_rewarded_token_becomes_likely(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    trainer = make_trainer(
        tiny_base, tiny_reward, tmp_path, kl_coef=0.0, steps=15, rollout_batch_size=64, micro_batch_size=64, generations=64,
        max_new_tokens=1, missing_eos_penalty=0.0, minibatches=2, ppo_epochs=2,
    )  # fmt: skip
    trainer.prompts = trainer.prompts[:1]
    ((prize, _),) = Counter(response[0] for _, response in trainer.rollout().items).most_common(1)
    trainer.model.token_rewards = lambda items: [float(response[0] == prize) for _, response in items]  # type: ignore[method-assign]
    scores = [float(trainer.step(trainer.rollout())["objective/scores"] or 0) for _ in range(15)]
    assert scores[0] < 0.3
    assert sum(scores[10:]) / 5 > 0.75


def test_a_run_that_was_stopped_ends_with_the_same_bytes(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    options = {"steps": 4, "save_every": 2, "minibatches": 2}
    make_trainer(tiny_base, tiny_reward, tmp_path / "whole", **options).train()
    stopped = make_trainer(tiny_base, tiny_reward, tmp_path / "parts", **options)
    own = stopped.rollout

    def rollout() -> Any:
        if stopped.state.step == 3:
            raise RuntimeError("killed")
        return own()

    stopped.rollout = rollout  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="killed"):
        stopped.train()
    make_trainer(tiny_base, tiny_reward, tmp_path / "parts", **options).train()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize("where", ["gradient", "reward"])
def test_steps_that_are_not_finite_are_skipped_and_the_third_stops_training(tiny_base: Path, tiny_reward: Path, tmp_path: Path, where: str):
    bad = float("nan") if where == "reward" else 1.0
    trainer = make_trainer(tiny_base, tiny_reward, tmp_path, function=lambda prompts, texts: [bad * len(text) for text in texts], steps=9)
    if where == "gradient":
        next(iter(trainer.learner.policy.values())).register_hook(lambda gradient: gradient * float("nan"))
    before = trainer.learner.policy_tensors()
    result = trainer.train()
    assert (result.brake, result.steps) == ("non_finite", 3)
    assert all(torch.equal(t, before[name]) for name, t in trainer.learner.policy_tensors().items())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"generations": 3}, "ppo.generations"),
        ({"kl_placement": "loss"}, "ppo.kl_placement"),
        ({"value_model": "adapter", "value_init": "zero"}, "ppo.value_model"),
        ({"guards": GuardSettings(target_kl=0.1)}, "ppo.guards.target_kl"),
    ],
)
def test_settings_that_rloo_does_not_have_are_refused(tiny_base: Path, tiny_reward: Path, tmp_path: Path, changes: Any, named: str):
    with pytest.raises(InputError) as caught:
        make_trainer(tiny_base, tiny_reward, tmp_path, **changes)
    assert caught.value.field == named


def test_ppo_itself_asks_each_prompt_once(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward)
    trainer = PPOTrainer(model, make_prompts(8), SETTINGS, out=tmp_path, seed=3, progress=False)
    assert sorted(trainer._prompt_indices(0)) == list(range(8))


def test_the_command_that_trains_with_ppo_trains_with_rloo(tmp_path: Path, tiny_base: Path, capsys: pytest.CaptureFixture[str]):
    from truenorth.cli.main import main

    words = pairwise(WORDS.split())
    pairs = [{"prompt": f"tell me about {a}", "chosen": f"{a} {b} good", "rejected": f"{b} bad"} for a, b in words]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    profile = {
        "profile": "mistral-7b",
        "model": {"name": str(tiny_base), "dtype": "float32"},
        "data": {"name": str(tmp_path / "pairs.jsonl"), "pairs": None},
        "reward_model": {"min_accuracy": 0.0, "validation_fraction": 0.2},
        "ppo": {"steps": 2, "rollout_batch_size": 8, "max_new_tokens": 4},
        "eval": {"pairs": [], "capability": [], "gates": []},
    }
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    command = ["train", "ppo", str(tmp_path / "profile.yaml"), "--out", str(tmp_path / "run"), "--json", "-o", "ppo.algorithm=rloo"]
    assert main(command) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["stage"], facts["steps"]) == ("ppo", 2)
    assert (tmp_path / "run" / "ppo_policy_model" / "adapter_model.safetensors").is_file()
    rows = read_rows(tmp_path / "run")
    assert [row["loss/value_avg"] for row in rows] == ["", ""]
