"""What policy and reference think of a batch of responses, before anything is updated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..evals.models.batching import Item, length_mask
from ..evals.models.hf import TransformersModel
from .learner import POLICY, Learner

PARTS = ("logprobs", "ref_logprobs", "entropy", "values")


def observe(
    model: TransformersModel, learner: Learner, items: Sequence[Item], groups: Sequence[Sequence[int]], *, temperature: float, width: int
) -> Tensor:
    """Log-probabilities, the reference's, entropies and values of response tokens, without gradients.

    Args:
        model: the base with the policy's adapter.
        learner: whose value function is read.
        items: n (prompt tokens, response tokens).
        groups: rows of one forward pass each; the same groups in an update give the same bits.
        temperature: logits are divided by it.
        width: of the result, at least the longest response.

    Returns:
        (n, 4, width) float32 on the CPU, in the order of `PARTS`, 0 after a response's end.
    """
    found = torch.zeros(len(items), len(PARTS), width)
    model.base.causal.train()  # as in the update: quantised layers compute differently in eval mode
    with torch.no_grad():
        for group in groups:
            picked = [items[row] for row in group]
            mask = length_mask([len(response) for _, response in picked])
            for part, flat in enumerate(_observe_group(model, learner, picked, temperature)):
                found[list(group), part, : mask.shape[1]] = torch.zeros(mask.shape).masked_scatter_(mask, flat.cpu())
    model.base.causal.eval()
    return found


def _observe_group(model: TransformersModel, learner: Learner, items: Sequence[Item], temperature: float) -> tuple[Tensor, ...]:
    with model.base.active(POLICY):
        ours = model.score_tokens(items, temperature=temperature, entropy=True)
    with model.base.active(learner.reference):
        reference = model.score_tokens(items, temperature=temperature)
    assert ours.entropy is not None  # it was asked for
    return ours.logprobs, reference.logprobs, ours.entropy, learner.values(items, ours)
