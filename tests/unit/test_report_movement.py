"""Where a policy moved: the tables, their order, what is not shown, and hostile tokens."""

from __future__ import annotations

from dataclasses import replace

from report_data import example_run, rendered
from truenorth.evals.comparison import compare
from truenorth.evals.types import EvalRun
from truenorth.reports.report import Report
from truenorth.reports.section import Table
from truenorth.reports.sections import movement


def tables(run: EvalRun, *, redacted: bool = False) -> list[Table]:
    found = movement.section(Report(compare(None, [run]), redacted=redacted))
    return [block for block in found.blocks if isinstance(block, Table)] if found else []


def moved(run: EvalRun, text: str) -> EvalRun:
    """The run with one token moved in every reply."""
    return replace(run, records=tuple(replace(row, score=replace(row.score, moved=((text, 2.0),))) for row in run.records if row.score))


def test_places_and_prompts_are_in_order_of_their_kl() -> None:
    places, prompts = tables(example_run("ppo"))
    measured = {row.value for row in example_run("ppo").metrics if row.metric == "kl_exact_seq" and row.value}
    assert 0 < len(places.rows) <= movement.PLACES
    assert float(places.rows[0][1].text) == round(max(measured), 2)
    largest = sorted((row.score.kl_exact or 0 for row in example_run("ppo").records if row.score), reverse=True)[: movement.PROMPTS]
    assert [float(row[1].text) for row in prompts.rows] == [round(nats, 2) for nats in largest]


def test_tokens_are_summed_over_their_places() -> None:
    run = moved(example_run("ppo"), " no")
    (row,) = tables(run)[2].rows
    assert [cell.text for cell in row] == ["' no'", f"{2.0 * len(run.records):.2f}", f"{len(run.records):,}"]


def test_a_run_without_kl_and_the_base_itself_have_no_such_section() -> None:
    bare = replace(example_run("ppo"), metrics=tuple(row for row in example_run("ppo").metrics if not row.metric.startswith("kl_")))
    assert tables(bare) == tables(example_run("base")) == []


def test_tokens_are_left_out_of_a_redacted_report() -> None:
    assert len(tables(moved(example_run("ppo"), "secret"), redacted=True)) == 2


def test_a_hostile_token_is_text_on_the_page() -> None:
    page = rendered(Report(compare(None, [moved(example_run("ppo"), "<script>alert(1)</script>\u202e")])))["report.html"]
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "\u202e" not in page
