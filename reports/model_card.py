"""The evaluation in the model cards of a run's own adapter folders: README.md, below a marker, replaced whenever the report is built.

Only folders in the run itself are touched, never an adapter that a user named. Weights and config stay as they are; the card is no part of
a stage's digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..evals.safe_text import for_markdown
from ..evals.types import CandidateComparison
from ..prompts.files import atomic_write
from .headline import headline
from .markdown import neutral
from .report import Report, Row, overall_rows
from .words import VERDICT_WORDS, change_text, interval_text, is_of_one_model, is_of_reward_model, is_rate, title_of, value_text, where_text

POLICY, REWARD_MODEL = "ppo_policy_model", "final_rm_model_adapters"
MARKER = "<!-- evaluation: written with the report, replaced each time -->"


def write_model_cards(run_folder: Path, report: Report) -> None:
    """Put the evaluation into the cards of the policy and the reward model, where the run trained them: it has one candidate then."""
    comparison = report.comparison.candidates[0]
    for folder in (POLICY, REWARD_MODEL):
        card = run_folder / folder / "README.md"
        if card.is_file():
            text = card.read_text(encoding="utf-8").split(MARKER)[0].rstrip()
            atomic_write(card, f"{text}\n\n{MARKER}\n{evaluation(report, comparison, of_reward_model=folder == REWARD_MODEL)}")


def evaluation(report: Report, comparison: CandidateComparison, *, of_reward_model: bool) -> str:
    """The section as Markdown: what was measured on what, with intervals, n and judge."""
    rows = [row for row in overall_rows(report, comparison) if is_of_reward_model(row.tuned.metric) == of_reward_model]
    said = headline(report, comparison)
    lines = ["## Evaluation", ""]
    if not of_reward_model:
        lines += [f"{VERDICT_WORDS[comparison.verdict]}. {neutral(said.sentence)}", ""]
    lines += [*_table(rows), "", *_measured_on(comparison)]
    return "\n".join(lines) + "\n"


def _table(rows: list[Row]) -> Iterator[str]:
    yield "| Metric | Where | Base | This model | Difference | n |"
    yield "|---|---|--:|--:|--:|--:|"
    for row in rows:
        tuned, rate = row.tuned, is_rate(row.tuned.metric, row.tuned.unit)
        alone = is_of_one_model(tuned.metric) or row.base is None or row.delta is None
        base = "" if alone or row.base is None else value_text(row.base.value, rate=rate)
        interval = interval_text(tuned.ci_low, tuned.ci_high, rate=rate)
        change = "" if alone or row.delta is None else change_text(row.delta.value, rate=rate)
        between = "" if alone or row.delta is None else interval_text(row.delta.ci_low, row.delta.ci_high, rate=rate, change=True)
        cells = (
            title_of(tuned.metric),
            for_markdown(where_text(tuned.suite, tuned.decoding)) if tuned.suite or tuned.decoding else "",
            base,
            f"{value_text(tuned.value, rate=rate)}{f' ({interval})' if interval else ''}",
            f"{change}{f' ({between})' if between else ''}",
            f"{tuned.n:,}",
        )
        yield f"| {' | '.join(cells)} |"


def _measured_on(comparison: CandidateComparison) -> Iterator[str]:
    run = comparison.candidate
    yield f"Judge: {for_markdown(run.judge)}. In brackets: intervals at the report's level. The replies are in the run's report."
    yield ""
    for suite, digest in run.suites.items():
        yield f"- {for_markdown(suite)}: sha256 {digest[:16]}"
