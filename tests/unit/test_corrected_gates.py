"""Gates on rates as people would judge them: the judge's error decides with the data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_evaluations import run
from pydantic import ValidationError
from scipy import stats
from truenorth.evals.comparison import compare
from truenorth.evals.config import EvalConfig, GateConfig
from truenorth.evals.gates import decide, make_gates
from truenorth.evals.labelling import Label
from truenorth.evals.recorded import evaluate_recording
from truenorth.evals.statistics.rogan_gladen import rogan_gladen
from truenorth.evals.types import Decoding, EvalRun, Generation, JudgeCard, Judgment, ModelCard, Record
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, Prompt

XSTEST = Path(__file__).resolve().parents[3] / "shared" / "data" / "xstest" / "model_completions"


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """36 of 40 harmful requests refused, by the judge."""
    return run(tmp_path_factory.mktemp("run"), "ppo")


def carded(judged, sensitivity, specificity, n=400, reference="human"):
    card = JudgeCard(judged.judge, reference, n, 0, 0.9, 0.8, 0.8, sensitivity, specificity, 0.0, n_refusals=n // 2)
    return replace(judged, judge_cards=(card,))


def gate(**limit):
    return GateConfig(metric="refusal_rate", suite="harmful", corrected=True, **limit)


def test_a_judge_that_sees_refusals_everywhere_takes_a_pass_away(judged):
    plain = GateConfig(metric="refusal_rate", suite="harmful", min=0.7)
    lenient = carded(judged, 0.99, 0.6)
    seen, corrected = decide(make_gates([plain, gate(min=0.7)]), lenient)
    assert (seen.outcome, corrected.outcome) == ("pass", "inconclusive")
    assert corrected.value == pytest.approx((0.9 + 0.6 - 1) / (0.99 + 0.6 - 1))


def test_interval_is_rogan_and_gladens_with_the_cards_counts(judged):
    [found] = decide(make_gates([gate(min=0.5)]), carded(judged, 0.9, 0.95))
    expected = rogan_gladen((0.9 * 39, 39), (180, 200), (190, 200))  # 40 clusters say as much as 39 items with the variance known
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx(tuple(expected))
    assert (found.gate.name, found.n) == ("corrected refusal_rate harmful", 40)


def test_a_card_from_fewer_labels_widens_the_interval(judged):
    wide, narrow = (decide(make_gates([gate(min=0.5)]), carded(judged, 0.9, 0.95, n=n))[0] for n in (20, 2000))
    assert wide.ci_high - wide.ci_low > narrow.ci_high - narrow.ci_low


def test_what_cannot_be_corrected_is_not_run(judged):
    assert decide(make_gates([gate(min=0.5)]), judged)[0].outcome == "not_run"
    [unknown] = decide(make_gates([gate(min=0.5)]), carded(judged, 0.9, 0.9, reference="grammar"))
    assert "nothing is known of the error" in unknown.reason
    [chance] = decide(make_gates([gate(min=0.5)]), carded(judged, 0.5, 0.5))
    assert "no better than chance" in chance.reason
    strict = GateConfig(metric="refusal_rate_strict", suite="harmful", min=0.5, corrected=True)
    assert "no rate of any refusal" in decide(make_gates([strict]), carded(judged, 0.9, 0.9))[0].reason


def test_a_check_is_not_corrected():
    with pytest.raises(ValidationError, match="only a gate can be corrected"):
        gate(min=0.5, kind="check")


def test_what_people_do_not_label_is_not_corrected():
    with pytest.raises(InputError, match="no rate of refusals"):
        make_gates([GateConfig(metric="kl_exact_seq", max=0.5, corrected=True)])


def test_a_card_of_another_judge_corrects_nothing_and_a_given_one_comes_first(judged):
    own, given = carded(judged, 0.9, 0.95), carded(judged, 0.99, 0.6).judge_cards[0]
    [by_given] = decide(make_gates([gate(min=0.5)]), own, judge_card=given)
    assert by_given.value == pytest.approx((0.9 + 0.6 - 1) / (0.99 + 0.6 - 1))
    [by_own] = decide(make_gates([gate(min=0.5)]), own, judge_card=replace(given, judge="another@1"))
    assert by_own.value == pytest.approx((0.9 + 0.95 - 1) / (0.9 + 0.95 - 1))


# -- differences, by people's labels


def side(name, outcomes):
    """A run whose responses to benign requests were judged so."""
    rows = []
    for number, outcome in enumerate(outcomes):
        prompt = Prompt(f"p{number}", (Message("user", f"question {number}"),), "comply")
        row = Generation(f"{name}{number}", "benign", prompt.id, "greedy", 0, "text", "stop")
        rows.append(Record("benign", prompt, row, Judgment(row.key, outcome, "j@1")))
    return EvalRun(ModelCard(name, name, "0"), {"benign": "0"}, (Decoding("greedy", 0.0, 8),), "j@1", (), tuple(rows))


def people(base, tuned, chance=1.0, every=1):
    """Labels of every so many items: what people say of both models' responses."""
    return [
        Label(name, f"benign/p{number}#0", "greedy", chance, outcome)
        for name, outcomes in (("base", base), ("tuned", tuned))
        for number, outcome in enumerate(outcomes)
        if number % every == 0
    ]


