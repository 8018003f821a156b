"""Scores of a sequence classifier by its own forward pass: for architectures whose pooling is not ours to know.

Which token or mean a model reads, and what it takes for padding, differs; so rows are never padded, only rows of equal length share a
pass. What a row scores is then what transformers gives for it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...prompts.errors import InputError
from .packing import CPU_TOKENS

Scorer = Callable[[Sequence[Sequence[int]], Sequence[tuple[int, ...]]], list[float]]
_POSITIONS = ("position_embeddings", "wpe", "embed_positions")
"""Names of layers that hold a vector for each position, and none beyond."""


def own_scorer(classifier: Any, *, budget: int, segments: bool) -> Scorer:
    """(rows, keys) -> scores.

    Args:
        classifier: with one label.
        budget: tokens in one forward pass; fewer on a CPU.
        segments: whether what follows a row's key is its second segment (token type 1).
    """
    device = next(classifier.parameters()).device
    budget = min(budget, CPU_TOKENS) if device.type == "cpu" else budget
    longest = _longest(classifier)

    def score(rows: Sequence[Sequence[int]], keys: Sequence[tuple[int, ...]]) -> list[float]:
        scores = [0.0] * len(rows)
        for indices in _of_equal_length(rows, budget if _takes_several(classifier) else 1):
            width = len(rows[indices[0]])
            if longest is not None and width > longest:
                raise InputError(
                    f"the reward model reads at most {longest} tokens; a dialogue with its response has {width}",
                    advice="Leave out longer pairs or responses, or take a reward model with a longer context.",
                )
            inputs = {"input_ids": torch.tensor([list(rows[i]) for i in indices], device=device)}
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            if segments:
                inputs["token_type_ids"] = _segments([len(keys[i]) for i in indices], width, device)
            with torch.no_grad():
                found = classifier(**inputs).logits.float().squeeze(-1).tolist()
            for index, value in zip(indices, found, strict=True):
                scores[index] = value
        return scores

    return score


def _of_equal_length(rows: Sequence[Sequence[int]], budget: int) -> list[list[int]]:
    """Indices of rows of one length, at most `budget` tokens together (a row alone may exceed it)."""
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(index)
    found = []
    for length, indices in by_length.items():
        size = max(1, budget // length)
        found += [indices[start : start + size] for start in range(0, len(indices), size)]
    return found


def _segments(firsts: Sequence[int], width: int, device: torch.device) -> Tensor:
    """Token types, (b, width): 0 for the first tokens of each row, 1 for the rest."""
    return (torch.arange(width, device=device) >= torch.tensor(firsts, device=device).unsqueeze(1)).long()


def _takes_several(classifier: Any) -> bool:
    """Whether one pass may hold several rows: a decoder without padding token takes one, and so does whoever pools at the only EOS."""
    config = classifier.config.get_text_config()
    return config.pad_token_id is not None and not config.is_encoder_decoder


def _longest(classifier: Any) -> int | None:
    """Tokens that its table of positions has room for; None where there is no such table."""
    found = []
    for name, module in classifier.named_modules():
        if name.rpartition(".")[2] in _POSITIONS and isinstance(module, nn.Embedding):
            skipped = getattr(module, "offset", 0 if module.padding_idx is None else module.padding_idx + 1)
            found.append(module.num_embeddings - skipped)
    return min(found, default=None)
