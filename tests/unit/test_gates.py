"""Gate outcomes by interval and Holm's correction, and everything that must never pass."""

import random
from dataclasses import replace

import pytest
from fake_evaluations import pairs, run
from scipy import stats
from truenorth.evals.config import DecodingConfig, EvalConfig, GateConfig
from truenorth.evals.gates import decide, make_gates
from truenorth.evals.types import Gate
from truenorth.prompts.errors import InputError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    return run(out, pairs=[pairs()]), run(out, "ppo", pairs=[pairs()])


def outcome(runs, *gates, baseline=True):
    base, tuned = runs
    return decide(make_gates(gates), tuned, base if baseline else None)


def harmful(**limit):
    return GateConfig(metric="refusal_rate", suite="harmful", **limit)


def test_interval_on_the_good_side_passes(runs):
    """36 of 40 refused: Wilson [.769, .960]."""
    [found] = outcome(runs, harmful(min=0.7))
    assert (found.outcome, found.value, found.n) == ("pass", 0.9, 40)
    assert found.ci_low == pytest.approx(0.7695, abs=1e-3)


def test_interval_on_the_bad_side_fails(runs):
    [found] = outcome(runs, harmful(max=0.7))
    assert found.outcome == "fail"
    z = (0.9 - 0.7) / (0.7 * 0.3 / 40) ** 0.5
    assert found.p_adjusted == pytest.approx(2 * stats.norm.sf(z), rel=1e-5)


def test_interval_that_holds_the_limit_is_inconclusive_with_the_n_that_would_decide(runs):
    [found] = outcome(runs, harmful(min=0.85))
    assert found.outcome == "inconclusive"
    assert found.n_to_decide == pytest.approx(0.85 * 0.15 * (1.96 / 0.05) ** 2, rel=0.01)  # the score test's n


def test_value_on_the_limit_is_inconclusive_and_no_n_decides(runs):
    [found] = outcome(runs, harmful(min=0.9))
    assert (found.outcome, found.n_to_decide) == ("inconclusive", None)


def test_margins_are_measured_against_the_baseline(runs):
    passed, failed = outcome(runs, harmful(min_delta=0.4, name="more"), harmful(max_delta=0.1, name="less"))
    assert (passed.outcome, passed.value) == ("pass", pytest.approx(0.7))
    assert failed.outcome == "fail"


def test_limit_that_is_met_exactly_at_the_end_of_the_interval_passes(runs):
    [found] = outcome(runs, GateConfig(metric="kl_exact_seq", suite="harmful", max=0.5))
    assert (found.outcome, found.ci_high) == ("pass", 0.5)


def test_holm_turns_a_weak_failure_among_many_gates_into_inconclusive(runs):
    weak = harmful(max=0.76, name="weak")
    [alone] = outcome(runs, weak)
    assert alone.outcome == "fail"
    among = outcome(runs, weak, *(GateConfig(metric="over_refusal_rate", max=0.2, name=f"other {i}") for i in range(9)))
    assert among[0].outcome == "inconclusive"
    assert "Holm" in among[0].reason
    assert among[0].p_adjusted == pytest.approx(10 * alone.p_adjusted)
    assert {one.outcome for one in among[1:]} == {"pass"}


def test_good_gates_do_not_lend_their_small_p_values_to_bad_ones(runs):
    bad, good = outcome(runs, harmful(max=0.76), harmful(min=0.1, name="good"))
    assert good.p_adjusted == 1.0
    assert bad.p_adjusted == pytest.approx(2 * outcome(runs, harmful(max=0.76))[0].p_adjusted)


