from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_runs import SETTINGS, files, fingerprint, make_prompts, read_rows
from safetensors.torch import load_file
from truenorth.evals.models.hf import REWARD_ADAPTER, TransformersModel
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Prompt
from truenorth.rlhf.config import GuardSettings
from truenorth.rlhf.critic import VALUE
from truenorth.rlhf.learner import POLICY
from truenorth.rlhf.ppo import PPOTrainer, RewardScale
from truenorth.rlhf.ppo_metrics import UpdateStats
from truenorth.rlhf.update import Experience

Make = Callable[..., PPOTrainer]


@pytest.fixture
def make(tiny_base: Path, tiny_reward: Path, tmp_path: Path) -> Make:
    def build(*, out: Path = tmp_path, reward: Any = None, validate: Any = None, scale: Any = None, **overrides: Any) -> PPOTrainer:
        model = TransformersModel.load(tiny_base, reward_model=tiny_reward, name="base")
        options = {} if scale is None else {"reward_scale": scale}
        settings = SETTINGS.model_copy(update=overrides)
        return PPOTrainer(model, make_prompts(20), settings, out=out, seed=1, reward=reward, validate=validate, progress=False, **options)

    return build


# -- guards in the loop


@pytest.mark.parametrize(
    ("guards", "alarm"),
    [
        ({"min_eos_rate": 1.0, "patience": 2}, "eos_rate"),
        ({"min_length": 99.0, "patience": 2}, "length"),
        ({"max_repetition": 0.0, "patience": 2, "negative_kl": "off"}, "repetition"),
    ],
)
def test_a_floor_warns_first_then_stops_before_the_update(make: Make, tmp_path: Path, guards: dict[str, Any], alarm: str):
    trainer = make(guards=GuardSettings(**guards), steps=9, max_new_tokens=12)
    if alarm == "repetition":
        sample = trainer.model.sample
        trainer.model.sample = lambda *a, **k: [(*r[:2], 7, 7, 7, 7) for r in sample(*a, **k)]  # type: ignore[method-assign]
    result = trainer.train()
    rows = read_rows(tmp_path)
    assert [(row["warning"], row["brake"]) for row in rows] == [(alarm, ""), (alarm, alarm)]
    assert (rows[0]["optimizer_steps"], rows[1]["optimizer_steps"]) == ("4", "")
    assert (result.brake, result.steps) == (alarm, 2)
    assert (result.policy / "adapter_model.safetensors").is_file()


def test_a_soft_limit_on_kl_warns_and_goes_on(make: Make, tmp_path: Path):
    assert make(guards=GuardSettings(soft_kl=1e-4)).train().steps == 4
    assert "soft_kl" in {row["warning"] for row in read_rows(tmp_path)}


@pytest.mark.parametrize("stale", [False, True])
def test_responses_of_another_policy_than_the_one_that_is_trained_raise_negative_kl(make: Make, stale: bool):
    """The cause, planted: a rollout engine that still samples from the base."""
    guards = GuardSettings(negative_kl="stop", patience=1)
    trainer = make(rollout_batch_size=32, micro_batch_size=32, minibatches=1, ppo_epochs=1, guards=guards)
    for name, parameter in trainer.learner.policy.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    sample = trainer.model.sample
    if stale:
        trainer.model.sample = lambda *a, **k: sample(*a, **{**k, "adapter": None})  # type: ignore[method-assign]
    row = trainer.step(trainer.rollout())
    assert (row["warning"], row["brake"]) == (("negative_kl",) * 2 if stale else ("", ""))
    assert (float(row["objective/kl"] or 0) < 0) == stale


def test_approximate_kl_ends_the_passes_and_leaves_the_step_out(make: Make):
    free = make()
    for _ in range(2):
        last = free.step(free.rollout())
    assert last["warning"] == ""
    held = make(guards=GuardSettings(target_kl=1e-9))
    row = held.step(held.rollout())
    assert row["warning"] == "approx_kl"
    assert row["optimizer_steps"] == 1  # the first minibatch is on policy, the second is not
    assert held.state.skipped == 0


def test_a_minibatch_with_an_absurd_ratio_changes_nothing(make: Make):
    trainer = make(minibatches=1, ppo_epochs=1, guards=GuardSettings(negative_kl="off"))
    rollout = trainer.rollout()
    rollout.logprobs.sub_(3.0)  # every ratio is e^3, about 20
    before = trainer.learner.policy_tensors()
    row = trainer.step(rollout)
    assert (row["warning"], row["optimizer_steps"], row["skipped_steps"], row["brake"]) == ("ratio", 0, 0, "")
    assert row["val/ratio"] == pytest.approx(20.08, abs=0.05)
    assert all(torch.equal(before[name], now) for name, now in trainer.learner.policy_tensors().items())


