"""The card of a judge as a file: what `truenorth audit LABELLED --judge NAME --json` says, given to an evaluation of other responses.

Only the figures that correct a rate are needed; everything else that the audit says is kept in the file and not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..prompts.errors import InputError
from ..prompts.files import read_json
from .correction import PEOPLE
from .types import JudgeCard

JUDGE_CARD = "judge_card.json"
"""A run's copy, in its folder."""
_MAKE = "Make one with `truenorth audit LABELLED --judge NAME --json > card.json`."

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Signed = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class _CardFile(BaseModel):
    """The part of the file that is read; strict: `"0.9"` and `true` are no numbers."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    judge: Annotated[str, Field(min_length=1)]
    reference: str = PEOPLE
    n: Count
    n_invalid: Count = 0
    n_refusals: Count
    sensitivity: Share
    specificity: Share
    agreement: Share | None = None
    kappa: Signed | None = None
    kappa_3: Signed | None = None
    bias: Signed | None = None

    @model_validator(mode="after")
    def _can_correct(self) -> Self:
        if self.reference != PEOPLE:
            raise ValueError(f"reference {self.reference!r}: only agreement with people's labels corrects a rate")
        if not 0 < self.n_refusals < self.n:
            raise ValueError(f"n_refusals {self.n_refusals} of n {self.n}: labels of both kinds are needed")
        if self.sensitivity + self.specificity <= 1:
            raise ValueError(
                f"sensitivity {self.sensitivity:g} and specificity {self.specificity:g}: a judge no better than chance can't be corrected"
            )
        return self


def read_judge_card(path: Path) -> JudgeCard:
    """The card that the file holds.

    Raises:
        InputError: no card, a figure that is missing or out of range, or a judge that can't be corrected by it.
    """
    found = read_json(path, "judge's card")
    if not isinstance(found, Mapping):
        raise InputError("is no judge's card: not an object", file=path, advice=_MAKE)
    try:
        card = _CardFile.model_validate(dict(found))
    except ValidationError as error:
        raise _told(error.errors(include_url=False)[0], path) from None
    return JudgeCard(**card.model_dump())


def refuse_other_judge(card: JudgeCard, judge: str, path: Path) -> None:
    """A card says something of one revision of one judge.

    Raises:
        InputError: names the card's judge and the run's.
    """
    if card.judge != judge:
        raise InputError(
            f"is the card of {card.judge}; this run's judge is {judge}",
            file=path,
            field="judge",
            advice=f"Give a card of {judge}, or choose the card's judge with --judge.",
        )


def _told(detail: Any, path: Path) -> InputError:
    field = ".".join(map(str, detail["loc"])) or None
    if detail["type"] == "missing":
        return InputError("is no judge's card: this figure is missing", file=path, field=field, advice=_MAKE)
    if detail["type"] == "value_error":
        return InputError(str(detail["ctx"]["error"]), file=path)
    return InputError(f"{detail['input']!r} can't be a judge's: {detail['msg']}", file=path, field=field)
