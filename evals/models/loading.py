"""Tokenizer and weights of a checked model folder: no code, no pickles, no weights that are silently made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...prompts.errors import InputError
from .quiet import quiet


def load_tokenizer(folder: Path, *, pads: bool = True) -> Any:
    """The folder's tokenizer, its padding token set to one that is not EOS where `pads`.

    Raises:
        InputError: there is none, or it is malformed.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the library raises many types for one cause: files that are not a tokenizer
        raise InputError(f"the tokenizer can't be loaded: {_first_line(error)}", file=folder) from None
    if not pads:
        return tokenizer
    own = tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None
    candidates = [id_ for id_ in (tokenizer.unk_token_id, own, tokenizer.bos_token_id) if id_ is not None]
    if not candidates or candidates[0] == tokenizer.eos_token_id:
        raise InputError("the tokenizer has no token to pad with that is not EOS", file=folder)
    tokenizer.pad_token_id = candidates[0]
    return tokenizer


def load_causal(folder: Path, dtype: str, quantization: str, attn_implementation: str, device: str | torch.device) -> Any:
    """The causal model of a checked folder, on its device.

    Raises:
        InputError: the weights are damaged, incomplete, or don't fit the config.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    causal = load_weights(AutoModelForCausalLM, folder, dtype, quantization, attn_implementation, device)
    causal.generation_config = GenerationConfig()  # the checkpoint's own would fill in what we leave unset
    return causal


def load_weights(
    auto_class: Any, folder: Path, dtype: str, quantization: str, attn: str | None, device: str | torch.device, **extra: Any
) -> Any:
    """`auto_class.from_pretrained` without code, pickles or silently missing weights; arguments as `TransformersModel.load`.

    `attn` None leaves the choice to transformers.

    Raises:
        InputError: the weights are damaged, incomplete, or don't fit the config.
    """
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": attn, **extra}
    if quantization != "none":
        options |= {"quantization_config": _bitsandbytes(quantization, dtype), "device_map": {"": torch.device(device)}}
    try:
        with quiet():
            model, info = auto_class.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:  # as for tokenizers
        raise InputError(f"the model can't be loaded: {_first_line(error)}", file=folder) from None
    missing = sorted(key for key in info["missing_keys"] if key != "score.weight")
    if missing or info["mismatched_keys"]:
        raise InputError(
            f"the weights are incomplete: {', '.join(map(str, missing[:3] or sorted(info['mismatched_keys'])[:3]))}", file=folder
        )
    if quantization == "none":
        return model.to(device)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # After one inference bitsandbytes repacks 4-bit weights for the CPU, and from then on drops gradients through the layer.
            module.support_avx512bf16_for_cpu = False
    return model


def check_vocabulary(folder: Path, tokenizer: Any, model: Any) -> None:
    """Raise InputError when the tokenizer makes ids that the model has no embedding for."""
    known = model.config.get_text_config().vocab_size
    if len(tokenizer) > known:
        raise InputError(f"the tokenizer has {len(tokenizer)} tokens, the model {known}", file=folder)


def _bitsandbytes(quantization: str, dtype: str) -> Any:
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=getattr(torch, dtype)
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