def change(**limit):
    return GateConfig(metric="over_refusal_rate", suite="benign", corrected=True, **limit)


N = 200
BASE = side("base", ["comply"] * N)
TUNED = side("tuned", ["refuse" if i % 5 == 0 else "comply" for i in range(N)])
"""The judge sees 20 % of the requests newly refused."""
INVENTED = people(["comply"] * N, ["refuse" if i % 50 == 0 else "comply" for i in range(N)])
"""People see 2 %."""


def test_labels_decide_a_difference_that_the_judge_invented():
    plain = GateConfig(metric="over_refusal_rate", suite="benign", max_delta=0.06)
    seen, corrected = decide(make_gates([plain, change(max_delta=0.06)]), TUNED, BASE, labels=INVENTED)
    assert (seen.outcome, seen.value, seen.estimator) == ("fail", pytest.approx(0.2), "tango")
    assert (corrected.outcome, corrected.value, corrected.estimator) == ("pass", pytest.approx(0.02), "ppi")
    assert corrected.reason == "corrected by people's labels of 200 of 200 items"


def test_labels_fail_a_difference_that_the_judge_missed():
    missed = people(["comply"] * N, ["refuse" if i % 4 == 0 else "comply" for i in range(N)])
    plain = GateConfig(metric="over_refusal_rate", suite="benign", max_delta=0.05)
    seen, corrected = decide(make_gates([plain, change(max_delta=0.05)]), side("tuned", ["comply"] * N), BASE, labels=missed)
    assert (seen.outcome, corrected.outcome) == ("pass", "fail")
    assert corrected.value == pytest.approx(0.25)
    t = (0.25 - 0.05) / (np.std([1] * 50 + [0] * 150, ddof=1) / N**0.5)
    assert corrected.p_adjusted == pytest.approx(2 * 2 * stats.t.sf(t, N - 1), rel=1e-3)  # Holm over the two gates


def test_a_sample_decides_by_its_interval_with_the_draws_probability():
    """Every fourth item labelled, drawn with 1/4: judged change plus four times what people changed."""
    labels = people(["comply"] * N, ["refuse" if i % 50 == 0 else "comply" for i in range(N)], chance=0.25, every=4)
    [found] = decide(make_gates([change(max_delta=0.06)]), TUNED, BASE, labels=labels)
    errors = [4 * ((i % 50 == 0) - (i % 5 == 0)) if i % 4 == 0 else 0 for i in range(N)]
    values = [(i % 5 == 0) + error for i, error in enumerate(errors)]
    half = stats.t.ppf(0.975, 50 - 1) * np.std(values, ddof=1) / N**0.5
    assert (found.value, found.ci_low, found.ci_high) == pytest.approx((np.mean(values), np.mean(values) - half, np.mean(values) + half))
    assert (found.outcome, found.reason) == (
        "inconclusive",
        "corrected by people's labels of 50 of 200 items; the interval holds the limit",
    )
    assert found.n_to_decide > N


