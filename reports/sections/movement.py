"""Where a policy moved: suites and categories, prompts and tokens with the largest KL to its base. Replies stand in `flips.py`."""

from __future__ import annotations

from collections.abc import Iterator

from ...evals.movement import most_moved_prompts, most_moved_tokens
from ...evals.types import CandidateComparison, MetricResult, Record
from ..flips import dialogue_text
from ..report import Report
from ..section import Block, Cell, Section, Table
from ..words import OUTCOME_WORDS, interval_text, number_text, where_text

ORDER = 45
METRIC = "kl_exact_seq"
PLACES, PROMPTS, TOKENS = 15, 10, 20
"""Rows of each table."""
_LONGEST = 200
"""Characters of a prompt that are shown."""


def section(report: Report) -> Section | None:
    """Three tables a candidate; None where no KL was measured."""
    blocks = [block for comparison in report.comparison.candidates for block in _tables(report, comparison)]
    if not blocks:
        return None
    lead = (
        "KL of the tuned policy to its base, exact over the vocabulary, in nats per reply. What moved most is where to read first; it is "
        "no fault by itself."
    )
    return Section("movement", "Where it moved", tuple(blocks), lead)


def _tables(report: Report, comparison: CandidateComparison) -> Iterator[Block]:
    run = comparison.candidate
    measured = [row for row in run.metrics if row.metric == METRIC and row.value]
    if not measured:
        return
    ranked = sorted(measured, key=lambda row: -(row.value or 0.0))[:PLACES]
    numeric = frozenset({1, 2})
    columns = ("Where", "KL per reply", "n")
    yield Table(f"Suites and categories that moved most, {run.model.label}", columns, tuple(map(_place, ranked)), numeric)
    prompts = tuple(_prompt(row) for row in most_moved_prompts(run, PROMPTS))
    yield Table(f"Prompts that moved most, {run.model.label}", ("Prompt", "KL", "Reply"), prompts, frozenset({1}), collapsed=True)
    tokens = () if report.redacted else most_moved_tokens(run, TOKENS)
    if tokens:
        note = "Each reply keeps its few most moved tokens: sums are over those places alone."
        rows = tuple((Cell(repr(token.text)), Cell(number_text(token.nats)), Cell(f"{token.places:,}")) for token in tokens)
        yield Table(
            f"Tokens that moved most, {run.model.label}", ("Token", "KL, summed", "Places"), rows, numeric, note=note, collapsed=True
        )


def _place(row: MetricResult) -> tuple[Cell, ...]:
    between = interval_text(row.ci_low, row.ci_high, rate=False)
    return Cell(where_text(row.suite, row.decoding, row.subset)), Cell(number_text(row.value or 0.0), detail=between), Cell(f"{row.n:,}")


def _prompt(record: Record) -> tuple[Cell, ...]:
    text = dialogue_text(record)
    nats = record.score.kl_exact if record.score else None
    return (
        Cell(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …", detail=where_text(record.suite, record.generation.decoding)),
        Cell(number_text(nats or 0.0)),
        Cell(OUTCOME_WORDS[record.judgment.outcome] if record.judgment else "not judged"),
    )
