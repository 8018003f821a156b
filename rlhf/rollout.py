"""What one batch of sampled responses is, as PPO needs it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..evals.models.batching import Item
from ..prompts.types import Prompt


@dataclass(frozen=True, slots=True)
class Rollout:
    """b prompts with their responses, t the longest response. Tensors are float32 on the CPU, 0 outside the mask.

    Rows are grouped into micro-batches once, here: updates use the same groups in the first pass, so their first log-probabilities are
    the same bits as `logprobs` and the first ratio is exactly 1.
    """

    step: int
    prompts: tuple[Prompt, ...]
    items: tuple[Item, ...]
    """(prompt tokens, response tokens), EOS included where the model stopped."""
    mask: Tensor
    """(b, t) bool; True marks a response token, EOS included."""
    ended: Tensor
    """(b,) bool: the response ends with EOS."""
    logprobs: Tensor
    """(b, t) log pi_old, at the rollout's temperature."""
    ref_logprobs: Tensor
    """(b, t) log ref."""
    entropy: Tensor
    """(b, t) entropy of pi_old in nats."""
    values: Tensor
    """(b, t) V_old, read before each token."""
    scores: Tensor
    """(b,) in the reward model's units."""
    engine_logprobs: Tensor | None = None
    """(b, t) log-probabilities by the engine that sampled, where that was not the model in training. Only compared with `logprobs`."""

    @property
    def k1(self) -> Tensor:
        """(b, t) log pi_old - log ref."""
        return self.logprobs - self.ref_logprobs
