"""Checkpoints of a run: shown as a series, never decided on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from report_data import example_comparison, example_curves, example_manifest, example_run, write_example_evaluation, write_example_run
from truenorth.evals.types import CandidateComparison, EvalRun, MetricResult
from truenorth.reports.build import build_report
from truenorth.reports.report import Report
from truenorth.reports.section import Figures, Paragraph
from truenorth.reports.sections import series
from truenorth.reports.series import series_of, step_of


@pytest.mark.parametrize(
    ("label", "of", "step"),
    [("ppo@20", "ppo", 20), ("ppo", "ppo", None), ("ppo@best", "ppo@best", None), ("a@b@3", "a@b", 3), ("@3", "@3", None)],
)
def test_a_checkpoint_is_known_by_its_label(label: str, of: str, step: int | None) -> None:
    assert (series_of(label), step_of(label)) == (of, step)


def rows(step: int, reward: float, wins: float) -> tuple[MetricResult, ...]:
    values = {"kl_exact_seq": step / 10, "reward_mean": reward, "win_rate": wins}
    return tuple(
        MetricResult(name, "harmful", "", "t1.0", "cluster_t", "x", value, value - 0.02, value + 0.02, 80, 0, 80, True)
        for name, value in values.items()
    )


def report_with(*points: tuple[int, float, float]) -> Report:
    comparison = example_comparison()
    assert comparison.baseline
    run = comparison.candidates[0].candidate
    bare = EvalRun(run.model, run.suites, run.decodings, run.judge, ())
    checkpoints = [
        CandidateComparison(
            replace(bare, model=replace(run.model, label=f"ppo@{at[0]}"), metrics=rows(*at)[:2]), (), (), "none", paired=rows(*at)[2:]
        )
        for at in points
    ]
    base = replace(comparison.baseline, metrics=rows(0, -1.0, 0.5)[:2])
    return Report(replace(comparison, baseline=base), example_manifest(), "example", example_curves(), checkpoints=tuple(checkpoints))


def reading_of(*points: tuple[int, float, float]) -> Paragraph:
    section = series.section(report_with(*points))
    assert section is not None
    assert isinstance(section.blocks[0], Paragraph)
    return section.blocks[0]


def test_the_section_says_where_reward_was_over_optimised() -> None:
    reading = reading_of((10, 0.1, 0.7), (20, 0.4, 0.5))
    assert (reading.status, reading.items) == ("fail", ("harmful · t1.0: from step 20 on, by win rate against base",))
    assert reading_of((10, 0.1, 0.5), (20, 0.4, 0.7)).status == "pass"


def test_a_fall_within_the_interval_or_of_both_is_no_over_optimisation() -> None:
    assert reading_of((10, 0.1, 0.7), (20, 0.4, 0.69)).status == "pass"
    assert reading_of((10, 0.4, 0.7), (20, 0.1, 0.5)).status == "pass"


def test_both_measures_stand_over_the_same_distance() -> None:
    section = series.section(report_with((10, 0.1, 0.7), (20, 0.4, 0.5)))
    assert section is not None
    figures = [figure for block in section.blocks if isinstance(block, Figures) for figure in block.figures]
    assert [figure.title for figure in figures] == ["Reward by its own model", "Win rate against base"]
    assert "step 10: KL 1.00, reward by its own model 0.10" in figures[0].drawing
    assert "step 20: KL 2.00, win rate against base 50.0%" in figures[1].drawing
    assert 'class="mark braked"' in figures[1].drawing


def test_checkpoints_without_these_numbers_say_that_nothing_can_be_told() -> None:
    report = report_with((10, 0.1, 0.7))
    bare = replace(report.checkpoints[0], paired=())
    section = series.section(replace(report, checkpoints=(bare,)))
    assert section is not None
    assert len(section.blocks) == 1
    assert isinstance(section.blocks[0], Paragraph)
    assert section.blocks[0].status == "none"


def test_a_run_without_evaluated_checkpoints_has_no_such_section() -> None:
    assert series.section(Report(example_comparison())) is None


def test_evaluated_checkpoints_are_rows_and_change_no_verdict(tmp_path: Path) -> None:
    folder = write_example_run(tmp_path / "run")
    verdict = build_report(folder, tmp_path / "before").verdict
    for step in (20, 10):
        run = example_run("ppo", seed=step)
        write_example_evaluation(folder / "eval" / f"ppo@{step}", replace(run, model=replace(run.model, label=f"ppo@{step}")))
    assert build_report(folder).verdict == verdict
    with (folder / "report" / "metrics.csv").open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [*dict.fromkeys((row["model"], row["checkpoint"]) for row in found)] == [
        ("base", ""),
        ("ppo", ""),
        ("ppo@10", "10"),
        ("ppo@20", "20"),
    ]
    told = json.loads((folder / "report" / "results.json").read_text())
    assert [(item["label"], item["of"], item["step"]) for item in told["checkpoints"]] == [("ppo@10", "ppo", 10), ("ppo@20", "ppo", 20)]
    assert len([row for row in found if row["model"] == "ppo@20"]) == len(told["checkpoints"][1]["metrics"]) + len(
        told["checkpoints"][1]["paired"]
    )
    schema = json.loads((files("truenorth.reports") / "results.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    page = (folder / "report" / "report.html").read_text()
    assert page.count("data-verdict") == 1
    assert '<section id="checkpoints"' in page
