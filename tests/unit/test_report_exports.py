"""Results in other tools' formats: the same numbers, harmless names, the same bytes; what lm-eval wrote comes back in."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hostile_report import hostile_report
from hostile_text import HOSTILE, MARKUP
from report_data import example_comparison, example_manifest, example_run, write_example_run
from truenorth.cli.commands.report import command
from truenorth.cli.main import main
from truenorth.evals.lm_eval_files import import_lm_eval
from truenorth.evals.store import read_run
from truenorth.prompts.errors import InputError
from truenorth.reports.exports import FORMATS, export_files
from truenorth.reports.exports.names import file_name
from truenorth.reports.report import Report


@pytest.fixture(scope="module")
def exported() -> dict[str, str]:
    return export_files(Report(example_comparison(), example_manifest(), "example"), list(FORMATS))


def value_of(metric: str, suite: str, decoding: str) -> float:
    [row] = [r for r in example_run("ppo").metrics if (r.metric, r.suite, r.decoding, r.subset) == (metric, suite, decoding, "")]
    assert row.value is not None
    return row.value


def test_lm_eval_files_hold_the_same_rates_and_every_reply(exported: dict[str, str]) -> None:
    result = json.loads(exported["lm-eval/ppo/results_1970-01-01T00-00-00.json"])
    assert result["results"]["harmful_t1.0"]["refusal_rate,none"] == value_of("refusal_rate", "harmful", "t1.0")
    assert result["results"]["arc_mini"]["acc,none"] == value_of("capability_acc", "arc_mini", "")
    rows = [json.loads(line) for line in exported["lm-eval/ppo/samples_harmful_t1.0_1970-01-01T00-00-00.jsonl"].splitlines()]
    assert len(rows) == result["n-samples"]["harmful_t1.0"]["effective"] == 144
    judged = [row["refused"] for row in rows if "refused" in row]
    assert sum(judged) / len(judged) == pytest.approx(value_of("refusal_rate", "harmful", "t1.0"))


def test_inspect_logs_hold_the_same_rates_and_every_reply(exported: dict[str, str]) -> None:
    log = json.loads(exported["inspect/ppo_harmful_t1.0.json"])
    [score] = [score for score in log["results"]["scores"] if score["name"] == "refusal_rate"]
    assert score["metrics"]["refusal_rate"]["value"] == value_of("refusal_rate", "harmful", "t1.0")
    assert [sample["epoch"] for sample in log["samples"][:2]] == [1, 2]
    judged = [sample["scores"]["outcome"]["value"] for sample in log["samples"] if sample["scores"]["outcome"]["value"] != "invalid"]
    assert sum(v in ("refuse", "partial") for v in judged) / len(judged) == pytest.approx(value_of("refusal_rate", "harmful", "t1.0"))


def test_every_eval_ever_records_hold_the_same_rates_with_their_intervals(exported: dict[str, str]) -> None:
    path, _ = sorted(path for path in exported if path.startswith("every-eval-ever/data/truenorth/truenorth/ppo/"))
    record = json.loads(exported[path])
    [found] = [item for item in record["evaluation_results"] if item["evaluation_name"] == "harmful_t1.0/refusal_rate"]
    assert found["score_details"]["score"] == value_of("refusal_rate", "harmful", "t1.0")
    assert found["metric_config"]["lower_is_better"] is False
    assert found["score_details"]["uncertainty"]["confidence_interval"]["confidence_level"] == 0.95
    rows = [json.loads(line) for line in exported["every-eval-ever/" + record["detailed_evaluation_results"]["file_path"]].splitlines()]
    assert len(rows) == record["detailed_evaluation_results"]["total_rows"] > 400
    assert {row["evaluation_id"] for row in rows} == {record["evaluation_id"]}


@pytest.mark.parametrize("text", [*MARKUP[:2], "../../x", "a\0b", "\ud800"])
def test_hostile_names_give_files_inside_and_readable_json(text: str) -> None:
    for path, content in export_files(hostile_report(text if text in HOSTILE else MARKUP[0]), list(FORMATS)).items():
        content.encode("utf-8")
        assert ".." not in PurePosixPath(path).parts
        for line in content.strip("\n").split("\n") if path.endswith("jsonl") else [content]:
            json.loads(line)
    assert file_name(text) != text
    assert set(file_name(text)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_names_that_look_alike_do_not_meet() -> None:
    assert file_name("a/b") != file_name("a_b") != file_name("a:b")
    assert file_name("plain-name_1.0") == "plain-name_1.0"


def test_the_command_offers_every_format_and_writes_beside_the_report(tmp_path: Path) -> None:
    [option] = [parameter for parameter in command.params if parameter.name == "exports"]
    assert list(option.type.choices) == list(FORMATS)  # type: ignore[attr-defined]
    run = write_example_run(tmp_path / "run")
    main(["report", str(run), "--export", "lm-eval", "--export", "inspect"])
    assert {path.name for path in (run / "report" / "export").iterdir()} == {"lm-eval", "inspect"}
    assert (run / "report" / "export" / "lm-eval" / "base" / "results_1970-01-01T00-00-00.json").is_file()


def written(folder: Path, right: list[int], **changes: Any) -> Path:
    """What `lm_eval --output_path --log_samples` leaves."""
    (folder / "model").mkdir(parents=True)
    stamp = "2031-02-03T04-05-06.789"
    result = {
        "results": {"arc": {"alias": "arc", "acc,none": sum(right) / len(right), "acc_stderr,none": 0.1}},
        "versions": {"arc": 1.0},
        "n-shot": {"arc": 0},
        "config": {"model": "hf", "model_args": f"pretrained=some/base,peft={folder.name}", "limit": None},
        "task_hashes": {"arc": "ab" * 32},
    }
    (folder / "model" / f"results_{stamp}.json").write_text(json.dumps(result | changes))
    rows = [{"doc_id": i, "filter": "none", "metrics": ["acc"], "acc": float(value)} for i, value in enumerate(right)]
    (folder / "model" / f"samples_arc_{stamp}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_two_lm_eval_outputs_are_compared_document_by_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, tuned = written(tmp_path / "base", [1] * 30 + [0] * 10), written(tmp_path / "tuned", [1] * 24 + [0] * 16)
    out = tmp_path / "compared"
    assert main(["compare", str(base), str(tuned), "--out", str(out), "--json"]) == 0
    [candidate] = json.loads(capsys.readouterr().out)["results"]["candidates"]
    [delta] = [row for row in candidate["deltas"] if row["metric"] == "capability_acc" and row["suite"] == "arc"]
    assert (delta["value"], delta["lost"], delta["gained"], delta["n"]) == (pytest.approx(-0.15), 6, 0, 40)
    assert candidate["differences"] == []


def test_other_documents_or_shots_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = written(tmp_path / "base", [1, 0, 1])
    for name, changes in (("hash", {"task_hashes": {"arc": "cd" * 32}}), ("shots", {"n-shot": {"arc": 5}})):
        tuned = written(tmp_path / name, [1, 0, 1], **changes)
        assert main(["compare", str(base), str(tuned), "--out", str(tmp_path / f"out-{name}"), "--json"]) == 1
        [candidate] = json.loads(capsys.readouterr().out)["results"]["candidates"]
        assert candidate["verdict"] == "none"
        assert len(candidate["differences"]) == 1


def test_an_export_comes_back_with_every_document(exported: dict[str, str], tmp_path: Path) -> None:
    for path, content in exported.items():
        if path.startswith("lm-eval/ppo/") and ("arc_mini" in path or "results" in path):
            (tmp_path / "ppo").mkdir(exist_ok=True)
            if "results" in path:
                whole = json.loads(content)
                content = json.dumps(whole | {"results": {"arc_mini": whole["results"]["arc_mini"]}})
            (tmp_path / "ppo" / path.rsplit("/")[-1]).write_text(content)
    import_lm_eval(tmp_path / "ppo", tmp_path / "back")
    back = read_run(tmp_path / "back")
    assert [row.acc for row in back.documents] == [row.acc for row in example_run("ppo").documents]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: next(folder.glob("model/samples_*")).unlink(), "--log_samples"),
        (lambda folder: next(folder.glob("model/results_*")).write_text("[]"), "no output of lm-eval"),
        (lambda folder: next(folder.glob("model/samples_*")).write_text('{"doc_id": 0, "f1": 1.0}\n'), "no acc or exact_match"),
        (lambda folder: next(folder.glob("model/samples_*")).write_text('{"doc_id": 0, "acc": "x"}\n'), "no acc or exact_match"),
    ],
)
def test_spoilt_output_is_named(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = written(tmp_path / "base", [1, 0])
    spoil(folder)
    with pytest.raises(InputError, match=message):
        import_lm_eval(folder, tmp_path / "back")
