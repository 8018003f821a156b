"""A Mistral of the real width with random weights, and its real tokenizer: what the benchmarks measure and the tests train.

Speed and memory don't depend on what the weights are. They are written tensor by tensor, so 7 B parameters need no 14 GB of memory here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "sliding_window": None,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "tie_word_embeddings": False,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Of Mistral-7B-Instruct-v0.2, which has 32 layers."""
SHARD_BYTES = 2 * 10**9
BLOCK = 4_000_037
"""Random numbers that are drawn; a prime, so that rows don't repeat."""


def save_random_mistral(folder: Path, *, layers: int, seed: int = 0, dtype: str = "bfloat16", **overrides: Any) -> Path:
    """Write a model folder; a folder that is complete already is left as it is.

    Args:
        folder: where to.
        layers: decoder blocks.
        seed: of the weights.
        dtype: of the stored weights.
        overrides: other sizes than `SHAPE`'s.
    """
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    if (folder / "model.safetensors.index.json").is_file():
        return folder
    config = MistralConfig(**(SHAPE | {"num_hidden_layers": layers} | overrides), architectures=["MistralForCausalLM"], dtype=dtype)
    with torch.device("meta"):
        model = MistralForCausalLM(config)
    config.save_pretrained(folder)
    mistral_tokenizer().save_pretrained(folder)
    shapes = {name: p.shape for name, p in model.named_parameters()}  # tied ones once
    _write_shards(folder, shapes, config.initializer_range, getattr(torch, dtype), seed)
    return folder


def _write_shards(folder: Path, shapes: dict[str, Any], std: float, dtype: Any, seed: int) -> None:
    """Shards of about `SHARD_BYTES`, and their index. One block of numbers fills every matrix, each time from another place in it."""
    import torch
    from safetensors.torch import save_file

    block = torch.empty(BLOCK).normal_(0, std, generator=torch.Generator().manual_seed(seed)).to(dtype)
    shard: dict[str, Any] = {}
    where: dict[str, str] = {}
    for i, (name, shape) in enumerate(shapes.items()):
        n = shape.numel()
        shard[name] = torch.ones(shape, dtype=dtype) if len(shape) == 1 else block.roll(i).repeat(n // BLOCK + 1)[:n].view(shape)
        if i == len(shapes) - 1 or sum(t.nbytes for t in shard.values()) >= SHARD_BYTES:
            file = f"model-{i:05d}.safetensors"
            save_file(shard, folder / file, {"format": "pt"})
            where |= dict.fromkeys(shard, file)
            shard = {}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def mistral_tokenizer() -> Any:
    """The 32,000 pieces that mistral-common ships, as a transformers tokenizer."""
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
    from transformers import LlamaTokenizer

    vocabulary, merges = pieces_and_merges(MistralTokenizer.v1())
    return LlamaTokenizer(vocab=vocabulary, merges=merges)


def pieces_and_merges(tokenizer: Any) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merge list of the SentencePiece model: a pair merges in the order of its whole piece's score."""
    model = tokenizer.instruct_tokenizer.tokenizer._model
    vocabulary = {model.id_to_piece(i): i for i in range(model.get_piece_size())}
    plain = {piece: i for piece, i in vocabulary.items() if not (model.is_byte(i) or model.is_control(i) or model.is_unknown(i))}
    merges: list[tuple[str, str]] = []
    for piece in sorted(plain, key=lambda p: -model.get_score(plain[p])):
        halves = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece)) if piece[:cut] in plain and piece[cut:] in plain]
        merges += sorted(halves, key=lambda half: (plain[half[0]], plain[half[1]]))
    return vocabulary, merges
