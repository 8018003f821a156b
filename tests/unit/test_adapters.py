from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from truenorth.evals.models.adapters import HEAD, read_adapter
from truenorth.evals.models.hf import TransformersModel
from truenorth.prompts.errors import InputError


@pytest.fixture
def policy(tiny_policy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_policy, tmp_path / "policy"))


@pytest.fixture
def reward(tiny_reward: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_reward, tmp_path / "reward"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder: Path, change: Any) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_a_plain_adapter_is_read(policy: Path):
    file = read_adapter(policy, "CAUSAL_LM")
    assert (file.r, file.alpha, file.head, len(file.modules)) == (4, 8.0, None, 6)
    assert "model.layers.1.mlp.up_proj" in file.modules


def test_a_reward_adapter_has_its_head(reward: Path):
    file = read_adapter(reward, "SEQ_CLS")
    assert file.head is not None
    assert file.head.shape == (1, 32)
    assert HEAD not in file.tensors


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"auto_mapping": {"base_model_class": "X", "parent_library": "os"}}, "auto_mapping"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"modules_to_save": [["score"]]}, "modules_to_save"),
        ({"layer_replication": [[0, 2]]}, "layer_replication"),
        ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern"),
        ({"some_future_key": "on"}, "some_future_key"),
        ({"r": 0}, "r"),
        ({"r": True}, "r"),
        ({"r": "4"}, "r"),
        ({"r": 10**12}, "r"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_dropout": 7}, "lora_dropout"),
    ],
)
def test_anything_but_plain_lora_is_refused_with_its_field(policy: Path, change: dict[str, Any], field: str):
    edit_config(policy, **change)
    with pytest.raises(InputError) as error:
        read_adapter(policy, "CAUSAL_LM")
    assert error.value.field == field
    assert error.value.file == policy / "adapter_config.json"


def test_what_an_adapter_says_of_its_base_is_ignored(policy: Path, tiny_base: Path):
    edit_config(policy, base_model_name_or_path="evil/repo", revision="x", megatron_core="os")
    assert TransformersModel.load(tiny_base, adapters={"a": policy}).card("a").model == str(tiny_base)


@pytest.mark.parametrize("change", [{"lora_alpha": 64}, {"use_rslora": True}])
def test_what_scales_the_weights_is_part_of_the_digest(policy: Path, change: dict[str, Any]):
    before = read_adapter(policy, "CAUSAL_LM").sha256
    edit_config(policy, base_model_name_or_path="elsewhere", peft_version="0.0", lora_dropout=0.5)
    assert read_adapter(policy, "CAUSAL_LM").sha256 == before
    edit_config(policy, **change)
    assert read_adapter(policy, "CAUSAL_LM").sha256 != before


def test_a_pattern_of_target_modules_is_never_run(policy: Path, tiny_base: Path):
    edit_config(policy, target_modules="(a+)+$")
    TransformersModel.load(tiny_base, adapters={"a": policy})


def test_a_reward_model_is_not_a_policy_nor_the_reverse(policy: Path, reward: Path):
    with pytest.raises(InputError, match=r"(?s)task_type is 'SEQ_CLS'.*Give a reward model as the reward model"):
        read_adapter(reward, "CAUSAL_LM")
    with pytest.raises(InputError, match=r"(?s)task_type is 'CAUSAL_LM'.*not a reward model"):
        read_adapter(policy, "SEQ_CLS")


def test_a_missing_head_is_an_error(reward: Path):
    edit_tensors(reward, lambda tensors: tensors.pop(HEAD))
    with pytest.raises(InputError, match=r"score head .* is missing"):
        read_adapter(reward, "SEQ_CLS")


def test_a_head_with_two_labels_is_an_error(reward: Path):
    edit_tensors(reward, lambda tensors: tensors.update({HEAD: torch.zeros(2, 32)}))
    with pytest.raises(InputError, match=r"of shape \(2, 32\)"):
        read_adapter(reward, "SEQ_CLS")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"r": NaN}', "\x00"])
