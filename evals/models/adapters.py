"""Adapter folders are data from strangers: read here, key by key, before peft sees anything.

Only plain LoRA in safetensors is accepted. The base is the one the user named; what the adapter says about its base is ignored. The
layers it adapts follow from its tensors' names, so no pattern of the file is ever run as a regular expression.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ...prompts.errors import InputError
from ...prompts.files import read_json, sha256_bytes, sha256_file, to_json

TaskType = Literal["CAUSAL_LM", "SEQ_CLS"]
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
HEAD = "base_model.model.score.weight"
MAX_HEADER_BYTES, MAX_TENSORS, MAX_ABS = 1 << 20, 20_000, 1e6

_USED = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "bias", "modules_to_save"}
_IGNORED = {
    "base_model_name_or_path", "revision", "inference_mode", "peft_version", "target_modules", "exclude_modules", "init_lora_weights",
    "megatron_core", "qalora_group_size",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """A validated LoRA adapter: finite float tensors of consistent shape. Whether it fits a base is checked when it is added."""

    folder: Path
    task_type: TaskType
    r: int
    alpha: float
    dropout: float
    use_rslora: bool
    tensors: dict[str, Tensor]
    """LoRA matrices by peft's saved names, float32."""
    head: Tensor | None
    """(1, hidden) float32 score head of a SEQ_CLS adapter; None for CAUSAL_LM."""
    sha256: str
    """Digest of the weights file and of what scales it: rank, alpha, rslora."""

    @property
    def modules(self) -> tuple[str, ...]:
        """Names of the adapted layers inside the base: `model.layers.0.self_attn.q_proj`."""
        return tuple(sorted({_module(name) for name in self.tensors}))


def read_adapter(folder: Path, task_type: TaskType) -> AdapterFile:
    """Read and validate a plain PEFT LoRA folder.

    Raises:
        InputError: files missing or malformed, another task type, anything but plain LoRA, pickled weights, non-finite or huge
            numbers, or a reward model without its head.
    """
    if not folder.is_dir():
        raise InputError("no such adapter folder", file=folder, advice=f"An adapter is a folder with {CONFIG} and {WEIGHTS}.")
    config = _read_config(folder / CONFIG, task_type)
    tensors = _read_weights(folder)
    head = tensors.pop(HEAD, None)
    if task_type == "SEQ_CLS" and (head is None or head.ndim != 2 or head.shape[0] != 1):
        shape = "missing" if head is None else f"of shape {tuple(head.shape)}"
        raise InputError(
            f"the score head {HEAD} is {shape}; expected (1, hidden)",
            file=folder / WEIGHTS,
            advice='Train the reward model with modules_to_save=["score"] and num_labels=1.',
        )
    r, alpha, use_rslora = int(config["r"]), float(config["lora_alpha"]), bool(config.get("use_rslora"))
    _check_pairs(folder / WEIGHTS, tensors, r)
    digest = sha256_bytes(to_json([sha256_file(folder / WEIGHTS), r, alpha, use_rslora]).encode())
    return AdapterFile(folder, task_type, r, alpha, float(config.get("lora_dropout") or 0.0), use_rslora, tensors, head, digest)


