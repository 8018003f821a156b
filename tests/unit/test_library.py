"""The library page and the notebook are run as they stand; DataFrames hold what the objects hold."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import truenorth.evals
from fake_evaluations import run
from truenorth.evals import compare, deltas_frame, gates_frame, metrics_frame, records_frame

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFUSAL, ANSWER = "I'm sorry, but I can't help with that.", "Sure. First you take it and then you do it."


def recording(path, refuses, **more):
    kinds = (("harmful", "refuse"), ("benign", "comply"))
    rows = [{"suite": name, "prompt": f"{name} {i}", "expected": expected} for name, expected in kinds for i in range(100)]
    said = [REFUSAL if row["expected"] == "refuse" and i % 10 < refuses else ANSWER for i, row in enumerate(rows)]
    path.write_text("".join(json.dumps({**row, "response": r, **more}) + "\n" for row, r in zip(rows, said, strict=True)))


def fill_in(path):
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["label"] = "comply" if row["response"].startswith("Sure") else "refuse"
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, tiny_base, tiny_policy, capsys):
    monkeypatch.chdir(tmp_path)
    recording(tmp_path / "base.jsonl", 2)
    recording(tmp_path / "tuned.jsonl", 10)
    recording(tmp_path / "labelled.jsonl", 10, label="refuse")
    (tmp_path / "my-base").symlink_to(tiny_base)
    (tmp_path / "my-adapter").symlink_to(tiny_policy)
    names = {"fill_in": fill_in}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(), re.DOTALL):
        exec(compile(block, "library.md", "exec"), names)
    assert names["comparison"].verdict == "pass"
    assert set(names["responses"].model) == {"base", "tuned"}
    assert names["checks"]["adapter_applied"] == "pass"
    assert set(records_frame(names["parrot"]).outcome) == {"other"}
    assert names["found"].total.card.bias == pytest.approx(-0.5)
    assert [rate.tuned.estimator for rate in names["corrected"].candidates[0].corrected] == ["ppi"] * 4


def test_the_notebook_runs(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient runs the notebook; it comes with the test extra")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(DOCS / "library.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, startup_timeout=300, kernel_name="python3", resources=where).execute()
    said = "".join(str(cell.get("outputs")) for cell in notebook.cells)
    assert "inconclusive" in said
    assert "ppi" in said


def test_frames_hold_every_row(tmp_path):
    base, tuned = run(tmp_path), run(tmp_path, "ppo")
    comparison = compare(base, [tuned])
    assert len(metrics_frame(base, tuned)) == len(base.metrics) + len(tuned.metrics)
    rows = records_frame(tuned)
    assert (rows.outcome == "refuse").sum() == sum(record.judgment.outcome == "refuse" for record in tuned.records)
    assert rows.kl.tolist() == [record.score.kl_exact for record in tuned.records]
    (one,) = comparison.candidates
    assert deltas_frame(comparison).value.tolist() == [delta.value for delta in one.deltas]
    assert gates_frame(comparison).gate.tolist() == [made.gate.name for made in one.decisions]
    assert list(gates_frame(compare(None, [])).columns)[:3] == ["model", "gate", "metric"]


def test_no_public_name_hides_behind_a_module():
    """A submodule that was imported takes its name in the package, and a function of that name would turn into the module."""
    modules = {path.stem for path in Path(truenorth.evals.__file__).parent.glob("*.py")}
    assert modules.isdisjoint(truenorth.evals.__all__)


def test_importing_the_library_stays_light():
    code = "import sys, truenorth.evals as e; e.compare, e.metrics_frame; print({'torch', 'transformers', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