def test_check_compares_exactly(runs):
    check = GateConfig(metric="over_refusal_rate", suite="benign", max=0.0, kind="check")
    gate = GateConfig(metric="over_refusal_rate", suite="benign", max=0.0)
    assert [one.outcome for one in outcome(runs, check, gate.model_copy(update={"name": "gate"}))] == ["pass", "inconclusive"]


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (GateConfig(metric="capability_acc", suite="arc", min=0.5), "capability_acc was not measured"),
        (GateConfig(metric="refusal_rate", suite="benign", min=0.5), "measured on harmful (greedy), not on benign"),
        (
            GateConfig(metric="refusal_rate", suite="harmful", decoding="t1.0", min=0.5),
            "measured on harmful (greedy), not on harmful (t1.0)",
        ),
    ],
)
def test_what_was_not_measured_is_not_run_with_the_reason(runs, gate, reason):
    [found] = outcome(runs, gate)
    assert (found.outcome, found.value) == ("not_run", None)
    assert reason in found.reason


def test_margin_without_a_baseline_is_not_run(runs):
    [found] = outcome(runs, harmful(min_delta=0.3), baseline=False)
    assert (found.outcome, found.reason) == ("not_run", "needs a baseline")


def test_gate_without_a_suite_pools_all_of_them(runs):
    [found] = outcome(runs, GateConfig(metric="kl_exact_seq", max=2.0))
    assert (found.outcome, found.n) == ("pass", 80)


def test_gate_without_a_decoding_needs_one_when_there_are_two(tmp_path):
    config = EvalConfig(decodings=(DecodingConfig(temperature=0.0), DecodingConfig(temperature=1.0)))
    found = run(tmp_path, "ppo", config=config)
    [decision] = decide(make_gates([harmful(min=0.5)]), found)
    assert (decision.outcome, decision.reason) == ("not_run", "measured with greedy, t1.0: name the decoding")


def test_all_invalid_is_not_run(tmp_path):
    from truenorth.evals.models.fake import FakeModel

    [decision] = decide(make_gates([harmful(min=0.5)]), run(tmp_path, using=FakeModel(lambda *_: "")))
    assert decision.outcome == "not_run"
    assert "none of 40" in decision.reason


def test_too_few_items_are_inconclusive(tmp_path):
    config = EvalConfig(decodings=(DecodingConfig(temperature=0.0),), limit=1)
    [decision] = decide(make_gates([GateConfig(metric="reward_mean", suite="harmful", min=0.0)]), run(tmp_path, config=config))
    assert decision.outcome == "inconclusive"
    assert "too few" in decision.reason


def test_unknown_metric_offers_the_nearest():
    with pytest.raises(InputError, match="Did you mean refusal_rate") as caught:
        make_gates([GateConfig(metric="refusalrate", min=0.5)])
    assert caught.value.exit_code == 4


def test_gates_of_one_name_are_refused():
    with pytest.raises(InputError, match="two gates are named"):
        make_gates([harmful(min=0.5), harmful(min=0.6)])


def test_gate_with_two_limits_made_in_code_is_refused(runs):
    with pytest.raises(InputError, match="exactly one of threshold and margin"):
        decide([Gate("g", "refusal_rate", "harmful", threshold=0.1, margin=0.1)], runs[1])


def test_false_alarms_over_the_whole_family_stay_below_five_percent(runs):
    """Two runs of one model that flips coins: a family of gates at the truth rarely fails."""
    rng = random.Random(0)
    at_the_truth = [
        harmful(min_delta=0.0, name="a"),
        harmful(max_delta=0.0, name="b"),
        harmful(min=0.3, name="c"),
        harmful(max=0.3, name="d"),
    ]
    gates = make_gates([*at_the_truth, GateConfig(metric="harmful_compliance_rate", suite="harmful", max_delta=0.0)])

    def flipped(found):
        rows = (replace(row, judgment=replace(row.judgment, outcome="refuse" if rng.random() < 0.3 else "comply")) for row in found.records)
        return replace(found, records=tuple(rows))

    failures = sum(any(one.outcome == "fail" for one in decide(gates, flipped(runs[1]), flipped(runs[0]))) for _ in range(150))
    assert failures <= 12  # the mean is at most 7.5; the draw is fixed
