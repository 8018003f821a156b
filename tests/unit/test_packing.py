"""Rows joined at their common beginning against the same rows one by one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tiny_models import save_tiny_model
from truenorth.evals.models import packing
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.packing import join, score_rows, tree_inputs

EXACT = 2e-5
"""Float32 in another order of sums, on hidden states of size 1."""


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest, tiny_base: Path, tiny_reward: Path) -> TransformersModel:
    return TransformersModel.load(tiny_base, reward_model=tiny_reward, attn_implementation=request.param)


def make_items(n: int, *, seed: int = 0, samples: int = 2) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    rng = random.Random(seed)

    def draw(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randint(3, 250) for _ in range(rng.randint(low, high)))

    return [((1, *prompt), (*draw(0, 20), 2)) for prompt in [draw(1, 30) for _ in range(n)] for _ in range(samples)]


def one_by_one(model: TransformersModel, items) -> list[float]:
    return [model.token_rewards([item])[0] for item in items]


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
def test_responses_to_one_prompt_score_together_what_they_score_alone(model: TransformersModel, samples: int, batch_tokens: int):
    items = make_items(6, samples=samples)
    alone = one_by_one(model, items)
    model.batch_tokens = batch_tokens
    assert model.token_rewards(items) == pytest.approx(alone, abs=EXACT)
    assert max(alone) - min(alone) > 0.1


def test_interleaved_prompts_and_equal_responses_keep_their_places(model: TransformersModel):
    items = make_items(5, samples=3)
    items += items[:4]
    random.Random(1).shuffle(items)
    assert model.token_rewards(items) == pytest.approx(one_by_one(model, items), abs=EXACT)


def test_only_what_is_not_shared_is_computed_again(tiny_base: Path, tiny_reward: Path, monkeypatch: pytest.MonkeyPatch):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward)
    seen: list[int] = []
    own = packing.tree_inputs
    monkeypatch.setattr(
        packing, "tree_inputs", lambda trees, pad, device: (seen.extend(len(t.ids) for t in trees), own(trees, pad, device))[1]
    )
    prompt = tuple(range(3, 103))
    model.token_rewards([((1, *prompt), (7, 8, 2)), ((1, *prompt), (7, 9, 9, 2))])
    assert seen == [101 + 1 + 2 + 3]  # both begin with 7


def test_trees_stay_short_enough_for_their_mask(monkeypatch: pytest.MonkeyPatch):
    rows = [[1, *range(50), i, 2] for i in range(10)]
    monkeypatch.setattr(packing, "TREE_TOKENS", 57)
    assert [tree.rows for tree in packing._grow(rows, range(10))] == [(0, 1, 2), (3, 4, 5), (6, 7, 8), (9,)]
    monkeypatch.setattr(packing, "TREE_TOKENS", 10)
    assert [tree.rows for tree in packing._grow(rows, range(10))] == [(i,) for i in range(10)]


def test_a_tree_by_hand():
    tree = join([(1, 5, 6, 2), (1, 5, 2)], [0, 1])
    assert (tree.ids, tree.positions, tree.branches, tree.ends) == ((1, 5, 6, 2, 2), (0, 1, 2, 3, 2), (0, 0, 1, 1, 2), (3, 4))
    _, _, sees = tree_inputs([tree], 0, torch.device("cpu"))
    assert sees[0, 0].int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]


@pytest.mark.parametrize("rows", [[(1, 2), (1, 2)], [(1, 4, 2), (1, 4)], [(9,), (8, 7)], [(9,), (9,)]])
def test_each_row_keeps_a_last_token_of_its_own(rows):
    tree = join(rows, [0, 1])
    assert len(set(tree.ends)) == 2
    assert [tree.ids[end] for end in tree.ends] == [row[-1] for row in rows]


@pytest.mark.parametrize("fault", ["positions", "mask"])
def test_a_wrong_mask_or_wrong_positions_would_show(tiny_base: Path, tiny_reward: Path, monkeypatch: pytest.MonkeyPatch, fault: str):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward)
    items = make_items(6)
    alone = one_by_one(model, items)
    own = packing.tree_inputs

    def broken(trees, pad, device):
        ids, positions, sees = own(trees, pad, device)
        width = torch.arange(ids.shape[1])
        return ids, (width.expand_as(ids) if fault == "positions" else positions), (width <= width[:, None] if fault == "mask" else sees)

    def inputs(trees, pad, device):
        ids, positions, sees = broken(trees, pad, device)
        return ids, positions, sees.expand(len(trees), 1, *sees.shape[-2:])

    monkeypatch.setattr(packing, "tree_inputs", inputs)
    assert max(abs(a - b) for a, b in zip(model.token_rewards(items), alone, strict=True)) > 1e-3


def test_rows_stay_apart_where_attention_would_not_follow_the_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A sliding window is not in our mask."""
    base = save_tiny_model(tmp_path / "window", sliding_window=8)
    model = TransformersModel.load(base)
    monkeypatch.setattr(packing, "tree_hidden", lambda *_: pytest.fail("rows were joined"))
    rows = [[1, *range(3, 30), i, 2] for i in (40, 50)]
    head = torch.nn.Linear(model.base.hidden_size, 1)
    with model.base.inference():
        both = score_rows(model.base.causal.get_decoder(), head, rows, ["same", "same"], pad=0, budget=1000)
        alone = [score_rows(model.base.causal.get_decoder(), head, [row], ["same"], pad=0, budget=1000)[0] for row in rows]
    assert both == pytest.approx(alone, abs=EXACT)
