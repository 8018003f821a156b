"""`--judge-card FILE`: a judge's card, checked before anything is measured, and copied into the run that it corrects."""

from __future__ import annotations

from pathlib import Path

from ..evals.config import EvalConfig
from ..evals.judge_card import JUDGE_CARD, read_judge_card, refuse_other_judge
from ..evals.judges import get_judge, judge_id
from ..prompts.files import atomic_write
from .console import say
from .run_folder import RunFolder


def load_card(config: EvalConfig) -> bytes | None:
    """Content of the card that the evaluation names; None where it names none.

    Raises:
        InputError: it is no card, or that of another judge or revision than the evaluation's.
    """
    if not config.judge_card:
        return None
    path = Path(config.judge_card)
    refuse_other_judge(read_judge_card(path), judge_id(get_judge(config.judge)), path)
    return path.read_bytes()


def keep_card(run: RunFolder, content: bytes | None) -> None:
    """Copy the card into the run, whose manifest then holds its digest: the report is made from the copy."""
    if content is not None:
        run.do("judge card", (JUDGE_CARD,), lambda: atomic_write(run.path / JUDGE_CARD, content), say)
