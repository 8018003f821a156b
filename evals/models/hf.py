"""The in-process engine: a transformers model with named adapters and a reward head on one base.

One forward path gives log-probabilities to rollouts, PPO updates and evaluation alike (`batching.py` says how rows are laid out).
Left out: more than one device, server engines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...prompts.errors import InputError
from ...prompts.files import sha256_bytes
from ...prompts.template import TEMPLATE, MistralTemplate
from ...prompts.types import Message, Prompt
from ..kl import kl_exact, kl_k1, kl_k3, log_softmax, token_logprobs
from ..sampling import KeyedSampler, SampleKey, uniform_table
from ..types import Decoding, ModelCard
from .adapters import AdapterFile, read_adapter
from .base import Generated, SequenceKL
from .batching import Item, pack_responses, pad_left, token_budget_batches
from .folders import find_model, tokenizer_sha256, weights_sha256
from .loading import check_vocabulary, load_causal, load_tokenizer
from .packing import score_rows
from .shared_base import SharedBase

REWARD_ADAPTER = "reward_model"
MOVED = 3
"""Tokens of a response that are kept with their KL."""
LOGIT_ROWS = 1024
"""Response positions whose float32 logits exist at one time when no gradient is needed."""


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What a forward pass says about the response tokens of a batch, n of them in row order."""

    logprobs: Tensor
    """(n,) float32 log pi(token)."""
    entropy: Tensor | None
    """(n,) float32 entropy of pi in nats, where it was asked for."""
    hidden: Tensor
    """(n, hidden_size) states that predicted the tokens: what a value head reads."""


