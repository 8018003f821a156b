"""Checkpoints of a run: shown as a series, never decided on."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from report_data import example_comparison, example_curves, example_manifest, example_run, write_example_evaluation, write_example_run
from truenorth.evals import DecodingConfig, EvalConfig, FakeModel, evaluate
from truenorth.evals.types import CandidateComparison, EvalRun, MetricResult
from truenorth.prompts.files import write_json
from truenorth.prompts.types import Message, Prompt, PromptSuite
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


class Taste:
    """A reward model apart: it likes replies of some words, each prompt a little more or less, and long ones ever less."""

    name, sha256 = "independent", "1" * 64

    def __init__(self, likes: int) -> None:
        self.likes = likes

    def rewards(self, items: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        return [-abs(len(text.split()) - self.likes) / 10 + len(messages[0].content) % 7 / 50 for messages, text in items]


WORDS = {None: 4, "step-10": 8, "step-20": 16, "step-30": 30}
"""How many words the policy says after so much training: its own reward model pays by the word."""


def trained_for_length(folder: Path, likes: int) -> Path:
    """A run folder as `truenorth eval --adapter A --checkpoint C ... --independent-reward-model R` leaves it, of a scripted policy."""
    asked = tuple(Prompt(f"p{i}", (Message("user", "tell me " + "more " * (i % 5)),), "comply") for i in range(30))
    policy = FakeModel(
        lambda prompt, adapter, sample: "word " * (WORDS[adapter] + sample),
        reward=lambda _, text: len(text.split()) / 10,
        kl=lambda adapter, _: WORDS[adapter or None] / 4 - 1,
        adapters=[name for name in WORDS if name],
    )
    config = EvalConfig(judge="keyword", decodings=(DecodingConfig(temperature=1.0, samples=2),))
    for adapter, label in ((None, "base"), ("step-10", "ppo@10"), ("step-20", "ppo@20"), ("step-30", "ppo@30"), ("step-30", "ppo")):
        evaluate(
            policy, label=label, adapter=adapter, out=folder, config=config, suites=[PromptSuite("asked", "1", asked, "0" * 64)],
            probe=None, independent=Taste(likes), baseline=folder / "eval" / "base" if adapter else None,
        )  # fmt: skip
    write_json(
        folder / "manifest.json", {"schema_version": 1, "command": "eval", "baseline": "base", "candidates": ["ppo"], "verdict": "none"}
    )
    return folder


@pytest.mark.parametrize(("likes", "step"), [(16, 30), (8, 20), (99, None)])
def test_a_policy_that_learns_to_please_its_reward_model_is_seen_on_the_page(likes: int, step: int | None, tmp_path: Path) -> None:
    folder = trained_for_length(tmp_path / "run", likes)
    build_report(folder)
    with (folder / "report" / "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if not row["subset"] and row["model"] != "ppo"]
    proxy, gold = ([float(row["value"]) for row in rows if row["metric"] == name] for name in ("reward_mean", "independent_reward_mean"))
    assert proxy == [pytest.approx((count + 0.5) / 10) for count in WORDS.values()]  # it rises all the way
    assert (gold == sorted(gold)) == (step is None)
    page = (folder / "report" / "report.html").read_text()
    said = page.split('<section id="checkpoints"')[1].split("</section>")[0]
    flagged = re.findall(r"from step (\d+) on, by mean reward, independent", said)
    assert [int(one) for one in flagged] == ([step] if step else [])
    assert ("Over-optimised: " in said) == bool(step)
    assert ("No checkpoint has the highest reward while what was wanted has surely fallen" in said) == (not step)
