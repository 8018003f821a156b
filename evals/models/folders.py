"""Where a model's files are and whether they may be loaded: known architecture, safetensors, no code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...prompts.errors import InfrastructureError, InputError
from ...prompts.files import read_json, sha256_file

MODEL_TYPES = ("mistral", "llama", "qwen2", "qwen3", "gemma")
"""Decoders whose logits are the plain output layer on the last hidden state."""

_HUB_FILES = ["*.json", "model*.safetensors", "tokenizer.model*", "spm.model", "sentencepiece*.model", "*.jinja", "merges.txt", "vocab.txt"]
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "spm.model", "sentencepiece.bpe.model",
    "vocab.txt",
)  # fmt: skip


def find_model(name_or_path: str | Path, check: Callable[[Path], dict[str, Any]] | None = None) -> Path:
    """The local folder of a model: the path itself, or the hub's files in the local cache (no pickles, no code).

    Args:
        name_or_path: folder or hub name.
        check: says whether it may be loaded, `check_model` by default.

    Raises:
        InputError: no such folder, a model the hub doesn't have or doesn't give to this user, or one that may not be loaded.
        InfrastructureError: the hub can't be reached.
    """
    path = Path(name_or_path)
    name = str(name_or_path)
    if not path.exists() and not isinstance(name_or_path, Path) and name.count("/") == 1 and name[0] not in "./~":
        path = _from_hub(name)
    if not path.is_dir():
        raise InputError(
            "no such model folder" if not path.exists() else "is not a folder",
            file=path,
            advice="Give a folder with config.json and *.safetensors, or a hub name like mistralai/Mistral-7B-Instruct-v0.2.",
        )
    (check or check_model)(path)
    return path


def check_model(folder: Path) -> dict[str, Any]:
    """The folder's config, once it is known to be a supported architecture with safetensors weights.

    Raises:
        InputError: otherwise.
    """
    config = _read_config(folder)
    if config.get("model_type") not in MODEL_TYPES:
        raise InputError(
            f"model_type {config.get('model_type')!r:.80} is not supported", file=folder / "config.json", field="model_type",
            advice=f"Supported: {', '.join(MODEL_TYPES)}.",
        )  # fmt: skip
    return _safe(folder, config)


def check_classifier(folder: Path) -> dict[str, Any]:
    """The folder's config, once it is known to be a sequence classifier that transformers itself implements, with safetensors weights.

    Nothing but a score is read of such a model, so its architecture need not be one of `MODEL_TYPES`.

    Raises:
        InputError: otherwise.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

    config = _read_config(folder)
    kind = config.get("model_type")
    known = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise InputError(
            f"model_type {kind!r:.80} is no sequence classifier of transformers", file=folder / "config.json", field="model_type",
            advice="Code that comes with a model is not run. Give one that transformers itself implements.",
        )  # fmt: skip
    made = config.get("architectures") or [known]
    if known not in made:
        raise InputError(
            f"{made!r:.80} has no score head that transformers knows; expected {known}", file=folder / "config.json", field="architectures",
            advice="Give a sequence classifier with one label.",
        )  # fmt: skip
    return _safe(folder, config)


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json", "model config")
    if not isinstance(config, dict):
        raise InputError(f"a {type(config).__name__} where an object was expected", file=folder / "config.json")
    return config


def _safe(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The config, once the weights beside it are neither quantised nor pickled."""
    if config.get("quantization_config"):
        raise InputError(
            "the checkpoint is already quantised",
            file=folder / "config.json",
            field="quantization_config",
            advice="Use the original; set `quantization`.",
        )
    if not any(folder.glob("*.safetensors")):
        found = ", ".join(sorted(p.name for p in folder.glob("*.bin"))[:3])
        raise InputError(
            f"no *.safetensors weights{f', only {found}' if found else ''}", file=folder,
            advice="Pickled weights can run code and are not loaded: save the model again with safe serialization.",
        )  # fmt: skip
    return config


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    page = f"https://huggingface.co/{name}"
    try:
        return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except GatedRepoError:
        raise InputError(f"{name} is gated: accept its terms at {page} and set HF_TOKEN (or run `hf auth login`)") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(f"no folder and no model {name}: see {page}; a private one needs HF_TOKEN (or `hf auth login`)") from None
    except LocalEntryNotFoundError:
        raise InputError(
            f"no folder {name}, and the model is neither in the local cache nor can {page} be reached",
            advice="Check the path, or go online once (HF_HUB_OFFLINE unset, HF_TOKEN set where the model is gated).",
        ) from None
    except OSError as error:
        raise InfrastructureError(f"{page} can't be read: {error}") from None


def weights_sha256(folder: Path) -> str:
    """Digest over the config and the weights."""
    return _digest([folder / "config.json", *sorted(folder.glob("*.safetensors"))])


def tokenizer_sha256(folder: Path) -> str:
    """Digest over the tokenizer's files."""
    return _digest([folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()])


def _digest(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()
