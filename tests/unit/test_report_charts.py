"""Refusal plane, reward against distance, the reward model's card: what is drawn is what was measured."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest
from report_data import example_comparison, example_curves, example_manifest, example_run
from truenorth.evals.comparison import compare
from truenorth.evals.slices import measure
from truenorth.evals.statistics.wilson import wilson
from truenorth.evals.types import MetricResult, PairScore
from truenorth.prompts.types import QuarantinedRow
from truenorth.reports.events import chosen_step, events
from truenorth.reports.report import Report
from truenorth.reports.section import Figure, Figures, Section, Table
from truenorth.reports.sections import capability, curves, plane, reward_model
from truenorth.reports.sections.reward_model import better_rule, length_accuracy, margin_bars, reliability
from truenorth.reports.words import value_text


def report_of(**changes: Any) -> Report:
    return replace(Report(example_comparison(), example_manifest(), "example", example_curves()), **changes)


def figures_of(section: Section | None) -> list[Figure]:
    assert section is not None
    return [figure for block in section.blocks if isinstance(block, Figures) for figure in block.figures]


def pair(margin: float, number: int = 0, words: tuple[int | None, int | None] = (None, None), subset: str = "") -> PairScore:
    return PairScore("s", f"p{number}", margin, 0.0, subset, "", *words)


def test_a_plane_shows_both_rates_of_both_models() -> None:
    report = report_of()
    rates = {
        (run.model.label, row.metric, row.suite): f"{100 * row.value:.1f}%"
        for run in report.runs
        for row in run.metrics
        if row.value is not None and row.decoding == "t1.0" and not row.subset
    }
    figure = next(item for item in figures_of(plane.section(report)) if (item.title, item.note) == ("harmful, borderline", "t1.0"))
    for label in ("base", "ppo"):
        over, harmful = rates[label, "over_refusal_rate", "borderline"], rates[label, "harmful_compliance_rate", "harmful"]
        assert f"{label}: over-refusal {over}, harmful compliance {harmful}" in figure.drawing
    assert figure.drawing.count('<polygon class="arrow') == 1


def test_a_plane_needs_both_rates_and_comparable_runs() -> None:
    alone = replace(example_run("ppo"), metrics=tuple(row for row in example_run("ppo").metrics if row.metric != "over_refusal_rate"))
    assert plane.section(Report(compare(None, [alone], ()))) is None
    other = replace(example_run("ppo"), judge="human@1")
    assert plane.section(Report(compare(example_run("base"), [other], ()))) is None


def test_without_a_baseline_a_plane_has_no_arrow() -> None:
    figure = figures_of(plane.section(Report(compare(None, [example_run("ppo")], ()))))[0]
    assert "polygon" not in figure.drawing
    assert "ppo: over-refusal" in figure.drawing


def test_the_kept_step_is_the_best_of_validation_or_the_last() -> None:
    rows = [{"step": float(step), "validation/score": score} for step, score in ((1, ""), (2, 0.5), (3, 0.9), (4, 0.9), (5, 0.1))]
    assert chosen_step(rows, {"config": {"ppo": {"select": "best_validation"}}}) == 3
    assert chosen_step(rows, {"config": {"ppo": {"select": "last"}}}) == 5
    assert chosen_step(rows, {}) is None
    assert chosen_step([], {"config": {"ppo": {}}}) is None


def test_a_validation_beyond_the_kl_budget_is_not_kept() -> None:
    rows = [{"step": float(step), "validation/score": float(step), "objective/kl": float(step)} for step in range(1, 6)]
    settings = {"select": "best_validation", "kl_budget": 3}
    assert chosen_step(rows, {"config": {"ppo": settings}}) == 3


def test_single_steps_are_named_with_their_reason_and_warnings_in_a_row_are_one() -> None:
    rows: list[dict[str, float | str]] = [{"step": float(step), "warning": "", "brake": ""} for step in range(1, 8)]
    for step in (2, 3, 4, 6):
        rows[step - 1]["warning"] = "ratio;soft_kl" if step < 6 else "ratio"
    rows[4]["validation/score"], rows[6]["brake"] = 1.0, "stop_kl"
    found = events(rows, {"config": {"ppo": {"save_every": 4, "steps": 20, "select": "best_validation"}}})
    assert [(event.first, event.last, event.mark.css) for event in found] == [
        (2, 4, "warning"), (4, 4, "saved"), (5, 5, "saved"), (5, 5, "chosen"), (6, 6, "warning"), (7, 7, "brake"), (7, 7, "saved"),
    ]  # fmt: skip
    assert [event.why for event in found if event.mark.css == "saved"] == ["every 4 steps", "best on validation so far", "brake"]
    assert found[0].why == "probability ratio too high; an optimizer step left out, KL beyond ppo.guards.soft_kl"


def test_reward_stands_over_the_root_of_kl_with_brake_and_kept_step() -> None:
    manifest = {**example_manifest(), "config": {"ppo": {"select": "best_validation"}}}
    found = {figure.title: figure for figure in figures_of(curves.section(report_of(manifest=manifest)))}
    path = found["Reward against distance"]
    assert path.drawing.count('class="mark step"') == 60 - 1  # the last step is the best of validation, and has its own mark
    assert "step 60, kept" in path.drawing
    row = next(row for row in path.table.rows if row[0].text == "60")
    kl = next(row["objective/kl"] for row in example_curves()["ppo"] if row["step"] == 60.0)
    assert isinstance(kl, float)
    assert float(row[1].text) == pytest.approx(math.sqrt(kl), rel=1e-3)
    assert found["Reward"].marks == (("brake", "brake"), ("saved", "checkpoint"))


def test_length_alone_counts_ties_one_half_and_is_absent_without_words() -> None:
    assert length_accuracy([pair(1, words=(5, 3)), pair(1, words=(3, 5)), pair(1, words=(4, 4)), pair(1, words=(9, 1))]) == 2.5 / 4
    assert length_accuracy([pair(1), pair(2)]) is None


@pytest.mark.parametrize(
    ("longer", "n", "right", "shown", "says"),
    [
        (0.439, 231, 0.545, ("56.1%", "shorter wins"), "not better than length alone"),
        (0.439, 23100, 0.545, ("56.1%", "shorter wins"), "worse than length alone"),
        (0.439, 23100, 0.60, ("56.1%", "shorter wins"), "better than length alone"),
        (0.561, 23100, 0.561, ("56.1%", "longer wins"), "not better than length alone"),
        (0.5, 23100, 0.55, ("50.0%", ""), "better than chance"),
        (None, 231, 0.5, ("n/a", ""), "not better than chance"),
    ],
)
def test_the_bar_is_the_better_of_the_two_rules_of_length(
    longer: float | None, n: int, right: float, shown: tuple[str, str], says: str
) -> None:
    value, low, high = wilson(round(right * n), n)
    row = MetricResult("pairwise_accuracy", "s", "", "", "wilson", "fraction", value, low, high, n, 0, n, True)
    alone, rule = better_rule(longer)
    assert (value_text(alone, rate=True), rule) == shown
    assert reward_model._reading(row, alone)[0] == says


def test_a_pair_stands_in_the_row_of_each_of_its_subsets() -> None:
    run = replace(
        example_run("base"),
        pairs=tuple(replace(pair(i - 5, i, words=(3, 5)), subset=f"chat + {'hard' if i < 5 else 'easy'}") for i in range(1, 11)),
    )
    section = reward_model.section(Report(compare(None, [replace(run, metrics=measure(run))], ())))
    assert section is not None
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert {row[0].text: (row[3].text, row[4].text) for row in table.rows} == {
        "all pairs": ("0.50", "10"), "chat": ("0.50", "10"), "hard": ("\N{MINUS SIGN}2.50", "4"), "easy": ("2.50", "6"),
    }  # fmt: skip
    assert {(row[2].text, row[2].detail) for row in table.rows} == {("100.0%", "shorter wins")}


def test_rows_that_were_put_aside_stand_below_the_accuracy_by_reason() -> None:
    rows = tuple(
        QuarantinedRow("a.jsonl", line, reason)
        for line, reason in [(1, "an empty reply"), (2, "chosen equals rejected"), (3, "an empty reply")]
    )
    run = example_run("base")
    run = replace(run, quarantined={run.pairs[0].suite: rows})
    section = reward_model.section(Report(compare(None, [run], ())))
    assert section is not None
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert "could not be used: 2 x an empty reply, 1 x chosen equals rejected" in table.note


def test_reliability_puts_pairs_where_the_model_says_it_is_sure() -> None:
    def margin(said: float) -> float:
        return math.log(said / (1 - said))

    pairs = [
        pair(margin(0.55), 1),
        pair(-margin(0.55), 2),
        pair(margin(0.95), 3),
        pair(margin(0.95), 4),
        pair(-margin(0.95), 5),
        pair(0, 6),
    ]
    low, high = reliability(pairs)
    assert (low.said, low.right.value, low.n) == (pytest.approx(0.55), 0.5, 2)
    assert (high.said, high.right.value, high.n) == (pytest.approx(0.95), pytest.approx(2 / 3), 3)
    assert reliability([pair(5000.0)])[0].said == 1.0


def test_margins_are_counted_on_the_side_of_zero_where_they_lie() -> None:
    margins = [-1.2, -0.01, 0.0, 0.3, 0.31, 4.9]
    bars = margin_bars(margins)
    assert sum(count for bar in bars for _, count in bar.parts) == len(margins)
    assert sum(count for bar in bars for css, count in bar.parts if css == "wrong") == 2
    assert all(bar.high <= 0 for bar in bars if bar.parts[0][0] == "wrong")
    assert [bar.high for bar in bars[:-1]] == [bar.low for bar in bars[1:]]
    assert len(margin_bars([0.0, 0.0])) == 1


def test_the_card_reads_accuracy_against_length_alone() -> None:
    section = reward_model.section(report_of())
    assert section is not None
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    run = example_run("base")
    right = sum(pair.chosen > pair.rejected for pair in run.pairs) / len(run.pairs)
    words = [(item.chosen_words or 0, item.rejected_words or 0) for item in run.pairs]
    longer = sum(chosen > rejected for chosen, rejected in words) + sum(chosen == rejected for chosen, rejected in words) / 2
    assert [cell.text for cell in table.rows[0]][:3] == ["all pairs", f"{100 * right:.1f}%", f"{100 * longer / len(run.pairs):.1f}%"]
    assert [row[0].text for row in table.rows] == ["all pairs", "harmless", "helpful"]
    assert re.search("better than length alone", table.rows[0][5].text)


def test_a_run_without_pairs_has_no_card_and_one_without_documents_no_capability() -> None:
    bare = replace(example_run("ppo"), pairs=(), documents=(), metrics=())
    assert reward_model.section(Report(compare(None, [bare], ()))) is None
    assert capability.section(Report(compare(None, [bare], ()))) is None


def test_capability_counts_what_was_gained_and_lost() -> None:
    report = report_of()
    section = capability.section(report)
    assert section is not None
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    row = next(row for row in table.rows if row[0].text == "arc_mini")
    before = {item.doc_id: item.acc for item in report.runs[0].documents}
    after = {item.doc_id: item.acc for item in report.runs[1].documents}
    assert row[5].text == str(sum(after[key] > before[key] for key in before))
    assert row[6].text == str(sum(after[key] < before[key] for key in before))
