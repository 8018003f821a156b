from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ppo_runs import SETTINGS, files, fingerprint, make_prompts, read_rows
from safetensors.torch import load_file
from torch import Tensor
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.types import Decoding
from truenorth.prompts.errors import InputError
from truenorth.rlhf.checkpoints import Checkpoints
from truenorth.rlhf.learner import POLICY
from truenorth.rlhf.logs import shortfall
from truenorth.rlhf.ppo import PPOResult, PPOTrainer, RewardScale
from truenorth.rlhf.ppo_metrics import COLUMNS as PPO_COLUMNS
from truenorth.rlhf.ppo_metrics import UpdateStats
from truenorth.rlhf.reward_log import COLUMNS as REWARD_COLUMNS
from truenorth.rlhf.rollout import Rollout
from truenorth.rlhf.update import Experience

Make = Callable[..., PPOTrainer]


@pytest.fixture
def make(tiny_base: Path, tiny_reward: Path, tmp_path: Path) -> Make:
    """A trainer on a fresh model; settings are overridden by name."""

    def build(*, out: Path = tmp_path, validate: Any = None, seed: int = 1, n_prompts: int = 20, **overrides: Any) -> PPOTrainer:
        model = TransformersModel.load(tiny_base, reward_model=tiny_reward, name="base")
        settings = SETTINGS.model_copy(update=overrides)
        return PPOTrainer(model, make_prompts(n_prompts), settings, out=out, seed=seed, validate=validate, progress=False)

    return build


# -- facts of a step; I1 to I15 are in test_invariants.py


def test_before_the_first_update_the_policy_is_the_reference_bit_for_bit(make: Make):
    rollout = make().rollout()
    assert torch.equal(rollout.logprobs, rollout.ref_logprobs)
    assert (rollout.values == 0).all()


def test_the_value_loss_stays_out_of_the_trunk_when_detached(make: Make):
    def policy_gradient(detached: bool) -> float:
        trainer = make(value_detached=detached, kl_coef=0.0)
        rollout = trainer.rollout()
        torch.nn.init.normal_(trainer.learner.value_head.weight)
        experience = Experience(rollout, torch.zeros_like(rollout.values), torch.ones_like(rollout.values), 0.0)
        with trainer.model.base.active(POLICY):
            trainer.updater.policy_loss(experience, [0, 1], UpdateStats()).backward()
        return sum(float(p.grad.norm()) for p in trainer.learner.policy.values() if p.grad is not None)

    assert policy_gradient(True) == 0
    assert policy_gradient(False) > 0


def test_nothing_but_policy_and_value_head_changes(make: Make):
    trainer = make()
    before = fingerprint(trainer.model)
    flags = {name: p.requires_grad for name, p in trainer.model.base.causal.named_parameters()}
    policy, value = trainer.learner.policy_tensors(), trainer.learner.value_head.weight.detach().clone()
    rollout = trainer.rollout()
    assert {name: p.requires_grad for name, p in trainer.model.base.causal.named_parameters()} == flags
    trainer.step(rollout)
    assert {name: p.requires_grad for name, p in trainer.model.base.causal.named_parameters()} == flags
    assert {name.split(".")[-2] for name, on in flags.items() if on} == {POLICY}
    assert fingerprint(trainer.model) == before
    assert all(not torch.equal(new, policy[name]) for name, new in trainer.learner.policy_tensors().items())
    assert not torch.equal(trainer.learner.value_head.weight, value)


def test_a_policy_in_training_is_known_by_its_present_matrices(make: Make):
    trainer = make()
    before = trainer.model.card(POLICY).adapter_sha256
    assert trainer.model.card(POLICY).adapter_sha256 == before != ""
    trainer.step(trainer.rollout())
    assert trainer.model.card(POLICY).adapter_sha256 != before
    with pytest.raises(KeyError):
        trainer.model.card("nope")


