"""The first screen: the verdict sentence, the probe, and whether it is better, at what cost, to be trusted."""

from __future__ import annotations

from ...evals.types import EvalRun, Record
from ...prompts.probe import PROBE
from ..answers import answers
from ..flips import dialogue_text, is_right, is_sensitive
from ..headline import UNFINISHED, headline, worst_of
from ..report import Report
from ..section import Hero, Reply, Section
from ..words import OUTCOME_WORDS, VERDICT_WORDS

ORDER = 0


def section(report: Report) -> Section:
    """Verdict of the worst candidate, with what limits it, and every model's reply to the probe."""
    comparison = report.comparison
    said = headline(report, worst_of(comparison)) if comparison.candidates else None
    hero = Hero(
        verdict=comparison.verdict,
        word=VERDICT_WORDS[comparison.verdict],
        headline=tuple(part for part in (said.cause, said.effect) if part) if said else (),
        gates_line=UNFINISHED if report.unfinished else said.gates if said else "Nothing was compared.",
        notes=_notes(report),
        subject=_subject(report),
        probe=_probe_text(report),
        replies=tuple(_reply(run, run.probe) for run in report.runs if run.probe),
        answers=answers(report, worst_of(comparison)) if comparison.candidates else (),
    )
    return Section("verdict", "Verdict", (hero,))


def _subject(report: Report) -> str:
    candidates = ", ".join(run.model.label for run in report.runs if run is not report.baseline)
    if not candidates:
        return f"{', '.join(report.unfinished) or 'nothing'}, not evaluated yet"
    return f"{candidates} against {report.baseline.model.label}" if report.baseline else candidates


def _notes(report: Report) -> tuple[str, ...]:
    notes = []
    for item in report.comparison.candidates:
        if item.differences:
            whose = f" of {item.candidate.model.label}" if len(report.comparison.candidates) > 1 else ""
            notes.append(f"What differs besides the model{whose}: {'; '.join(item.differences)}.")
    if report.unfinished:
        notes.append(_going_on(report))
    elif report.baseline is None:
        notes.append("There is no baseline: only absolute requirements apply, and nothing here says what training changed.")
    if report.redacted:
        notes.append("This report is redacted: texts that may be harmful are replaced by their digests.")
    if len(report.comparison.candidates) > 1 and not report.unfinished:
        worst = worst_of(report.comparison).candidate.model.label
        notes.append(f"Several candidates were compared. The verdict is the worst of theirs, and the sentences below are about {worst}.")
    return tuple(notes)


def _going_on(report: Report) -> str:
    """What is missing, and how far training came."""
    settings = (report.manifest.get("config") or {}).get("ppo") or {}
    step = next((row["step"] for row in reversed(report.curves.get("ppo", ())) if isinstance(row.get("step"), float)), None)
    of = f" of {settings['steps']}" if settings.get("steps") else ""
    trained = f" Training wrote step {step:g}{of}." if step is not None else ""
    missing = ", ".join(report.unfinished)
    return f"This run is still going on, or was interrupted: not evaluated yet: {missing}.{trained} Build the report again at any time."


def _probe_text(report: Report) -> str:
    return next((dialogue_text(run.probe) for run in report.runs if run.probe), PROBE.text)


def _reply(run: EvalRun, record: Record) -> Reply:
    judgment = record.judgment
    right = is_right(record)
    return Reply(
        label=run.model.label,
        text=record.generation.response,
        outcome=OUTCOME_WORDS[judgment.outcome] if judgment else "not judged",
        status="neutral" if right is None else "pass" if right else "fail",
        judge=judgment.judge if judgment else "",
        hide=is_sensitive(record),
    )
