"""The judge's card that every report shows: figures of its own revision, of responses that its training left out."""

import json
from importlib import resources

import pytest
from report_data import JUDGE, example_comparison
from truenorth.evals.judges import get_judge, judge_id
from truenorth.evals.judges.published import published_cards
from truenorth.evals.types import Comparison
from truenorth.reports.report import Report
from truenorth.reports.sections.judge_published import section

VALIDATION = json.loads(resources.files("truenorth.evals.judges").joinpath("classifier.json").read_text())["validation"]


@pytest.mark.parametrize(("name", "prefix"), [("classifier", ""), ("keyword", "keyword_")])
def test_a_shipped_judge_has_the_figures_of_its_validation(name, prefix):
    cards = published_cards(judge_id(get_judge(name)))
    assert [(card.n, card.kappa, card.bias) for card in cards] == [
        (row["n"], row[f"{prefix}kappa"], row[f"{prefix}bias"]) for row in VALIDATION.values()
    ]
    assert "people, xstest-gpt4" in {card.reference for card in cards}
    assert all(card.reference.startswith(("people, ", "labels by construction, ")) for card in cards)


@pytest.mark.parametrize("judge", ["keyword@0", "classifier@2.00000000", "human@1", "openai@m.1.p1", ""])
def test_another_revision_or_judge_has_none(judge):
    assert published_cards(judge) == ()


def test_every_report_shows_the_card_or_says_that_there_is_none():
    page = section(Report(example_comparison()))
    (shown,) = page.blocks
    assert (page.title, shown.kind) == ("The judge's card", "table" if published_cards(JUDGE) else "paragraph")
    assert section(Report(Comparison(None, (), "none"))) is None
