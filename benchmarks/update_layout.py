"""An update's forward and backward pass in three layouts: padded with all logits, as ours, and packed without padding. Ratios of CPU time.

    python benchmarks/update_layout.py [--prompts FILE] [--repeats 5] [--docs docs/memory.md]

16 rollouts of 32 tokens, LoRA on a random float32 model, one thread, all in turns in one process; that the three give the same gradients
is checked. "Padded, all logits" is one batch, as long as its longest row, all positions with logits. Ours has micro-batches of 4 rows
of similar length and logits of the response alone. "Packed" puts the same 4 rows into one, behind a mask that keeps them apart. Prompts
are those of a preference file, or have random lengths from 8 to 200 tokens.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from docs_table import markdown, replace_table
from reward_scoring import read_pairs
from torch import Tensor
from truenorth.evals.models.batching import Item, pack_responses
from truenorth.evals.models.packing import join, tree_hidden
from truenorth.evals.models.shared_base import SharedBase
from truenorth.rlhf.config import LoraSettings
from truenorth.rlhf.lora import lora_config
from truenorth.rlhf.schedule import micro_batches

SHAPE = {
    "hidden_size": 320, "intermediate_size": 864, "num_hidden_layers": 6, "num_attention_heads": 5, "num_key_value_heads": 1,
    "head_dim": 64, "vocab_size": 32000, "max_position_embeddings": 4096, "sliding_window": None, "pad_token_id": 0,
}  # fmt: skip
ROLLOUTS, NEW_TOKENS, MICRO = 16, 32, 4
AGREE = 1e-3
POLICY = "default"


class Updates:
    """The ways to compute the gradient of the responses' summed log-probability."""

    def __init__(self, items: list[Item]) -> None:
        from transformers import MistralConfig, MistralForCausalLM

        torch.manual_seed(0)
        self.items, self.tokens = items, 0
        self.base = SharedBase(MistralForCausalLM(MistralConfig(**SHAPE)), pad=0)
        self.base.new_adapter(POLICY, lora_config(LoraSettings(r=8), "CAUSAL_LM", self.base.causal, dropout=0.0), seed=0)
        for name, parameter in self.base.parameters(POLICY).items():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        widths = [len(prompt) + len(response) for prompt, response in items]
        self.groups = [[items[i] for i in group] for group in micro_batches(range(len(items)), widths, MICRO)]

    def gradient(self, way: Callable[[], None]) -> tuple[Tensor, float]:
        """All of it, and the seconds it took."""
        parameters = self.base.parameters(POLICY).values()
        for parameter in parameters:
            parameter.grad = None
        self.tokens, start = 0, time.process_time()
        with self.base.active(POLICY):
            way()
        seconds = time.process_time() - start
        return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]), seconds

    def padded(self) -> None:
        """One batch, all logits."""
        batch = pack_responses(self.items, 0, self.base.device)
        self.tokens += batch.ids.numel()
        logits = self.base.logits(self.base.hidden(batch.ids)).flatten(0, 1)
        self._backward(logits.log_softmax(-1)[batch.index], batch.tokens)

    def ours(self) -> None:
        """Rows of similar length, logits of responses."""
        for group in self.groups:
            batch = pack_responses(group, 0, self.base.device)
            self.tokens += batch.ids.numel()
            hidden = self.base.hidden(batch.ids).flatten(0, 1)[batch.index]
            self._backward(self.base.logits(hidden).log_softmax(-1), batch.tokens)

    def packed(self) -> None:
        """The same rows, without padding."""
        for group in self.groups:
            rows = [[*prompt, *response] for prompt, response in group]
            tree = join(rows, range(len(rows)), shared=0)
            self.tokens += len(tree.ids)
            hidden = tree_hidden(self.base.causal.get_decoder(), [tree], 0, self.base.device)[0]
            index = [end - len(response) + t for end, (_, response) in zip(tree.ends, group, strict=True) for t in range(len(response))]
            tokens = torch.tensor([token for _, response in group for token in response])
            self._backward(self.base.logits(hidden[index]).log_softmax(-1), tokens)

    @staticmethod
    def _backward(logp: Tensor, tokens: Tensor) -> None:
        logp.gather(-1, tokens.unsqueeze(-1)).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prompts", type=Path, help="preference file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = compare(Updates(items(args.prompts)), args.repeats)
    print(text)
    if args.docs:
        replace_table(args.docs, "update_layout", text)


def compare(updates: Updates, repeats: int) -> str:
    """Time them in turns, and check that they agree."""
    ways = {"padded, all logits": updates.padded, "ours": updates.ours, "packed": updates.packed}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens, gradients = {}, {}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            gradients[name], took = updates.gradient(way)
            seconds[name].append(took)
            tokens[name] = updates.tokens
    first = gradients["ours"]
    worst = max(float((g - first).norm() / first.norm()) for g in gradients.values())
    if worst > AGREE:
        raise RuntimeError(f"the gradients differ by {worst}")
    typical = {name: statistics.median(s[1:]) for name, s in seconds.items()}
    rows = [(name, tokens[name], f"{typical['padded, all logits'] / t:.2f}", f"{typical['ours'] / t:.2f}") for name, t in typical.items()]
    return f"Gradients differ by at most {worst:.0e} of their norm.\n\n" + markdown(
        ("layout", "tokens through the model", "speed against padded", "against ours"), rows
    )


def items(path: Path | None) -> list[Item]:
    """(prompt, response) tokens."""
    rng = random.Random(0)

    def draw(n: int) -> tuple[int, ...]:
        return tuple(rng.randint(3, 31999) for _ in range(n))

    rows: list[Any] = [row for row, _ in read_pairs(path, 200)] if path else [draw(rng.randint(8, 200)) for _ in range(ROLLOUTS)]
    return [(row, draw(NEW_TOKENS)) for row in rows if 8 <= len(row) <= 200][:ROLLOUTS]


if __name__ == "__main__":
    main()
