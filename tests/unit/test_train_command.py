from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tiny_models import save_tiny_model
from truenorth.cli.commands.train import _stopped_early
from truenorth.cli.config import load_config
from truenorth.cli.main import main
from truenorth.cli.pipeline import Pipeline, RewardModelTooWeakError
from truenorth.cli.pipeline import _stopped_early as run_stopped_early
from truenorth.rlhf.length_baseline import length_baseline
from truenorth.rlhf.reward_card import RewardCard
from truenorth.rlhf.reward_data import TokenPair

HH = Path(__file__).resolve().parents[3] / "shared" / "data" / "hh_rlhf" / "harmless-base"


@pytest.mark.parametrize(
    ("brake", "wanted", "said"),
    [
        ("", 2, ""),
        ("stop_kl", 30, "step 2 of 30: brake stop_kl"),
        ("", 3, "step 2 of 3: no brake was pulled"),
        ("length", 2, "brake length"),
    ],
)
def test_fewer_steps_than_asked_for_are_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str], brake: str, wanted: int, said: str):
    log = tmp_path / "train" / "ppo.csv"
    log.parent.mkdir()
    log.write_text(f"step,objective/kl,brake\n1,0.0,\n2,60.0,{brake}\n", encoding="utf-8")
    assert _stopped_early(tmp_path, wanted) == run_stopped_early(tmp_path, wanted) == (3 if said else 0)
    assert capsys.readouterr().err.count(said) == (2 if said else 1)


def test_a_log_without_steps_is_no_success_either(tmp_path: Path):
    assert _stopped_early(tmp_path, 1) == 3


def test_a_run_in_several_processes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["run", "tiny", "--out", str(tmp_path / "run")]) == 4
    assert "`truenorth run` is for one process, and 2 were started" in capsys.readouterr().err


CARD = RewardCard(
    base="b", base_sha256="0", dtype="float32", quantization="none", n_train=40, n_validation=20, too_long=0, identical=0,
    accuracy=0.7, accuracy_low=0.48, accuracy_high=0.85, mean=0.0, std=1.0, canaries=(),
)  # fmt: skip


def test_ppo_does_not_start_on_a_reward_model_that_may_be_no_better_than_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = load_config("tiny", ("reward_model.min_accuracy=0.55",))
    pipeline = Pipeline(config, tmp_path)
    (tmp_path / "final_rm_model_adapters").mkdir()
    card = tmp_path / "final_rm_model_adapters" / "reward_model.json"
    monkeypatch.setattr(Pipeline, "load_model", lambda *args, **options: pytest.fail("PPO was started"))
    card.write_text(json.dumps(CARD.to_json()))
    with pytest.raises(RewardModelTooWeakError, match=r"0\.700 \[0\.480, 0\.850\] on 20 held-out pairs: not surely above 0\.55") as caught:
        pipeline.train_ppo()
    assert caught.value.exit_code == 1
    card.write_text(json.dumps(replace(CARD, accuracy_low=0.56).to_json()))
    pipeline.check_reward_model()


def pairs(*lengths: tuple[int, int]) -> list[TokenPair]:
    return [TokenPair((5,) * chosen, (6,) * rejected) for chosen, rejected in lengths]


def test_the_length_baseline_takes_its_direction_from_training():
    held_out = pairs((3, 2), (2, 3), (2, 3), (4, 4))
    longer, shorter = length_baseline(pairs((3, 2)), held_out), length_baseline(pairs((2, 3)), held_out)
    assert (longer.prefers, longer.accuracy) == ("longer", 1.5 / 4)
    assert (shorter.prefers, shorter.accuracy) == ("shorter", 2.5 / 4)
    assert shorter.low < shorter.accuracy < shorter.high


@pytest.mark.shared
@pytest.mark.usefixtures("one_thread")
@pytest.mark.skipif(not HH.is_dir(), reason="the HH-RLHF files are not at hand")
def test_a_reward_model_trains_on_real_pairs_and_is_shown_next_to_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], one_thread: None
):
    base = save_tiny_model(tmp_path / "base", max_position_embeddings=2048)
    profile = {
        "profile": "mistral-7b",
        "model": {"name": str(base), "dtype": "float32"},
        "data": {"name": str(HH), "pairs": 40},
        "reward_model": {"max_length": 700, "validation_fraction": 0.3, "gradient_checkpointing": False, "learning_rate": 0.001},
        "eval": {"pairs": [], "capability": [], "gates": []},
    }
    (tmp_path / "hh.yaml").write_text(yaml.safe_dump(profile), encoding="utf-8")
    assert main(["train", "reward", str(tmp_path / "hh.yaml"), "--out", str(tmp_path / "run"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    found = facts["validation"]
    assert found["accuracy_low"] < found["accuracy"] < found["accuracy_high"]
    assert found["length_only"]["low"] < found["length_only"]["accuracy"] < found["length_only"]["high"]
    assert found["n_train"] + found["n_validation"] + found["too_long"] + found["identical"] <= 40
    assert (tmp_path / "run" / "train" / "quarantine.jsonl").is_file()
    assert main(["train", "reward", str(tmp_path / "hh.yaml"), "--out", str(tmp_path / "run")]) == 0
    assert "Held-out accuracy on" in capsys.readouterr().out
