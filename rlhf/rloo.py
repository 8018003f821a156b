"""RLOO: REINFORCE with a leave-one-out baseline, as a second algorithm behind PPO's loop, by TRL's RLOOTrainer.

The loop, its prompts, samples, brakes, checkpoints and files are those of `ppo.py`. What differs is the update: TRL's trainer gets each
rollout as if it had sampled it, takes the mean reward of a prompt's other responses as the baseline, and makes the optimizer steps on the
clipped ratio of whole sequences. There is no value function. The reward of a response is its shaped score less `kl_coef` times its summed
k1, as in TRL. Ahmadian et al., 2024, arXiv:2402.14740.

Left out: several processes, the penalty in the loss, and the guards that look into an update (`target_kl`, `max_ratio`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..evals.models.batching import Item
from ..evals.models.quiet import quiet
from ..prompts.errors import InputError
from .config import PPOSettings
from .learner import POLICY, assert_float32
from .ppo import MAX_SKIPPED, PPOTrainer
from .ppo_metrics import UPDATE_COLUMNS, Row
from .reward_model import no_telemetry
from .rollout import Rollout
from .schedule import exact_div, prompt_indices
from .update import Experience

NO_UPDATE = (*UPDATE_COLUMNS, "val/explained_var")
"""Columns that are empty unless the update fills them; there is no value function."""


class RLOOTrainer(PPOTrainer):
    """`PPOTrainer` with TRL's RLOO update; arguments and files are the same.

    Raises:
        InputError: settings that RLOO doesn't have, or several processes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _check_rloo(self.settings, self.processes.world)
        self._update_by_trl = _Update(self)

    def _prompt_indices(self, step: int) -> list[int]:
        """Each prompt of the step `generations` times in a row."""
        n = self.settings.generations
        return [i for i in prompt_indices(len(self.prompts), step, self.settings.rollout_batch_size // n, self.seed) for _ in range(n)]

    def _learn(self, experience: Experience, rate: float) -> tuple[Row, list[str]]:
        """One rollout's optimizer steps. Advantages and returns of the experience are PPO's, and not looked at."""
        rollout, step = experience.rollout, self.state.step
        rewards = self._shaped(rollout) - experience.kl_coef * rollout.k1.sum(1)
        with self._timing.measure(step, "update"), self.model.base.active(POLICY), _seeded(self.seed * 1_000_003 + step):
            # TRL gives responses without a finite reward no advantage, and would go on as if nothing had happened.
            finite = bool(torch.isfinite(rewards).all())
            found, skipped = self._update_by_trl(rollout, rewards.tolist(), rate) if finite else (dict.fromkeys(NO_UPDATE), 1)
        self.state.skipped += skipped
        if self.state.skipped >= MAX_SKIPPED:
            self.state.brake = "non_finite"
        return found, []


class _Update:
    """TRL's trainer on a trainer's shared base: one call of its `train` is the update on one rollout."""

    def __init__(self, ours: RLOOTrainer) -> None:
        self.ours, self.rate, self.skipped = ours, 1.0, 0
        self.items: tuple[Item, ...] = ()
        self.rewards: list[float] = []
        ours.learner.optimizer.register_step_pre_hook(self._skip_what_is_not_finite)
        self.trainer = self._new_trainer()

    def __call__(self, rollout: Rollout, rewards: list[float], rate: float) -> tuple[Row, int]:
        """Train on it; the row's cells of the update, and how many optimizer steps were skipped."""
        self.items, self.rewards, self.rate, self.skipped = rollout.items, rewards, rate, 0
        self.ours.learner.set_learning_rate(rate)  # of the first optimizer step; the schedule sets that of the others
        with quiet():
            self.trainer.train()
        self.ours.model.base.causal.eval()
        logs = [log for log in self.trainer.state.log_history if "grad_norm" in log]
        row: Row = dict.fromkeys(NO_UPDATE) | {
            "loss/policy_avg": _mean([log["loss"] for log in logs]),
            "policy/clipfrac_avg": _mean([log["clip_ratio/region_mean"] for log in logs]),
            "grad_norm/policy": _mean([log["grad_norm"] for log in logs]),
            "optimizer_steps": len(logs) - self.skipped,
        }
        return row, self.skipped

    def _skip_what_is_not_finite(self, optimizer: Any, *_: Any) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not all(bool(torch.isfinite(p.grad).all()) for p in parameters):
            self.skipped += 1
            optimizer.zero_grad(set_to_none=True)  # AdamW leaves alone what has no gradient

    def _new_trainer(self) -> Any:
        from datasets import Dataset
        from transformers import PrinterCallback

        ours, settings = self.ours, self.ours.settings
        optimizer = ours.learner.optimizer
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: self.rate)
        # TRL is given the number of each prompt; it asks for tokens and responses through the methods that _trainer_class replaces.
        numbers = [str(i) for i in range(settings.rollout_batch_size // settings.generations)]
        with quiet(), no_telemetry(), _left_as_it_is(ours):
            trainer = _trainer_class()(
                update=self, model=ours.model.base.peft, reward_funcs=[self._reward], args=_arguments(ours),
                optimizers=(optimizer, scheduler), train_dataset=Dataset.from_dict({"prompt": numbers}),
                processing_class=ours.model.tokenizer,
            )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _reward(self, **_: Any) -> list[float]:
        return self.rewards


def _trainer_class() -> Any:
    """TRL's trainer with responses that were sampled already; a function because trl is imported only when RLOO is asked for."""
    from trl import RLOOTrainer as TrlRLOOTrainer  # type: ignore[attr-defined]

    class FromRollouts(TrlRLOOTrainer):  # type: ignore[misc]
        def __init__(self, update: _Update, **options: Any) -> None:
            self.update = update
            super().__init__(**options)

        def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
            return [list(prompt) for prompt, _ in self.update.items], None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], images: None, multimodal_fields: dict[str, Any]) -> list[list[int]]:
            return [list(response) for _, response in self.update.items]

    return FromRollouts


def _arguments(ours: RLOOTrainer) -> Any:
    from trl import RLOOConfig  # type: ignore[attr-defined]

    s = ours.settings
    rows = s.rollout_batch_size // s.minibatches
    micro = math.gcd(rows, s.micro_batch_size)
    device = ours.model.base.device.type
    return RLOOConfig(
        output_dir=str(ours.out / "ppo_checkpoints"),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=rows // micro,
        generation_batch_size=s.rollout_batch_size,
        max_steps=s.ppo_epochs * s.minibatches,
        num_iterations=s.ppo_epochs,
        num_generations=s.generations,
        max_completion_length=s.max_new_tokens,
        temperature=s.temperature,
        beta=0.0,  # the penalty is in our rewards, with log-probabilities of our own forward path
        epsilon=s.clip_range,
        max_grad_norm=s.max_grad_norm,
        shuffle_dataset=False,
        gradient_checkpointing=s.gradient_checkpointing,
        bf16=False,  # no autocast: a bf16 base stays bf16, LoRA computes in float32
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=ours.seed % 2**32,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device != "cpu",
    )


@contextmanager
def _left_as_it_is(ours: RLOOTrainer) -> Iterator[None]:
    """Undo what TRL does to a model it is given: a second copy of the adapter, bf16 trainables on a quantised base, `requires_grad`."""
    base, tensors = ours.model.base, ours.learner.policy_tensors()
    assert base.peft is not None  # the policy is an adapter
    trainable = {name: p.requires_grad for name, p in base.causal.named_parameters()}
    with torch.random.fork_rng(), base.active(POLICY):
        base.peft.set_adapter(POLICY)
        yield
        base.peft.delete_adapter("ref")
    for name, parameter in base.causal.named_parameters():
        parameter.requires_grad_(trainable[name])
        if trainable[name]:
            parameter.data = parameter.data.float()
    ours.learner.set_policy_tensors(tensors)
    assert_float32(ours.learner.policy)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random numbers that follow from a seed alone: the order of the rows in a minibatch. The global state stays."""
    with torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        yield


def _check_rloo(settings: PPOSettings, processes: int) -> None:
    exact_div(settings.rollout_batch_size, settings.generations, "ppo.generations", "ppo.rollout_batch_size")
    wrong = {
        "ppo.kl_placement": settings.kl_placement != "reward",
        "ppo.old_logprobs": settings.old_logprobs != "recompute",
        "ppo.value_model": settings.value_model != "head",
        "ppo.dual_clip": settings.dual_clip is not None,
        "ppo.critic_warmup_steps": settings.critic_warmup_steps > 0,
        "ppo.guards.target_kl": settings.guards.target_kl is not None,
        "ppo.shard_base": settings.shard_base,
    }
    for field, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(f"{field} has no meaning with ppo.algorithm=rloo", field=field, advice="Leave it at its default.")
    if processes > 1:
        raise InputError(f"ppo.algorithm=rloo runs in one process, not {processes}", field="ppo.algorithm")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
