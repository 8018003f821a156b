"""Pairs or capability tasks without a suite: nothing else is asked, and nothing else is missed."""

from pathlib import Path

import pytest
from fake_evaluations import pairs, run
from truenorth.cli.align.subject import make_align_subject
from truenorth.cli.subject import make_subject
from truenorth.evals.comparison import compare
from truenorth.evals.config import GateConfig
from truenorth.evals.gates import make_gates

USUAL = ("harmful", "benign", "borderline")


@pytest.fixture
def asked(tmp_path: Path):
    """The suites of an evaluation with these options."""

    def find(gates: str = "", **options) -> tuple[str, ...]:
        if gates:
            (tmp_path / "gates.yaml").write_text(f"gates:\n  - {gates}\n")
            options["gates"] = str(tmp_path / "gates.yaml")
        return make_subject(model="some/model", reward_model=tmp_path / "rm", **options).config.eval.suites

    return find


def test_pairs_or_tasks_alone_ask_no_suite(asked):
    assert asked(pairs=["a.jsonl"]) == ()
    assert asked(capability=["hellaswag"]) == ()
    assert asked(pairs=["a.jsonl"], gates="{metric: pairwise_accuracy, suite: a, min: 0.6}") == ()
    assert make_subject(model="tiny", capability=["tiny-facts"]).config.eval.suites == ()


def test_without_them_and_where_responses_are_read_the_usual_suites_are_asked(asked):
    assert asked() == USUAL
    assert asked(pairs=["a.jsonl"], suites=["benign"]) == ("benign",)
    assert asked(pairs=["a.jsonl"], gates="{metric: refusal_rate, suite: harmful, min: 0.6}") == USUAL
    assert asked(pairs=["a.jsonl"], gates="{metric: flip_rate, suite: harmful, max: 0.6}") == USUAL
    assert asked(pairs=["a.jsonl"], comparer="openai:m@http://127.0.0.1:1/v1") == USUAL
    assert asked(pairs=["a.jsonl"], independent_reward_model="other/rm") == USUAL
    assert make_subject(model="tiny").config.eval.suites[0] == "tiny-harmful"


def test_the_plugin_keeps_its_suites_for_the_tests_that_ask_for_them(tmp_path: Path):
    subject = make_align_subject(
        {"model": "some/model", "reward-model": str(tmp_path / "rm"), "pairs": "a.jsonl", "capability": "hellaswag"}
    )
    assert subject is not None
    assert subject.config.eval.suites == USUAL


def test_a_gate_on_pairs_alone_can_pass(tmp_path: Path):
    gates = make_gates([GateConfig(metric="pairwise_accuracy", suite="prefs", min=0.1)])
    base, tuned = (run(tmp_path / label, label, suites=[], pairs=[pairs()]) for label in ("base", "ppo"))
    found = compare(base, [tuned], gates)
    assert [decision.gate.name for decision in found.candidates[0].decisions if decision.gate.kind == "check"] == ["comparable"]
    assert found.verdict == "pass"
    assert compare(None, [tuned], gates).verdict == "pass"


def test_a_gate_on_responses_that_nobody_asked_for_never_passes(tmp_path: Path):
    gates = make_gates([GateConfig(metric="refusal_rate", suite="harmful", min=0.1)])
    assert compare(None, [run(tmp_path, suites=[], pairs=[pairs()])], gates).verdict == "inconclusive"
