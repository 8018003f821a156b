"""The verdict for a terminal: at most 80 columns, ASCII only, nothing that a terminal would obey."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..evals.safe_text import for_terminal
from ..evals.types import CandidateComparison, Comparison
from .headline import headline, invalid_sentences, measured_text, requirement_text, sorted_decisions, why_text
from .report import Report
from .words import GATE_WORDS, OUTCOME_WORDS, VERDICT_WORDS, title_of, where_text

WIDTH = 80
_NOTES = 4
"""Rates with replies that have no verdict."""
_SHORT = {
    "corrected difference": "corr.",
    "corrected": "corr.",
    "no difference": "none",
    "difference": "change",
    "at least": ">=",
    "at most": "<=",
    " points": " pt",
}
_ASCII = str.maketrans({"−": "-", "→": ">", "·": "/", "–": "-", "…": "~"})


def summary_table(comparison: Comparison) -> str:
    """Probe, verdict and gates of every candidate, as lines without a final newline."""
    report = Report(comparison)
    lines = [*_probe(report)]
    if comparison.baseline is None:
        lines += _wrapped("No baseline: only absolute requirements apply.")
    for candidate in comparison.candidates:
        lines += ["", *_candidate(report, candidate)]
    lines += ["", f"Verdict: {VERDICT_WORDS[comparison.verdict].upper()}"]
    return "\n".join(lines).strip("\n").translate(_ASCII).encode("ascii", "replace").decode()


def _probe(report: Report) -> Iterator[str]:
    replies = [(run.model.label, run.probe) for run in report.runs if run.probe]
    if replies:
        yield for_terminal(f"Probe: {replies[0][1].prompt.text}", WIDTH)
    for label, record in replies:
        outcome = OUTCOME_WORDS[record.judgment.outcome] if record.judgment else "not judged"
        head = f"  {for_terminal(label, 14):<14} {outcome}: "
        yield head + for_terminal(record.generation.response, WIDTH - len(head))


def _candidate(report: Report, comparison: CandidateComparison) -> Iterator[str]:
    said = headline(report, comparison)
    yield from _wrapped(f"{for_terminal(comparison.candidate.model.label, 20)}: {said.word}. {said.sentence}")
    for difference in comparison.differences:
        yield for_terminal(f"  differs: {difference}", WIDTH)
    if comparison.decisions:
        yield ""
        yield _row("outcome", "gate", "measured", "required")
    for decision in sorted_decisions(comparison):
        gate = decision.gate
        name = f"{title_of(gate.metric)} {where_text(gate.suite, gate.decoding)}"
        yield _row(GATE_WORDS[decision.outcome].upper(), name, measured_text(decision)[0], requirement_text(decision))
        if gate.kind == "gate" and (why := why_text(decision)):
            yield from _note(why)
    unjudged = invalid_sentences(report, comparison)
    if unjudged:
        yield ""
    for sentence in unjudged[:_NOTES]:
        yield from _note(sentence, indent="")
    if len(unjudged) > _NOTES:
        yield f"... and {len(unjudged) - _NOTES} more rates; report.html has them"


def _note(text: str, indent: str = " " * 10) -> list[str]:
    return textwrap.wrap(for_terminal(text), WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=True)


def _row(outcome: str, gate: str, measured: str, required: str) -> str:
    cells = (
        f"{outcome:<9}",
        f"{for_terminal(gate, 37):<37}",
        f"{for_terminal(_short(measured), 12):>12}",
        for_terminal(_short(required), 18),
    )
    return " ".join(cells).rstrip()


def _short(text: str) -> str:
    for long, short in _SHORT.items():
        text = text.replace(long, short)
    return text


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(for_terminal(text), WIDTH, break_long_words=True)
