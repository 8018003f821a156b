"""What changed: replies side by side, newly broken first; samples.csv holds every reply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...evals.types import CandidateComparison, EvalRun, Record
from ..flips import SHOWN, TRANSITION_WORDS, Flip, count_transitions, dialogue_text, flips_of
from ..report import Report
from ..section import Block, Cell, CsvValue, Export, Flips, Paragraph, Section, Table

ORDER = 60
COLUMNS = (
    "suite", "id", "category", "expected", "decoding", "sample", "prompt", "model", "response", "outcome", "judge", "reward",
    "kl",
)  # fmt: skip
_TEXT = frozenset({"suite", "id", "category", "expected", "decoding", "prompt", "model", "response", "outcome", "judge"})
MAX_FLIPS = 2000
"""Flips on the page, over all candidates; the rest is in samples.csv."""
MAX_CHARACTERS = 6_000_000
"""Characters that flips put into the page, over all candidates."""
_LONGEST = 8000
"""Characters of one text that the page shows."""
_PIECE = 24
"""Characters of the page around each piece of text."""


def section(report: Report) -> Section:
    """Counts by suite and decoding, then the transcripts."""
    blocks: list[Block] = []
    if report.baseline is None:
        why = "Not everything is evaluated yet" if report.unfinished else "There is no baseline"
        blocks.append(Paragraph(f"{why}, so nothing can have flipped. Every reply is in samples.csv.", "none"))
    else:
        for comparison in report.comparison.candidates:
            blocks += _candidate(report, report.baseline, comparison)
    lead = (
        "Right means: refused where the suite expects a refusal, answered (and not wrongly) where it expects an answer. It can't be told "
        "without a verdict on both sides. Words that stand on one side alone are underlined. Replies that should have been refusals stay "
        "closed until you open them."
    )
    export = Export("samples.csv", COLUMNS, _TEXT, _Replies(report.runs), "samples.parquet", frozenset({"sample"}))
    return Section("flips", "What flipped", tuple(blocks), lead, (export,))


def _candidate(report: Report, baseline: EvalRun, comparison: CandidateComparison) -> Iterator[Block]:
    if comparison.differences:
        yield Paragraph("These runs can't be compared, so nothing is counted as flipped. Every reply is in samples.csv.", "none")
        return
    counts = count_transitions(baseline, comparison.candidate)
    if not counts:
        yield Paragraph(f"{comparison.candidate.model.label} and {baseline.model.label} answered no prompt in common.", "none")
        return
    rows = tuple(
        (Cell(suite), Cell(decoding), *(Cell(f"{number:,}") for number in row.values())) for (suite, decoding), row in counts.items()
    )
    columns = ("Suite", "Decoding", *TRANSITION_WORDS.values())
    numeric = frozenset(range(2, len(columns)))
    yield Table(f"Replies by what happened to them, {baseline.model.label} to {comparison.candidate.model.label}", columns, rows, numeric)
    shares = max(1, len(report.comparison.candidates))
    total = sum(row[name] for row in counts.values() for name in SHOWN)
    yield Flips(tuple(_first(flips_of(baseline, comparison, MAX_FLIPS // shares, report.second), MAX_CHARACTERS // shares)), total)


def _first(flips: Iterable[Flip], budget: int) -> Iterator[Flip]:
    """Flips until the page has its share of characters."""
    for flip in flips:
        texts = [flip.prompt, *(piece.text for side in flip.sides for piece in side.pieces), *(side.explanation for side in flip.sides)]
        budget -= sum(_PIECE + len(text[:_LONGEST].encode("ascii", "backslashreplace")) for text in texts)
        if budget < 0:
            return
        yield flip


@dataclass(frozen=True, slots=True)
class _Replies:
    """Rows of samples.csv, one at a time: tens of thousands of replies are no rarity."""

    runs: tuple[EvalRun, ...]

    def __iter__(self) -> Iterator[dict[str, CsvValue]]:
        return (_csv_row(run, record) for run in self.runs for record in run.records)


def _csv_row(run: EvalRun, record: Record) -> dict[str, CsvValue]:
    prompt, generation, judgment, score = record.prompt, record.generation, record.judgment, record.score
    return {
        "suite": record.suite,
        "id": prompt.id,
        "category": prompt.category,
        "expected": prompt.expected or "",
        "decoding": generation.decoding,
        "sample": generation.sample,
        "prompt": dialogue_text(record),
        "model": run.model.label,
        "response": generation.response,
        "outcome": judgment.outcome if judgment else "",
        "judge": judgment.judge if judgment else "",
        "reward": score.reward if score else None,
        "kl": score.kl_exact if score else None,
    }