def test_a_value_function_that_stays_useless_is_shown_after_some_steps(make: Make):
    trainer = make(guards=GuardSettings(min_explained_var=0.999, patience=2))
    assert [trainer.step(trainer.rollout())["warning"] for _ in range(3)] == ["", "explained_var", "explained_var"]


def test_the_best_state_is_one_within_the_kl_budget(make: Make, tmp_path: Path):
    scores = {1: 0.2, 2: 0.3, 3: 0.4, 4: 0.9}
    options: dict[str, Any] = {"validate_every": 1, "select": "best_validation", "validate": lambda model, step: scores[step]}
    assert make(out=tmp_path / "free", **options).train().selected_step == 4
    kl = [float(row["objective/kl"]) for row in read_rows(tmp_path / "free")]
    budget = sorted(kl)[2]
    affordable = max(step for step in scores if kl[step - 1] <= budget)
    assert make(out=tmp_path / "held", kl_budget=budget, **options).train().selected_step == affordable


def test_streaks_and_the_adaptive_weight_survive_an_interruption(make: Make, tmp_path: Path):
    options: dict[str, Any] = {
        "steps": 5, "save_every": 2, "kl_target": 0.01, "kl_horizon": 20, "value_model": "adapter", "critic_warmup_steps": 1,
        "kl_placement": "loss", "guards": GuardSettings(min_length=99.0, patience=4),
    }  # fmt: skip
    make(out=tmp_path / "whole", **options).train()
    first = make(out=tmp_path / "parts", **options)
    step = first.step

    def die(rollout: Any) -> Any:
        if first.state.step == 3:
            raise KeyboardInterrupt
        return step(rollout)

    first.step = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        first.train()
    make(out=tmp_path / "parts", **options).train()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert read_rows(tmp_path / "parts")[-1]["brake"] == "length"


# -- KL


def test_the_adaptive_weight_follows_the_kl(make: Make):
    trainer = make(kl_target=1e-6, kl_horizon=8, kl_coef=0.1)
    rows = [trainer.step(trainer.rollout()) for _ in range(3)]
    kl = [float(row["objective/kl"] or 0) for row in rows]
    assert kl[0] == 0
    assert rows[0]["objective/kl_coef"] == 0.1
    assert rows[1]["objective/kl_coef"] == pytest.approx(0.1 * 0.8)  # KL was 0: a fifth less
    assert rows[2]["objective/kl_coef"] == pytest.approx(0.08 * (1.2 if kl[1] > 1.2e-6 else 0.8))


