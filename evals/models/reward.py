"""Reward models apart from the model that answers: a SEQ_CLS adapter on the same loaded base, or a whole sequence classifier of its own.

The score is read at the last token that was given, never at a padding token. A classifier with a chat template of its own is asked in
that; it is Jinja in a sandbox, and no other code of the folder runs. Left out: models with several labels or with code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...prompts.errors import InputError
from ...prompts.files import sha256_bytes
from ...prompts.template import MistralTemplate
from ...prompts.types import Message
from .adapters import CONFIG, AdapterFile, read_adapter
from .folders import find_model, tokenizer_sha256, weights_sha256
from .hf import TransformersModel
from .loading import check_vocabulary, load_tokenizer, load_weights
from .packing import score_rows

ADAPTER = "_independent"
"""Name of the adapter on the shared base; users' own begin with a letter or digit."""


@dataclass(frozen=True)
class LoadedRewardModel:
    """Scores of whole dialogues."""

    name: str
    sha256: str
    rows: Callable[[Sequence[Message], str], tuple[tuple[int, ...], tuple[int, ...]]]
    """(prompt, response) token ids of a dialogue and its answer, ending where the score is read."""
    score: Callable[[Sequence[Sequence[int]], Sequence[tuple[int, ...]]], list[float]]
    """Scores of rows; equal keys share a beginning."""

    def rewards(self, items: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        """Reward of each (dialogue, response)."""
        made = [self.rows(messages, text) for messages, text in items]
        return self.score([[*prompt, *response] for prompt, response in made], [prompt for prompt, _ in made])


def load_reward_model(
    place: str | Path, model: TransformersModel, *, dtype: str = "float32", batch_tokens: int = 16384
) -> LoadedRewardModel:
    """A reward model that is independent of `model`'s own.

    Args:
        place: folder of a SEQ_CLS adapter for the base of `model`; or folder or hub name of a whole sequence classifier with one label.
        model: whose base carries the adapter.
        dtype: of a whole classifier's weights.
        batch_tokens: padded tokens per forward pass.

    Raises:
        InputError: it can't be found or loaded, has no score head or several labels, or was made for another base.
    """
    if (Path(place) / CONFIG).is_file():
        return _on_base(read_adapter(Path(place), "SEQ_CLS"), model)
    folder = find_model(place)
    tokenizer = load_tokenizer(folder)
    return _classifier(str(place), folder, tokenizer, _load_classifier(folder, tokenizer, dtype, model.base.device), batch_tokens)


def _on_base(file: AdapterFile, model: TransformersModel) -> LoadedRewardModel:
    base, template = model.base, model.template
    base.load_adapter(ADAPTER, file)
    assert file.head is not None  # read_adapter(..., "SEQ_CLS") saw to it
    head = nn.Linear(base.hidden_size, 1, bias=False, device=base.device, dtype=torch.float32)
    head.requires_grad_(False).weight.copy_(file.head)

    def rows(messages: Sequence[Message], text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return tuple(template.prompt_ids(messages)), tuple(template.response_ids(text))

    score = _scorer(base.causal.get_decoder(), head, base.pad, model.batch_tokens, lambda: base.active(ADAPTER))
    return LoadedRewardModel(file.folder.name, file.sha256, rows, score)


def _load_classifier(folder: Path, tokenizer: Any, dtype: str, device: torch.device) -> Any:
    from safetensors import safe_open
    from transformers import AutoModelForSequenceClassification

    names = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names |= set(tensors.keys())
    if "score.weight" not in names:
        raise InputError("has no score head (score.weight)", file=folder, advice="Give a sequence classifier with one label.")
    classifier = load_weights(AutoModelForSequenceClassification, folder, dtype, "none", "sdpa", device).eval().requires_grad_(False)
    if classifier.score.out_features != 1:
        raise InputError(f"has {classifier.score.out_features} labels; a reward model has one", file=folder)
    check_vocabulary(folder, tokenizer, classifier)
    return classifier


def _classifier(name: str, folder: Path, tokenizer: Any, classifier: Any, batch_tokens: int) -> LoadedRewardModel:
    own = getattr(tokenizer, "chat_template", None)
    template = None if own else MistralTemplate(tokenizer)

    def rows(messages: Sequence[Message], text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if template is not None:
            return tuple(template.prompt_ids(messages)), tuple(template.response_ids(text))
        turns = [{"role": message.role, "content": message.content} for message in messages]
        whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": text}], tokenize=False)
        return (), tuple(tokenizer.encode(whole, add_special_tokens=False))

    decoder = getattr(classifier, classifier.base_model_prefix)
    digest = sha256_bytes(f"{weights_sha256(folder)} {tokenizer_sha256(folder)}".encode())

    def head(hidden: Tensor) -> Tensor:
        scores: Tensor = classifier.score(hidden.to(classifier.score.weight.dtype)).float()
        return scores

    shown = Path(name).name if Path(name).is_dir() else name
    return LoadedRewardModel(shown, digest, rows, _scorer(decoder, head, tokenizer.pad_token_id, batch_tokens))


def _scorer(
    decoder: Any, head: Callable[[Tensor], Tensor], pad: int, budget: int, active: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Callable[[Sequence[Sequence[int]], Sequence[tuple[int, ...]]], list[float]]:
    def score(rows: Sequence[Sequence[int]], keys: Sequence[tuple[int, ...]]) -> list[float]:
        with torch.no_grad(), active():
            return score_rows(decoder, head, rows, keys, pad=pad, budget=budget)

    return score
