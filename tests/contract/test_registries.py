"""Registries and their documentation say the same."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from truenorth.evals.judges import Judge, get_judge, list_judges
from truenorth.evals.metrics import METRICS

DOCS = Path(__file__).resolve().parents[2] / "docs/metrics.md"


def documented():
    return {cells[1].strip().strip("`"): [cell.strip() for cell in cells[2:-1]] for line in DOCS.read_text(encoding="utf-8").splitlines()
            if (cells := re.split(r"(?<!\\)\|", line))[1:2] and cells[1].strip().startswith("`")}  # fmt: skip


def test_every_metric_is_documented_and_no_other():
    assert list(documented()) == list(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_documentation_gives_formula_unit_estimator_and_source(name):
    formula, unit, estimator, source = documented()[name]
    assert (formula.replace("\\|", "|"), unit) == (METRICS[name].formula, METRICS[name].unit)
    assert estimator.startswith("Wilson" if METRICS[name].binary else "sums by part" if METRICS[name].combine else "ratio")
    assert source


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_registered_under_its_own_name_and_applies_to_nothing_without_rows(name):
    assert METRICS[name].name == name
    assert METRICS[name].items([]) == []


@pytest.mark.parametrize("name", list_judges())
def test_judge_answers_to_its_name(name):
    judge = get_judge(name)
    assert isinstance(judge, Judge)
    assert judge.name == name
    assert judge.revision


def test_public_names_resolve_and_importing_them_is_light():
    import truenorth.evals

    for name in set(truenorth.evals.__all__) - {"TransformersModel"}:
        assert getattr(truenorth.evals, name) is not None
    code = (
        "import sys, truenorth.evals as e\n"
        "[getattr(e, n) for n in e.__all__ if n != 'TransformersModel']\n"
        "heavy = {'torch', 'transformers', 'lm_eval', 'peft', 'datasets', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
