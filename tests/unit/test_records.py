from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from ppo_runs import SETTINGS, make_prompts, read_rows
from truenorth.evals.models.hf import TransformersModel
from truenorth.rlhf.config import GuardSettings
from truenorth.rlhf.guards import ALARMS
from truenorth.rlhf.logs import shortfall
from truenorth.rlhf.ppo import PPOTrainer
from truenorth.rlhf.ppo_metrics import COLUMNS
from truenorth.rlhf.processes import Processes
from truenorth.rlhf.records import Records

Train = Callable[..., list[dict[str, str]]]


@pytest.fixture
def records(tiny_base: Path, tmp_path: Path) -> Any:
    model = TransformersModel.load(tiny_base)
    return Records(tmp_path, model, Processes(Accelerator(cpu=True)), SETTINGS, keep=0, progress=True)


def row(step: int, **cells: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"step": step, "episode": 8 * step, "warning": "", "brake": ""} | cells


def test_every_alarm_is_said_once_with_its_meaning_when_it_is_new(records: Records, capsys: pytest.CaptureFixture[str]):
    with records:
        for step, warning in enumerate(["", *ALARMS, "length;ratio", "length;ratio", "", "length"], start=1):
            records.append(row(step, warning=warning), None)
    said = capsys.readouterr().err
    for name, meaning in ALARMS.items():
        assert f": {name}: {meaning}" in said
    assert said.count(": length: ") == 3  # alone, again after others, and again after a step without


@pytest.mark.parametrize("brake", ["stop_kl", "non_finite", "eos_rate", "length", "repetition", "negative_kl"])
def test_a_brake_is_said_and_stands_in_the_log(records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str], brake: str):
    with records:
        records.append(row(1), None)
        records.append(row(2, brake=brake), None)
    assert f"ppo step 2: brake {brake}: training ends here" in capsys.readouterr().err
    assert [r["brake"] for r in read_rows(tmp_path)] == ["", brake]
    assert shortfall(tmp_path / "train" / "ppo.csv", 4) == f"stopped at step 2 of 4: brake {brake}"


def test_a_brake_in_training_is_said_logged_and_the_reason_of_the_shortfall(
    tiny_base: Path, tiny_reward: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = TransformersModel.load(tiny_base, reward_model=tiny_reward)
    settings = SETTINGS.model_copy(update={"guards": GuardSettings(min_length=99.0, patience=2), "steps": 9})
    PPOTrainer(model, make_prompts(20), settings, out=tmp_path, seed=1).train()
    said = capsys.readouterr().err
    assert "ppo step 1: length: responses are shorter than ppo.guards.min_length" in said
    assert "ppo step 2: brake length: training ends here" in said
    assert [(r["warning"], r["brake"]) for r in read_rows(tmp_path)] == [("length", ""), ("length", "length")]
    assert shortfall(tmp_path / "train" / "ppo.csv", 9) == "stopped at step 2 of 9: brake length"