class TransformersModel:
    """A model that generates, compares distributions and rewards; `load` makes one."""

    def __init__(
        self, base: SharedBase, tokenizer: Any, *, batch_tokens: int, name: str, folder: Path, dtype: str, quantization: str = "none"
    ) -> None:
        self.base, self.tokenizer, self.template = base, tokenizer, MistralTemplate(tokenizer)
        self.batch_tokens, self.name, self.folder, self.dtype, self.quantization = batch_tokens, name, folder, dtype, quantization
        self.reward_head: nn.Linear | None = None
        self._adapters: dict[str, AdapterFile] = {}
        self._digests: dict[str, str] = {}

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        quantization: Literal["none", "nf4", "int8"] = "none",
        attn_implementation: str = "sdpa",
        device: str | torch.device = "cpu",
        adapters: Mapping[str, Path] | None = None,
        reward_model: Path | None = None,
        batch_tokens: int = 16384,
        name: str = "",
    ) -> TransformersModel:
        """Load a base once, and adapters onto it.

        Args:
            name_or_path: folder or hub name of the base; it is the user who names it, never an adapter.
            dtype: of the base; adapters and heads are float32.
            quantization: bitsandbytes format of the base.
            attn_implementation: `eager`, `sdpa` or `flash_attention_2`.
            device: torch device.
            adapters: policy adapters (CAUSAL_LM) by name.
            reward_model: reward adapter (SEQ_CLS) with its score head.
            batch_tokens: padded tokens per forward pass, caches included.
            name: what cards call the base; `name_or_path` by default.

        Raises:
            InputError: the model or an adapter is missing, malformed, unsafe or made for another base.
        """
        files = {_adapter_name(name): read_adapter(Path(path), "CAUSAL_LM") for name, path in (adapters or {}).items()}
        reward = read_adapter(Path(reward_model), "SEQ_CLS") if reward_model is not None else None
        folder = find_model(name_or_path)
        tokenizer = load_tokenizer(folder)
        causal = load_causal(folder, dtype, quantization, attn_implementation, device)
        check_vocabulary(folder, tokenizer, causal)
        model = cls(
            SharedBase(causal, tokenizer.pad_token_id), tokenizer,
            batch_tokens=batch_tokens, name=name or str(name_or_path), folder=folder, dtype=dtype, quantization=quantization,
        )  # fmt: skip
        for name, file in files.items():
            model.add_adapter(name, file)
        if reward is not None:
            model.add_reward_model(reward)
        return model

    def add_adapter(self, name: str, file: AdapterFile) -> None:
        """Add a validated policy adapter, frozen, under a name."""
        self.base.load_adapter(name, file)
        self._adapters[name] = file

    def add_reward_model(self, file: AdapterFile) -> None:
        """Add a validated reward adapter and its float32 head."""
        assert file.head is not None  # read_adapter(..., "SEQ_CLS") saw to it
        self.base.load_adapter(REWARD_ADAPTER, file)
        head = nn.Linear(self.base.hidden_size, 1, bias=False, device=self.base.device, dtype=torch.float32)
        head.requires_grad_(False).weight.copy_(file.head)
        self.reward_head, self._adapters[REWARD_ADAPTER] = head, file

    def adapter_file(self, name: str) -> AdapterFile:
        """A loaded adapter as it was read.

        Raises:
            InputError: no such adapter was loaded.
        """
        if name not in self._adapters:
            raise InputError(f"no adapter {name!r} was loaded", advice=f"Loaded: {', '.join(self._adapters) or 'none'}.")
        return self._adapters[name]

    @property
    def reward_file(self) -> AdapterFile | None:
        """The reward adapter as it was read; None where there is none."""
        return self._adapters.get(REWARD_ADAPTER)

    def card(self, adapter: str | None) -> ModelCard:
        """Identity of the model with that adapter, by content; one in training is known by its present matrices.

        Raises:
            KeyError: no such adapter.
        """
        file = self._adapters.get(adapter or "")
        unsaved = adapter is not None and file is None
        reward = self._adapters.get(REWARD_ADAPTER)
        if not self._digests:
            self._digests = {"model": weights_sha256(self.folder), "tokenizer": tokenizer_sha256(self.folder)}
        return ModelCard(
            label=adapter or "base",
            model=self.name,
            model_sha256=self._digests["model"],
            adapter=file.folder.name if file else "",
            adapter_sha256=file.sha256 if file else self.base.tensors_sha256(adapter or "") if unsaved else "",
            reward_model=reward.folder.name if reward else "",
            reward_model_sha256=reward.sha256 if reward else "",
            template_sha256=sha256_bytes(TEMPLATE.encode()),
            tokenizer_sha256=self._digests["tokenizer"],
            dtype=self.dtype if self.quantization == "none" else f"{self.dtype}+{self.quantization}",
        )

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[nn.Module]:
        """Lend the causal language model with one adapter on (None: the base), in eval mode without gradients."""
        with self.base.inference(), self.base.active(adapter):
            yield self.base.causal

    # -- generation

    def generate(self, prompts: Sequence[Prompt], decoding: Decoding, *, adapter: str | None, seed: int) -> Iterator[Generated]:
        """Yield `decoding.samples` responses per prompt, batch by batch; each is keyed by its prompt's tokens, never by its neighbours.

        Raises:
            InputError: a prompt leaves no room for its response in the model's context.
        """
        rows = self.prompt_tokens(prompts, decoding.max_new_tokens)
        jobs = [(index, sample) for index in range(len(rows)) for sample in range(decoding.samples)]
        lengths = [len(rows[index]) + decoding.max_new_tokens for index, _ in jobs]
        for batch in token_budget_batches(lengths, self.batch_tokens):
            picked = [jobs[i] for i in batch]
            keys = [(seed, prompt_key(rows[index]), sample) for index, sample in picked]
            ids = [rows[index] for index, _ in picked]
            responses = self._decode(ids, keys, decoding.temperature, decoding.max_new_tokens, adapter)
            for (index, sample), response in zip(picked, responses, strict=True):
                yield self._generated(index, sample, rows[index], response)

    def prompt_tokens(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[list[int]]:
        """Token ids of prompts, one BOS each.

        Raises:
            InputError: a prompt and `max_new_tokens` together exceed the model's context.
        """
        context = int(self.base.causal.config.max_position_embeddings)
        rows = []
        for prompt in prompts:
            ids = self.template.prompt_ids(prompt.messages)
            if len(ids) + max_new_tokens > context:
                raise InputError(
                    f"prompt {prompt.id!r:.80} has {len(ids)} tokens; with {max_new_tokens} new ones it exceeds the context of {context}",
                    advice="Shorten it, or lower max_new_tokens.",
                )
            rows.append(ids)
        return rows

    def sample(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[SampleKey], *, temperature: float, max_new_tokens: int, adapter: str | None
    ) -> list[tuple[int, ...]]:
        """Response tokens (EOS included where the model stopped) of prompts given as tokens, in their order."""
        responses: list[tuple[int, ...]] = [()] * len(prompts)
        for batch in token_budget_batches([len(p) + max_new_tokens for p in prompts], self.batch_tokens):
            drawn = self._decode([prompts[i] for i in batch], [keys[i] for i in batch], temperature, max_new_tokens, adapter)
            for i, response in zip(batch, drawn, strict=True):
                responses[i] = response
        return responses

    def _decode(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[SampleKey], temperature: float, max_new_tokens: int, adapter: str | None
    ) -> list[tuple[int, ...]]:
        ids, mask = pad_left(prompts, self.base.pad, self.base.device)
        processors = []
        if temperature > 0:
            table = uniform_table(keys, max_new_tokens).to(self.base.device)
            processors.append(KeyedSampler(table, ids.shape[1], temperature))
        with self.base.inference(), self.base.active(adapter):
            out = self.base.causal.generate(
                ids, attention_mask=mask, generation_config=_generation_config(self.tokenizer, max_new_tokens), logits_processor=processors
            )
        return [_until_eos(row, self.template.eos) for row in out[:, ids.shape[1] :].tolist()]

    def _generated(self, index: int, sample: int, prompt: Sequence[int], response: tuple[int, ...]) -> Generated:
        stopped = response[-1:] == (self.template.eos,)
        text = self.template.response_text(response[:-1] if stopped else response)
        return Generated(index, sample, text, "stop" if stopped else "length", tuple(prompt), response)

    # -- log-probabilities

    def score_tokens(self, items: Sequence[Item], *, temperature: float = 1.0, entropy: bool = False) -> TokenScores:
        """Log-probabilities of response tokens under the active adapter, with gradients where they are on.

        The one path for rollouts and updates: the same items give the same bits. Only response positions get logits.

        Args:
            items: (prompt tokens, response tokens), one forward pass.
            temperature: logits are divided by it.
            entropy: give the distributions' entropy as well.
        """
        batch = pack_responses(items, self.base.pad, self.base.device)
        hidden = self.base.hidden(batch.ids).flatten(0, 1)[batch.index]
        logp = log_softmax(self.base.logits(hidden), temperature)
        found = -(logp.detach().exp() * logp.detach()).sum(-1) if entropy else None
        return TokenScores(logp.gather(-1, batch.tokens.unsqueeze(-1)).squeeze(-1), found, hidden)

    def response_hidden(self, items: Sequence[Item]) -> Tensor:
        """States that predict the response tokens, under the active adapter, with gradients where they are on. (n, hidden_size)."""
        batch = pack_responses(items, self.base.pad, self.base.device)
        return self.base.hidden(batch.ids).flatten(0, 1)[batch.index]

    def sequence_kl(self, items: Sequence[Item], *, adapter: str | None, reference: str | None = None) -> list[SequenceKL]:
        """KL of `adapter` against `reference` (None: adapters off) summed over each response, in nats, float32 logits."""
        results: list[SequenceKL] = [SequenceKL(0.0, 0.0, 0.0, 0)] * len(items)
        lengths = [len(prompt) + len(response) for prompt, response in items]
        for indices in token_budget_batches(lengths, self.batch_tokens):
            rows = self._batch_kl([items[i] for i in indices], adapter, reference)
            for i, row in zip(indices, rows, strict=True):
                exact, k1, k3 = row.sum(0).tolist()
                results[i] = SequenceKL(exact, k1, k3, len(row), self._most_moved(items[i][1], row[:, 0]))
        return results

    def _most_moved(self, response: Sequence[int], exact: Tensor) -> tuple[tuple[str, float], ...]:
        """Text and KL of the response's tokens whose distributions differ most."""
        values, places = exact.topk(min(MOVED, len(response)))
        found = zip(places.tolist(), values.tolist(), strict=True)
        return tuple((self.tokenizer.decode([response[place]]), nats) for place, nats in found if nats > 0)

    def _batch_kl(self, items: Sequence[Item], adapter: str | None, reference: str | None) -> tuple[Tensor, ...]:
        """Exact, k1 and k3 of each token, one (tokens, 3) tensor a response."""
        batch = pack_responses(items, self.base.pad, self.base.device)
        with self.base.inference():
            ours, theirs = (self._hidden_at(batch.ids, batch.index, name) for name in (adapter, reference))
            parts = [
                self._token_kl(h, g, tokens, adapter, reference)
                for h, g, tokens in zip(ours.split(LOGIT_ROWS), theirs.split(LOGIT_ROWS), batch.tokens.split(LOGIT_ROWS), strict=True)
            ]
        per_token = torch.cat(parts).double().cpu() if parts else torch.zeros(0, 3, dtype=torch.float64)
        split: tuple[Tensor, ...] = per_token.split(list(batch.lengths))
        return split

    def _token_kl(self, hidden: Tensor, ref_hidden: Tensor, tokens: Tensor, adapter: str | None, reference: str | None) -> Tensor:
        with self.base.active(adapter):
            logits = self.base.logits(hidden)
        with self.base.active(reference):
            ref_logits = self.base.logits(ref_hidden)
        p, q = token_logprobs(logits, tokens), token_logprobs(ref_logits, tokens)
        return torch.stack([kl_exact(logits, ref_logits), kl_k1(p, q), kl_k3(p, q)], dim=-1)

    def _hidden_at(self, ids: Tensor, index: Tensor, adapter: str | None) -> Tensor:
        with self.base.active(adapter):
            return self.base.hidden(ids).flatten(0, 1)[index]

    # -- reward

    def rewards(self, items: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        """Reward of each (dialogue, response) at the end-of-sequence token."""
        return self.token_rewards([(self.template.prompt_ids(m), self.template.response_ids(text)) for m, text in items])

    def token_rewards(self, items: Sequence[Item]) -> list[float]:
        """Reward of each (prompt tokens, response tokens), read at EOS, which is added where a response was cut.

        Responses to one prompt go through the model together, their prompt once.

        Raises:
            ValueError: no reward model was loaded.
        """
        if self.reward_head is None:
            raise ValueError("no reward model is loaded")
        eos = self.template.eos
        rows = [[*prompt, *response] for prompt, response in items]
        rows = [row if row[-1] == eos else [*row, eos] for row in rows]
        with self.base.inference(), self.base.active(REWARD_ADAPTER):
            return score_rows(
                self.base.causal.get_decoder(), self.reward_head, rows, [tuple(prompt) for prompt, _ in items],
                pad=self.base.pad, budget=self.batch_tokens,
            )  # fmt: skip


def prompt_key(tokens: Sequence[int]) -> str:
    """Key of a prompt for sampling: its tokens, so that the same prompt in two suites gets the same responses."""
    return ",".join(map(str, tokens))


def _generation_config(tokenizer: Any, max_new_tokens: int) -> Any:
    from transformers import GenerationConfig

    # Everything that could bend the distribution is set: what is None would come from the checkpoint's own file.
    return GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id, use_cache=True,
    )  # fmt: skip


def _until_eos(tokens: list[int], eos: int) -> tuple[int, ...]:
    return tuple(tokens[: tokens.index(eos) + 1] if eos in tokens else tokens)


def _adapter_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) or name == REWARD_ADAPTER:
        raise InputError(f"{name!r} can't name an adapter", advice=f"Use letters, digits, - and _; not {REWARD_ADAPTER!r}.")
    return name
