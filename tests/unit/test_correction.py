"""Corrections for the judge's error: hand-worked values, other derivations, and coverage by simulation."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from truenorth.evals.correction import corrected_difference, corrected_rate, with_corrections
from truenorth.evals.labelling import COLUMNS, Label, items_to_label, read_labels, write_labels
from truenorth.evals.statistics.interval import inverted_p
from truenorth.evals.statistics.ppi import draw_probabilities, prediction_powered
from truenorth.evals.statistics.rogan_gladen import rogan_gladen
from truenorth.evals.types import CandidateComparison, Comparison, Decoding, EvalRun, Generation, JudgeCard, Judgment, ModelCard, Record
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, Prompt


def test_rogan_gladen_equals_the_hand_worked_rate():
    found = rogan_gladen((30, 100), (80, 100), (90, 100))
    assert found.value == pytest.approx(0.2 / 0.7)
    assert found.low < found.value < found.high


def test_perfect_judge_on_many_labels_changes_nothing_but_keeps_wilsons_width():
    from truenorth.evals.statistics.wilson import wilson

    found, plain = rogan_gladen((30, 100), (10**6, 10**6), (10**6, 10**6)), wilson(30, 100)
    assert found == pytest.approx(plain, abs=0.02)


def test_fewer_labels_give_a_wider_interval():
    wide, narrow = rogan_gladen((30, 100), (8, 10), (9, 10)), rogan_gladen((30, 100), (800, 1000), (900, 1000))
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


@pytest.mark.parametrize("n", [100, 10**6])
def test_rogan_gladen_is_nested_so_that_a_p_value_means_something(n):
    """With a card on 20 labels Lang and Reiczigel's own limits close again beyond 99.9 %."""

    def interval(alpha):
        return rogan_gladen((0.9 * n, n), (9.5, 10), (9, 10), alpha)

    lows = [interval(alpha).low for alpha in (1e-9, 1e-6, 1e-3, 0.01, 0.05, 0.3)]
    assert lows == sorted(lows)
    assert interval(0.05).low < 0.85
    assert inverted_p(interval, 0.85) > 0.05


def test_judge_no_better_than_chance_corrects_nothing():
    with pytest.raises(ValueError, match="chance"):
        rogan_gladen((30, 100), (5, 10), (5, 10))


@pytest.mark.parametrize(("rate", "se", "sp"), [(0.3, 0.85, 0.95), (0.02, 0.9, 0.97), (0.9, 0.8, 0.9)])
def test_rogan_gladen_covers(rate, se, sp):
    rng = np.random.default_rng(0)
    hits, draws = 0, 1500
    for _ in range(draws):
        seen = rng.binomial(200, rate * se + (1 - rate) * (1 - sp))
        found, spared = rng.binomial(80, se), rng.binomial(80, sp)
        interval = rogan_gladen((seen, 200), (found, 80), (spared, 80))
        hits += interval.low <= rate <= interval.high
    assert 0.93 <= hits / draws <= 0.99  # conservative near 0, where the interval is cut


def test_ppi_equals_the_hand_worked_mean():
    found = prediction_powered([1, 0, 0, 1], [0, None, 1, None], [0.5, 0.5, 0.25, 0.5])
    assert found.value == pytest.approx((2 + (0 - 1) / 0.5 + (1 - 0) / 0.25) / 4)


def test_labelling_everything_gives_peoples_mean():
    human = [1.0, 0.0, -1.0, 1.0, 0.0, 0.0]
    assert prediction_powered([0.0] * 6, human, [1.0] * 6).value == pytest.approx(np.mean(human))


def test_ppi_without_enough_labels_has_no_interval():
    assert np.isnan(prediction_powered([1, 0, 1], [None, 1, None], [0.5] * 3).interval().low)


@pytest.mark.parametrize("shift", [0.0, -0.1])
def test_ppi_covers_where_the_judge_is_biased_on_one_model_only(shift):
    rng = np.random.default_rng(1)
    n, draws, hits, naive = 400, 300, 0, 0
    for _ in range(draws):
        base, tuned = rng.random(n) < 0.5, rng.random(n) < 0.5 + shift
        missed = rng.random(n) < 0.25  # the judge misses a quarter of the tuned model's refusals
        judged = (tuned & ~missed).astype(float) - base
        chance = np.array(draw_probabilities([4.0 if d else 1.0 for d in judged], 120))
        drawn = rng.random(n) < chance
        truth = tuned.astype(float) - base
        found = prediction_powered(judged, [t if d else None for t, d in zip(truth, drawn, strict=True)], chance).interval()
        hits += found.low <= shift <= found.high
        naive += abs(judged.mean() - shift) <= 1.96 * judged.std() / n**0.5
    assert 0.92 <= hits / draws <= 0.98
    assert naive / draws < 0.5


def test_probabilities_sum_to_the_budget_and_never_pass_one():
    found = draw_probabilities([4.0] * 3 + [1.0] * 10, 6)
    assert sum(found) == pytest.approx(6)
    assert max(found) == 1
    assert found[5] == pytest.approx(3 / 10)
    assert draw_probabilities([1.0, 2.0], 5) == [1.0, 1.0]


