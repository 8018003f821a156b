"""Win rate, flips, forward KL and a comparing judge: numbers that need base and tuned together."""

from dataclasses import replace

import pytest
from truenorth.evals import DecodingConfig, EvalConfig, FakeModel, GateConfig, compare, evaluate, make_gates
from truenorth.evals.movement import most_moved_prompts, most_moved_tokens
from truenorth.evals.preference import Preference, compare_both_orders
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, Prompt, PromptSuite

NO, YES = "I can't help with that.", "Sure. First you take it and then you do it."
PROMPTS = tuple(
    Prompt(f"p{i:02d}", (Message("user", f"Please do {i}."),), "refuse" if i % 2 else "comply", category=f"kind-{i % 3}") for i in range(24)
)
SUITE = PromptSuite("s", "1", PROMPTS, "0" * 64)
CONFIG = EvalConfig(decodings=(DecodingConfig(temperature=1.0), DecodingConfig(temperature=0.0)))


class LikesRefusals:
    """A reward model apart: refusals are worth 1."""

    name, sha256 = "independent", "1" * 64

    def rewards(self, items):
        return [float(text == NO) for _, text in items]


class Chooser:
    """A comparing judge by a rule of (first, second)."""

    name, revision = "rule", "1"

    def __init__(self, rule):
        self.rule, self.asked = rule, []

    def choose(self, prompt, first, second):
        self.asked.append((first, second))
        return self.rule(first, second)


def prefers_refusals(first, second):
    return "tie" if first == second else "first" if first == NO else "second"


def model(says):
    return FakeModel(says, kl=lambda _, text: 2.0 if text == NO else 0.5)


def tuned_refuses(prompt, adapter, sample):
    return NO if adapter and prompt.expected == "refuse" else YES


@pytest.fixture
def runs(tmp_path):
    return measure(tmp_path, model(tuned_refuses), independent=LikesRefusals())


def measure(out, using, **scorers):
    shared = {"out": out, "config": CONFIG, "suites": [SUITE]}
    base = evaluate(using, label="base", **shared, **scorers)
    return base, evaluate(using, label="ppo", adapter="ppo", baseline=out / "eval/base", **shared, **scorers)


def paired(base, tuned):
    return {(row.metric, row.subset, row.decoding): row for row in compare(base, [tuned]).candidates[0].paired}


def test_independent_reward_model_decides_who_wins(runs):
    found = paired(*runs)["win_rate", "", "t1.0"]
    assert (found.value, found.n, found.estimator) == (0.75, 24, "wilson")  # 12 wins, 12 ties
    assert runs[1].settings["independent_reward_model"] == "1" * 64


def test_flips_count_changed_verdicts_by_category(runs):
    found = paired(*runs)
    assert found["flip_rate", "", "greedy"].value == 0.5
    assert {subset for metric, subset, _ in found if metric == "flip_rate"} == {"", "kind-0", "kind-1", "kind-2"}


def test_a_model_against_itself_wins_half_and_never_flips(tmp_path):
    base, tuned = measure(tmp_path, model(lambda *_: YES), independent=LikesRefusals())
    found = paired(base, tuned)
    assert (found["win_rate", "", "greedy"].value, found["flip_rate", "", "greedy"].value) == (0.5, 0.0)


def test_a_response_without_a_verdict_is_no_flip(tmp_path):
    base, tuned = measure(tmp_path, model(lambda prompt, adapter, _: "" if prompt.id == "p00" else tuned_refuses(prompt, adapter, 0)))
    found = paired(base, tuned)["flip_rate", "", "greedy"]
    assert (found.n, found.n_invalid) == (23, 1)
    assert ("win_rate", "", "greedy") not in paired(base, tuned)


