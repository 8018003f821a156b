"""Reward models apart from the model that answers: a SEQ_CLS adapter on the same loaded base, or a whole sequence classifier of its own.

On decoders that we know the score is read at the last token that was given, never at a padding token; any other sequence classifier of
transformers is asked as it is (`own_pooling.py`). A classifier with a chat template of its own is asked in that; it is Jinja in a sandbox,
and no other code of the folder runs. Without one, encoders get dialogue and response as a pair of texts, decoders Mistral's template. Left
out: models with several labels or with code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...prompts.errors import InputError
from ...prompts.files import sha256_bytes
from ...prompts.template import MistralTemplate
from ...prompts.types import Message
from .adapters import CONFIG, AdapterFile, read_adapter
from .folders import MODEL_TYPES, check_classifier, find_model, tokenizer_sha256, weights_sha256
from .hf import TransformersModel
from .loading import check_vocabulary, load_tokenizer, load_weights
from .own_pooling import Scorer, own_scorer
from .packing import score_rows

Rows = Callable[[Sequence[Message], str], tuple[tuple[int, ...], tuple[int, ...]]]
ADAPTER = "_independent"
"""Name of the adapter on the shared base; users' own begin with a letter or digit."""


@dataclass(frozen=True)
class LoadedRewardModel:
    """Scores of whole dialogues."""

    name: str
    sha256: str
    rows: Rows
    """(prompt, response) token ids of a dialogue and its answer, ending where the score is read."""
    score: Scorer
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
        place: folder of a SEQ_CLS adapter for the base of `model`; or folder or hub name of a whole sequence classifier with one label, of
            any architecture that transformers itself implements.
        model: whose base carries the adapter.
        dtype: of a whole classifier's weights.
        batch_tokens: padded tokens per forward pass.

    Raises:
        InputError: it can't be found or loaded, has no score head or several labels, or was made for another base.
    """
    if (Path(place) / CONFIG).is_file():
        return _on_base(read_adapter(Path(place), "SEQ_CLS"), model)
    folder = find_model(place, check_classifier)
    config = check_classifier(folder)
    known = config["model_type"] in MODEL_TYPES
    tokenizer = load_tokenizer(folder, pads=known)
    classifier = _load_classifier(folder, config, tokenizer, dtype, model.base.device)
    rows, segments = _layout(tokenizer)
    score = (
        _last_token_scorer(classifier, tokenizer.pad_token_id, batch_tokens)
        if known
        else own_scorer(classifier, budget=batch_tokens, segments=segments)
    )
    digest = sha256_bytes(f"{weights_sha256(folder)} {tokenizer_sha256(folder)}".encode())
    return LoadedRewardModel(Path(place).name if Path(place).is_dir() else str(place), digest, rows, score)


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


def _load_classifier(folder: Path, config: dict[str, Any], tokenizer: Any, dtype: str, device: torch.device) -> Any:
    from transformers import AutoModelForSequenceClassification

    attention = "sdpa" if config["model_type"] in MODEL_TYPES else "eager" if config.get("attn_logit_softcapping") else None
    classifier = load_weights(AutoModelForSequenceClassification, folder, dtype, "none", attention, device).eval().requires_grad_(False)
    if hasattr(classifier, "score") and "score.weight" not in _tensors(folder):
        raise InputError("has no score head (score.weight)", file=folder, advice="Give a sequence classifier with one label.")
    if classifier.config.num_labels != 1:
        raise InputError(f"has {classifier.config.num_labels} labels; a reward model has one", file=folder)
    check_vocabulary(folder, tokenizer, classifier)
    return classifier


def _tensors(folder: Path) -> set[str]:
    from safetensors import safe_open

    names = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as tensors:
            names |= set(tensors.keys())
    return names


def _layout(tokenizer: Any) -> tuple[Rows, bool]:
    """How a dialogue and its response become ids, and whether they are two segments."""
    if getattr(tokenizer, "chat_template", None):
        return partial(_in_own_template, tokenizer), False
    if tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None:
        return partial(_as_two_texts, tokenizer), "token_type_ids" in tokenizer.model_input_names
    template = MistralTemplate(tokenizer)
    return lambda messages, text: (tuple(template.prompt_ids(messages)), tuple(template.response_ids(text))), False


def _in_own_template(tokenizer: Any, messages: Sequence[Message], text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": text}], tokenize=False)
    return (), tuple(tokenizer.encode(whole, add_special_tokens=False))


def _as_two_texts(tokenizer: Any, messages: Sequence[Message], text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dialogue's turns with an empty line between them, then the response, as the tokenizer itself joins two texts."""
    made = tokenizer("\n\n".join(message.content for message in messages), text, split_special_tokens=True)
    ids, types = made["input_ids"], made.get("token_type_ids", [0])
    first = types.index(1) if 1 in types else len(ids)
    return tuple(ids[:first]), tuple(ids[first:])


def _last_token_scorer(classifier: Any, pad: int, batch_tokens: int) -> Scorer:
    def head(hidden: Tensor) -> Tensor:
        scores: Tensor = classifier.score(hidden.to(classifier.score.weight.dtype)).float()
        return scores

    return _scorer(getattr(classifier, classifier.base_model_prefix), head, pad, batch_tokens)


def _scorer(
    decoder: Any, head: Callable[[Tensor], Tensor], pad: int, budget: int, active: Callable[[], AbstractContextManager[None]] = nullcontext
) -> Scorer:
    def score(rows: Sequence[Sequence[int]], keys: Sequence[tuple[int, ...]]) -> list[float]:
        with torch.no_grad(), active():
            return score_rows(decoder, head, rows, keys, pad=pad, budget=budget)

    return score
