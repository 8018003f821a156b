"""Model cards of a run's own adapters carry its evaluation, the same numbers as the report, replaced each time it is built."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hostile_report import hostile_report
from hostile_text import MARKUP
from report_data import write_example_run
from truenorth.cli.run_folder import digest
from truenorth.reports.build import build_report
from truenorth.reports.model_card import MARKER, evaluation
from truenorth.rlhf.publish import card_base

OWN = "---\nlibrary_name: peft\n---\n# Policy\n\nTrained.\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = write_example_run(tmp_path / "run")
    for name in ("ppo_policy_model", "final_rm_model_adapters"):
        (folder / name).mkdir()
        (folder / name / "README.md").write_text(OWN)
        (folder / name / "adapter_config.json").write_text("{}")
    return folder


def test_the_cards_say_what_metrics_csv_says(run: Path) -> None:
    build_report(run)
    policy, reward = ((run / name / "README.md").read_text() for name in ("ppo_policy_model", "final_rm_model_adapters"))
    assert policy.startswith(OWN)
    with (run / "report" / "metrics.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["model"] == "ppo" and not row["subset"]]
    [refusals] = [row for row in rows if (row["metric"], row["suite"], row["decoding"]) == ("refusal_rate", "harmful", "t1.0")]
    base, value, low, high, change = (100 * float(refusals[name]) for name in ("baseline_value", "value", "ci_low", "ci_high", "delta"))
    assert f"| Refusal rate | `harmful · t1.0` | {base:.1f}% | {value:.1f}% ({low:.1f}% to {high:.1f}%) | {change:+.1f} points (" in policy
    [ranked] = [row for row in rows if row["metric"] == "pairwise_accuracy"]
    assert f"| RM pairwise accuracy | `hh_test` |  | {100 * float(ranked['value']):.1f}%" in reward
    assert "RM pairwise accuracy" not in policy
    assert "Refusal rate" not in reward


def test_a_second_report_leaves_the_same_bytes_and_the_stage_as_it_was(run: Path) -> None:
    folder = run / "ppo_policy_model"
    before = digest(folder)
    build_report(run)
    once = (folder / "README.md").read_bytes()
    build_report(run)
    assert (folder / "README.md").read_bytes() == once
    assert once.decode().count(MARKER) == 1
    assert digest(folder) == before
    (folder / "adapter_config.json").write_text("[]")
    assert digest(folder) != before


def test_a_report_elsewhere_touches_no_card(run: Path, tmp_path: Path) -> None:
    build_report(run, tmp_path / "elsewhere")
    assert (run / "ppo_policy_model" / "README.md").read_text() == OWN


@pytest.mark.parametrize("text", MARKUP[:3])
def test_hostile_names_stay_in_code_spans(text: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    report = hostile_report(text)
    tokens = (
        markdown_it.MarkdownIt("commonmark")
        .enable("table")
        .parse(evaluation(report, report.comparison.candidates[0], of_reward_model=False))
    )
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}


@pytest.mark.parametrize(
    ("name", "metadata", "words"),
    [
        ("tiny", "", "the embedded base, `base_model/` in the same run"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "base_model: mistralai/Mistral-7B-Instruct-v0.2\n", "`mistralai/Mistral-7B-Instruct-v0.2`"),
        ("/somewhere/private/my-base", "", "`my-base`"),
    ],
)
def test_a_card_names_a_base_on_the_hub_and_no_folder_of_this_machine(name: str, metadata: str, words: str) -> None:
    assert card_base(name) == (metadata, words)