def test_gates_read_numbers_of_two_runs(runs):
    base, tuned = runs
    gates = make_gates([GateConfig(metric="win_rate", decoding="t1.0", min=0.5), GateConfig(metric="flip_rate", decoding="t1.0", max=0.1)])
    decided = {one.gate.metric: one.outcome for one in compare(base, [tuned], gates).candidates[0].decisions}
    assert (decided["win_rate"], decided["flip_rate"]) == ("pass", "fail")
    alone = compare(None, [tuned], gates).candidates[0].decisions
    assert [(one.outcome, one.reason) for one in alone[:2]] == [("not_run", "needs a baseline")] * 2


def test_a_difference_of_a_comparison_is_refused():
    with pytest.raises(InputError, match="no difference to the baseline"):
        make_gates([GateConfig(metric="win_rate", min_delta=0.1)])


def test_comparing_judge_is_asked_in_both_orders_and_never_about_equal_responses(tmp_path):
    judge = Chooser(prefers_refusals)
    base, tuned = measure(tmp_path, model(tuned_refuses), comparer=judge)
    found = paired(base, tuned)
    assert found["win_rate", "", "t1.0"].value == 0.75
    assert found["position_consistency", "", "t1.0"].value == 1.0
    assert sorted(set(judge.asked)) == sorted({(YES, NO), (NO, YES)})


def test_a_judge_that_likes_the_first_place_sees_only_ties(tmp_path):
    base, tuned = measure(tmp_path, model(tuned_refuses), comparer=Chooser(lambda *_: "first"))
    found = paired(base, tuned)
    assert found["win_rate", "", "t1.0"].value == 0.5
    assert found["position_consistency", "", "t1.0"].value == 0.5  # equal responses are consistent unasked


@pytest.mark.parametrize(
    ("answers", "preference"),
    [
        (("second", "first"), Preference(1.0, True)),
        (("first", "second"), Preference(0.0, True)),
        (("second", "second"), Preference(0.5, False)),
        (("tie", "first"), Preference(0.5, False)),
        (("tie", "tie"), Preference(0.5, True)),
        (("second", None), Preference(None, None)),
    ],
)
def test_only_a_preference_that_survives_the_exchange_counts(answers, preference):
    given = iter(answers)
    assert compare_both_orders(Chooser(lambda *_: next(given)), PROMPTS[0], "a", "b") == preference


def test_forward_kl_is_measured_on_the_bases_draws_alone(runs):
    base, tuned = runs
    by_decoding = {row.generation.decoding: row.score.kl_forward for row in tuned.records}
    assert by_decoding == {"t1.0": 0.5, "greedy": None}  # the base says YES everywhere: 0.5 nats in the fake model
    assert all(row.score.kl_forward is None for row in base.records)


def test_forward_kl_needs_the_base_that_the_adapter_sits_on(tmp_path):
    other, own = FakeModel(tuned_refuses, name="other"), model(tuned_refuses)
    shared = {"out": tmp_path, "config": CONFIG, "suites": [SUITE]}
    evaluate(other, label="base", **shared)
    tuned = evaluate(own, label="ppo", adapter="ppo", baseline=tmp_path / "eval/base", **shared)
    assert all(row.score.kl_forward is None for row in tuned.records)


def test_scores_against_another_baseline_are_not_reused(tmp_path):
    measure(tmp_path, model(tuned_refuses), comparer=Chooser(prefers_refusals))
    shared = {"out": tmp_path, "config": CONFIG, "suites": [SUITE], "baseline": tmp_path / "eval/base"}
    with pytest.raises(InputError, match="come from another model"):
        evaluate(model(tuned_refuses), label="ppo", adapter="ppo", **shared)


def test_most_moved_prompts_and_tokens_come_first(runs):
    tuned = runs[1]
    assert {row.generation.response for row in most_moved_prompts(tuned, 12, decoding="greedy")} == {NO}
    moved = [(("no", 2.0), ("help", 1.0)), (("no", 0.5),)]
    records = tuple(replace(row, score=replace(row.score, moved=m)) for row, m in zip(tuned.records, moved, strict=False))
    tokens = most_moved_tokens(replace(tuned, records=records))
    assert [(token.text, token.nats, token.places) for token in tokens] == [("no", 2.5, 2), ("help", 1.0, 1)]
