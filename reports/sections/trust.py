"""Can I trust this? What has to be equal for the comparison to mean something, and how far the judge can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...evals.types import CandidateComparison, EvalRun, JudgeCard
from ..answers import SUBSTANTIAL_KAPPA
from ..report import Report
from ..section import Block, Fact, Facts, Paragraph, Section, Status
from ..words import plural, value_text

ORDER = 20


def section(report: Report) -> Section | None:
    """One strip of facts a candidate, and the differences of runs that can't be compared."""
    blocks: list[Block] = []
    for comparison in report.comparison.candidates:
        if comparison.differences:
            text = "No verdict: these runs differ in more than the model. What differs:"
            blocks.append(Paragraph(text, "fail", tuple(comparison.differences)))
        caption = comparison.candidate.model.label if len(report.comparison.candidates) > 1 else ""
        blocks.append(Facts(tuple(_facts(report, comparison)), caption))
    return Section("trust", "Can I trust this?", tuple(blocks)) if blocks else None


def _facts(report: Report, comparison: CandidateComparison) -> Iterator[Fact]:
    candidate = comparison.candidate
    if report.baseline is None:
        yield Fact("Baseline", "none", "none", "Nothing to compare with.")
    else:
        yield from _same(report.baseline, candidate)
    yield from _invalid(report, comparison)
    yield _judge(candidate, report.comparison.judge_card)
    if report.baseline is not None:
        yield _changed(report.baseline, candidate)
    yield _code(report.manifest)


def _same(base: EvalRun, tuned: EvalRun) -> Iterator[Fact]:
    suites = ", ".join(tuned.suites) or "none"
    yield _fact("Prompts", dict(base.suites) == dict(tuned.suites), suites)
    template = base.model.template_sha256 == tuned.model.template_sha256 and base.model.tokenizer_sha256 == tuned.model.tokenizer_sha256
    yield _fact("Template and tokenizer", template, tuned.model.template_sha256[:12])
    yield _fact("Judge", base.judge == tuned.judge, tuned.judge)
    decodings = ", ".join(f"{item.name}, {item.max_new_tokens} tokens, {plural(item.samples, 'sample')}" for item in tuned.decodings)
    settings = base.decodings == tuned.decodings and dict(base.settings) == dict(tuned.settings) and base.model.dtype == tuned.model.dtype
    yield _fact("Decoding and settings", settings, "; ".join(part for part in (decodings, tuned.model.dtype) if part))


def _fact(term: str, same: bool, note: str) -> Fact:
    return Fact(term, "same" if same else "differ", "pass" if same else "fail", note)


def _invalid(report: Report, comparison: CandidateComparison) -> Iterator[Fact]:
    """Shares over all suites; the check, where there is one, looks at the worst suite."""
    shares = [_invalid_share(run) for run in (report.baseline, comparison.candidate) if run and run.records]
    check = next((item for item in comparison.decisions if item.gate.metric == "invalid_share"), None)
    if shares:
        yield Fact("Replies without a verdict", ", ".join(shares), check.outcome if check else "neutral", check.reason if check else "")


def _invalid_share(run: EvalRun) -> str:
    invalid = sum(record.judgment is None or record.judgment.outcome == "invalid" for record in run.records)
    return f"{value_text(invalid / len(run.records), rate=True)} {run.model.label}"


def _judge(run: EvalRun, given: JudgeCard | None) -> Fact:
    """The error on these replies, where labels tell; else what a card of other replies says."""
    cards = [card for card in run.judge_cards if card.kappa is not None]
    if not cards and given is not None and given.kappa is not None:
        cards = [replace(given, reference=f"{given.reference} labels of other replies")]
    if not cards:
        return Fact("Judge's own error", "not measured", "inconclusive", f"No labelled replies for {run.judge}.")
    card = min(cards, key=lambda item: item.kappa or 0.0)
    status: Status = "pass" if (card.kappa or 0) >= SUBSTANTIAL_KAPPA else "inconclusive"
    bias = f"bias {100 * card.bias:+.1f} points".replace("-", "−") if card.bias is not None else ""
    note = ", ".join(part for part in (bias, f"n = {card.n:,}", f"against {card.reference}") if part)
    return Fact("Judge's agreement", f"kappa {card.kappa:.2f}", status, note)


def _changed(base: EvalRun, tuned: EvalRun) -> Fact:
    replies = {(r.suite, r.prompt.id, r.generation.decoding, r.generation.sample): r.generation.response for r in base.records}
    pairs = [
        (replies[key], record.generation.response)
        for record in tuned.records
        if (key := (record.suite, record.prompt.id, record.generation.decoding, record.generation.sample)) in replies
    ]
    if not pairs:
        return Fact("Replies in common", "none", "fail", "No prompt was answered by both.")
    share = sum(left != right for left, right in pairs) / len(pairs)
    if share == 0:
        return Fact("Replies that differ", "0.0%", "inconclusive", "Was the adapter applied? Every reply is the same.")
    return Fact("Replies that differ", value_text(share, rate=True), "neutral", f"of {len(pairs):,} answered by both")


def _code(manifest: Mapping[str, Any]) -> Fact:
    git = manifest.get("git") or {}
    commit = str(git.get("commit") or "")
    if not commit:
        return Fact("Code", "unknown", "inconclusive", "No commit was recorded.")
    dirty = bool(git.get("dirty"))
    return Fact("Code", commit[:12], "inconclusive" if dirty else "pass", "with uncommitted changes" if dirty else "clean")