def test_the_score_counts_at_the_last_response_token(make: Make):
    trainer = make(kl_coef=0.0, gamma=1.0, lam=1.0, missing_eos_penalty=0.0)
    rollout = trainer.rollout()
    scores = trainer.model.token_rewards(rollout.items)
    assert rollout.scores.tolist() == pytest.approx(scores)
    seen: dict[str, Tensor] = {}
    update = trainer.updater.update

    def spy(experience: Experience, **options: Any) -> Any:
        seen["returns"] = experience.returns
        return update(experience, **options)

    trainer.updater.update = spy  # type: ignore[method-assign]
    trainer.step(rollout)
    for row, score in enumerate(scores):  # values are 0 at the start, so every return is the score itself
        n = int(rollout.mask[row].sum())
        assert seen["returns"][row, :n].tolist() == pytest.approx([score] * n, abs=1e-5)


def test_shift_and_scale_come_from_the_card(make: Make):
    trainer = make(normalize_reward=True)
    trainer.reward_scale = RewardScale(shift=2.0, scale=4.0)
    rollout = trainer.rollout()
    row = trainer.step(rollout)
    ended = rollout.ended.float().mean()
    expected = ((rollout.scores - 2) / 4).mean() - (1 - ended)
    assert row["objective/rlhf_reward"] == pytest.approx(float(expected), abs=1e-5)
    assert row["objective/scores"] == pytest.approx(float(rollout.scores.mean()), abs=1e-5)


def test_metrics_by_hand(make: Make):
    trainer = make()
    trainer.step(trainer.rollout())
    rollout = trainer.rollout()
    row = trainer.step(rollout)
    per_row = [sum(rollout.k1[i][rollout.mask[i]].tolist()) for i in range(8)]
    assert row["objective/kl"] == pytest.approx(sum(per_row) / 8, abs=1e-6)
    assert row["objective/non_score_reward"] == pytest.approx(-0.05 * sum(per_row) / 8, abs=1e-6)
    assert row["rollout/len_mean"] == pytest.approx(sum(len(r) for _, r in rollout.items) / 8)
    assert row["rollout/eos_rate"] == sum(r[-1] == 2 for _, r in rollout.items) / 8
    assert row["objective/entropy"] == pytest.approx(float(rollout.entropy.sum()) / 8, abs=1e-5)
    assert row["lr"] == pytest.approx(3e-3 * 3 / 4)


def test_a_prompt_gets_the_same_response_whatever_shares_its_batch(make: Make):
    first = make(rollout_batch_size=20, minibatches=1).rollout()
    second = make(rollout_batch_size=10, minibatches=1).rollout()
    responses = {p.id: item[1] for p, item in zip(first.prompts, first.items, strict=True)}
    assert all(responses[p.id] == item[1] for p, item in zip(second.prompts, second.items, strict=True))
    assert len(set(responses.values())) > 15


def test_a_prompt_that_comes_twice_in_a_batch_is_answered_twice(make: Make):
    items = make(n_prompts=4).rollout().items
    assert len(set(items)) == 8
    assert len({prompt for prompt, _ in items}) == 4


# -- against an independent computation


def gradients_row_by_row(trainer: PPOTrainer, rollout: Rollout) -> list[Tensor]:
    """Gradient of the PPO loss at ratio 1, from plain forward passes of single rows, GAE by its definition and numpy's whitening."""
    settings, causal, head = trainer.settings, trainer.model.base.causal, trainer.learner.value_head
    logprobs, values, advantages, returns = [], [], [], []
    for row, (prompt, response) in enumerate(rollout.items):
        ids, n = torch.tensor([[*prompt, *response]]), len(response)
        with trainer.model.base.active(POLICY):
            out = causal(ids, output_hidden_states=True)
        with torch.no_grad(), trainer.model.base.active(None):
            reference = torch.log_softmax(causal(ids).logits[0, -n - 1 : -1], -1)[range(n), list(response)]
        logp = torch.log_softmax(out.logits[0, -n - 1 : -1], -1)[range(n), list(response)]
        v = head(out.hidden_states[-1][0, -n - 1 : -1]).squeeze(-1)
        r = -settings.kl_coef * (logp.detach() - reference).double()
        r[-1] += min(max(float(rollout.scores[row]), -10), 10) - (0 if response[-1] == 2 else settings.missing_eos_penalty)
        following = [*v.detach().double().tolist(), 0.0]
        delta = [float(r[t]) + following[t + 1] - following[t] for t in range(n)]
        a = [sum(settings.lam**k * d for k, d in enumerate(delta[t:])) for t in range(n)]
        logprobs.append(logp), values.append(v), advantages.append(a), returns.append([x + y for x, y in zip(a, following, strict=False)])
    flat = np.concatenate(advantages)
    whitened = torch.tensor((flat - flat.mean()) / flat.std(), dtype=torch.float32)
    target = torch.tensor(np.concatenate(returns), dtype=torch.float32)
    logp, v = torch.cat(logprobs), torch.cat(values)
    loss = (-whitened * (logp - logp.detach()).exp()).mean() + settings.value_coef * (0.5 * (v - target) ** 2).mean()
    return list(torch.autograd.grad(loss, [*trainer.learner.policy.values(), *head.parameters()]))


