"""The optimizer steps of one rollout: passes over it, minibatches, micro-batches, and the loss of one micro-batch.

A loss is a sum over tokens divided by the tokens of the whole optimizer step, in all micro-batches and all processes together, so
neither changes the result. The formulas are in `losses`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..evals.models.batching import Item
from ..evals.models.hf import TransformersModel
from .config import PPOSettings
from .critic import VALUE
from .learner import POLICY, Applied, Learner
from .losses import kl_loss, policy_loss, probability_ratio, value_loss
from .ppo_metrics import TokenStats, UpdateStats
from .processes import Processes
from .rollout import Rollout
from .schedule import micro_batches, minibatches


@dataclass(frozen=True, slots=True)
class Experience:
    """A rollout and what is to be learnt from it."""

    rollout: Rollout
    advantages: Tensor
    """(b, t), whitened."""
    returns: Tensor
    """(b, t)."""
    kl_coef: float
    """Weight of the penalty, where it stands in the loss."""


class Updater:
    """Takes the optimizer steps of a rollout.

    Args:
        model: the base with its adapters.
        learner: what is trained.
        settings: the recipe.
        processes: who shares the rows of each optimizer step.
        seed: determines the minibatches.
    """

    def __init__(self, model: TransformersModel, learner: Learner, settings: PPOSettings, processes: Processes, seed: int) -> None:
        self.model, self.learner, self.settings, self.processes, self.seed = model, learner, settings, processes, seed

    def update(self, experience: Experience, *, skips_left: int) -> UpdateStats:
        """`ppo_epochs` passes, unless the policy moves too far or `skips_left` optimizer steps met numbers that are not finite."""
        stats = UpdateStats(self.processes.gather_tokens)
        for epoch in range(self.settings.ppo_epochs):
            for rows in self.minibatches(experience.rollout.step, epoch):
                stats.finish_step(self.optimize(experience, rows, stats))
                if stats.skipped >= skips_left or "approx_kl" in stats.alarms:
                    return stats
        return stats

    def minibatches(self, step: int, epoch: int) -> list[list[int]]:
        """Rows of the optimizer steps of one pass."""
        return minibatches(self.settings.rollout_batch_size, self.settings.minibatches, self.seed, step, epoch)

    def groups(self, rows: Sequence[int], items: Sequence[Item]) -> list[list[int]]:
        """This process's forward passes for the rows of one optimizer step.

        Args:
            rows: of the whole rollout.
            items: (prompt tokens, response tokens) of the whole rollout.
        """
        widths = [len(prompt) + len(response) for prompt, response in items]
        return micro_batches(self.processes.share(rows), widths, self.settings.micro_batch_size)

    def optimize(self, experience: Experience, rows: Sequence[int], stats: UpdateStats) -> Applied:
        """One optimizer step over `rows`, or none when a guard says that the policy has moved too far."""
        base, rollout = self.model.base, experience.rollout
        n_tokens = int(rollout.mask[rows].sum())
        total = 0.0
        base.causal.train()
        for group in self.groups(rows, rollout.items):
            with base.active(POLICY):  # a backward pass ends inside the block of its forward pass
                loss = self.policy_loss(experience, group, stats) / n_tokens
                loss.backward()
            total += loss.item()
            if self.learner.own_critic:
                with base.active(VALUE):
                    loss = self.critic_loss(experience, group, stats) / n_tokens
                    loss.backward()
                total += loss.item()
        base.causal.eval()
        self.processes.add_gradients(self.learner.parameters())
        alarm = self._gone_too_far(stats)
        return self.learner.drop() if alarm else self.learner.apply(self.processes.sum(total))

    def policy_loss(self, experience: Experience, group: Sequence[int], stats: UpdateStats) -> Tensor:
        """Summed loss of one micro-batch: of the policy, and of a value head on its trunk."""
        settings, rollout = self.settings, experience.rollout
        old_logprobs, ref_logprobs, advantages = self._tokens(group, rollout, rollout.logprobs, rollout.ref_logprobs, experience.advantages)
        items = [rollout.items[row] for row in group]
        new = self.model.score_tokens(items, temperature=settings.temperature)
        if settings.old_logprobs == "first_pass":
            old_logprobs = new.logprobs.detach()
        ratio = probability_ratio(new.logprobs, old_logprobs)
        policy = policy_loss(ratio, advantages, settings.clip_range, settings.dual_clip)
        found = (ratio, new.logprobs - old_logprobs, policy.loss, policy.clipped)
        stats.add(TokenStats(*(x.detach() for x in found)))
        loss = policy.loss.sum()
        if settings.kl_placement == "loss":
            loss = loss + experience.kl_coef * kl_loss(new.logprobs, ref_logprobs).sum()
        if self.learner.own_critic:
            return loss
        return loss + self._value_loss(experience, group, self.learner.values(items, new), stats)

    def critic_loss(self, experience: Experience, group: Sequence[int], stats: UpdateStats) -> Tensor:
        """Summed loss of one micro-batch of a value function with an adapter of its own, which must be active."""
        values = self.learner.critic_values([experience.rollout.items[row] for row in group])
        return self._value_loss(experience, group, values, stats)

    def _value_loss(self, experience: Experience, group: Sequence[int], values: Tensor, stats: UpdateStats) -> Tensor:
        old, target = self._tokens(group, experience.rollout, experience.rollout.values, experience.returns)
        value = value_loss(values, old, target, self.settings.value_clip_range)
        stats.add_values(value)
        return self.settings.value_coef * value.loss.sum()

    def _tokens(self, group: Sequence[int], rollout: Rollout, *tensors: Tensor) -> list[Tensor]:
        """Response tokens of some rows, in row order. Shapes: (b, t) each -> (n,) each."""
        rows = list(group)
        return [x[rows][rollout.mask[rows]].to(self.model.base.device) for x in tensors]

    def _gone_too_far(self, stats: UpdateStats) -> str:
        guards = self.settings.guards
        ratio, approx_kl = stats.minibatch()
        alarm = "ratio" if ratio > guards.max_ratio else ""
        if guards.target_kl is not None and approx_kl > 1.5 * guards.target_kl:
            alarm = "approx_kl"
        if alarm and alarm not in stats.alarms:
            stats.alarms.append(alarm)
        return alarm
