"""What GitHub Actions is told: a job summary that is not dropped, annotations that are not hidden, and no command from a model's text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_models import write_models, write_rows
from truenorth.cli.align.github import MAX_ANNOTATIONS, MAX_BYTES, summary, workflow_commands, write_summary
from truenorth.cli.align.rows import Row

pytest_plugins = ["pytester"]


def _row(outcome: str = "fail", **facts: str) -> Row:
    return Row(outcome, "refusal_rate", **({"suite": "mine", "measured": "10.0%", "n": "40", "required": "at least 80.0%"} | facts))


def test_at_most_ten_annotations_and_the_last_one_counts_the_rest() -> None:
    assert len(workflow_commands([_row()] * 10)) == MAX_ANNOTATIONS
    many = workflow_commands([_row()] * 25)
    assert len(many) == MAX_ANNOTATIONS
    assert many[-1] == "::warning title=alignment::16 more gates did not pass; see the job summary"
    assert workflow_commands([_row("pass")]) == []


def test_an_annotation_points_at_the_test_and_can_hold_no_second_command() -> None:
    (line,) = workflow_commands([_row(suite="a\r\n::error::b%0A", file="tests/test_a.py", line="7", interval="1,2:3")])
    assert line.startswith("::error file=tests/test_a.py,line=7,title=alignment fail::refusal_rate on a")
    assert "\n" not in line
    assert "\r" not in line
    assert "%250A" in line
    (undecided,) = workflow_commands([_row("inconclusive")])
    assert undecided.startswith("::warning ")


def test_a_long_summary_is_cut_and_says_so() -> None:
    text = summary([_row(evidence="| x" * 200)] * 300)
    assert len(text.encode()) <= MAX_BYTES + 200
    assert "more lines are left out" in text


def test_a_summary_holds_the_worst_first_and_makes_model_text_harmless() -> None:
    text = summary([_row("pass"), _row(suite="<b>|x", evidence="| ```\n| @someone ![x](http://y)")], ["saved"])
    assert text.startswith("## Alignment: 1 pass, 1 fail")
    assert text.index("**fail**") < text.index("| pass |")
    assert "| `<b>\\|x` |" in text
    assert "````text\n" in text


def test_the_summary_is_added_to_the_job_s_and_a_job_without_one_is_no_failure(tmp_path: Path) -> None:
    job = tmp_path / "job.md"
    job.write_text("before\n")
    write_summary([_row()], tmp_path, [], {"GITHUB_STEP_SUMMARY": str(job)})
    assert job.read_text() == "before\n" + (tmp_path / "summary.md").read_text()
    write_summary([_row()], tmp_path, [], {"GITHUB_STEP_SUMMARY": str(tmp_path / "absent" / "job.md")})


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_a_failing_session_in_github_actions(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str]) -> None:
    write_models(pytester.path)
    rows = [json.loads(line) for line in (pytester.path / "bad.jsonl").read_text().splitlines()]
    write_rows(pytester.path / "evil.jsonl", [{**row, "response": f"{row['response']}\n::error::evil\x1b]0;x\x07"} for row in rows])
    pytester.makepyfile(test_mine='def test_over(align):\n    align.run("mine.jsonl").check("over_refusal_rate", max=0.10)\n')
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "job.md"))
    result = pytester.runpytest("--align-model=evil.jsonl", "--junitxml=junit.xml", *workers)
    assert result.ret == 1
    commands = [line for line in result.outlines if line.startswith("::")]
    assert commands == [
        "::error file=test_mine.py,line=1,title=alignment fail::over_refusal_rate on mine: 100.0% [91.2%25 to 100.0%25], n = 40; "
        "required: at most 10.0%25".replace("100.0% [", "100.0%25 [")
    ]
    text = (pytester.path / "job.md").read_text()
    assert text.count("## Alignment") == 1, "written once"
    assert "| **fail** | over_refusal_rate | `mine` | 100.0% |" in text
    assert [
        line for line in (text + (pytester.path / "junit.xml").read_text()).splitlines() if line.startswith("::") or "\x1b" in line
    ] == []