def _read_config(path: Path, task_type: TaskType) -> dict[str, Any]:
    config = read_json(path, "adapter config")
    if not isinstance(config, dict):
        raise InputError(f"a {type(config).__name__} where an object was expected", file=path)
    _expect(path, config, "peft_type", "LORA", "Only LoRA adapters are supported.")
    other = {"CAUSAL_LM": "It is not a policy. Give a reward model as the reward model.", "SEQ_CLS": "It is not a reward model."}
    _expect(path, config, "task_type", task_type, other[task_type])
    for key, value in config.items():
        if key not in _USED | _IGNORED and value not in (None, False, [], {}, ""):
            raise InputError(f"{key}={value!r:.80} is not supported", file=path, field=key, advice="Only plain LoRA adapters are loaded.")
    if config.get("bias", "none") != "none":
        raise InputError(f"bias={config['bias']!r:.80} is not supported", file=path, field="bias")
    saved = config.get("modules_to_save") or []
    allowed = {"score", "classifier"} if task_type == "SEQ_CLS" else set()  # peft itself adds both names
    if not isinstance(saved, list) or any(not isinstance(name, str) or name not in allowed for name in saved):
        raise InputError(f"modules_to_save={saved!r:.80} is not supported", file=path, field="modules_to_save")
    _expect_number(path, config, "r", 1, 4096, whole=True)
    _expect_number(path, config, "lora_alpha", 1e-6, 1e6)
    if config.get("lora_dropout") is not None:
        _expect_number(path, config, "lora_dropout", 0, 1)
    return config


def _expect(path: Path, config: dict[str, Any], key: str, wanted: str, advice: str) -> None:
    if config.get(key) != wanted:
        raise InputError(f"{key} is {config.get(key)!r:.80}; expected {wanted!r}", file=path, field=key, advice=advice)


def _expect_number(path: Path, config: dict[str, Any], key: str, low: float, high: float, *, whole: bool = False) -> None:
    value = config.get(key)
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise InputError(f"{key} is {value!r:.80}; expected a number from {low} to {high}", file=path, field=key)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = [name for name in ("adapter_model.bin", "adapter_model.pt") if (folder / name).exists()]
        if pickled:
            raise InputError(
                "pickled weights can run code and are not loaded",
                file=folder / pickled[0],
                advice=f"Convert them to {WEIGHTS}: load them with peft where you trust them, and save_pretrained() again.",
            )
        raise InputError(f"no {WEIGHTS}", file=folder, advice=f"An adapter is a folder with {CONFIG} and {WEIGHTS}.")
    check_header(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"not a valid safetensors file: {error}", file=path) from None
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all() or tensor.abs().max() > MAX_ABS:
            raise InputError(f"{name} holds numbers that are not finite or beyond {MAX_ABS:g}", file=path, field=name)
    return {name: tensor.float() for name, tensor in tensors.items()}


def check_header(path: Path) -> None:
    """Refuse a safetensors file whose header alone would cost much to parse.

    Raises:
        InputError: too short, a header that is too long or not JSON, too many or empty tensors.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(size - 8, MAX_HEADER_BYTES):
            raise InputError(
                f"not a valid safetensors file: {size} bytes, header of {length}", file=path, advice="Copy it again, or save it anew."
            )
        try:
            header = json.loads(stream.read(length))
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
            sizes = [math.prod(int(n) for n in shape) for shape in shapes]
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
            raise InputError("not a valid safetensors file: the header is not JSON", file=path) from None
    if not shapes or len(shapes) > MAX_TENSORS or min(sizes) < 1 or max(sizes) > size:
        raise InputError(f"not a valid safetensors file: {len(shapes)} tensors, or sizes that can't be", file=path)


def _check_pairs(path: Path, tensors: dict[str, Tensor], r: int) -> None:
    for name, tensor in tensors.items():
        module, kind = _module(name), name.rsplit(".", 2)[-2]
        partner = f"base_model.model.{module}.{'lora_B' if kind == 'lora_A' else 'lora_A'}.weight"
        rank = tensor.shape[0 if kind == "lora_A" else -1] if tensor.ndim == 2 else None
        if name != f"base_model.model.{module}.{kind}.weight" or kind not in ("lora_A", "lora_B") or partner not in tensors or rank != r:
            raise InputError(
                f"{name} of shape {tuple(tensor.shape)} is not half of a LoRA pair of rank {r}", file=path, field=name,
                advice="Only plain LoRA adapters are loaded.",
            )  # fmt: skip


def _module(name: str) -> str:
    return name.removeprefix("base_model.model.").rsplit(".", 2)[0]
