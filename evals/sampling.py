"""Keyed sampling: each drawn token is a function of (distribution, seed, key, sample, position) alone.

Row i of a batch at response position t uses one uniform number that a counter-based generator makes from (seed, key, sample) and t.
The token is read off the inverse cumulative distribution in float64. Batch-mates, batch order, world size and the global random
state play no part, so an interrupted run goes on with the same tokens. No top-k, top-p, repetition penalty or minimum length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SampleKey = tuple[int, str, int]
"""(seed, key of the prompt, sample)."""


def key_digest(key: SampleKey) -> bytes:
    """SHA-256 of a key's parts, joined by NUL: what all random numbers of a row follow from."""
    return hashlib.sha256("\0".join(map(str, key)).encode("utf-8", "surrogatepass")).digest()


def uniforms(key: SampleKey, n: int) -> np.ndarray:
    """The first `n` uniform numbers in [0, 1) of a key, float64; a longer draw begins with the shorter one."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key_digest(key)[:16], "little"))).random(n)


def uniform_table(keys: Sequence[SampleKey], n: int) -> Tensor:
    """Uniforms of several rows. Shape: (len(keys), n), float64."""
    return torch.from_numpy(np.stack([uniforms(key, n) for key in keys]))


def inverse_cdf(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token per row: the first whose cumulative probability exceeds the uniform number.

    Args:
        logits: (b, v), already divided by the temperature. A token at -inf is never drawn.
        uniform: (b,) float64 in [0, 1).

    Returns:
        (b,) token ids.
    """
    cumulative = torch.softmax(logits.double(), dim=-1).cumsum(dim=-1)
    total = cumulative[:, -1]
    target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    drawn = torch.searchsorted(cumulative, target.unsqueeze(-1), right=True).squeeze(-1)
    return drawn.clamp(max=logits.shape[-1] - 1)


class KeyedSampler:
    """A logits processor that leaves only the drawn token, so that greedy decoding takes it.

    Args:
        table: (b, max_new_tokens) uniforms, one row per prompt of the batch.
        prompt_width: padded prompt length, from which the response position follows.
        temperature: logits are divided by it.
    """

    def __init__(self, table: Tensor, prompt_width: int, temperature: float) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature {temperature} must be positive; greedy decoding needs no sampler")
        self.table, self.prompt_width, self.temperature = table, prompt_width, temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with all but the drawn token at -inf. Shapes: (b, length so far), (b, v)."""
        position = input_ids.shape[1] - self.prompt_width
        token = inverse_cdf(scores / self.temperature, self.table[:, position])
        return torch.full_like(scores, float("-inf")).scatter_(1, token.unsqueeze(-1), 0.0)
