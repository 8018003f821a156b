"""Responses sampled by vLLM instead of the trainer's own model: an optional engine for rollouts (`pip install truenorth[vllm]`).

vLLM holds a copy of the base of its own. Before each batch the policy is written as a PEFT folder and handed over under an id that no
earlier one had, so that neither an old adapter nor a cache made with it answers. Tokens are drawn from the whole distribution at the
trainer's temperature. What is trained on are log-probabilities that the trainer computes itself; vLLM's are only compared with them
(`engine_gap` in `ppo_metrics.py`).

Left out: quantised or split bases, several processes, servers, giving memory back during updates, and resuming to the bit, because
vLLM's kernels round differently with what shares a batch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..evals.models.hf import TransformersModel
from ..evals.sampling import SampleKey, key_digest
from ..prompts.errors import InputError
from .config import PPOSettings
from .learner import Learner
from .policy_folder import publish_policy

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as `max_lora_rank`."""


def check_vllm(settings: PPOSettings, model: TransformersModel, *, processes: int) -> None:
    """Refuse what vLLM can't sample for.

    Args:
        settings: the recipe, with `rollout_engine` vllm.
        model: with the base.
        processes: that share the rows.

    Raises:
        InputError: a base that is quantised, split or float32 on a GPU, several processes, or vLLM is not installed.
    """
    wrong = {
        f"a base in {model.quantization}": model.quantization != "none",
        "a float32 base on a GPU": model.dtype == "float32" and model.base.device.type == "cuda",  # its LoRA kernels take 16 bits
        "ppo.shard_base": settings.shard_base,
        f"{processes} processes": processes > 1,
    }
    for what, is_wrong in wrong.items():
        if is_wrong:
            raise InputError(
                f"ppo.rollout_engine=vllm doesn't go with {what}", field="ppo.rollout_engine", advice="Use ppo.rollout_engine=transformers."
            )
    _vllm()


class VLLMRollouts:
    """An engine that samples for one policy.

    Args:
        learner: whose policy is sampled, as it is at each call.
        longest_prompt: tokens.

    Raises:
        InputError: vLLM is not installed, or the adapter's rank is beyond what it takes.
    """

    def __init__(self, learner: Learner, longest_prompt: int) -> None:
        os.environ.setdefault("DO_NOT_TRACK", "1")  # vLLM reports its use otherwise
        self.learner, self._calls = learner, 0
        self._engine = _vllm().LLM(**_engine_options(learner, longest_prompt))

    def sample(self, prompts: Sequence[Sequence[int]], keys: Sequence[SampleKey]) -> tuple[list[tuple[int, ...]], Tensor]:
        """One response per prompt from the present policy.

        Args:
            prompts: token ids.
            keys: of the random numbers of each.

        Returns:
            Response tokens (EOS included where the model stopped) in the order of the prompts, and vLLM's own log-probabilities of
            them at the rollout's temperature, (b, t) float32, 0 after a response's end.

        Raises:
            RuntimeError: vLLM gave something else than it was asked for.
        """
        self._calls += 1
        eos, settings = self.learner.model.template.eos, self.learner.settings
        with tempfile.TemporaryDirectory(prefix="truenorth-policy-") as scratch:
            folder = Path(scratch) / f"policy-{self._calls}"
            publish_policy(folder, self.learner, self._calls)
            outputs = self._engine.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                [_vllm().SamplingParams(**sampling_options(settings, key, eos)) for key in keys],
                lora_request=_lora_request(folder, self._calls), use_tqdm=False,
            )  # fmt: skip
        if len(outputs) != len(prompts):
            raise RuntimeError(f"vLLM gave {len(outputs)} responses for {len(prompts)} prompts")
        drawn = [_response(output.outputs[0], eos) for output in outputs]
        return [tokens for tokens, _ in drawn], pad_sequence([logprobs for _, logprobs in drawn], batch_first=True)


def seed_of(key: SampleKey) -> int:
    """vLLM's seed of a row: the first 63 bits of the digest that keyed sampling makes of the row's key."""
    return int.from_bytes(key_digest(key)[:8], "big") >> 1


def sampling_options(settings: PPOSettings, key: SampleKey, eos: int) -> dict[str, Any]:
    """Arguments of vllm.SamplingParams: the whole distribution at the trainer's temperature, nothing left to a default."""
    return {
        "n": 1, "temperature": settings.temperature, "max_tokens": settings.max_new_tokens, "min_tokens": 0, "seed": seed_of(key),
        "top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "stop_token_ids": [eos], "ignore_eos": False, "logprobs": 0, "detokenize": False,
    }  # fmt: skip


def _engine_options(learner: Learner, longest_prompt: int) -> dict[str, Any]:
    """Arguments of vllm.LLM."""
    model, settings = learner.model, learner.settings
    return {
        "model": str(model.folder),
        "dtype": model.dtype,
        "skip_tokenizer_init": True,  # tokens go in and out
        "trust_remote_code": False,
        "generation_config": "vllm",  # not the checkpoint's file, whose top_k or temperature would leak in
        "logprobs_mode": "processed_logprobs",  # after the temperature, as the trainer's are
        "enable_lora": True,
        "max_loras": 1,
        "max_lora_rank": _rank_limit(learner.config),
        "max_model_len": longest_prompt + settings.max_new_tokens,
        "gpu_memory_utilization": settings.vllm_memory,
        "enable_prefix_caching": False,
        "seed": 0,  # rows have seeds of their own
    }


def _rank_limit(config: Any) -> int:
    rank = max(config.r, *config.rank_pattern.values()) if config.rank_pattern else config.r
    allowed = [limit for limit in RANKS if limit >= rank]
    if not allowed:
        raise InputError(f"vLLM takes adapters up to rank {RANKS[-1]}, not {rank}", field="ppo.lora.r", advice="Lower it.")
    return allowed[0]


def _response(completion: Any, eos: int) -> tuple[tuple[int, ...], Tensor]:
    """Tokens and their log-probabilities, float32."""
    tokens, why = tuple(completion.token_ids), completion.finish_reason
    # At the length limit vLLM says `length` even when the last token is EOS.
    if not tokens or eos in tokens[:-1] or why not in ("stop", "length") or (why == "stop" and tokens[-1] != eos):
        raise RuntimeError(
            f"vLLM ended a response of {len(tokens)} tokens with {tokens[-1:]} ({why}), not at the end-of-sequence token {eos}"
        )
    if completion.logprobs is None:
        raise RuntimeError("vLLM gave no log-probabilities")
    found = [place[token].logprob for token, place in zip(tokens, completion.logprobs, strict=True)]
    return tokens, torch.tensor(found, dtype=torch.float32)


def _lora_request(folder: Path, number: int) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name=folder.name, lora_int_id=number, lora_path=str(folder))


def _vllm() -> Any:
    try:
        import vllm
    except ImportError as error:
        raise InputError(
            f"ppo.rollout_engine=vllm needs vLLM: {error}", field="ppo.rollout_engine",
            advice="Install it with `pip install truenorth[vllm]`, or use ppo.rollout_engine=transformers.",
        ) from None  # fmt: skip
    return vllm
