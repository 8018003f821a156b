"""How well the judge agrees with labels that were given by people or by an exact grammar."""

from __future__ import annotations

from ...evals.agreement import agreement
from ...evals.types import EvalRun, JudgeCard, Outcome
from ..report import Report
from ..section import Block, Cell, Paragraph, Section, Table
from ..words import change_text, value_text

ORDER = 70


def section(report: Report) -> Section | None:
    """One row per model and judge; None before anything is evaluated."""
    if not report.runs:
        return None
    rows = tuple(
        (
            Cell(run.model.label),
            Cell(card.judge, detail=f"against {card.reference}{source}"),
            Cell(_number(card.kappa)),
            Cell(_number(card.kappa_3)),
            Cell(value_text(card.agreement, rate=True)),
            Cell(value_text(card.sensitivity, rate=True)),
            Cell(value_text(card.specificity, rate=True)),
            Cell(change_text(card.bias, rate=True)),
            Cell(f"{card.n:,}", detail=f"{card.n_invalid:,} invalid" if card.n_invalid else ""),
        )
        for run in report.runs
        for card, source in _cards(run, report.comparison.judge_card)
    )
    block: Block
    between = _between(report)
    if rows:
        columns = ("Model", "Judge", "Kappa", "Kappa, three-way", "Agreement", "Finds refusals", "Finds answers", "Bias", "n")
        note = "Bias: the refusal rate by the judge minus that by the labels. A change smaller than the bias may be the judge's own."
        block = Table("Agreement of the judge with labels", columns, rows, frozenset(range(2, 9)), note=note)
    else:
        text = "No reply of these models carries a label, so the judge's error on them is not known. Read every rate with that in mind."
        block = Paragraph(text, "inconclusive")
    return Section("judge", "The judge", (block, *([between] if between else [])))


def _cards(run: EvalRun, given: JudgeCard | None) -> list[tuple[JudgeCard, str]]:
    """Cards and what has to be said of where they come from: the run's own, then the one that it was given."""
    others = [(given, ", on other replies")] if given and given.judge == run.judge else []
    return [*((card, "") for card in run.judge_cards), *others]


def _between(report: Report) -> Table | None:
    """Further judges against the first, on the same replies; None with one judge."""
    cards = [(run.model.label, card) for run in report.runs for card in _second_cards(report, run)]
    rows = tuple(
        (
            Cell(label),
            Cell(card.judge, detail=f"against {card.reference}"),
            Cell(_number(card.kappa)),
            Cell(value_text(card.agreement, rate=True)),
            Cell(change_text(card.bias, rate=True)),
            Cell(f"{card.n:,}"),
        )
        for label, card in cards
    )
    columns = ("Model", "Judge", "Kappa", "Agreement", "Bias", "n")
    note = "Judges that agree may be wrong together. The flips can be filtered by whether judges disagree."
    return Table("Judges against each other", columns, rows, frozenset(range(2, 6)), note=note) if rows else None


def _second_cards(report: Report, run: EvalRun) -> list[JudgeCard]:
    pairs: dict[str, list[tuple[Outcome, Outcome]]] = {}
    for record in run.records:
        if (first := record.judgment) is not None:
            for judge, outcome in report.second.get(record.generation.key, ()):
                pairs.setdefault(judge, []).append((outcome, first.outcome))
    return [
        agreement([said for said, _ in found], [other for _, other in found], judge=judge, reference=run.judge)
        for judge, found in pairs.items()
    ]


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}".replace("-", "−")
