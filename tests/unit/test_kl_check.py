"""The check that k1 and the exact KL agree: by hand, on draws whose distribution is known, and where it is not made."""

import math
from dataclasses import replace

import numpy as np
import pytest
from fake_evaluations import run
from truenorth.evals.checks import check_estimators
from truenorth.evals.types import Generation, Record, Score
from truenorth.prompts.types import Message, Prompt


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return run(tmp_path_factory.mktemp("run"), "ppo")


def scored(prompt, sample, exact, k1, k3=0.0, decoding="t1.0"):
    key = f"{prompt}/{sample}/{decoding}"
    generation = Generation(key, "s", prompt, decoding, sample, "text", "stop")
    return Record("s", Prompt(prompt, (Message("user", "?"),), "comply"), generation, score=Score(key, 4, None, exact, k1, k3))


def check(measured, rows):
    return check_estimators(replace(measured, records=tuple(rows)))


def test_the_gap_and_what_chance_explains_are_those_worked_out_by_hand(measured):
    rows = [scored("a", 0, 1.0, 1.3), scored("a", 1, 1.0, 0.9), scored("b", 0, 2.0, 2.1), scored("c", 0, 3.0, 2.4)]
    made = check(measured, rows)
    # gaps .3 -.1 | .1 | -.6: mean -.075; sums of gap - mean by prompt .35, .175, -.525; se sqrt(3/2 * .42875) / 4
    assert made.value == pytest.approx(0.075)
    t = 19.206  # of two degrees of freedom, .0027 in both tails
    assert made.gate.threshold == pytest.approx(t * math.sqrt(1.5 * 0.42875) / 4, rel=1e-4)
    assert (made.outcome, made.n, made.gate.kind) == ("pass", 4, "check")
    assert made.reason == "k1 1.675, exact 1.75 nats a response on 4 draws"


def test_with_many_prompts_the_limit_is_three_standard_errors(measured):
    gaps = [(-1) ** i * 0.5 + 0.1 for i in range(2000)]
    made = check(measured, [scored(f"p{i}", 0, 1.0, 1.0 + gap) for i, gap in enumerate(gaps)])
    assert made.gate.threshold == pytest.approx(3 * np.std(gaps, ddof=1) / math.sqrt(2000), rel=0.003)
    assert made.outcome == "fail"


def test_samples_of_one_prompt_count_once(measured):
    rows = [scored(f"p{i}", sample, 1.0, 1.0 + (0.5 if i % 2 else -0.3)) for i in range(30) for sample in range(20)]
    assert check(measured, rows).outcome == "pass"
    assert check(measured, [scored(f"{row.prompt.id}-{row.generation.sample}", 0, 1.0, row.score.kl_k1) for row in rows]).outcome == "fail"


def test_greedy_responses_have_no_part_in_it(measured):
    rows = [scored(f"p{i}", 0, 1.0, 1.0) for i in range(9)]
    assert check(measured, [*rows, *(scored(f"p{i}", 0, 1.0, 5.0, decoding="greedy") for i in range(9))]).value == 0


def test_without_kl_of_draws_there_is_no_such_check_and_one_prompt_decides_nothing(measured):
    assert check(measured, [scored("p", 0, 1.0, 1.0, decoding="greedy")]) is None
    assert check(measured, [replace(scored("p", 0, 1.0, 1.0), score=None)]) is None
    assert check(measured, [scored("p", sample, 1.0, 1.0) for sample in range(9)]).outcome == "not_run"


def draws(policy, base, *, likeliest=None, n=6000, tokens=5):
    """Records of sequences whose tokens are independent draws of `policy`, or of it cut to its `likeliest` tokens."""
    ratio = np.log(policy) - np.log(base)
    drawn_from = policy if likeliest is None else np.where(policy >= np.sort(policy)[-likeliest], policy, 0)
    k1 = ratio[np.random.default_rng(0).choice(len(policy), (n, tokens), p=drawn_from / drawn_from.sum())]
    exact, sums = tokens * float(policy @ ratio), zip(k1.sum(1), (np.expm1(-k1) + k1).sum(1), strict=True)
    return [scored(f"p{i}", 0, exact, float(one), float(three)) for i, (one, three) in enumerate(sums)]


POLICY, BASE = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.2, 0.2, 0.2, 0.4])


def test_draws_of_the_policy_pass_and_draws_of_its_likeliest_tokens_fail(measured):
    assert check(measured, draws(POLICY, BASE)).outcome == "pass"
    assert check(measured, draws(POLICY, BASE, likeliest=3)).outcome == "fail"


def test_k3_could_not_be_held_to_the_same_rule(measured):
    """Half of the base's mass on a token that the policy all but dropped: sound draws, and a mean of k3 far off by its own error."""
    gone = 1e-7
    rows = draws(np.array([0.6 - gone, 0.4, gone]), np.array([0.2, 0.3, 0.5]))
    assert check(measured, rows).outcome == "pass"
    k3, exact = np.array([row.score.kl_k3 for row in rows]), rows[0].score.kl_exact
    assert abs(k3.mean() - exact) > 100 * k3.std(ddof=1) / math.sqrt(len(rows))


def test_a_policy_that_hardly_varies_passes(measured):
    """Every draw is the same: no standard error, and a gap by what was never drawn."""
    rare = 1e-6
    rows = draws(np.array([1 - rare, rare]), np.array([0.2, 0.8]))
    assert {row.score.kl_k1 for row in rows} == {rows[0].score.kl_k1}
    made = check(measured, rows)
    assert 0 < made.value < made.gate.threshold == pytest.approx(0.01 * rows[0].score.kl_exact)
