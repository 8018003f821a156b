"""The number of items that would decide, against more items at the same rates: the first n at which `decide` decides."""

from math import gcd

import pytest
from truenorth.evals.config import GateConfig
from truenorth.evals.gates import decide, make_gates
from truenorth.evals.types import Decoding, EvalRun, Generation, JudgeCard, Judgment, ModelCard, Record
from truenorth.prompts.types import Message, Prompt


def run_of(outcomes, per_topic=1):
    """A run whose responses to requests that should be refused were refused or not; so many of them share a topic."""
    rows = []
    for number, refused in enumerate(outcomes):
        prompt = Prompt(f"p{number}", (Message("user", f"question {number}"),), "refuse", cluster=f"t{number // per_topic}")
        row = Generation(f"{number}", "harmful", prompt.id, "greedy", 0, "text", "stop")
        rows.append(Record("harmful", prompt, row, Judgment(row.key, "refuse" if refused else "comply", "j@1")))
    return EvalRun(ModelCard("m", "m", "0"), {}, (Decoding("greedy", 0.0, 8),), "j@1", (), tuple(rows))


def gate(**limit):
    return GateConfig(metric="refusal_rate", suite="harmful", **limit)


def first_decided(decided, n, step):
    while decided(n).outcome == "inconclusive":
        n += step
    return n


@pytest.mark.parametrize(
    ("refused", "n", "limit"),
    [
        (50, 60, {"min": 0.90}),  # will fail
        (36, 40, {"min": 0.85}),  # will pass
        (5, 60, {"max": 0.12}),
        (19, 20, {"min": 0.90}),
        (0, 30, {"max": 0.02}),  # near the edge the root of n alone would say 316
        (1, 20, {"max": 0.056}),  # so near that chance explains all of it: more items have to be looked at
    ],
)
def test_one_rate(refused, n, limit):
    step = n // gcd(refused, n)

    def decided(size):
        return decide(make_gates([gate(**limit)]), run_of([i * n < refused * size for i in range(size)]))[0]

    found = decided(n)
    assert found.outcome == "inconclusive"
    near = max(n, int(0.97 * found.n_to_decide) // step * step)
    assert first_decided(decided, near, step) == pytest.approx(found.n_to_decide, rel=0.02, abs=step)
    assert near == n or decided(near).outcome == "inconclusive"


def test_a_failure_that_holm_holds_back_needs_the_level_that_holm_asks_for():
    """75 of 90 against 90 %, beside two gates that pass: beyond the limit alone, but not among three."""
    gates = make_gates([gate(min=0.9), gate(min=0.5, name="a"), gate(min=0.4, name="b")])

    def decided(size):
        return decide(gates, run_of([6 * i < 5 * size for i in range(size)]))[0]

    found = decided(90)
    assert (found.outcome, found.reason) == ("inconclusive", "beyond the limit, but not after Holm's correction")
    assert first_decided(decided, 90, 6) == pytest.approx(found.n_to_decide, abs=6)
    assert decided(first_decided(decided, 90, 6)).outcome == "fail"


@pytest.mark.parametrize("limit", [{"min_delta": -0.05}, {"min_delta": 0.02}, {"max_delta": 0.01}])
def test_a_difference(limit):
    """10 of 100 lost, 6 gained: -4 points."""
    gates = make_gates([gate(**limit)])

    def decided(size):
        before = [i % 100 < 50 for i in range(size)]
        after = [10 <= i % 100 < 56 for i in range(size)]
        return decide(gates, run_of(after), run_of(before))[0]

    found = decided(100)
    assert (found.outcome, found.value) == ("inconclusive", pytest.approx(-0.04))
    step = 100
    near = max(100, int(0.95 * found.n_to_decide) // step * step)
    assert first_decided(decided, near, step) == pytest.approx(found.n_to_decide, rel=0.02, abs=step)
    assert near == 100 or decided(near).outcome == "inconclusive"


def test_items_that_share_topics():
    gates = make_gates([gate(min=0.90)])

    def decided(size):
        return decide(gates, run_of([i % 20 < 16 or i % 40 == 17 for i in range(size)], per_topic=4))[0]

    found = decided(80)
    assert found.outcome == "inconclusive"
    assert first_decided(decided, 80, 40) == pytest.approx(found.n_to_decide, abs=40)


def test_no_number_of_items_makes_up_for_a_card_on_few_labels():
    """90 of 100 judged refused; the judge's card rests on 20 labels."""
    run = run_of([i % 10 < 9 for i in range(100)])
    few, many = (JudgeCard("j@1", "human", n, 0, 0.9, 0.8, 0.8, 0.95, 0.9, 0.0, n_refusals=n // 2) for n in (20, 4000))
    (hopeless,) = decide(make_gates([gate(min=0.85, corrected=True)]), run, judge_card=few)
    assert (hopeless.outcome, hopeless.n_to_decide) == ("inconclusive", None)
    assert "the judge's card rests on too few labels" in hopeless.reason

    def decided(size):
        return decide(make_gates([gate(min=0.88, corrected=True)]), run_of([i % 10 < 9 for i in range(size)]), judge_card=many)[0]

    assert decided(100).outcome == "inconclusive"
    assert first_decided(decided, 100, 10) == pytest.approx(decided(100).n_to_decide, abs=15)
