"""What PPO trains: a fresh policy adapter on the shared base, a value head on it or on an adapter of its own, and their optimizer.

All trainables are float32: in bf16 most entries don't move at these learning rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..evals.models.batching import Item
from ..evals.models.hf import TokenScores, TransformersModel
from .config import PPOSettings
from .critic import VALUE, add_value_adapter
from .lora import lora_config
from .rewards import AS_IT_IS, RewardScale

POLICY = "default"
"""The policy adapter's name; PEFT saves the adapter of that name without a sub-folder."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What an optimizer step did."""

    applied: bool
    """False: nothing changed."""
    policy_grad_norm: float
    value_grad_norm: float
    """Norms before clipping."""
    finite: bool = True
    """False: the loss or a gradient was not finite."""


class Learner:
    """Policy adapter, value head and AdamW.

    The policy starts as the reference and a value head on its trunk at 0. Against the base (LoRA B is 0) nothing but the adapter's A
    matrices is random; against an adapter the policy is its copy.

    Args:
        model: the base.
        settings: the recipe.
        seed: of what is random.
        scale: of the scores that a critic of its own starts from.
        reference: loaded adapter of the frozen reference; None: the base with adapters off.
    """

    def __init__(
        self, model: TransformersModel, settings: PPOSettings, seed: int, scale: RewardScale = AS_IT_IS, *, reference: str | None = None
    ) -> None:
        self.model, self.settings, self.reference = model, settings, reference
        base = model.base
        self.config = self._add_policy(seed)
        self.value_head = nn.Linear(base.hidden_size, 1, device=base.device, dtype=torch.float32)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)
        self.own_critic = settings.value_model == "adapter"
        self.value_adapter = add_value_adapter(model, settings, self.value_head, scale, seed) if self.own_critic else {}
        self.policy_frozen = False
        """Only the value function learns."""
        disable_dropout(base.causal)
        if settings.gradient_checkpointing:
            base.causal.activation_checkpointing_enable({"use_reentrant": False})
        self.policy = base.parameters(POLICY)
        assert_float32({**self.policy, **self.value_adapter, **dict(self.value_head.named_parameters())})
        groups = [
            {"params": list(self.policy.values()), "lr": settings.learning_rate},
            {"params": [*self.value_head.parameters(), *self.value_adapter.values()], "lr": settings.value_learning_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.0)

    def _add_policy(self, seed: int) -> Any:
        """Add the policy's adapter; its peft.LoraConfig."""
        base = self.model.base
        if self.reference is None:
            config = lora_config(self.settings.lora, "CAUSAL_LM", base.causal, dropout=0.0)
            base.new_adapter(POLICY, config, seed=seed)
            return config
        base.load_adapter(POLICY, self.model.adapter_file(self.reference))
        base.set_trainable(POLICY, True)
        assert base.peft is not None  # it has adapters
        return base.peft.peft_config[POLICY]

    def values(self, items: Sequence[Item], scores: TokenScores) -> Tensor:
        """V before each response token, from the policy's own pass or from the critic's. Shape: (n,) float32."""
        if self.own_critic:
            with self.model.base.active(VALUE):
                return self.critic_values(items)
        hidden = scores.hidden.detach() if self.settings.value_detached else scores.hidden
        return self._head(hidden)

    def critic_values(self, items: Sequence[Item]) -> Tensor:
        """V from the critic's own pass; its adapter must be active until the backward pass is done. Shape: (n,) float32."""
        return self._head(self.model.response_hidden(items))

    def _head(self, hidden: Tensor) -> Tensor:
        values: Tensor = self.value_head(hidden.float())
        return values.squeeze(-1)

    def set_learning_rate(self, scale: float) -> None:
        """Scale both groups' peak rates."""
        rates = (self.settings.learning_rate, self.settings.value_learning_rate)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * scale

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that is trained, in a fixed order."""
        for group in self._groups:
            yield from group["params"]

    def apply(self, loss: float) -> Applied:
        """Clip each group's gradient to `max_grad_norm` and take one optimizer step, unless a number is not finite."""
        if self.policy_frozen:
            for parameter in self.policy.values():
                parameter.grad = None
        norms = [torch.nn.utils.clip_grad_norm_(group["params"], self.settings.max_grad_norm) for group in self.optimizer.param_groups]
        policy, value = (float(norm) for norm in norms)
        finite = bool(torch.isfinite(torch.tensor([loss, policy, value])).all())
        if finite:
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Applied(finite, policy, value, finite)

    def drop(self) -> Applied:
        """Forget the gradients."""
        norms = [float(torch.nn.utils.get_total_norm([p.grad for p in group["params"] if p.grad is not None])) for group in self._groups]
        self.optimizer.zero_grad(set_to_none=True)
        return Applied(False, norms[0], norms[1])

    @property
    def _groups(self) -> list[dict[str, list[nn.Parameter]]]:
        return self.optimizer.param_groups

    def policy_tensors(self) -> dict[str, Tensor]:
        """A copy of the policy adapter by the names PEFT saves."""
        return self.model.base.tensors(POLICY)

    def set_policy_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put a copy back."""
        self.model.base.set_tensors(POLICY, dict(tensors))


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0, so that train mode (which gradient checkpointing needs) computes what eval mode does."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]


def assert_float32(parameters: Mapping[str, nn.Parameter]) -> None:
    """Raise when a trainable parameter is not float32, or what should be trainable isn't."""
    wrong = [name for name, p in parameters.items() if p.dtype != torch.float32 or not p.requires_grad]
    if wrong or not parameters:
        raise AssertionError(f"not float32 and trainable: {wrong[:5]}")