def test_a_corrected_difference_without_labels_is_never_a_pass():
    comparison = compare(BASE, [TUNED], make_gates([change(max_delta=0.06)]))
    [found] = [one for one in comparison.candidates[0].decisions if one.gate.kind == "gate"]
    assert (found.outcome, found.value, comparison.verdict) == ("not_run", None, "inconclusive")
    assert "truenorth compare BASE CANDIDATE --labels labels.csv" in found.reason


def test_labels_of_other_responses_are_refused():
    strangers = [label._replace(decoding="t1.0") for label in INVENTED]
    with pytest.raises(InputError, match="not in these runs"):
        decide(make_gates([change(max_delta=0.06)]), TUNED, BASE, labels=strangers)
    with pytest.raises(InputError, match="a baseline and one candidate"):
        compare(BASE, [TUNED, TUNED], make_gates([change(max_delta=0.06)]), labels=INVENTED)


def test_a_suite_of_which_nothing_was_labelled_is_not_run():
    def both(run):
        more = tuple(replace(row, suite="other", generation=replace(row.generation, suite="other")) for row in run.records)
        return replace(run, records=run.records + more, suites={"benign": "0", "other": "1"})

    other = change(max_delta=0.06).model_copy(update={"suite": "other"})
    [found] = decide(make_gates([other]), both(TUNED), both(BASE), labels=INVENTED)
    assert (found.outcome, found.reason) == ("not_run", "none of its items is labelled")


def test_labels_without_any_variation_decide_nothing():
    same = side("tuned", ["comply"] * N)
    [found] = decide(make_gates([change(max_delta=0.06)]), same, BASE, labels=people(["comply"] * N, ["comply"] * N))
    assert (found.outcome, found.value, found.ci_low, found.p_adjusted) == ("inconclusive", 0.0, None, None)
    assert "no variation was seen" in found.reason


def test_labels_decide_a_corrected_rate_too_before_any_card():
    card = JudgeCard("j@1", "human", 400, 0, 0.9, 0.8, 0.8, 0.5, 0.9, 0.0, n_refusals=200)
    [found] = decide(make_gates([change(max=0.06)]), replace(TUNED, judge_cards=(card,)), BASE, labels=INVENTED)
    assert (found.estimator, found.value, found.outcome) == ("ppi", pytest.approx(0.02), "pass")


def test_the_verdict_of_a_comparison_is_the_corrected_gates():
    gates = make_gates([change(max_delta=0.06)])
    comparison = compare(BASE, [TUNED], gates, labels=INVENTED)
    assert comparison.verdict == "pass"
    judged = next(row for row in comparison.candidates[0].deltas if row.metric == "over_refusal_rate" and not row.subset)
    assert judged.p_adjusted is None  # nothing was decided on it


@pytest.mark.shared
@pytest.mark.skipif(not XSTEST.is_dir(), reason="the public data sets are not beside the repository")
def test_keyword_judge_fails_a_guarded_model_that_people_do_not_fail(tmp_path):
    """XSTest, GPT-4 against the guarded Mistral: -12.5 points by the keyword judge, -3.0 by people, whose labels of all items say so."""
    files = {name: XSTEST / f"xstest_v2_completions_{name}.csv" for name in ("gpt4", "mistralguard")}
    config = EvalConfig(judge="keyword")
    base, tuned = (evaluate_recording(str(file), label=name, out=tmp_path, config=config) for name, file in files.items())
    labels = [
        Label(side, f"{row.suite}/{row.prompt.id}#{row.generation.sample}", row.generation.decoding, 1.0, row.prompt.label)
        for side, run in (("base", base), ("tuned", tuned))
        for row in run.records
        if row.prompt.label and row.judgment.outcome != "invalid"
    ]
    plain = GateConfig(metric="refusal_rate", min_delta=-0.05)
    seen, corrected = decide(make_gates([plain, plain.model_copy(update={"corrected": True})]), tuned, base, labels=labels)
    assert (seen.outcome, seen.value) == ("fail", pytest.approx(-0.125))
    assert (corrected.outcome, corrected.value) == ("inconclusive", pytest.approx(-0.03))
