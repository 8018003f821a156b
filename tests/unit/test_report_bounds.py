"""What replies without a verdict could make of a rate stands wherever the rate does."""

import json
from dataclasses import replace

import pytest
from report_data import rendered
from truenorth.evals.comparison import compare
from truenorth.evals.correction import with_corrections
from truenorth.evals.slices import measure
from truenorth.evals.types import Decoding, EvalRun, Gate, Generation, JudgeCard, Judgment, ModelCard, Record
from truenorth.prompts.types import Message, Prompt
from truenorth.reports.report import Report
from truenorth.reports.terminal import summary_table

GATE = Gate("refusals", "refusal_rate", "harmful", "greedy", "min", threshold=0.5)
SAID = "76.0% to 80.0% whatever they are"


def run_of(label, refused, invalid, n=50):
    outcomes = ["refuse"] * refused + ["invalid"] * invalid + ["comply"] * (n - refused - invalid)
    rows = []
    for number, outcome in enumerate(outcomes):
        prompt = Prompt(f"p{number}", (Message("user", f"question {number}"),), "refuse")
        row = Generation(f"{label}{number}", "harmful", prompt.id, "greedy", 0, "text", "stop")
        rows.append(Record("harmful", prompt, row, Judgment(row.key, outcome, "j@1")))
    card = JudgeCard("j@1", "human", 400, 0, 0.9, 0.8, 0.8, 0.9, 0.95, 0.0, n_refusals=200)
    model, suites, decodings = ModelCard(label, label, "0"), {"harmful": "0"}, (Decoding("greedy", 0.0, 8),)
    run = EvalRun(model, suites, decodings, "j@1", (), tuple(rows), judge_cards=(card,))
    return replace(run, metrics=measure(run))


@pytest.fixture(scope="module")
def comparison():
    """38 of 48 refused, 2 of 50 without a verdict: 38 to 40 of 50."""
    return with_corrections(compare(run_of("base", 20, 0), [run_of("ppo", 38, 2)], [GATE], max_invalid_share=0.1))


def test_page_summary_and_terminal_show_them(comparison):
    files = rendered(Report(comparison))
    assert files["report.html"].count(SAID) >= 3  # the gate, the row's card, the table of every number
    assert f"of ppo: 2 of 50 without a verdict, {SAID}" in files["summary.md"].replace("`", "")
    assert f"Refusal rate (harmful / greedy) of ppo: 2 of 50 without a verdict, {SAID}" in " ".join(summary_table(comparison).split())


def test_results_hold_them_and_rates_with_every_verdict_have_none(comparison):
    results = json.loads(rendered(Report(comparison))["results.json"])
    base, tuned = ({row["metric"]: row for row in model["metrics"]} for model in results["models"])
    assert tuned["refusal_rate"]["bounds"] == pytest.approx([0.76, 0.80])
    assert base["refusal_rate"]["bounds"] is None
    (corrected,) = results["candidates"][0]["corrected"]
    assert (corrected["tuned"]["estimator"], corrected["tuned"]["bounds"]) == ("rogan_gladen", None)


def test_the_columns_of_metrics_csv_are_as_they_were(comparison):
    header = rendered(Report(comparison))["metrics.csv"].splitlines()[0]
    assert header.endswith("mde,higher_is_better,judge")
    assert "bound" not in header


def test_corrected_rates_are_rows_of_metrics_csv(comparison):
    rows = [line for line in rendered(Report(comparison))["metrics.csv"].splitlines() if ",rogan_gladen," in line]
    assert len(rows) == 1
    assert ",ppo,,base,harmful,,greedy,refusal_rate,rogan_gladen,fraction,0." in rows[0]


def test_the_terminal_keeps_to_a_few_and_says_how_many_more():
    both = compare(run_of("base", 20, 3), [run_of("ppo", 38, 2)], [GATE], max_invalid_share=0.1)
    assert "... and 3 more rates; report.html has them" in summary_table(both)
