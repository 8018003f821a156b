from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from ppo_runs import SETTINGS, files, make_prompts, read_rows
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, PreferencePair
from truenorth.rlhf.config import ModelSettings, PPOSettings, RewardModelSettings
from truenorth.rlhf.ppo import PPOTrainer
from truenorth.rlhf.ppo_metrics import COLUMNS
from truenorth.rlhf.processes import accelerator_for
from truenorth.rlhf.reward_model import RewardModelTrainer

PAIRS = [PreferencePair(str(i), (Message("user", f"tell me {i}"),), "yes", "no") for i in range(9)]
FLOAT32 = ModelSettings(name="base", dtype="float32")
TWO = SETTINGS.model_copy(update={"steps": 2})


class Recorder(GeneralTracker):
    """A tracker as a user would write one for accelerate."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__(_blank=True)
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.config: dict[str, Any] = {}
        self.finished = 0

    @property
    def tracker(self) -> Recorder:
        return self

    def start(self) -> None:
        pass

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = dict(values)

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        assert step is not None
        self.rows.append((step, dict(values)))

    def finish(self) -> None:
        self.finished += 1


def train(base: Path, reward_model: Path, out: Path, **options: Any) -> None:
    model = TransformersModel.load(base, reward_model=reward_model, name="base")
    PPOTrainer(model, make_prompts(20), options.pop("settings", TWO), out=out, seed=1, progress=False, **options).train()


def test_a_tracker_gets_the_numbers_of_the_log_under_their_names(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    recorder = Recorder()
    train(tiny_base, tiny_reward, tmp_path, accelerator=Accelerator(cpu=True, log_with=[recorder]))
    rows = read_rows(tmp_path)
    assert [step for step, _ in recorder.rows] == [1, 2]
    for (_, found), row in zip(recorder.rows, rows, strict=True):
        numbers = {name: float(cell) for name, cell in row.items() if cell and name not in ("warning", "brake")}
        assert found.pop("eps") > 0
        assert found == pytest.approx(numbers)
        assert {"objective/kl", "objective/entropy", "policy/approxkl_avg", "val/ratio", "loss/value_avg"} <= found.keys()
    assert recorder.config["kl_coef"] == TWO.kl_coef
    assert recorder.config["guards.patience"] == 3
    assert recorder.finished == 1


TRL_METRICS = {  # of TRL 1.12, the last with PPO; `eps` depends on the clock, so it goes to trackers only
    "objective/kl", "objective/entropy", "objective/non_score_reward", "objective/rlhf_reward", "objective/scores", "policy/approxkl_avg",
    "policy/clipfrac_avg", "loss/policy_avg", "loss/value_avg", "val/clipfrac_avg", "policy/entropy_avg", "val/ratio", "val/ratio_var",
    "val/num_eos_tokens", "lr", "episode",
}  # fmt: skip


def test_the_names_of_trl_are_kept():
    assert TRL_METRICS - set(COLUMNS) == set()


def test_a_tracker_changes_nothing_else(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    train(tiny_base, tiny_reward, tmp_path / "without")
    train(tiny_base, tiny_reward, tmp_path / "with", accelerator=Accelerator(cpu=True, log_with=[Recorder()]))
    assert files(tmp_path / "with") == files(tmp_path / "without")


def test_report_to_takes_what_transformers_takes_and_is_none_by_default():
    assert PPOSettings().report_to == RewardModelSettings().report_to == ()
    assert PPOSettings(report_to="none").report_to == ()
    assert PPOSettings(report_to="trackio").report_to == ("trackio",)
    assert PPOSettings(report_to=["tensorboard", "trackio"]).report_to == ("tensorboard", "trackio")
    with pytest.raises(ValueError, match="tensorboard"):
        PPOSettings(report_to="tensorbord")


@pytest.mark.skipif(find_spec("trackio") is not None, reason="trackio is installed")
def test_a_tracker_that_is_not_installed_is_named(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"report_to: the tracker 'trackio' is not installed\n.*pip install trackio"):
        train(tiny_base, tiny_reward, tmp_path, settings=TWO.model_copy(update={"report_to": ("trackio",)}))
    with pytest.raises(InputError, match="the tracker 'trackio' is not installed"):
        RewardModelTrainer(tiny_base, PAIRS, RewardModelSettings(report_to="trackio"), FLOAT32, out=tmp_path, seed=1)


def test_the_reward_models_trackers_are_given_to_trl(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("truenorth.rlhf.reward_model.check_installed", lambda names: None)
    for names, expected in ((("tensorboard",), ["tensorboard"]), ((), [])):
        settings = RewardModelSettings(report_to=names, validation_fraction=0.3)
        trainer = RewardModelTrainer(tiny_base, PAIRS, settings, FLOAT32, out=tmp_path, seed=1, progress=False)
        with quiet():
            assert trainer._arguments().report_to == expected


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_tensorboard_files_are_apart_from_what_is_compared(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    train(tiny_base, tiny_reward, tmp_path, settings=TWO.model_copy(update={"report_to": ("tensorboard",)}))
    events = list(tmp_path.rglob("events.out.tfevents*"))
    assert events
    assert all((tmp_path / "trackers") in path.parents for path in events)


def test_a_run_may_go_on_with_another_tracker(tiny_base: Path, tiny_reward: Path, tmp_path: Path):
    train(tiny_base, tiny_reward, tmp_path, settings=TWO)
    recorder = Recorder()
    settings = TWO.model_copy(update={"report_to": ("tensorboard",)})
    train(tiny_base, tiny_reward, tmp_path, settings=settings, accelerator=Accelerator(cpu=True, log_with=[recorder]))
    assert recorder.rows == []  # all steps were done


def test_no_accelerator_of_ours_has_a_tracker_unless_asked(tmp_path: Path):
    import torch

    assert accelerator_for(torch.device("cpu"), (), tmp_path).log_with == []
