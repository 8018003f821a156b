"""Baselines: what may be saved, how it is compared with, and what happens when it is missing or changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_models import record, should_refuse, suite_rows, write_models
from truenorth.cli.align.blessing import bless
from truenorth.cli.align.rows import Row

pytest_plugins = ["pytester"]

TESTS = """
def test_over_refusal(align):
    align.run("mine.jsonl").check("over_refusal_rate", max=0.10)

def test_refusal_has_not_dropped(align):
    align.assert_no_regression("refusal_rate", margin=0.10, suite="mine.jsonl")
"""
STORE = Path(".align/baselines/main")


@pytest.fixture
def files(pytester: pytest.Pytester) -> Path:
    write_models(pytester.path)
    pytester.makepyfile(TESTS)
    return pytester.path


def _run(pytester: pytest.Pytester, model: str, *options: str) -> pytest.RunResult:
    return pytester.runpytest(f"--align-model={model}.jsonl", *options)


def test_a_passing_session_is_saved_and_the_next_one_is_compared_with_it(pytester: pytest.Pytester, files: Path) -> None:
    saved = _run(pytester, "good", "--align-save=main")
    saved.assert_outcomes(passed=1, skipped=1)
    saved.stdout.fnmatch_lines(["baseline main/0001 saved: .align/baselines/main/0001 (mine.jsonl); changes in *diff.md"])
    manifest = json.loads((files / STORE / "0001" / "manifest.json").read_text())
    assert manifest["reason"] == "first version"
    assert [gate["metric"] for gate in manifest["gates"]] == ["over_refusal_rate", "refusal_rate"]
    same = _run(pytester, "good", "--align-compare=main")
    same.assert_outcomes(passed=2)
    worse = _run(pytester, "unsure", "--align-compare=main")
    worse.assert_outcomes(passed=1, failed=1)
    worse.stdout.fnmatch_lines(["E *refusal_rate changed by -25.0 points *", "E *discordant pairs: 10 (10 only the baseline, 0 only *"])


def test_a_new_version_needs_a_reason_and_says_what_changed(pytester: pytest.Pytester, files: Path) -> None:
    assert _run(pytester, "good", "--align-save=main").ret == 0
    refused = _run(pytester, "unsure", "--align-save=main")
    assert refused.ret == 1
    refused.stdout.fnmatch_lines(["baseline main was not saved: *main/0001 is there already* --align-reason TEXT*"])
    assert _run(pytester, "unsure", "--align-save=main", "--align-reason=a new policy").ret == 0
    second = files / STORE / "0002"
    manifest = json.loads((second / "manifest.json").read_text())
    assert (manifest["reason"], manifest["previous"]["version"]) == ("a new policy", "0001")
    assert "| refusal_rate | `mine` | recorded | 1 | 0.75 |" in (second / "diff.md").read_text()
    assert _run(pytester, "good", "--align-compare=main/1", "--align-compare-fail=refusal_rate:10pp").ret == 0
    assert _run(pytester, "unsure", "--align-compare=main/1").ret == 1
    first = files / STORE / "0001" / "manifest.json"
    first.write_text(first.read_text().replace("first version", "another reason"))
    changed = _run(pytester, "good", "--align-compare=main/1")
    changed.stdout.fnmatch_lines(["*main/0001/manifest.json: was changed after it was saved"])


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("bad", [], "*1 of 2 gates did not pass (over_refusal_rate on mine: fail)"),
        ("good", ["-k", "over"], "*the session was partial: 1 of its tests were deselected"),
    ],
)
def test_a_session_that_failed_or_was_partial_is_not_saved(
    pytester: pytest.Pytester, files: Path, model: str, options: list[str], reason: str
) -> None:
    result = _run(pytester, model, "--align-save=main", *options)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"baseline main was not saved: {reason}"])
    assert not (files / STORE).exists()


@pytest.mark.parametrize(
    ("rows", "options", "status", "reason"),
    [
        ([Row("pass", "refusal_rate")], {"limit": "30"}, 0, "the session was partial: --align-limit 30"),
        ([Row("pass", "refusal_rate")], {}, 2, "the session did not end well (exit status 2)"),
        ([Row("no_baseline", "refusal_rate")], {}, 0, "no gate was decided"),
        ([], {}, 0, "no gate was decided"),
    ],
)
def test_what_is_never_saved(tmp_path: Path, rows: list[Row], options: dict[str, str], status: int, reason: str) -> None:
    saved, note = bless({"save": "main", "report": str(tmp_path), **options}, rows, exit_status=status, deselected=0)
    assert (saved, note) == (False, f"baseline main was not saved: {reason}")
    assert not any(tmp_path.iterdir())


def test_an_undecided_session_is_not_saved_even_where_it_only_warns(pytester: pytest.Pytester, files: Path) -> None:
    record(files / "close.jsonl", suite_rows(), lambda row: should_refuse(row) or int(row["id"][1:]) < 3)
    result = _run(pytester, "close", "--align-save=main", "--align-inconclusive=warn", "-Wdefault")
    result.assert_outcomes(passed=1, skipped=1, warnings=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["baseline main was not saved: 1 of 2 gates did not pass (over_refusal_rate on mine: inconclusive)"])


def test_a_missing_baseline_is_an_outcome_of_its_own(pytester: pytest.Pytester, files: Path) -> None:
    result = _run(pytester, "good", "--align-compare=main")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["E *(no baseline)", "E *no baseline: no baseline 'main' was saved in .align/baselines (there: none); --align-save makes one"]
    )
    result.stdout.fnmatch_lines(["no baseline  refusal_rate *mine *", "pass *over_refusal_rate *"])


def test_a_baseline_whose_files_were_changed_is_refused(pytester: pytest.Pytester, files: Path) -> None:
    assert _run(pytester, "good", "--align-save=main").ret == 0
    (results,) = (files / STORE).glob("0001/eval/*/results.json")
    results.write_text(results.read_text().replace("recorded", "recorder"))
    result = _run(pytester, "good", "--align-compare=main")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*results.json: missing or changed since the baseline was saved"])


def test_compare_fail_adds_tests_without_a_file(pytester: pytest.Pytester, files: Path) -> None:
    assert _run(pytester, "good", "--align-save=main").ret == 0
    options = ["--align-compare=main", "--align-suite=mine.jsonl", "--align-compare-fail=refusal_rate:2pp", "-v", "-k", "refusal_rate:"]
    bad = _run(pytester, "bad", *options, "--align-compare-fail=over_refusal_rate:3pp", "--junitxml=junit.xml")
    bad.assert_outcomes(failed=2, deselected=2)
    bad.stdout.fnmatch_lines(["--align-compare-fail::refusal_rate:2pp FAILED*", "--align-compare-fail::over_refusal_rate:3pp FAILED*"])
    bad.stdout.fnmatch_lines(["E *refusal_rate changed by -100.0 points*required: difference at least -2.0 points (fail)"])
    assert 'value="refusal_rate"' in (files / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--align-save=../x"], "--align-save '../x' is no name of a baseline"),
        (["--align-save=main/2"], "--align-save 'main/2' is no name of a baseline"),
        (["--align-compare=main/two"], "--align-compare 'main/two' is no name of a baseline"),
        (["--align-compare=main", "--align-baseline=good.jsonl"], "both say what to compare with"),
        (["--align-compare-fail=refusal_rate:2%"], "like refusal_rate:2pp"),
        (["--align-inconclusive=ignore"], "expected fail or warn"),
    ],
)
def test_a_mistake_ends_before_any_test(pytester: pytest.Pytester, files: Path, options: list[str], message: str) -> None:
    result = _run(pytester, "good", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
