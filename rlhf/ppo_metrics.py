"""The row of `train/ppo.csv`: names as in TRL, where it had them. docs/training.md gives each a formula.

Means per token are over response tokens only, never over padding. A cell is empty where a step was stopped before its update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..evals.kl import kl_k3
from .advantages import masked_mean
from .guards import repeated_ngrams
from .learner import Applied
from .losses import TokenLoss
from .rollout import Rollout

ROLLOUT_COLUMNS = (
    "objective/kl", "objective/kl_k3_token", "objective/sqrt_kl", "objective/kl_coef", "objective/entropy", "objective/scores",
    "objective/scores_std", "objective/non_score_reward", "objective/rlhf_reward", "policy/entropy_avg", "rollout/eos_rate",
    "rollout/len_mean", "rollout/repeat_ngram", "val/num_eos_tokens", "val/explained_var",
)  # fmt: skip
UPDATE_COLUMNS = (
    "policy/approxkl_avg", "policy/clipfrac_avg", "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg", "val/ratio", "val/ratio_var",
    "val/ratio_min", "val/ratio_max", "val/first_ratio_dev", "grad_norm/policy", "grad_norm/value", "optimizer_steps",
)  # fmt: skip
COLUMNS = ("step", "episode", *ROLLOUT_COLUMNS, *UPDATE_COLUMNS, "lr", "skipped_steps", "validation/score", "warning", "brake")
ENGINE_COLUMNS = ("rollout/logprob_gap_mean", "rollout/logprob_gap_max")
"""At the end, where another engine than the model in training samples."""
Row = dict[str, float | int | str | None]


def rollout_metrics(rollout: Rollout, scores: Tensor, returns: Tensor, kl_coef: float, *, penalty: bool = True) -> Row:
    """What the rollout says, before the update.

    Args:
        rollout: b responses.
        scores: (b,) shaped scores, as they entered the reward.
        returns: (b, t).
        kl_coef: weight of the KL penalty.
        penalty: whether it is in the reward.
    """
    mask = rollout.mask
    kl = float(rollout.k1.sum(1).mean())
    target = returns[mask]
    non_score = -kl_coef * kl if penalty else 0.0
    residual = (target - rollout.values[mask]).var(correction=0) / target.var(correction=0)
    return {
        "objective/kl": kl,
        "objective/kl_k3_token": float(masked_mean(kl_k3(rollout.logprobs, rollout.ref_logprobs), mask)),
        "objective/sqrt_kl": max(kl, 0.0) ** 0.5,
        "objective/kl_coef": kl_coef,
        "objective/entropy": float(rollout.entropy.sum(1).mean()),
        "objective/scores": float(rollout.scores.mean()),
        "objective/scores_std": float(rollout.scores.std(correction=0)),
        "objective/non_score_reward": non_score,
        "objective/rlhf_reward": non_score + float(scores.mean()),
        "policy/entropy_avg": float(masked_mean(rollout.entropy, mask)),
        "rollout/eos_rate": float(rollout.ended.float().mean()),
        "rollout/len_mean": float(mask.sum(1).float().mean()),
        "rollout/repeat_ngram": repeated_ngrams([response for _, response in rollout.items]),
        "val/num_eos_tokens": int(rollout.ended.sum()),
        "val/explained_var": float(1 - residual) if bool(torch.isfinite(residual)) else None,
    } | engine_gap(rollout)


def engine_gap(rollout: Rollout) -> Row:
    """How far an engine's log-probabilities are from the trainer's, nats per token, at most and in the mean; nothing without an engine."""
    if rollout.engine_logprobs is None:
        return {}
    gap = (rollout.engine_logprobs - rollout.logprobs)[rollout.mask].abs()
    return dict(zip(ENGINE_COLUMNS, (float(gap.mean()), float(gap.max())), strict=True))


@dataclass(frozen=True, slots=True)
class TokenStats:
    """What one forward pass of the policy saw, n tokens, detached."""

    ratio: Tensor
    log_ratio: Tensor
    policy_loss: Tensor
    policy_clipped: Tensor


@dataclass(slots=True)
class UpdateStats:
    """Gathers an update's tokens and optimizer steps.

    Args:
        gather: (n,) values of this process -> those of all processes.
    """

    gather: Callable[[Tensor], Tensor] = lambda x: x
    tokens: list[TokenStats] = field(default_factory=list)
    values: list[TokenLoss] = field(default_factory=list)
    steps: list[Applied] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    _first_pass: int = 0
    """Forward passes before the first optimizer step."""
    _finished: int = 0

    def add(self, stats: TokenStats) -> None:
        """One forward pass of the policy."""
        self.tokens.append(stats)

    def add_values(self, loss: TokenLoss) -> None:
        """Its value loss."""
        self.values.append(TokenLoss(loss.loss.detach(), loss.clipped))

    def minibatch(self) -> tuple[float, float]:
        """(mean ratio, approximate KL) over the tokens of the optimizer step that is being prepared."""
        passes = self.tokens[self._finished :]
        ratio, log_ratio = (self.gather(torch.cat([getattr(stats, name) for stats in passes])) for name in ("ratio", "log_ratio"))
        return float(ratio.mean()), float(0.5 * log_ratio.square().mean())

    def finish_step(self, applied: Applied) -> None:
        """One optimizer step."""
        self._finished = len(self.tokens)
        self._first_pass = self._first_pass or self._finished
        self.steps.append(applied)

    @property
    def skipped(self) -> int:
        """Optimizer steps that were not taken because a number was not finite."""
        return sum(not step.finite for step in self.steps)

    def metrics(self) -> Row:
        """Means over all tokens of all optimizer steps."""
        ratio = self._all("ratio")
        first = self.gather(torch.cat([stats.ratio for stats in self.tokens[: self._first_pass]]))
        return {
            "policy/approxkl_avg": float(0.5 * self._all("log_ratio").square().mean()),
            "policy/clipfrac_avg": float(self._all("policy_clipped").mean()),
            "loss/policy_avg": float(self._all("policy_loss").mean()),
            "loss/value_avg": self._value("loss"),
            "val/clipfrac_avg": self._value("clipped"),
            "val/ratio": float(ratio.mean()),
            "val/ratio_var": float(ratio.var(correction=0)),
            "val/ratio_min": float(ratio.min()),
            "val/ratio_max": float(ratio.max()),
            "val/first_ratio_dev": float((first - 1).abs().max()),
            "grad_norm/policy": sum(step.policy_grad_norm for step in self.steps) / len(self.steps),
            "grad_norm/value": sum(step.value_grad_norm for step in self.steps) / len(self.steps),
            "optimizer_steps": sum(step.applied for step in self.steps),
        }

    def _all(self, name: str) -> Tensor:
        return self.gather(torch.cat([getattr(stats, name).float() for stats in self.tokens]))

    def _value(self, name: str) -> float:
        return float(self.gather(torch.cat([getattr(loss, name).float() for loss in self.values])).mean())