def run_of(label, outcomes):
    rows = []
    for number, outcome in enumerate(outcomes):
        prompt = Prompt(f"p{number}", (Message("user", f"question {number}"),), "comply")
        row = Generation(f"{label}{number}", "benign", prompt.id, "greedy", 0, "=answer", "stop")
        rows.append(Record("benign", prompt, row, Judgment(row.key, outcome, "j@1")))
    return EvalRun(ModelCard(label, label, "0"), {}, (Decoding("greedy", 0.0, 8),), "j@1", (), tuple(rows))


def labelled(path, items, base, tuned, answer):
    write_labels(path, items, base, tuned)
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["label"] = answer(row)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return rows


def test_labels_go_out_and_come_back(tmp_path):
    base, tuned = run_of("base", ["comply"] * 60), run_of("ppo", ["refuse"] * 20 + ["comply"] * 40)
    items = items_to_label(base, tuned, budget=40)
    changed = sum(int(item.item.split("/p")[1].split("#")[0]) < 20 for item in items)
    assert changed / 20 > (len(items) - changed) / 40
    path = tmp_path / "labels.csv"
    rows = labelled(path, items, base, tuned, lambda row: "comply")
    assert len(rows) == 2 * len(items)
    assert all(row["response"].startswith("'=") for row in rows)
    found = corrected_difference(base, tuned, "over_refusal_rate", read_labels(path)).delta
    assert found.value == pytest.approx(0.0)  # the judge says +33 points; people say that nothing was refused


def test_drawing_is_repeatable():
    base, tuned = run_of("base", ["comply"] * 60), run_of("ppo", ["refuse"] * 20 + ["comply"] * 40)
    draw = [items_to_label(base, tuned, budget=20, seed=seed) for seed in (1, 1, 2)]
    assert draw[0] == draw[1] != draw[2]


@pytest.mark.parametrize(
    ("field", "value"), [("label", ""), ("label", "maybe"), ("side", "left"), ("probability", "2"), ("probability", "x")]
)
def test_a_wrong_cell_is_named(tmp_path, field, value):
    base, tuned = run_of("base", ["comply"] * 4), run_of("ppo", ["refuse"] * 4)
    path = tmp_path / "labels.csv"
    rows = labelled(path, items_to_label(base, tuned, budget=4), base, tuned, lambda row: "comply")
    rows[1][field] = value
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=field):
        read_labels(path)


def test_half_a_labelled_item_is_refused(tmp_path):
    base, tuned = run_of("base", ["comply"] * 4), run_of("ppo", ["refuse"] * 4)
    path = tmp_path / "labels.csv"
    labelled(path, items_to_label(base, tuned, budget=4), base, tuned, lambda row: "comply")
    with pytest.raises(InputError, match="not labelled"):
        corrected_difference(base, tuned, "over_refusal_rate", read_labels(path)[1:])


def test_a_card_corrects_a_rate_and_a_useless_one_doesnt():
    card = JudgeCard("j@1", "human", 200, 0, 0.85, 0.7, 0.7, 0.8, 0.9, -0.05, 100)
    assert corrected_rate(0.3, 100, card).value == pytest.approx(0.2 / 0.7)
    assert corrected_rate(0.3, 100, JudgeCard("j@1", "human", 10, 0, None, None, None, None, None, None, 5)) is None


def test_labels_of_every_item_give_peoples_rates_and_difference(tmp_path):
    """Judged 0/6 and 3/6; people say 1/6 (a refusal that the judge missed) and 2/6 (one refusal that the judge made up)."""
    base, tuned = run_of("base", ["comply"] * 6), run_of("ppo", ["refuse"] * 3 + ["comply"] * 3)
    said = {("base", "p5"): "refuse", ("tuned", "p0"): "refuse", ("tuned", "p1"): "partial"}
    path = tmp_path / "labels.csv"
    items = items_to_label(base, tuned, budget=6)
    labelled(path, items, base, tuned, lambda row: said.get((row["side"], row["id"]), "comply"))
    found = corrected_difference(base, tuned, "over_refusal_rate", read_labels(path))
    assert [item.probability for item in items] == [1.0] * 6
    assert (found.base.value, found.tuned.value, found.delta.value) == pytest.approx((1 / 6, 2 / 6, 1 / 6))
    assert (found.tuned.estimator, found.delta.n) == ("ppi", 6)
    assert found.delta.ci_low < 1 / 6 < found.delta.ci_high


def test_a_sample_without_any_variation_gives_no_interval(tmp_path):
    base, tuned = run_of("base", ["comply"] * 20), run_of("ppo", ["comply"] * 20)
    path = tmp_path / "labels.csv"
    labelled(path, items_to_label(base, tuned, budget=10), base, tuned, lambda row: "comply")
    found = corrected_difference(base, tuned, "over_refusal_rate", read_labels(path))
    assert (found.delta.value, found.delta.ci_low, found.delta.ci_high, found.base.ci_low) == (0.0, None, None, None)


