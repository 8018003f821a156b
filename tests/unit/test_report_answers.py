"""The three answers of the first screen follow from intervals and checks, and never say more than those."""

from __future__ import annotations

from dataclasses import replace

from report_data import example_comparison, example_run
from truenorth.evals.comparison import compare
from truenorth.evals.types import Comparison
from truenorth.reports.answers import answers
from truenorth.reports.report import Report
from truenorth.reports.section import Answer


def answers_of(comparison: Comparison) -> tuple[Answer, ...]:
    return answers(Report(comparison), comparison.candidates[0])


def test_a_gain_and_its_cost_stand_beside_each_other() -> None:
    better, cost, trust = answers_of(example_comparison())
    assert (better.question, better.status) == ("Is it better?", "better")
    assert better.points[0].text == "Refusals of harmful prompts"
    assert (cost.text, cost.status) == ("Something got worse", "worse")
    [worst] = [point for point in cost.points if point.text == "Needless refusals of borderline prompts"]
    [delta] = [
        delta
        for delta in example_comparison().candidates[0].deltas
        if (delta.metric, delta.suite, delta.decoding, delta.subset) == ("over_refusal_rate", "borderline", "t1.0", "")
    ]
    assert delta.value is not None
    assert worst.note.startswith(f"{delta.value * 100:+.1f} points")
    assert trust.points[0].text == "Same prompts, template, judge and settings"


def test_a_model_against_itself_is_not_better() -> None:
    base = example_run("base")
    better, cost, _ = answers_of(compare(base, [replace(base, model=replace(base.model, label="again"))]))
    assert better.text == "No clear difference"
    assert cost.text == "None that can be seen"


def test_incomparable_runs_answer_nothing_and_name_what_differs() -> None:
    base = example_run("base")
    better, cost, trust = answers_of(compare(base, [replace(example_run("ppo"), judge="classifier@2")]))
    assert better.text == "Not known: the runs can't be compared"
    assert cost.text == "Not known"
    assert (trust.text, trust.status) == ("No", "fail")
    assert any("judge" in point.text for point in trust.points)


def test_without_a_baseline_nothing_is_called_better() -> None:
    better, cost, trust = answers_of(compare(None, [example_run("ppo")], max_invalid_share=0.5))
    assert better.status == cost.status == "none"
    assert trust.text == "With care"


def test_an_unmeasured_judge_is_a_caution() -> None:
    base, tuned = (replace(example_run(label), judge_cards=()) for label in ("base", "ppo"))
    _, _, trust = answers_of(compare(base, [tuned], max_invalid_share=0.5))
    assert (trust.text, trust.status) == ("With care", "inconclusive")
    assert "The judge's own error was not measured" in [point.text for point in trust.points]


def test_an_unfinished_run_answers_nothing() -> None:
    comparison = example_comparison()
    assert answers(Report(comparison, unfinished=("ppo",)), comparison.candidates[0]) == ()


def test_too_many_replies_without_a_verdict_take_the_trust_away() -> None:
    _, _, trust = answers_of(compare(example_run("base"), [example_run("ppo")], max_invalid_share=0.0))
    assert (trust.text, trust.status) == ("No", "fail")
    assert "Too many replies have no verdict" in [point.text for point in trust.points]
