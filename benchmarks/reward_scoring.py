"""Scoring preference pairs: a plain loop, a loop sorted by length, and ours, which takes each pair's prompt once. Ratios of CPU time.

    python benchmarks/reward_scoring.py [--pairs FILE] [--limit 150] [--repeats 3] [--docs docs/memory.md]

All of them score the same token ids with the same random model (float32, one thread) in one process, in turns; the table gives the medians'
ratios and how many tokens went through the model. The plain loop takes 8 sequences at a time in their order, the sorted one 8 of similar
length. Without `--pairs` (a preference file as `truenorth` reads it) the pairs are random, with prompts and responses of 10 to 200 tokens.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from docs_table import markdown, replace_table

SHAPE = {
    "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": 6, "num_key_value_heads": 2,
    "head_dim": 32, "vocab_size": 32000, "max_position_embeddings": 4096, "sliding_window": None, "pad_token_id": 0,
}  # fmt: skip
MAX_LENGTH, ROWS = 1024, 8
BUDGET = 16384
"""Padded tokens of our batches, as profiles have it."""
Pair = tuple[list[int], list[int]]
AGREE = 1e-4


class Scorers:
    """The ways to score, on one model."""

    def __init__(self) -> None:
        from transformers import MistralConfig, MistralForSequenceClassification

        torch.manual_seed(0)
        self.model = MistralForSequenceClassification(MistralConfig(**SHAPE, num_labels=1)).eval()
        self.tokens = 0
        self.model.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.tokens += (inputs[0] if inputs else options["input_ids"]).numel()

    def plain(self, pairs: Sequence[Pair]) -> list[float]:
        """8 sequences at a time, in their order."""
        return self._loop([row for pair in pairs for row in pair], lambda rows: list(range(len(rows))))

    def by_length(self, pairs: Sequence[Pair]) -> list[float]:
        """8 sequences of similar length at a time."""
        return self._loop([row for pair in pairs for row in pair], lambda rows: sorted(range(len(rows)), key=lambda i: len(rows[i])))

    def prompt_once(self, pairs: Sequence[Pair]) -> list[float]:
        """As `truenorth` scores pairs."""
        from truenorth.evals.models.packing import score_rows

        rows = [row for pair in pairs for row in pair]
        return score_rows(self.model.model, self.model.score, rows, [i // 2 for i in range(len(rows))], pad=0, budget=BUDGET)

    def _loop(self, rows: list[list[int]], order: Callable[[list[list[int]]], list[int]]) -> list[float]:
        scores, indices = [0.0] * len(rows), order(rows)
        for start in range(0, len(rows), ROWS):
            batch = indices[start : start + ROWS]
            width = max(len(rows[i]) for i in batch)
            ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in batch])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in batch])
            found = self.model(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
            for i, score in zip(batch, found, strict=True):
                scores[i] = score
        return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--limit", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = read_pairs(args.pairs, args.limit) if args.pairs else random_pairs(args.limit)
    text = compare(Scorers(), pairs, args.repeats)
    print(text)
    if args.docs:
        replace_table(args.docs, "reward_scoring", text)


def compare(scorers: Scorers, pairs: Sequence[Pair], repeats: int) -> str:
    """Time them in turns, and check that they agree."""
    ways = {"plain loop": scorers.plain, "sorted by length": scorers.by_length, "prompt once": scorers.prompt_once}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens, scores = {}, {}
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for name, way in ways.items():
                scorers.tokens, start = 0, time.process_time()
                scores[name] = way(pairs)
                seconds[name].append(time.process_time() - start)
                tokens[name] = scorers.tokens
    worst = max(abs(a - b) for other in scores.values() for a, b in zip(scores["plain loop"], other, strict=True))
    if worst > AGREE:
        raise RuntimeError(f"the scores differ by {worst}")
    typical = {name: statistics.median(s[1:]) for name, s in seconds.items()}
    rows = [
        (name, tokens[name], f"{typical['plain loop'] / t:.2f}", f"{typical['sorted by length'] / t:.2f}") for name, t in typical.items()
    ]
    return f"{len(pairs)} pairs; scores differ by at most {worst:.0e}.\n\n" + markdown(
        ("way", "tokens through the model", "speed against the plain loop", "against sorted"), rows
    )


def random_pairs(n: int) -> list[Pair]:
    """Pairs with a common prompt."""
    rng = random.Random(0)

    def draw() -> list[int]:
        return [rng.randint(3, 31999) for _ in range(rng.randint(10, 200))]

    return [([*prompt, *draw(), 2], [*prompt, *draw(), 2]) for prompt in (draw() for _ in range(n))]


def read_pairs(path: Path, limit: int) -> list[Pair]:
    """Pairs of a file, in Mistral's tokens."""
    from mistral_shape import mistral_tokenizer
    from truenorth.prompts.pairs import load_pairs
    from truenorth.prompts.template import MistralTemplate

    template = MistralTemplate(mistral_tokenizer())
    found = [template.pair_ids(pair) for pair in load_pairs(str(path), limit=2 * limit).pairs]
    return [(list(c), list(r)) for c, r in found if max(len(c), len(r)) <= MAX_LENGTH and c != r][:limit]


if __name__ == "__main__":
    main()
