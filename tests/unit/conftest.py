"""Fixtures that several unit tests share. Nothing heavy is imported before a fixture is used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2] / "benchmarks")]  # tiny_models.py ...


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Results on CPU depend on the number of threads."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """Folder of a random two-layer Mistral with its tokenizer."""
    from tiny_models import save_tiny_model

    return save_tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="session")
def tiny_policy(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A plain PEFT folder with a random policy adapter for `tiny_base`, written by peft alone."""
    from tiny_models import save_adapter

    return save_adapter(tmp_path_factory.mktemp("adapters") / "policy", tiny_base, "CAUSAL_LM", seed=5)


@pytest.fixture(scope="session")
def tiny_reward(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A plain PEFT folder with a random reward adapter and head for `tiny_base`, written by peft alone."""
    from tiny_models import save_adapter

    return save_adapter(tmp_path_factory.mktemp("adapters") / "reward", tiny_base, "SEQ_CLS", seed=6)
