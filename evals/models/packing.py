"""Rows with a common beginning as one row: the beginning once, then each continuation, which sees the beginning and itself alone.

Chosen and rejected share their prompt, samples of one prompt do as well. The result is that of separate rows: positions count from each
row's own start, and a mask hides the continuations from each other. Rows that share nothing are padded on the right as everywhere else;
they need no mask, and so keep the fast causal kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .batching import pad_right, token_budget_batches

CPU_TOKENS = 2048
"""Padded tokens in one pass on a CPU: more leave its cache and only add padding (`benchmarks/reward_scoring.py`)."""
TREE_TOKENS = 2048
"""Tokens beyond which rows of one beginning are spread over several trees: attention under a mask costs their square."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Rows joined at their common beginning, which leaves each at least its last token."""

    rows: tuple[int, ...]
    """Which rows."""
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    """Of each token in its own row."""
    branches: tuple[int, ...]
    """Of each token: 0 for the beginning, i for what only the i-th row has."""
    ends: tuple[int, ...]
    """Where each row's last token is."""


def join(rows: Sequence[Sequence[int]], indices: Sequence[int], *, shared: int | None = None) -> Tree:
    """The tree of `rows[i] for i in indices`; none is empty.

    Args:
        rows: token ids.
        indices: which of them.
        shared: tokens of the beginning; by default as many as they have in common.
    """
    picked = [list(rows[i]) for i in indices]
    if shared is None:
        first, last = min(picked), max(picked)  # in dictionary order: what these two have in common all have
        shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        shared = min(shared, *(len(row) - 1 for row in picked))
    ids, positions, branches, ends = picked[0][:shared], list(range(shared)), [0] * shared, []
    for branch, row in enumerate(picked, 1):
        ids += row[shared:]
        positions += range(shared, len(row))
        branches += [branch] * (len(row) - shared)
        ends.append(len(ids) - 1)
    return Tree(tuple(indices), tuple(ids), tuple(positions), tuple(branches), tuple(ends))


def tree_inputs(trees: Sequence[Tree], pad: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Trees padded on the right for one forward pass.

    Returns:
        Ids and positions, (b, width) int64, and what sees what: (b, 1, width, width) bool, True where row may look at column.
    """
    branches = pad_right([tree.branches for tree in trees], -1, device)
    same = (branches.unsqueeze(1) == 0) | (branches.unsqueeze(1) == branches.unsqueeze(2))
    causal = torch.ones(same.shape[1:], dtype=torch.bool, device=device).tril()
    ids, positions = pad_right([tree.ids for tree in trees], pad, device), pad_right([tree.positions for tree in trees], 0, device)
    return ids, positions, (same & causal).unsqueeze(1)


def tree_hidden(decoder: Any, trees: Sequence[Tree], pad: int, device: torch.device) -> Tensor:
    """Last hidden states of a decoder on trees, (b, width, hidden_size)."""
    ids, positions, sees = tree_inputs(trees, pad, device)
    if decoder.config._attn_implementation == "eager":  # which adds its mask
        dtype = decoder.get_input_embeddings().weight.dtype
        sees = torch.zeros(sees.shape, dtype=dtype, device=device).masked_fill(~sees, torch.finfo(dtype).min)
    states: Tensor = decoder(input_ids=ids, attention_mask=sees, position_ids=positions, use_cache=False).last_hidden_state
    return states


def score_rows(
    decoder: Any, head: Callable[[Tensor], Tensor], rows: Sequence[Sequence[int]], keys: Sequence[Hashable], *, pad: int, budget: int
) -> list[float]:
    """What a score head says at the last token of each row. Call it with gradients off.

    Args:
        decoder: a transformers decoder without output layer.
        head: (n, hidden_size) -> (n, 1).
        rows: token ids, none empty.
        keys: rows with equal keys have a common beginning and are joined there.
        pad: id of the padding token.
        budget: padded tokens in one forward pass; fewer on a CPU.
    """
    device = decoder.get_input_embeddings().weight.device
    budget = min(budget, CPU_TOKENS) if device.type == "cpu" else budget
    scores = [0.0] * len(rows)
    for trees in _batches(rows, keys, budget, shares=_takes_masks(decoder.config)):
        if all(len(tree.rows) == 1 for tree in trees):
            hidden = decoder(input_ids=pad_right([tree.ids for tree in trees], pad, device), use_cache=False).last_hidden_state
        else:
            hidden = tree_hidden(decoder, trees, pad, device)
        where = [(b, end) for b, tree in enumerate(trees) for end in tree.ends]
        row, column = torch.tensor(where, device=device).T
        found = head(hidden[row, column].float()).squeeze(-1).tolist()
        for index, score in zip((i for tree in trees for i in tree.rows), found, strict=True):
            scores[index] = score
    return scores


def _takes_masks(config: Any) -> bool:
    """Whether attention follows a mask of ours: flash attention takes none, and a sliding window would have to be in it."""
    return config._attn_implementation in ("sdpa", "eager") and getattr(config, "sliding_window", None) is None


def _batches(rows: Sequence[Sequence[int]], keys: Sequence[Hashable], budget: int, *, shares: bool) -> list[list[Tree]]:
    """Trees of several rows, then single rows, each kind in batches of similar length."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key if shares else index, []).append(index)
    trees = [tree for group in groups.values() for tree in _grow(rows, group)]
    kinds = ([t for t in trees if len(t.rows) > 1], [t for t in trees if len(t.rows) == 1])
    return [[kind[i] for i in batch] for kind in kinds for batch in token_budget_batches([len(t.ids) for t in kind], budget)]


def _grow(rows: Sequence[Sequence[int]], group: Sequence[int]) -> list[Tree]:
    """As few trees within `TREE_TOKENS` as taking the group's rows in their order gives; a row alone may exceed it."""
    trees: list[Tree] = []
    for index in group:
        joined = join(rows, [*trees[-1].rows, index]) if trees else None
        if joined and len(joined.ids) <= TREE_TOKENS:
            trees[-1] = joined
        else:
            trees.append(join(rows, [index]))
    return trees
