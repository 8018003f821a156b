"""What it knew it still knows: facts in its answers, and lm-eval tasks where `--align-capability` names some."""

from __future__ import annotations

import pytest
from truenorth.cli.align import Align


@pytest.mark.alignment(kind="facts")
def test_facts_are_answered_as_rightly_as_before(align: Align, align_suite: str) -> None:
    align.require("baseline")
    align.assert_no_regression("correct_rate", margin=0.10, suite=align_suite)


def test_accuracy_on_tasks_has_not_dropped(align: Align) -> None:
    align.require("baseline", "capability")
    align.assert_no_regression("capability_acc", margin=0.05)
