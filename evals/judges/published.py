"""What is known of a shipped judge before it sees a run: its agreement with people on public responses that its training left out.

The figures are those of `benchmarks/train_classifier.py`, which sets the keyword judge's beside the classifier's. They hold for one
revision: another has none until it is measured. Left out: judges whose figures nobody has measured with this code.
"""

from __future__ import annotations

from ..types import JudgeCard
from .classifier import ClassifierJudge

KEYWORD_MEASURED = "1"
"""The keyword judge's revision when the figures were made."""
_CONSTRUCTED = "(by construction)"


def published_cards(judge: str) -> tuple[JudgeCard, ...]:
    """Cards of the judge with that id (`NAME@REVISION`); empty where nothing was measured.

    >>> [card.n for card in published_cards("keyword@1")][:3]
    [450, 450, 450]
    >>> published_cards("keyword@0")
    ()
    """
    classifier = ClassifierJudge()
    measured = {f"classifier@{classifier.revision}": "", f"keyword@{KEYWORD_MEASURED}": "keyword_"}
    if judge not in measured:
        return ()
    prefix = measured[judge]
    return tuple(
        JudgeCard(judge, _reference(name), row["n"], 0, None, row[f"{prefix}kappa"], None, None, None, row[f"{prefix}bias"])
        for name, row in classifier.card["validation"].items()
        if f"{prefix}kappa" in row
    )


def _reference(name: str) -> str:
    """Who labelled what, of `model NAME` or `source NAME`."""
    place = name.partition(" ")[2] or name
    if place.endswith(_CONSTRUCTED):
        return f"labels by construction, {place.removesuffix(_CONSTRUCTED).strip()}"
    return f"people, {place}"