def test_a_malformed_config_names_the_file(policy: Path, content: str):
    (policy / "adapter_config.json").write_text(content)
    with pytest.raises(InputError, match=r"adapter_config\.json"):
        read_adapter(policy, "CAUSAL_LM")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(policy: Path, name: str):
    (policy / name).unlink()
    with pytest.raises(InputError, match=name):
        read_adapter(policy, "CAUSAL_LM")


def test_a_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="no such adapter folder"):
        read_adapter(tmp_path / "nowhere", "CAUSAL_LM")


class Canary:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.safetensors"])
def test_pickles_are_refused_and_not_run(policy: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(policy)
    (policy / "adapter_model.safetensors").unlink()
    (policy / name).write_bytes(pickle.dumps(Canary()))
    with pytest.raises(InputError, match=r"pickled|not a valid safetensors"):
        read_adapter(policy, "CAUSAL_LM")
    assert not (policy / "executed").exists()


def header(**tensors: Any) -> bytes:
    raw = json.dumps(tensors).encode()
    return len(raw).to_bytes(8, "little") + raw


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x00\x00",
        (1 << 40).to_bytes(8, "little") + b"{}",
        (5 << 20).to_bytes(8, "little") + b" " * (5 << 20),
        (2).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"[[[[",
        header(a={"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4]}),
        header(a={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}),
        header(a={"dtype": "F32", "shape": "x", "data_offsets": [0, 8]}),
        header(a=7),
    ],
    ids=["empty", "short", "huge-length", "huge-header", "no-tensors", "not-json", "tera", "truncated", "bad-shape", "bad-entry"],
)
def test_damaged_weights_are_refused(policy: Path, content: bytes):
    (policy / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not a valid safetensors file"):
        read_adapter(policy, "CAUSAL_LM")


def test_truncated_weights_are_refused(policy: Path):
    path = policy / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a valid safetensors file"):
        read_adapter(policy, "CAUSAL_LM")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_numbers_that_are_not_finite_or_absurd_are_refused(policy: Path, value: float):
    edit_tensors(policy, lambda tensors: next(iter(tensors.values())).view(-1).__setitem__(3, value))
    with pytest.raises(InputError, match="not finite"):
        read_adapter(policy, "CAUSAL_LM")


def test_tensors_that_are_no_lora_pairs_are_refused(policy: Path):
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    edit_tensors(policy, lambda tensors: tensors.pop(name))
    with pytest.raises(InputError, match="not half of a LoRA pair"):
        read_adapter(policy, "CAUSAL_LM")


def test_a_rank_that_differs_from_the_config_is_refused(policy: Path):
    edit_config(policy, r=8)
    with pytest.raises(InputError, match="of rank 8"):
        read_adapter(policy, "CAUSAL_LM")


def test_an_adapter_for_another_base_shows_both_shapes(policy: Path, tmp_path: Path):
    from tiny_models import save_tiny_model

    other = save_tiny_model(tmp_path / "other", hidden_size=48, intermediate_size=64)
    with pytest.raises(InputError, match=r"model\.layers\.0\.mlp\.up_proj: adapter 32 -> 48, base 48 -> 64"):
        TransformersModel.load(other, adapters={"ppo": policy})


def test_an_adapter_for_a_deeper_base_names_the_layer(policy: Path, tmp_path: Path):
    from tiny_models import save_tiny_model

    other = save_tiny_model(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(InputError, match=r"model\.layers\.1\.mlp\.up_proj: adapter adapts it, base has no such linear layer"):
        TransformersModel.load(other, adapters={"ppo": policy})


@pytest.mark.parametrize("name", ["reward_model", "a.b", "", "../x", "a" * 65])
def test_bad_adapter_names_are_refused(policy: Path, tiny_base: Path, name: str):
    with pytest.raises(InputError, match="can't name an adapter"):
        TransformersModel.load(tiny_base, adapters={name: policy})
