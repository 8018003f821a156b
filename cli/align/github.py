"""For GitHub Actions: a job summary in Markdown, and annotations at the tests that failed. Foreign text is neutral in both.

A summary over 1024 KiB is dropped by the runner as a whole, and of more than ten annotations of a kind the rest is hidden without a word:
so both are kept below, and say what was left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...evals.safe_text import for_markdown, for_markdown_block, for_terminal
from ...prompts.files import atomic_write
from .rows import Row, by_severity

MAX_BYTES = 60_000
"""Of our part of a job summary, to which other steps add, too."""
MAX_ANNOTATIONS = 10
_LEVEL = {"fail": "error", "no_baseline": "error", "not_run": "error", "inconclusive": "warning"}
_WORDS = {"pass": "pass", "fail": "**fail**", "inconclusive": "undecided", "not_run": "not run", "no_baseline": "no baseline"}


def write_summary(rows: Sequence[Row], folder: Path, notes: Sequence[str], environ: Mapping[str, str] = os.environ) -> None:
    """Write DIR/summary.md, and add it to the job summary where there is one; a summary that can't be written fails no test."""
    text = summary(rows, notes)
    atomic_write(folder / "summary.md", text)
    job = environ.get("GITHUB_STEP_SUMMARY")
    if job:
        try:
            with Path(job).open("a", encoding="utf-8") as stream:
                stream.write(text)
        except OSError:
            return


def summary(rows: Sequence[Row], notes: Sequence[str] = ()) -> str:
    """The table of all gates, the worst first, with the worst responses of those that did not pass; at most MAX_BYTES."""
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in _WORDS}
    told = ", ".join(f"{count} {_WORDS[outcome].strip('*')}" for outcome, count in counts.items() if count)
    head = [f"## Alignment: {told}", "", *(f"{for_markdown(note)}\n" for note in notes)]
    head += ["| outcome | metric | suite | measured | 95% interval | n | required | p (Holm) |", "|---|---|---|--:|--:|--:|---|--:|"]
    table = [
        f"| {_WORDS.get(row.outcome, row.outcome)} | {row.metric} | {for_markdown(row.suite)} | {row.measured} | {row.interval} | {row.n} "
        f"| {row.required} | {row.p_adjusted} |"
        for row in by_severity(rows)
    ]
    blocks = [
        f"\n{row.metric} on {for_markdown(row.suite)}:\n\n{for_markdown_block(row.evidence)}" for row in by_severity(rows) if row.evidence
    ]
    return _cut([*head, *table, *blocks, ""])


def workflow_commands(rows: Sequence[Row]) -> list[str]:
    """Workflow commands, one for each gate that did not pass, at most MAX_ANNOTATIONS; the last one counts the rest."""
    bad = [row for row in by_severity(rows) if row.outcome in _LEVEL]
    shown = bad if len(bad) <= MAX_ANNOTATIONS else bad[: MAX_ANNOTATIONS - 1]
    lines = [_annotation(row) for row in shown]
    if len(shown) < len(bad):
        lines.append(f"::warning title=alignment::{len(bad) - len(shown)} more gates did not pass; see the job summary")
    return lines


def _annotation(row: Row) -> str:
    interval = f" [{row.interval}]" if row.interval else ""
    message = f"{row.metric} on {row.suite}: {row.measured}{interval}, n = {row.n}; required: {row.required}"
    place = {"file": row.file, "line": row.line, "title": f"alignment {row.outcome.replace('_', ' ')}"}
    told = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in place.items() if value)
    return f"::{_LEVEL[row.outcome]} {told}::{_escaped(for_terminal(message, 400))}"


def _escaped(text: str, more: str = "") -> str:
    for char in f"%\r\n{more}":
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def _cut(lines: Sequence[str]) -> str:
    """As many lines as fit; the table comes first, so that it is cut last."""
    kept: list[str] = []
    size = 0
    for number, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > MAX_BYTES:
            return "\n".join([*kept, "", f"{len(lines) - number} more lines are left out; the reports hold everything.", ""])
        kept.append(line)
    return "\n".join(kept)
