"""Numbers and verdicts in words: what a reader takes from them is what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_data import GATES, example_comparison, example_run
from truenorth.evals.comparison import compare
from truenorth.evals.metrics import METRICS
from truenorth.evals.types import Gate, MetricDelta, MetricResult
from truenorth.reports.headline import headline, requirement_text, row_sentence, sorted_decisions
from truenorth.reports.report import Report, Row
from truenorth.reports.words import METRIC_WORDS, change_of, change_text, interval_text, is_rate, number_text, p_text, value_text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.614, "0.61"), (-1.4, "−1.40"), (0.0123, "0.012"), (12.345, "12.35"), (1e-5, "1e−05"), (2e7, "2e+07")]
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "rate", "text"),
    [
        (0.065, True, "+6.5 points"),
        (-0.065, True, "−6.5 points"),
        (0.0, True, "0.0 points"),
        (-0.0001, True, "0.0 points"),
        (0.28, False, "+0.28"),
        (-0.28, False, "−0.28"),
        (0.0, False, "0"),
        (None, True, "n/a"),
    ],
)
def test_changes_carry_their_sign(value: float | None, rate: bool, text: str) -> None:
    assert change_text(value, rate=rate) == text


def test_absent_is_not_zero() -> None:
    assert value_text(None, rate=True) == "n/a"
    assert interval_text(None, 0.5, rate=True) == ""
    assert p_text(None) == ""


def test_small_p_is_never_zero() -> None:
    assert p_text(1e-9) == "<0.001"
    assert p_text(0.0104) == "0.010"


def test_every_metric_has_words_and_its_unit_is_known() -> None:
    assert set(METRICS) <= set(METRIC_WORDS)
    for metric in METRICS.values():
        assert is_rate(metric.name, metric.unit) == (metric.unit == "fraction")
        assert is_rate(metric.name) == is_rate(metric.name, metric.unit), metric.name


def result(value: float, *, higher: bool | None = True) -> MetricResult:
    return MetricResult("refusal_rate", "harmful", "", "greedy", "wilson", "fraction", value, value - 0.1, value + 0.1, 80, 0, 80, higher)


def delta(value: float, low: float, high: float) -> MetricDelta:
    return MetricDelta("refusal_rate", "harmful", "", "greedy", "tango", value, low, high, 80)


@pytest.mark.parametrize(
    ("low", "high", "higher", "change"),
    [
        (0.1, 0.3, True, "better"),
        (0.1, 0.3, False, "worse"),
        (-0.3, -0.1, True, "worse"),
        (-0.3, -0.1, False, "better"),
        (-0.1, 0.3, True, "unclear"),
        (0.0, 0.3, True, "unclear"),
        (0.1, 0.3, None, "neutral"),
    ],
)
def test_a_change_is_read_from_its_interval(low: float, high: float, higher: bool | None, change: str) -> None:
    assert change_of(result(0.5, higher=higher), delta(0.2, low, high)) == change


@pytest.mark.parametrize(
    ("value", "said"), [(0.2, "rose from 30.0% to 50.0%"), (-0.2, "fell from 70.0% to 50.0%"), (0.0, "stayed, from 50.0% to 50.0%")]
)
def test_the_sentence_says_the_direction_the_interval_and_n(value: float, said: str) -> None:
    sentence = row_sentence(Row(result(0.5), result(0.5 - value), delta(value, value - 0.05, value + 0.05)), "95%")
    assert sentence.startswith(f"Refusals of harmful prompts {said}")
    assert "95% interval" in sentence
    assert "n = 80, greedy" in sentence


def test_failing_gates_come_first_and_otherwise_in_the_declared_order() -> None:
    decisions = sorted_decisions(example_comparison().candidates[0])
    ranks = [("fail", "not_run", "inconclusive", "pass").index(decision.outcome) for decision in decisions]
    assert ranks == sorted(ranks)
    passed = [decision.gate.name for decision in decisions if decision.outcome == "pass" and decision.gate in GATES]
    assert passed == [gate.name for gate in GATES if gate.name in passed]


def test_the_headline_names_the_gate_that_failed() -> None:
    comparison = example_comparison(gates=(Gate("g", "over_refusal_rate", "borderline", "t1.0", "max", margin=0.03),))
    said = headline(Report(comparison), comparison.candidates[0])
    assert said.word == "Fail"
    assert said.cause.startswith("Needless refusals of borderline prompts rose from ")
    assert said.cause.endswith("Required: difference at most +3.0 points.")


def test_a_passing_headline_says_what_was_gained() -> None:
    gates = (Gate("g", "refusal_rate", "harmful", "t1.0", "min", margin=0.2),)
    comparison = compare(example_run("base", invalid=0.0), [example_run("ppo", invalid=0.0)], gates)
    said = headline(Report(comparison), comparison.candidates[0])
    assert (said.word, said.cause) == ("Pass", "")
    assert said.effect.startswith("Refusals of harmful prompts rose from ")
    assert said.gates == f"All passed: 1 gate and {len(comparison.candidates[0].decisions) - 1} checks."


def test_a_gate_over_all_suites_is_not_told_by_one_of_them() -> None:
    comparison = example_comparison(gates=(Gate("g", "over_refusal_rate", "", "t1.0", "max", threshold=0.01),))
    said = headline(Report(comparison), comparison.candidates[0])
    decision = next(d for d in comparison.candidates[0].decisions if d.gate.name == "g")
    assert decision.outcome == "fail"
    assert said.cause.startswith(f"Over-refusal rate (t1.0): {value_text(decision.value, rate=True)}")


def test_no_gate_and_no_comparison_give_no_verdict_in_words() -> None:
    none = example_comparison(gates=())
    bare = replace(none.candidates[0], decisions=(), verdict="none")
    assert headline(Report(none), bare).gates == "No gate is declared, so there is no verdict."
    apart = replace(bare, differences=("judge a and b",))
    assert headline(Report(none), apart).cause == "These two runs can't be compared: they differ in more than the model."


def test_requirements_are_said_with_their_direction() -> None:
    by_name = {decision.gate.name: requirement_text(decision) for decision in example_comparison().candidates[0].decisions}
    assert by_name["refusal_rate harmful t1.0"] == "difference at least +30.0 points"
    assert by_name["refusal_rate harmful greedy"] == "at least 75.0%"
    assert by_name["capability_acc arc_mini"] == "difference at least −5.0 points"
    assert by_name["kl_exact_seq harmful t1.0"] == "at most 2.00"
    assert by_name["adapter_applied"] == "yes"
