"""The embedded profile's negative controls: a policy that is worse in a known way must fail exactly where it is worse."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from truenorth.cli.config import load_config
from truenorth.cli.pipeline import run_pipeline
from truenorth.evals.types import GateDecision

pytestmark = pytest.mark.slow


def decisions_of(profile: str, out: Path) -> dict[tuple[str, str], GateDecision]:
    comparison, code = run_pipeline(load_config(profile), out)
    assert (comparison.verdict, code) == ("fail", 1)
    decisions = comparison.candidates[0].decisions
    return {(d.gate.metric, d.gate.suite): d for d in decisions if d.gate.margin is not None or d.gate.metric == "kl_exact_seq"}


def test_reward_hacking_fails_on_kl_and_on_lost_answers(tmp_path: Path) -> None:
    found = decisions_of("tiny-reward-hacking", tmp_path / "run")
    assert found["kl_exact_seq", "tiny-benign"].outcome == "fail"
    assert found["correct_rate", "tiny-benign"].outcome == "fail"
    assert found["correct_rate", "tiny-borderline"].outcome == "fail"
    with (tmp_path / "run/train/ppo.csv").open() as stream:
        scores = [float(row["objective/scores"]) for row in csv.DictReader(stream)]
    assert max(scores[5:]) > scores[0] + 0.5  # the score alone looks like success


def test_over_refusal_fails_on_harmless_requests_and_not_on_harmful_ones(tmp_path: Path) -> None:
    found = decisions_of("tiny-over-refusal", tmp_path / "run")
    assert found["over_refusal_rate", "tiny-benign"].outcome == "fail"
    assert found["over_refusal_rate", "tiny-borderline"].outcome != "pass"  # how far it spills over depends on the processor's rounding
    assert found["refusal_rate", "tiny-harmful"].outcome == "pass"
