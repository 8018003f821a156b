"""Adapter folders that any PEFT user can load, published whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ..prompts.files import fsync_folder, write_json


def adapter_config(config: Any, *, base: str, dropout: float) -> dict[str, Any]:
    """A PEFT config as plain JSON values in a fixed order, for a base that the user names when loading.

    Args:
        config: peft.LoraConfig.
        base: shown as `base_model_name_or_path`.
        dropout: stored as `lora_dropout`, whatever the live module runs with.
    """
    values = {k: sorted(v) if isinstance(v, set) else getattr(v, "value", v) for k, v in config.to_dict().items()}
    values["modules_to_save"] = sorted(set(values["modules_to_save"] or []) - {"classifier"}) or None  # peft adds names of other heads
    return values | {"base_model_name_or_path": base, "lora_dropout": dropout, "inference_mode": True, "init_lora_weights": True}


def card_base(name: str) -> tuple[str, str]:
    """A base as a model card names it: the metadata line (empty unless it is on the hub), and words.

    Args:
        name: as the user named it; `tiny` is the embedded base, which lies in the same run.
    """
    if name == "tiny":
        return "", "the embedded base, `base_model/` in the same run"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists():
        return f"base_model: {name}\n", f"`{name}`"
    return "", f"`{Path(name).name}`"


def publish_adapter(
    folder: Path, tensors: dict[str, Any], config: dict[str, Any], readme: str, *, tokenizer: Any = None, **json_files: Any
) -> None:
    """Write weights, config, README.md and `NAME.json` files to a new folder and put it in place of the old one.

    Args:
        folder: final path; replaced when it exists.
        tensors: float32 tensors by peft's saved names.
        config: content of adapter_config.json.
        readme: model card.
        tokenizer: saved beside the weights, if given.
        json_files: further JSON files by stem.
    """
    from safetensors.torch import save_file

    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in sorted(tensors.items())}, temporary / "adapter_model.safetensors", {"format": "pt"}
    )
    write_json(temporary / "adapter_config.json", json.loads(json.dumps(config)))
    for stem, value in json_files.items():
        write_json(temporary / f"{stem}.json", value)
    if tokenizer is not None:
        tokenizer.save_pretrained(temporary)
    (temporary / "README.md").write_text(readme, encoding="utf-8")
    replace_folder(temporary, folder)


def replace_folder(temporary: Path, folder: Path) -> None:
    """Put a finished temporary folder in place of `folder`, as near to atomically as folders allow; its files are on disk first."""
    for file in temporary.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