def test_a_sample_weighs_the_judges_errors_by_their_probability(tmp_path):
    """Judged difference 1/4; of the items drawn with 1/2 and 1/4, people contradict the judge on the second alone: 1/4 - (1/4)/(1/4)."""
    base, tuned = run_of("base", ["comply"] * 4), run_of("ppo", ["refuse", "comply", "comply", "comply"])
    path = tmp_path / "labels.csv"
    rows = [["side", "suite", "id", "sample", "decoding", "probability", "prompt", "response", "label"]]
    for prompt, chance, before, after in (("p0", 0.5, "comply", "refuse"), ("p1", 0.25, "refuse", "comply")):
        rows += [[side, "benign", prompt, 0, "greedy", chance, "", "", x] for side, x in (("base", before), ("tuned", after))]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    found = corrected_difference(base, tuned, "over_refusal_rate", read_labels(path))
    assert found.delta.value == pytest.approx((1 - 1 / 0.25) / 4)
    assert found.base.value == pytest.approx((1 / 0.25) / 4)
    assert found.tuned.value == pytest.approx(1 / 4)


def test_responses_that_a_second_judge_doubts_are_drawn_more_often():
    base, tuned = run_of("base", ["comply"] * 60), run_of("ppo", ["comply"] * 60)
    doubted = {f"ppo{number}" for number in range(20)}
    items = items_to_label(base, tuned, budget=30, doubted=doubted)
    chances = {int(item.item.split("/p")[1].split("#")[0]) < 20: item.probability for item in items}
    assert chances[True] == pytest.approx(4 * chances[False])


def test_a_comparison_gets_rates_corrected_by_its_cards_and_labels(tmp_path):
    card = JudgeCard("j@1", "human", 200, 0, 0.85, 0.7, 0.7, 0.8, 0.9, -0.05, 100)
    base, tuned = run_of("base", ["comply"] * 70 + ["refuse"] * 30), run_of("ppo", ["refuse"] * 50 + ["comply"] * 50)
    base, tuned = replace(base, judge_cards=(card,)), replace(tuned, judge_cards=(card,))
    comparison = Comparison(base, (CandidateComparison(tuned, (), (), "none"),), "none")
    (by_card,) = with_corrections(comparison).candidates[0].corrected
    assert (by_card.base.value, by_card.tuned.value) == pytest.approx((0.2 / 0.7, 0.4 / 0.7))
    assert (by_card.tuned.estimator, by_card.delta) == ("rogan_gladen", None)
    path = tmp_path / "labels.csv"
    labelled(path, items_to_label(base, tuned, budget=50), base, tuned, lambda row: "comply")
    rows = with_corrections(comparison, read_labels(path)).candidates[0].corrected
    assert [row.tuned.estimator for row in rows] == ["rogan_gladen", "ppi"]


def test_rates_and_differences_stay_in_the_range_that_they_can_have(tmp_path):
    """Judged 1 of 4 refused by each; people call one answer of the tuned model, drawn with 1/10, a refusal: 1/4 + 10/4 is cut to 1."""
    base, tuned = run_of("base", ["refuse"] + ["comply"] * 3), run_of("ppo", ["refuse"] + ["comply"] * 3)
    labels = [
        Label(side, f"benign/p{number}#0", "greedy", 0.1, outcome)
        for side, said in (("base", ("comply", "comply")), ("tuned", ("refuse", "comply")))
        for number, outcome in zip((1, 2), said, strict=True)
    ]
    found = corrected_difference(base, tuned, "over_refusal_rate", labels)
    assert (found.tuned.value, found.tuned.ci_low, found.tuned.ci_high) == (1.0, 0.0, 1.0)
    assert (found.delta.value, found.delta.ci_low, found.delta.ci_high) == (1.0, -1.0, 1.0)
    back = [label._replace(side={"base": "tuned", "tuned": "base"}[label.side]) for label in labels]
    assert corrected_difference(base, tuned, "over_refusal_rate", back).delta.value == -1.0


def test_labels_of_other_runs_are_refused(tmp_path):
    base, tuned = run_of("base", ["comply"] * 4), run_of("ppo", ["refuse"] * 4)
    path = tmp_path / "labels.csv"
    labelled(path, items_to_label(base, tuned, budget=4), base, tuned, lambda row: "comply")
    with pytest.raises(InputError, match="not in these runs"):
        corrected_difference(run_of("a", ["comply"] * 2), run_of("b", ["comply"] * 2), "over_refusal_rate", read_labels(path))


def test_ids_that_a_spreadsheet_would_run_come_back(tmp_path):
    base, tuned = run_of("base", ["comply"] * 2), run_of("ppo", ["refuse"] * 2)
    firsts = [(run, run.records[0]) for run in (base, tuned)]
    named = [replace(run, records=(replace(row, prompt=replace(row.prompt, id="=1+1")),)) for run, row in firsts]
    path = tmp_path / "labels.csv"
    rows = labelled(path, items_to_label(*named, budget=1), *named, lambda row: "comply")
    assert {row["id"] for row in rows} == {"'=1+1"}
    assert corrected_difference(*named, "over_refusal_rate", read_labels(path)).delta.value == 0.0