def test_kl_in_the_loss_leaves_the_reward_alone_and_pulls_towards_the_reference(make: Make):
    trainer = make(kl_placement="loss", kl_coef=2.0, ppo_epochs=1, minibatches=1)
    trainer.step(trainer.rollout())
    rollout = trainer.rollout()
    base, items = trainer.model.base, rollout.items
    zero = torch.zeros_like(rollout.values)
    trainer.updater.settings = trainer.settings.model_copy(update={"value_coef": 0.0})
    with base.active(POLICY):
        trainer.updater.policy_loss(Experience(rollout, zero, zero, 2.0), [0, 1], UpdateStats()).backward()
    found = [p.grad.clone() for p in trainer.learner.policy.values() if p.grad is not None]
    trainer.learner.optimizer.zero_grad()
    with base.active(POLICY):
        logprobs = torch.cat([trainer.model.score_tokens([items[row]]).logprobs for row in (0, 1)])
        reference = torch.cat([rollout.ref_logprobs[row][rollout.mask[row]] for row in (0, 1)])
        expected = torch.autograd.grad((2.0 * (logprobs - reference) ** 2 / 2).sum(), list(trainer.learner.policy.values()))
    assert sum(float(g.norm()) for g in expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
    row = trainer.step(rollout)
    assert row["objective/non_score_reward"] == 0


def test_an_adaptive_weight_must_be_above_zero(make: Make):
    with pytest.raises(InputError, match=r"needs a ppo\.kl_coef above 0"):
        make(kl_target=6.0, kl_coef=0.0)


# -- old log-probabilities


def test_first_pass_has_ratio_one_and_the_same_update(make: Make):
    one = {"ppo_epochs": 1, "minibatches": 1}
    trainers = [make(old_logprobs=source, **one) for source in ("recompute", "first_pass")]
    for _ in range(2):
        rows = [trainer.step(trainer.rollout()) for trainer in trainers]
    assert rows[0] == rows[1]
    assert rows[1]["val/ratio_max"] == 1
    with pytest.raises(InputError, match="one optimizer step per rollout, not 4"):
        make(old_logprobs="first_pass")


# -- the value function


def test_in_critic_warm_up_only_the_value_function_learns(make: Make):
    trainer = make(critic_warmup_steps=1)
    policy, head = trainer.learner.policy_tensors(), trainer.learner.value_head.weight.detach().clone()
    row = trainer.step(trainer.rollout())
    assert all(torch.equal(policy[name], now) for name, now in trainer.learner.policy_tensors().items())
    assert not torch.equal(head, trainer.learner.value_head.weight)
    assert (row["grad_norm/policy"], row["optimizer_steps"]) == (0.0, 4)
    trainer.step(trainer.rollout())
    assert not any(torch.equal(policy[name], now) for name, now in trainer.learner.policy_tensors().items())


def test_a_critic_of_its_own_starts_as_the_reward_model_in_the_rewards_units(make: Make):
    trainer = make(value_model="adapter", normalize_reward=True, scale=RewardScale(2.0, 4.0))
    rollout = trainer.rollout()
    base, head = trainer.model.base, trainer.model.reward_head
    assert head is not None
    for row, (prompt, response) in enumerate(rollout.items):
        n = len(response)
        with torch.no_grad(), base.active(REWARD_ADAPTER):
            states = base.hidden(torch.tensor([[*prompt, *response]]))[0, -n - 1 : -1]
            scores = head(states).squeeze(-1)
        assert rollout.values[row, :n].tolist() == pytest.approx(((scores - 2) / 4).tolist(), abs=1e-5)


def test_policy_and_critic_learn_and_nothing_else_changes(make: Make):
    trainer = make(value_model="adapter", gradient_checkpointing=True, micro_batch_size=2)
    base = trainer.model.base
    policy, critic, reward = (base.tensors(name) for name in (POLICY, VALUE, REWARD_ADAPTER))
    flags = {name: p.requires_grad for name, p in base.causal.named_parameters()}
    assert {name.split(".")[-2] for name, on in flags.items() if on} == {POLICY, VALUE}
    for _ in range(2):
        row = trainer.step(trainer.rollout())
    assert row["val/first_ratio_dev"] == 0
    assert {name: p.requires_grad for name, p in base.causal.named_parameters()} == flags
    assert not any(torch.equal(policy[name], now) for name, now in base.tensors(POLICY).items())
    assert not all(torch.equal(critic[name], now) for name, now in base.tensors(VALUE).items())
    assert all(torch.equal(reward[name], now) for name, now in base.tensors(REWARD_ADAPTER).items())


def test_the_critic_sends_no_gradient_into_the_policy(make: Make):
    def policy_after(value_coef: float) -> dict[str, torch.Tensor]:
        trainer = make(value_model="adapter", value_coef=value_coef, ppo_epochs=1, minibatches=1)
        trainer.step(trainer.rollout())
        return trainer.learner.policy_tensors()

    ours, theirs = policy_after(0.1), policy_after(0.0)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_critic_from_zero_starts_at_zero(make: Make):
    trainer = make(value_model="adapter", value_init="zero")
    before = fingerprint(trainer.model, without=VALUE)
    assert (trainer.rollout().values == 0).all()
    assert fingerprint(trainer.model, without=VALUE) == before


# -- rewards by a function


def count_words(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
    return [len(response.split()) / (1 + len(prompt.text)) for prompt, response in zip(prompts, responses, strict=True)]


def test_any_function_can_be_the_reward(tiny_base: Path, tmp_path: Path):
    model = TransformersModel.load(tiny_base, name="base")
    trainer = PPOTrainer(model, make_prompts(20), SETTINGS, out=tmp_path, seed=1, reward=count_words, progress=False)
    rollout = trainer.rollout()
    assert all("</s>" not in model.template.response_text(response[:-1]) for _, response in rollout.items)
    texts = [model.template.response_text(r[:-1] if r[-1] == 2 else r) for _, r in rollout.items]
    assert rollout.scores.tolist() == pytest.approx(count_words(rollout.prompts, texts))
    result = trainer.train()
    assert result.steps == 4
    assert load_file(result.policy / "adapter_model.safetensors")
    with pytest.raises(InputError, match="another run: reward differ"):
        PPOTrainer(model_again(tiny_base), make_prompts(20), SETTINGS, out=tmp_path, seed=1, reward=wrong_count, progress=False).train()


def model_again(base: Path) -> TransformersModel:
    return TransformersModel.load(base, name="base")


def wrong_count(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
    return [0.0]


def test_a_function_that_gives_too_few_scores_and_no_reward_at_all_are_input_errors(tiny_base: Path, tmp_path: Path):
    options: dict[str, Any] = {"out": tmp_path, "seed": 1, "progress": False}
    with pytest.raises(InputError, match="1 scores for 8 responses"):
        PPOTrainer(model_again(tiny_base), make_prompts(20), SETTINGS, reward=wrong_count, **options).rollout()
    with pytest.raises(InputError, match="nothing scores the responses"):
        PPOTrainer(model_again(tiny_base), make_prompts(20), SETTINGS, **options)
    settings = SETTINGS.model_copy(update={"value_model": "adapter"})
    with pytest.raises(InputError, match="value_init 'reward_model' needs a reward model"):
        PPOTrainer(model_again(tiny_base), make_prompts(20), settings, reward=count_words, **options)


# -- the two levels of the interface, as docs/training.md shows them


def test_the_snippets_of_the_documentation_run(tiny_base: Path, tiny_reward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    whole, by_hand = (block.split("```")[0] for block in text.split("## A step of PPO")[0].split("```python\n")[1:])
    (tmp_path / "base_model").symlink_to(tiny_base)
    (tmp_path / "final_rm_model_adapters").symlink_to(tiny_reward)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"prompts": make_prompts(8)}
    for code in (whole, by_hand):
        assert "PPOSettings(steps=100)" in code
        exec(code.replace("PPOSettings(steps=100)", "PPOSettings(steps=2, rollout_batch_size=4, max_new_tokens=4)"), names)
    assert (names["result"].steps, names["result"].brake) == (2, "")
    assert [row["step"] for row in read_rows(tmp_path / "run")] == ["1", "2"]
    assert names["row"]["step"] == 2
    assert names["adapter"]
    assert [path.name for path in (tmp_path / "by-hand").rglob("*") if path.is_file()] == ["timing.csv"]


# -- names that TRL's users know


def test_the_table_of_trl_names_has_every_name_of_trl_and_none_that_we_lack():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    table = text.split("## Coming from TRL")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")]
    theirs = {name for row in rows for name in names_in(row[0])}
    ours = {name for row in rows for name in names_in(row[1])}
    assert TRL_NAMES - theirs == set()
    known = {f"ppo.{name}" for name in type(SETTINGS).model_fields} | {f"ppo.guards.{name}" for name in GuardSettings.model_fields}
    assert ours
    assert ours - known - {"model.name", "data.name", "seed", "--out", "PPOTrainer.rollout", "PPOTrainer.step", "PPOTrainer.train"} == set()


def names_in(cell: str) -> list[str]:
    return next(csv.reader([cell.replace("`", "")], skipinitialspace=True)) if "`" in cell else []


TRL_NAMES = {
    # 0.11, class PPOConfig
    "model_name", "reward_model", "query_dataset", "steps", "learning_rate", "batch_size", "mini_batch_size", "ppo_epochs", "init_kl_coef",
    "adap_kl_ctrl", "target", "horizon", "kl_penalty", "gamma", "lam", "cliprange", "cliprange_value", "vf_coef", "early_stopping",
    "target_kl", "ratio_threshold", "max_grad_norm", "seed", "whiten_rewards", "use_score_scaling", "use_score_norm", "score_clip",
    # 0.12 to 1.12, all fields of trl.experimental.ppo.PPOConfig that transformers' TrainingArguments lacks, and some that it has
    "dataset_num_proc", "num_sample_generations", "stop_token_id", "world_size", "num_total_batches", "micro_batch_size",
    "local_batch_size", "local_mini_batch_size", "push_to_hub", "model_adapter_name", "ref_adapter_name",
    "ds3_gather_for_generation", "report_to",
    "reward_model_path", "sft_model_path", "total_episodes", "num_ppo_epochs", "num_mini_batches", "per_device_train_batch_size",
    "gradient_accumulation_steps", "local_rollout_forward_batch_size", "response_length", "temperature", "missing_eos_penalty", "kl_coef",
    "kl_estimator", "stop_token", "output_dir",
}  # fmt: skip
