"""Limits that a metric can never reach are named where they stand: in a gates file, in a profile, in an override, and in code."""

import math

import pytest
from truenorth.cli.config import load_config
from truenorth.cli.gates_file import load_gates
from truenorth.evals.config import GateConfig
from truenorth.evals.gates import make_gates
from truenorth.prompts.errors import InputError


def gates_file(tmp_path, *gates):
    path = tmp_path / "gates.yaml"
    path.write_text("gates:\n" + "".join(f"  - {gate}\n" for gate in gates))
    return path


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        ("{metric: refusal_rate, min: 1.5}", "gates.1.min: 1.5 can't be reached: refusal_rate lies between 0 and 1"),
        ("{metric: refusal_rate, min: 90}", "Rates are fractions: 5 % is 0.05."),
        ("{metric: over_refusal_rate, max: -0.1}", "gates.1.max: -0.1"),
        (
            "{metric: refusal_rate, min_delta: -5}",
            "gates.1.min_delta: -5.0 can't be reached: a difference of refusal_rate lies between -1",
        ),
        ("{metric: brier, max: 2}", "gates.1.max: 2.0"),
        ("{metric: length_bias_gap, max: 1.2}", "lies between -1 and 1"),
        ("{metric: log_loss, max: -0.1}", "lies between 0 and inf"),
        ("{metric: win_rate, min_delta: 0.1}", "gates.1.min_delta: win_rate has no difference"),
        ("{metric: kl_exact_seq, max: 1, corrected: true}", "gates.1.corrected: kl_exact_seq is no rate of refusals"),
        ("{metric: refusalrate, min: 0.5}", "gates.1.metric: no metric named 'refusalrate'"),
    ],
)
def test_a_senseless_gate_is_named_with_file_line_and_field(tmp_path, gate, told):
    path = gates_file(tmp_path, "{metric: refusal_rate, min: 0.5}", gate)
    with pytest.raises(InputError) as caught:
        load_gates(str(path))
    assert told in str(caught.value)
    assert f"{path}:3" in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_profile_and_an_override_say_where(tmp_path):
    profile = tmp_path / "profile.yaml"
    profile.write_text("profile: tiny\neval:\n  gates:\n    - {metric: refusal_rate, min: 1.5}\n")
    with pytest.raises(InputError, match=r"profile.yaml:4:eval.gates.0.min: 1.5 can't be reached"):
        load_config(str(profile))
    with pytest.raises(InputError, match=r"1.5 can't be reached.*-o eval.gates.0.min=1.5"):
        load_config("tiny", ["eval.gates.0={metric: refusal_rate, min: 0.5}", "eval.gates.0.min=1.5"])


@pytest.mark.parametrize("limit", [{"min": 1.5}, {"max": math.inf}, {"min": -math.inf}, {"max_delta": math.nan}, {"min_delta": -1.1}])
def test_limits_in_code_are_checked_too(limit):
    with pytest.raises(InputError, match=f"eval.gates.0.{next(iter(limit))}"):
        make_gates([GateConfig(metric="refusal_rate", **limit)])


@pytest.mark.parametrize(
    ("metric", "limit"),
    [
        ("refusal_rate", {"min": 0.0}),
        ("refusal_rate", {"max": 1.0}),
        ("refusal_rate", {"min_delta": -1.0}),
        ("length_bias_gap", {"max_delta": 1.5}),
        ("kl_exact_seq", {"max": 40.0}),
        ("kl_k1_seq", {"min": -0.5}),
        ("reward_mean", {"min": -3.0}),
        ("log_loss", {"max_delta": -0.2}),
    ],
)
def test_limits_that_can_be_reached_are_gates(metric, limit):
    assert make_gates([GateConfig(metric=metric, **limit)])
