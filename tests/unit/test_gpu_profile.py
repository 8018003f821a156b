"""The benchmark of the 7B profiles in its small form: true width, two layers, CPU. The plan is within 15 % of what a run really takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_profile.py"
SMALL = (
    "reward_model.max_length=128", "reward_model.batch_size=2", "reward_model.gradient_accumulation=1", "ppo.rollout_batch_size=4",
    "ppo.max_new_tokens=32",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
@pytest.mark.parametrize("profile", ["mistral-7b", "mistral-7b-qlora"])
def test_the_plan_is_within_15_percent_of_the_measured_peak(tmp_path: Path, profile: str):
    command = ["--work", tmp_path, "--profiles", profile, "--layers", 2, "--device", "cpu", "--steps", 2, "--prompt-tokens", 96]
    options = [part for text in SMALL for part in ("-o", text)]
    subprocess.run([sys.executable, SCRIPT, *map(str, command), "--json", str(tmp_path / "found.json"), *options], check=True)
    found = {row["trainer"]: row for row in json.loads((tmp_path / "found.json").read_text())}
    assert found.keys() == {"reward", "ppo"}
    for row in found.values():
        assert row["steps"] == 2
        assert 0.85 < row["planned_bytes"] / row["peak_bytes"] < 1.15
