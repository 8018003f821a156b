"""What was known of the judge before this run: its agreement with labels of public responses that it was not trained on."""

from __future__ import annotations

from ...evals.judges.published import published_cards
from ..report import Report
from ..section import Cell, Paragraph, Section, Table
from ..words import change_text

ORDER = 70


def section(report: Report) -> Section | None:
    """A table for each judge of the runs; None before anything is evaluated."""
    judges = dict.fromkeys(run.judge for run in report.runs if run.judge)
    if not judges:
        return None
    return Section("judge-card", "The judge's card", tuple(_card(judge) for judge in judges))


def _card(judge: str) -> Table | Paragraph:
    rows = tuple(
        (
            Cell(card.reference),
            Cell(f"{card.kappa:.2f}".replace("-", "−") if card.kappa is not None else "n/a"),
            Cell(change_text(card.bias, rate=True)),
            Cell(f"{card.n:,}"),
        )
        for card in published_cards(judge)
    )
    if not rows:
        return Paragraph(f"{judge} comes without measured figures. Measure it: truenorth audit LABELLED --judge NAME.", "inconclusive")
    note = "Each model or source was left out of the judge's training. On other models it may err more: label some of their replies."
    return Table(f"{judge} on public replies with labels", ("Labels", "Kappa", "Bias", "n"), rows, frozenset({1, 2, 3}), note=note)