def test_an_update_has_the_gradient_of_an_independent_computation(make: Make):
    trainer = make(ppo_epochs=1, minibatches=1, kl_coef=0.3, value_coef=0.7)
    for _ in range(3):  # away from LoRA B = 0, V = 0 and KL = 0
        trainer.step(trainer.rollout())
    rollout = trainer.rollout()
    expected = gradients_row_by_row(trainer, rollout)
    found: list[Tensor] = []
    apply = trainer.learner.apply

    def spy(loss: float) -> Any:
        found.extend(p.grad.clone() for group in trainer.learner.optimizer.param_groups for p in group["params"])
        return apply(loss)

    trainer.learner.apply = spy  # type: ignore[method-assign]
    trainer.step(rollout)
    assert len(found) == len(expected) > 2
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


# -- the whole loop and its files


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tiny_reward: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PPOResult]:
    out = tmp_path_factory.mktemp("run")
    return out, run(tiny_base, tiny_reward, out)


def run(base: Path, reward: Path, out: Path) -> PPOResult:
    model = TransformersModel.load(base, reward_model=reward, name="base")
    return PPOTrainer(model, make_prompts(20), SETTINGS, out=out, seed=1, progress=False).train()


def test_one_row_a_step_without_clock_times(trained: tuple[Path, PPOResult]):
    rows = read_rows(trained[0])
    assert [(int(row["step"]), int(row["episode"])) for row in rows] == [(i, 8 * i) for i in range(1, 5)]
    assert all(row["optimizer_steps"] == "4" for row in rows)
    assert not [name for name in rows[0] if "time" in name or "second" in name]
    assert trained[1].steps == trained[1].selected_step == 4
    assert trained[1].brake == ""


def test_every_column_of_the_logs_is_documented():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in (*PPO_COLUMNS, *REWARD_COLUMNS) if f"`{name}`" not in text] == []


def test_samples_and_checkpoints_are_on_disk_and_nothing_is_pickled(trained: tuple[Path, PPOResult]):
    out = trained[0]
    samples = [json.loads(line) for line in (out / "train" / "ppo_samples.jsonl").read_text().splitlines()]
    assert {row["step"] for row in samples} == {1, 4}
    assert {"prompt", "response", "score", "kl_k1", "ended"} < set(samples[0])
    assert sorted(p.name for p in (out / "ppo_checkpoints").iterdir()) == ["step-000002", "step-000004"]
    assert {p.suffix for p in out.rglob("*") if p.is_file()} == {".safetensors", ".json", ".jsonl", ".csv", ".md"}
    saved = load_file(out / "ppo_checkpoints" / "step-000004" / "policy.safetensors")
    final = load_file(out / "ppo_policy_model" / "adapter_model.safetensors")
    assert saved.keys() == final.keys()
    assert all(torch.equal(saved[name], final[name]) for name in final)


def test_the_best_state_on_validation_becomes_the_policy(make: Make, tmp_path: Path):
    seen: dict[int, dict[str, Tensor]] = {}

    def validate(model: TransformersModel, step: int) -> float:
        seen[step] = model.base.tensors(POLICY)
        list(model.generate(make_prompts(1), Decoding("greedy", 0.0, 3), adapter=POLICY, seed=0))  # may use the model
        return {1: 0.3, 2: 0.9, 3: 0.5, 4: math.nan}[step]

    result = make(validate=validate, validate_every=1, select="best_validation").train()
    assert result.selected_step == 2
    assert [row["validation/score"] for row in read_rows(tmp_path)] == ["0.3", "0.9", "0.5", "nan"]
    final = load_file(result.policy / "adapter_model.safetensors")
    assert all(torch.equal(final[name], seen[2][name]) for name in final)
    assert "State after 2 PPO steps" in (result.policy / "README.md").read_text()


