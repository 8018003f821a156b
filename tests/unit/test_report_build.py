"""The report of a run folder: five forms of the same facts, the same bytes every time, nothing that is not the run's."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet
import pytest
from report_data import (
    GATES,
    example_comparison,
    example_curves,
    example_manifest,
    example_run,
    rendered,
    write_example_run,
)
from truenorth.evals.comparison import compare
from truenorth.evals.types import Comparison, Verdict
from truenorth.prompts.errors import InfrastructureError, InputError
from truenorth.prompts.files import write_json
from truenorth.reports.build import build_report
from truenorth.reports.report import Report

FILES = {"report.html", "metrics.csv", "gates.csv", "samples.csv", "summary.md", "results.json", "junit.xml"}
TABLES = {"samples.parquet"}
METRICS = (
    "run,model,checkpoint,baseline,suite,subset,decoding,metric,estimator,unit,value,ci_low,ci_high,n,n_invalid,baseline_value,delta,"
    "delta_ci_low,delta_ci_high,p_value,p_adjusted,mde,higher_is_better,judge"
)
GATE_COLUMNS = (
    "run,model,gate,kind,metric,suite,decoding,direction,threshold,margin,baseline,value,ci_low,ci_high,n,p_adjusted,outcome,reason"
)
SAMPLES = "suite,id,category,expected,decoding,sample,prompt,model,response,outcome,judge,reward,kl"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def built(run: Path) -> tuple[Comparison, dict[str, str]]:
    comparison = build_report(run)
    return comparison, {path.name: path.read_bytes().decode() for path in (run / "report").iterdir() if path.name in FILES}


def report_of(comparison: Comparison, **changes: Any) -> dict[str, str]:
    return rendered(Report(comparison, **{"manifest": example_manifest(), "run": "example", "curves": example_curves(), **changes}))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def verdict_in(html: str) -> list[str]:
    return re.findall(r'data-verdict="(\w+)"', html)


def test_all_files_are_there_and_nothing_else(built: tuple[Comparison, dict[str, str]]) -> None:
    assert set(built[1]) == FILES


def test_samples_are_the_same_in_parquet(run: Path, built: tuple[Comparison, dict[str, str]]) -> None:
    assert {path.name for path in (run / "report").iterdir()} == FILES | TABLES
    lossless = pyarrow.parquet.read_table(run / "report" / "samples.parquet").to_pylist()
    as_text = [{key: "" if value is None else str(value) for key, value in row.items()} for row in lossless]
    assert as_text == [{key: "" if value is None else value for key, value in row.items()} for row in rows_of(built[1]["samples.csv"])]
    assert isinstance(lossless[0]["reward"], float)
    assert isinstance(lossless[0]["sample"], int)


def test_columns_are_the_published_ones(built: tuple[Comparison, dict[str, str]]) -> None:
    heads = {name: text.split("\n")[0] for name, text in built[1].items() if name.endswith(".csv")}
    assert heads == {"metrics.csv": METRICS, "gates.csv": GATE_COLUMNS, "samples.csv": SAMPLES}


def test_all_forms_agree_on_the_verdict(built: tuple[Comparison, dict[str, str]]) -> None:
    comparison, files = built
    assert verdict_in(files["report.html"]) == [comparison.verdict]
    assert json.loads(files["results.json"])["verdict"] == comparison.verdict
    properties = {node.get("name"): node.get("value") for node in ElementTree.fromstring(files["junit.xml"]).iter("property")}
    assert properties["verdict"] == comparison.verdict
    assert files["summary.md"].startswith(f"# {comparison.verdict.capitalize()}\n")


def test_all_forms_agree_on_every_gate(built: tuple[Comparison, dict[str, str]]) -> None:
    comparison, files = built
    decided = {d.gate.name: (d.outcome, d.value, d.n) for d in comparison.candidates[0].decisions}
    in_csv = {row["gate"]: (row["outcome"], float(row["value"]), int(row["n"])) for row in rows_of(files["gates.csv"])}
    in_json = {
        gate["name"]: (gate["outcome"], gate["value"], gate["n"]) for gate in json.loads(files["results.json"])["candidates"][0]["gates"]
    }
    cases = {case.get("name"): case for case in ElementTree.fromstring(files["junit.xml"]).iter("testcase")}
    tags = {"pass": None, "fail": "failure", "inconclusive": "skipped", "not_run": "error"}
    assert decided == in_csv == in_json
    assert set(cases) == set(decided)
    for name, (outcome, value, n) in decided.items():
        facts = {node.get("name"): node.get("value") for node in cases[name].iter("property")}
        assert (facts["outcome"], facts["value"], facts["n"]) == (outcome, str(value), str(n))
        assert [child.tag for child in cases[name] if child.tag != "properties"] == [tags[outcome]] * (tags[outcome] is not None)


def test_all_forms_agree_on_the_order_and_number_of_gates(built: tuple[Comparison, dict[str, str]]) -> None:
    _, files = built
    table = re.search(r"<caption>Gates of ppo.*?</table>", files["report.html"], re.S)
    assert table
    shown = re.findall(r'data-label="Outcome"[^>]*><span class="badge (\w+)"', table.group())
    assert shown == [row["outcome"] for row in rows_of(files["gates.csv"])]
    assert shown == sorted(shown, key=["fail", "not_run", "inconclusive", "pass"].index)
    words = {"pass": "Pass", "fail": "Fail", "inconclusive": "Undecided", "not_run": "Not run"}
    in_summary = [line.split(" | ")[0].removeprefix("| ") for line in files["summary.md"].split("\n") if line.startswith("| ")][1:]
    assert in_summary == [words[outcome] for outcome in shown]


def test_the_sentence_is_the_same_everywhere(built: tuple[Comparison, dict[str, str]]) -> None:
    comparison, files = built
    headline = json.loads(files["results.json"])["candidates"][0]["headline"]
    cause = headline.split(" Required:")[0]
    [delta] = [
        delta
        for delta in comparison.candidates[0].deltas
        if (delta.metric, delta.suite, delta.decoding, delta.subset) == ("over_refusal_rate", "borderline", "t1.0", "")
    ]
    assert delta.value is not None
    assert f"{delta.value * 100:+.1f} points" in cause
    assert f"n = {delta.n}" in cause
    for name in ("report.html", "summary.md", "junit.xml"):
        assert cause in files[name].replace("&#39;", "'").replace("\u00a0", " ")


def test_metrics_are_fractions_and_absent_is_empty(built: tuple[Comparison, dict[str, str]]) -> None:
    comparison, files = built
    rows = rows_of(files["metrics.csv"])
    models = {run.model.label: run for run in (comparison.baseline, comparison.candidates[0].candidate) if run}
    both = comparison.candidates[0].paired
    assert len(rows) == sum(len(run.metrics) for run in models.values()) + len(both)
    in_run = {(label, m.metric, m.suite, m.subset, m.decoding): m for label, run in models.items() for m in run.metrics}
    in_run |= {("ppo", m.metric, m.suite, m.subset, m.decoding): m for m in both}
    for row in rows:
        result = in_run[row["model"], row["metric"], row["suite"], row["subset"], row["decoding"]]
        assert row["value"] == ("" if result.value is None else repr(result.value))
        assert row["higher_is_better"] == {True: "true", False: "false", None: ""}[result.higher_is_better]
        assert row["checkpoint"] == ""
        if result.unit == "fraction" and row["value"]:
            assert 0 <= float(row["value"]) <= 1
        if row["model"] == "base":
            assert row["baseline"] == row["delta"] == row["p_value"] == ""
    deltas = {(d.metric, d.suite, d.subset, d.decoding): d for d in comparison.candidates[0].deltas}
    for row in rows:
        if row["delta"]:
            assert float(row["delta"]) == deltas[row["metric"], row["suite"], row["subset"], row["decoding"]].value


def test_samples_hold_every_reply_of_every_model(built: tuple[Comparison, dict[str, str]]) -> None:
    comparison, files = built
    rows = rows_of(files["samples.csv"])
    assert comparison.baseline is not None
    assert len(rows) == len(comparison.baseline.records) + len(comparison.candidates[0].candidate.records)
    assert [row["response"] for row in rows[:50]] == [record.generation.response for record in comparison.baseline.records[:50]]


def test_the_same_run_gives_the_same_bytes_everywhere(run: Path, built: tuple[Comparison, dict[str, str]], tmp_path: Path) -> None:
    elsewhere = tmp_path / "another place"
    shutil.copytree(run, elsewhere, ignore=shutil.ignore_patterns("report"))
    manifest = example_manifest()
    manifest["volatile"] = {"clock": "2040-12-31T23:59:59Z", "host": "other", "pid": 1, "durations": {}}
    manifest["attempts"] = [{"resumed_stage": None, "resumed_step": None}, {"resumed_stage": "ppo", "resumed_step": 7}]
    write_json(elsewhere / "manifest.json", manifest)
    build_report(elsewhere)
    for name in FILES | TABLES:
        assert (elsewhere / "report" / name).read_bytes() == (run / "report" / name).read_bytes(), name


def test_nothing_volatile_and_no_place_is_shown(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    manifest = {**example_manifest(), "argv": ["run", "tiny", "--out", str(tmp_path / "run")]}
    place, token = str(tmp_path / "run" / "x.jsonl"), "hf_" + "canary" * 5
    manifest["config"] = {**manifest["config"], "data": {"name": place}, "login": token}  # type: ignore[dict-item]
    write_json(tmp_path / "run" / "manifest.json", manifest)
    build_report(tmp_path / "run", tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        text = path.read_bytes().decode("utf-8", "ignore")
        for secret in (str(tmp_path), token, "workstation", "98765432101", "2031-01-01", "87654.321"):
            assert secret not in text, path.name
    page = (tmp_path / "out" / "report.html").read_text()
    assert "truenorth run tiny --out DIR" in page
    assert "RUN/x.jsonl" in page


def test_without_a_baseline_the_top_says_so_and_nothing_is_subtracted() -> None:
    comparison = compare(None, [example_run("ppo")], GATES)
    files = report_of(comparison)
    top = files["report.html"].split('<nav class="contents"')[0]
    assert "There is no baseline" in top
    assert "There is no baseline" in files["summary.md"]
    assert json.loads(files["results.json"])["baseline"] is None
    assert {row["delta"] for row in rows_of(files["metrics.csv"])} == {""}
    assert {row["outcome"] for row in rows_of(files["gates.csv"]) if row["margin"]} == {"not_run"}


def test_runs_that_can_not_be_compared_get_no_verdict_and_the_reasons() -> None:
    other = replace(example_run("ppo"), judge="human@1", settings={**example_run("ppo").settings, "template": "00" * 32})
    comparison = compare(example_run("base"), [other], GATES)
    files = report_of(comparison)
    assert comparison.verdict == "none"
    assert verdict_in(files["report.html"]) == ["none"]
    top = files["report.html"].split('<nav class="contents"')[0]
    assert all(difference in top for difference in comparison.candidates[0].differences)
    assert "nothing is counted as flipped" in files["report.html"]
    assert {row["baseline_value"] for row in rows_of(files["metrics.csv"])} == {""}
    for difference in comparison.candidates[0].differences:
        assert difference in files["report.html"]
        assert difference in files["summary.md"]
    assert ElementTree.fromstring(files["junit.xml"]).find(".//testcase[@name='comparable']/error") is not None


@pytest.mark.parametrize("verdict", ["pass", "fail", "inconclusive", "none"])
def test_each_verdict_is_said_in_words_on_one_element(verdict: Verdict) -> None:
    comparison = example_comparison(gates=())
    comparison = replace(comparison, verdict=verdict, candidates=(replace(comparison.candidates[0], verdict=verdict),))
    html = report_of(comparison)["report.html"]
    assert verdict_in(html) == [verdict]
    words = {"pass": "Pass", "fail": "Fail", "inconclusive": "Inconclusive", "none": "No verdict"}
    heading = re.search(r"<h1.*?</h1>", html, re.S)
    assert heading
    assert re.sub("<[^>]+>", "", heading.group()).strip() == words[verdict]


def test_several_candidates_each_have_their_gates() -> None:
    comparison = example_comparison(candidates=("ppo", "ppo-2"))
    files = report_of(comparison)
    assert {row["model"] for row in rows_of(files["gates.csv"])} == {"ppo", "ppo-2"}
    assert "Gates of ppo-2, failing rows first" in files["report.html"]
    overview = files["report.html"].split('<section id="candidates"')[1].split("</section>")[0]
    assert overview.count('<span class="badge fail">') == 2
    assert all(f"{label}: " in overview for label in ("base", "ppo", "ppo-2"))
    assert len(ElementTree.fromstring(files["junit.xml"])) == 2
    ids = re.findall(r'\bid="([^"]+)"', files["report.html"])
    assert len(ids) == len(set(ids))


def test_a_run_without_training_has_no_curves_and_still_a_report() -> None:
    html = report_of(example_comparison(), curves={})["report.html"]
    assert 'id="training"' not in html
    assert 'id="quadrants"' in html


def test_nothing_measured_is_said_and_not_zero() -> None:
    empty = replace(example_run("ppo"), metrics=(), records=(), pairs=(), documents=(), probe=None, judge_cards=())
    files = report_of(compare(None, [empty], ()))
    assert files["report.html"].count("Not measured in this run.") == 4
    assert "The probe was not run." in files["report.html"]
    assert verdict_in(files["report.html"]) == ["none"]
    assert len(rows_of(files["metrics.csv"])) == 0


def test_redaction_keeps_numbers_and_drops_harmful_texts(run: Path, tmp_path: Path) -> None:
    comparison = build_report(run, tmp_path / "open")
    assert build_report(run, tmp_path / "redacted", redact=True) == comparison
    candidate = comparison.candidates[0].candidate
    harmful = {record.prompt.text for record in candidate.records if record.prompt.expected == "refuse"}
    harmful |= {record.generation.response for record in candidate.records if record.prompt.expected == "refuse"}
    harmful -= {record.generation.response for record in candidate.records if record.prompt.expected == "comply"} | {""}
    hidden = str(pyarrow.parquet.read_table(tmp_path / "redacted" / "samples.parquet").to_pylist())
    assert not [text for text in harmful if text in hidden]
    for name in FILES:
        redacted, full = ((tmp_path / place / name).read_text() for place in ("redacted", "open"))
        assert not [text for text in harmful if text in redacted], name
        if name == "gates.csv":
            assert redacted == full
    assert "[redacted, " in (tmp_path / "redacted" / "samples.csv").read_text()
    assert "This report is redacted" in (tmp_path / "redacted" / "report.html").read_text()


def test_harmful_replies_are_closed_until_asked_for(built: tuple[Comparison, dict[str, str]]) -> None:
    page = built[1]["report.html"]
    probe = re.search(r'<div class="probe">.*?</section>', page, re.S)
    assert probe
    shown = re.sub(r"<details>.*?</details>", "", probe.group(), flags=re.S)
    assert "First you take it" in probe.group()
    assert "First you take it" not in shown


def test_every_gate_links_to_its_evidence(built: tuple[Comparison, dict[str, str]]) -> None:
    page = built[1]["report.html"]
    table = re.search(r"<caption>Gates of ppo.*?</table>", page, re.S)
    assert table
    links = re.findall(r'<a href="#([^"]+)"', table.group())
    assert len(set(links)) == len(GATES)
    assert all(page.count(f'id="{link}"') == 1 for link in links)


def test_the_page_refers_to_nothing_outside_itself(built: tuple[Comparison, dict[str, str]]) -> None:
    page = built[1]["report.html"]
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src &#39;none&#39;" in page
    assert "unsafe-inline" not in page


def test_the_shell_is_small() -> None:
    empty = replace(example_run("ppo"), metrics=(), records=(), pairs=(), documents=(), probe=None, judge_cards=())
    assert len(report_of(compare(None, [empty], ()), curves={})["report.html"].encode()) < 100_000


def test_a_report_of_two_hundred_prompts_is_small(built: tuple[Comparison, dict[str, str]]) -> None:
    assert len(built[1]["report.html"].encode()) < 1_500_000


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "manifest.json").unlink(), "not a run folder"),
        (lambda run: (run / "manifest.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "manifest.json").write_text("[]"), "not a manifest"),
        (lambda run: write_json(run / "manifest.json", {**example_manifest(), "candidates": []}), "names no candidate"),
        (lambda run: write_json(run / "manifest.json", {**example_manifest(), "candidates": ["../ppo"]}), "no label"),
        (lambda run: write_json(run / "manifest.json", {**example_manifest(), "config": {"eval": {"judges": 1}}}), "Extra inputs"),
        (
            lambda run: [write_json(run / "manifest.json", {**example_manifest(), "verdict": "pass"}), shutil.rmtree(run / "eval" / "ppo")],
            "no finished evaluation",
        ),
    ],
)
def test_a_folder_that_is_no_finished_run_is_named(run: Path, tmp_path: Path, break_it: Any, message: str) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    break_it(tmp_path / "run")
    with pytest.raises(InputError, match=message) as caught:
        build_report(tmp_path / "run")
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "run" / "report").exists()


@pytest.mark.parametrize(("missing", "shown"), [(["ppo"], ["base"]), (["base"], ["ppo"]), (["base", "ppo"], [])])
def test_a_run_that_is_going_on_gets_a_report_that_says_so(run: Path, tmp_path: Path, missing: list[str], shown: list[str]) -> None:
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("report"))
    for label in missing:
        shutil.rmtree(tmp_path / "run" / "eval" / label)
    with pytest.raises(InfrastructureError, match="not finished"):
        build_report(tmp_path / "run")
    files = {name: (tmp_path / "run" / "report" / name).read_text() for name in FILES}
    facts = json.loads(files["results.json"])
    assert (facts["verdict"], facts["unfinished"], [model["label"] for model in facts["models"]]) == ("none", missing, shown)
    assert verdict_in(files["report.html"]) == ["none"]
    assert "Training wrote step 60" in files["report.html"]
    assert "still going on" in files["report.html"]
    assert "not finished" in files["summary.md"]
    assert len(ElementTree.fromstring(files["junit.xml"]).findall(".//error")) == len(missing)
    assert rows_of(files["gates.csv"]) == []
    assert {row["model"] for row in rows_of(files["samples.csv"])} == set(shown)


def test_a_report_that_can_not_be_written_leaves_the_old_one(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.write_text("precious")
    with pytest.raises(InputError, match="can't be written"):
        build_report(run, target)
    assert target.read_text() == "precious"


def test_the_summary_fits_a_comment() -> None:
    comparison = example_comparison()
    many = replace(comparison.candidates[0], differences=tuple(f"setting {number} differs" for number in range(5000)), verdict="none")
    summary = report_of(replace(comparison, candidates=(many,), verdict="none"))["summary.md"]
    assert len(summary.encode()) <= 60_000
    assert summary.endswith("(Cut here; report.html has the rest.)\n")


def test_reports_need_no_training_stack() -> None:
    code = "import sys, truenorth.reports.build, truenorth.reports.terminal; print(*sorted(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"torch", "transformers", "peft", "lm_eval", "datasets", "pandas", "pyarrow"}


def test_beyond_the_cap_the_page_says_where_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truenorth.reports.sections.flips.MAX_CHARACTERS", 100_000)
    whole = report_of(example_comparison())
    base, tuned = (
        replace(
            run, records=tuple(replace(r, generation=replace(r.generation, response=f"{'word ' * 200}{r.prompt.id}")) for r in run.records)
        )
        for run in (example_run("base"), example_run("ppo"))
    )
    files = report_of(compare(base, [tuned], GATES))
    assert len(files["report.html"]) < len(whole["report.html"]) + 200_000
    held = re.search(r"The page holds ([\d,]+); samples\.csv has all", files["report.html"])
    total = re.search(r'data-total="(\d+)"', files["report.html"])
    assert held
    assert total
    assert 20 < int(held[1].replace(",", "")) < int(total[1])
    assert files["samples.csv"].count("word " * 200) == len(base.records) + len(tuned.records)


def test_the_verdict_stands_before_everything_that_is_big(built: tuple[Comparison, dict[str, str]]) -> None:
    page = built[1]["report.html"]
    assert page.index("data-verdict") < 40_000
    assert page.rindex("<script>") > page.index("</main>")


def test_the_command_to_reproduce_names_no_folder_of_this_machine() -> None:
    typed = ["eval", "--replay", "/home/me/secret/a.jsonl", "--gates=/home/me/gates.yaml", "--out", "/tmp/x", "-o", "a.b=1"]
    page = report_of(example_comparison(), manifest={**example_manifest(), "argv": typed})["report.html"]
    assert "truenorth eval --replay a.jsonl --gates=gates.yaml --out DIR -o a.b=1" in page
    assert "/home/me" not in page
