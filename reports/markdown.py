"""`summary.md`: the verdict for a pull request or a job summary. Foreign text stands in code spans and fences only."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..evals.safe_text import for_markdown, for_markdown_block, plain
from ..evals.types import CandidateComparison
from .flips import TRANSITION_WORDS, Pair, dialogue_text, is_sensitive, pairs_of
from .headline import UNFINISHED, headline, invalid_sentences, measured_text, requirement_text, sorted_decisions, why_text
from .report import Report
from .words import GATE_WORDS, OUTCOME_WORDS, VERDICT_WORDS, title_of, where_text

MAX_BYTES = 60_000
_FLIPS = 3
_REPLY = 400
_MARKUP = frozenset("`<>[]!@|*\\\n&#~$")
_LINK = re.compile(r"://|www\.|\b_|_\b", re.IGNORECASE)


def render_markdown(report: Report) -> str:
    """Probe, verdict, gates and the worst flips; cut to what a comment holds."""
    lines = [f"# {VERDICT_WORDS[report.comparison.verdict]}", "", *_probe(report)]
    if report.unfinished:
        lines += [f"{UNFINISHED} Not evaluated yet: {', '.join(map(for_markdown, report.unfinished))}.", ""]
    elif report.baseline is None:
        lines += ["There is no baseline: only absolute requirements apply.", ""]
    for comparison in report.comparison.candidates:
        lines += _candidate(report, comparison)
    lines += [f"Run {for_markdown(report.run)}. Everything else is in report.html.", ""]
    return _cut("\n".join(lines))


def _probe(report: Report) -> Iterator[str]:
    replies = [(run.model.label, run.probe) for run in report.runs if run.probe]
    if not replies:
        return
    yield f"Probe: {for_markdown(dialogue_text(replies[0][1]))}"
    yield ""
    for label, record in replies:
        outcome = OUTCOME_WORDS[record.judgment.outcome] if record.judgment else "not judged"
        shown = "" if is_sensitive(record) else f": {for_markdown(record.generation.response[:_REPLY])}"
        yield f"- {for_markdown(label)} {outcome}{shown}"
    yield ""


def _candidate(report: Report, comparison: CandidateComparison) -> Iterator[str]:
    said = headline(report, comparison)
    label = for_markdown(comparison.candidate.model.label)
    yield f"## {label}: {said.word}"
    yield ""
    yield " ".join(neutral(part) for part in (said.cause, said.effect, said.gates) if part)
    yield ""
    for difference in comparison.differences:
        yield f"- differs: {for_markdown(difference)}"
    if comparison.differences:
        yield ""
    if comparison.decisions:
        yield from _gates(comparison)
    if unjudged := invalid_sentences(report, comparison):
        yield from (f"- {neutral(sentence)}" for sentence in unjudged)
        yield ""
    if report.baseline and not comparison.differences:
        for pair in pairs_of(report.baseline, comparison.candidate)[:_FLIPS]:
            if pair.transition == "broken":
                yield from _flip(pair)


def _gates(comparison: CandidateComparison) -> Iterator[str]:
    yield "| Outcome | Gate | Required | Measured | n | Why |"
    yield "|---|---|---|---|--:|---|"
    for decision in sorted_decisions(comparison):
        gate = decision.gate
        value, interval = measured_text(decision)
        name = " ".join(part for part in (neutral(title_of(gate.metric)), for_markdown(where_text(gate.suite, gate.decoding))) if part)
        measured = f"{value} ({interval})" if interval else value
        cells = (GATE_WORDS[decision.outcome], name, requirement_text(decision), measured, str(decision.n), neutral(why_text(decision)))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _flip(pair: Pair) -> Iterator[str]:
    yield f"{TRANSITION_WORDS[pair.transition]}, {for_markdown(where_text(pair.base.suite, pair.base.generation.decoding))}:"
    yield ""
    yield for_markdown_block(dialogue_text(pair.base)[:_REPLY])
    yield ""
    for record, name in ((pair.base, "base"), (pair.tuned, "tuned")):
        if is_sensitive(record):
            yield f"{name}: not shown here, see report.html"
        else:
            yield f"{name}:"
            yield ""
            yield for_markdown_block(record.generation.response[:_REPLY])
        yield ""


def neutral(sentence: str) -> str:
    """Our own sentence for Markdown: as it is, unless a suite's or a model's name in it could be taken for markup, a link or a mention."""
    harmless = plain(sentence) == sentence and not set(sentence) & _MARKUP and not _LINK.search(sentence)
    return sentence if harmless else for_markdown(sentence)


def _cut(text: str) -> str:
    raw = text.encode("utf-8")
    if len(raw) <= MAX_BYTES:
        return text
    kept = raw[: MAX_BYTES - 200].decode("utf-8", "ignore").rsplit("\n", 1)[0]
    return f"{kept}\n\n(Cut here; report.html has the rest.)\n"