def test_looking_at_validation_does_not_change_training(trained: tuple[Path, PPOResult], make: Make, tmp_path: Path):
    def validate(model: TransformersModel, step: int) -> float:
        list(model.generate(make_prompts(2), Decoding("t1.0", 1.0, 3), adapter=None, seed=0))
        return 0.0

    make(validate=validate, validate_every=1).train()
    for mine, theirs in zip(read_rows(tmp_path), read_rows(trained[0]), strict=True):
        assert mine | {"validation/score": ""} == theirs


# -- brakes


def test_too_much_kl_stops_before_the_update_and_keeps_the_policy(make: Make, tmp_path: Path):
    trainer = make(stop_kl=1e-4, steps=50)
    result = trainer.train()
    rows = read_rows(tmp_path)
    assert result.brake == rows[-1]["brake"] == "stop_kl"
    assert shortfall(tmp_path / "train" / "ppo.csv", 50) == f"stopped at step {result.steps} of 50: brake stop_kl"
    assert 2 <= result.steps < 50
    assert float(rows[-1]["objective/kl"]) > 1e-4
    assert rows[-1]["optimizer_steps"] == ""
    assert all(row["brake"] == "" for row in rows[:-1])
    assert (result.policy / "adapter_model.safetensors").is_file()


def test_numbers_that_are_not_finite_are_skipped_counted_and_stop_at_three(make: Make, tmp_path: Path):
    trainer = make(steps=50)
    before = trainer.learner.policy_tensors()
    score = trainer.model.token_rewards
    trainer.model.token_rewards = lambda items: [math.nan, *score(items)[1:]]  # type: ignore[method-assign]
    result = trainer.train()
    rows = read_rows(tmp_path)
    assert result.brake == rows[-1]["brake"] == "non_finite"
    assert [int(row["skipped_steps"]) for row in rows] == [3]
    assert rows[-1]["optimizer_steps"] == "0"
    after = load_file(result.policy / "adapter_model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in after)


def test_a_single_bad_step_is_skipped_and_training_goes_on(make: Make):
    trainer = make(ppo_epochs=1, minibatches=1)
    rollout = trainer.rollout()
    bad = replace(rollout, scores=torch.full_like(rollout.scores, math.inf) * torch.tensor([math.nan] + [1.0] * 7))
    assert trainer.step(bad)["skipped_steps"] == 1
    assert not trainer.state.brake
    assert trainer.step(trainer.rollout())["optimizer_steps"] == 1


# -- wrong settings


def test_no_prompts_and_indivisible_batches_are_input_errors(make: Make):
    with pytest.raises(InputError, match="no prompts"):
        make(n_prompts=0)
    with pytest.raises(InputError, match=r"ppo\.minibatches 3 does not divide ppo\.rollout_batch_size 8"):
        make(minibatches=3)


def test_a_reward_model_without_spread_is_refused_when_it_should_be_normalised(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward)
    settings = SETTINGS.model_copy(update={"normalize_reward": True})
    with pytest.raises(InputError, match=r"deviation of 0\.0"):
        PPOTrainer(model, make_prompts(4), settings, out=tmp_path, seed=0, reward_scale=RewardScale(1.0, 0.0), progress=False)


def test_a_prompt_that_exceeds_the_context_is_named(make: Make):
    with pytest.raises(InputError, match=r"prompt 'p0' .* exceeds the context of 256"):
        make(max_new_tokens=250)


def test_selection_by_validation_needs_a_look(make: Make):
    with pytest.raises(InputError, match="validate_every"):
        make(select="best_validation")


# -- going on after a kill


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


@pytest.mark.parametrize(("moment", "killed_at"), [("rollout", 3), ("step", 2), ("step", 5), ("save", 2), ("save", 4)])
def test_an_interrupted_run_ends_with_the_same_bytes(make: Make, tmp_path: Path, moment: str, killed_at: int):
    def score(model: TransformersModel, step: int) -> float:
        return [0.1, 0.5, 0.3, 0.2, 0.4][step - 1]

    options: dict[str, Any] = {
        "steps": 5,
        "save_every": 2,
        "rollout_batch_size": 4,
        "ppo_epochs": 1,
        "validate_every": 1,
        "validate": score,
        "select": "best_validation",
    }
    make(out=tmp_path / "whole", **options).train()
    first = make(out=tmp_path / "parts", **options)
    with pytest.MonkeyPatch.context() as patch:
        owner: Any = Checkpoints if moment == "save" else PPOTrainer
        original = getattr(owner, moment)

        def die(self: Any, *args: Any) -> Any:
            found = None if moment == "save" else original(self, *args)
            if first.state.step + (moment == "rollout") == killed_at and (moment != "save" or len(args) == 2):
                raise Killed
            return original(self, *args) if moment == "save" else found

        patch.setattr(owner, moment, die)
        with pytest.raises(Killed):
            first.train()
    second = make(out=tmp_path / "parts", **options)
    torch.manual_seed(99)
    second.train()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_stops(make: Make, tmp_path: Path, number: int):
    make(out=tmp_path / "whole").train()
    assert shortfall(tmp_path / "whole" / "train" / "ppo.csv", 4) == ""
    first = make(out=tmp_path / "parts")
    update = first.updater.update

    def signalled(*args: Any, **options: Any) -> Any:
        if first.state.step == 2:
            os.kill(os.getpid(), number)
        return update(*args, **options)

    first.updater.update = signalled  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.train()
    assert len(read_rows(tmp_path / "parts")) == 3
    assert (tmp_path / "parts" / "ppo_checkpoints" / "step-000003").is_dir()
    assert not (tmp_path / "parts" / "ppo_policy_model").exists()
    assert make(out=tmp_path / "parts").train().steps == 4
    whole, parts = files(tmp_path / "whole"), files(tmp_path / "parts")
    assert {name: data for name, data in parts.items() if "step-000003" not in name} == {
        name: data for name, data in whole.items() if "step-000002" not in name
    }


def test_a_finished_run_does_nothing_and_publishes_the_same(make: Make, tmp_path: Path):
    first = make().train()
    before = files(tmp_path)
    trainer = make()
    trainer.rollout = None  # type: ignore[method-assign,assignment]
    assert trainer.train() == first
    assert files(tmp_path) == before


def test_train_after_steps_by_hand_is_refused(make: Make):
    trainer = make()
    trainer.step(trainer.rollout())
    with pytest.raises(ValueError, match="1 steps were taken by hand"):
        trainer.train()


def test_a_checkpoint_of_another_run_is_refused_and_kept(make: Make, tmp_path: Path):
    make().train()
    before = files(tmp_path)
    with pytest.raises(InputError, match="another run: seed differ"):
        make(seed=2).train()
    with pytest.raises(InputError, match="another run: settings differ"):
        make(kl_coef=0.2).train()
    with pytest.raises(InputError, match="another run: prompts differ"):
        make(n_prompts=19).train()
    assert files(tmp_path) == before


@pytest.mark.parametrize("name", ["state.json", "policy.safetensors", "optimizer.safetensors", "value_head.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}"])
def test_a_damaged_checkpoint_is_an_input_error(make: Make, tmp_path: Path, name: str, content: bytes):
    make(steps=2).train()
    (tmp_path / "ppo_checkpoints" / "step-000002" / name).write_bytes(content)
    with pytest.raises(InputError, match="step-000002"):
        make(steps=2).train()


def test_a_log_that_lacks_steps_of_the_checkpoint_is_an_input_error(make: Make, tmp_path: Path):
    make(steps=4).train()
    log = tmp_path / "train" / "ppo.csv"
    log.write_text("\n".join(log.read_text().splitlines()[:2]))
    with pytest.raises(InputError, match=r"ppo\.csv.*first 4 steps"):
        make(steps=4).train()
