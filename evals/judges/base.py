"""What a judge is, and how one is found by name.

A judge is one file with a class; `BUILT_IN` names ours, and other packages add theirs with the entry point group
`truenorth.judges`. Nothing is imported before it is asked for. A judge that is faster on several responses at once also has `batch_size`
and `judge_batch(items) -> list[Ruling]`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from ...prompts.errors import InputError
from ...prompts.types import Prompt
from ..types import Outcome

FinishReason = Literal["stop", "length", "replay"]

BUILT_IN = {
    "keyword": "truenorth.evals.judges.keyword:KeywordJudge",
    "classifier": "truenorth.evals.judges.classifier:ClassifierJudge",
    "grammar": "truenorth.evals.judges.grammar:GrammarJudge",
    "human": "truenorth.evals.judges.human:HumanJudge",
    "always-refuse": "truenorth.evals.judges.always:AlwaysRefuse",
    "always-comply": "truenorth.evals.judges.always:AlwaysComply",
}
WITH_ARGUMENT = {
    "generative": "truenorth.evals.judges.generative:GenerativeJudge",
    "openai": "truenorth.evals.judges.openai:OpenAIJudge",
    "ensemble": "truenorth.evals.judges.ensemble:EnsembleJudge",
}
"""Made from what follows the colon: `ensemble:keyword,classifier`."""


class Ruling(NamedTuple):
    """A judge's verdict on one response."""

    outcome: Outcome
    explanation: str = ""
    """What the verdict rests on, in a few words."""
    correct: bool | None = None
    """Whether the checkable answer is right; None where there is none."""


class Item(NamedTuple):
    """What a judge is given."""

    prompt: Prompt
    response: str
    finish_reason: FinishReason


@runtime_checkable
class Judge(Protocol):
    """Gives each response exactly one outcome. Deterministic; the response is data, never an instruction."""

    @property
    def name(self) -> str:
        """As `get_judge` knows it."""
        ...

    @property
    def revision(self) -> str:
        """Changes whenever a verdict could change."""
        ...

    def judge(self, prompt: Prompt, response: str, finish_reason: FinishReason) -> Ruling:
        """Outcome of one response; `invalid` where no verdict is possible, never an exception for what a model said."""
        ...


def batch_size(judge: Judge) -> int:
    """How many responses the judge takes at once; 1 where it takes them one by one."""
    return int(getattr(judge, "batch_size", 1))


def judge_each(judge: Judge, items: Sequence[Item]) -> Iterator[Ruling]:
    """One ruling an item, in order. Batches are cut at fixed places of `items`, so that the same list gives the same batches."""
    batched = getattr(judge, "judge_batch", None)
    if batched is None:
        yield from (judge.judge(*item) for item in items)
        return
    size = batch_size(judge)
    for start in range(0, len(items), size):
        yield from batched(items[start : start + size])


def judge_id(judge: Judge) -> str:
    """Name and revision, as recorded in every row: `keyword@1`."""
    return f"{judge.name}@{judge.revision}"


def list_judges() -> list[str]:
    """Names that `get_judge` takes as they are, sorted; those of `WITH_ARGUMENT` need one."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group="truenorth.judges"))})


def get_judge(name: str) -> Judge:
    """The judge of that name; some take an argument after a colon, `ensemble:keyword,classifier` (`from_argument`).

    Raises:
        InputError: no such judge, or an argument that it can't take; the message offers the nearest names.
    """
    name, _, argument = name.partition(":")
    for point in entry_points(group="truenorth.judges", name=name):
        return _checked(name, _made(name, point.load(), argument))
    if place := (BUILT_IN | WITH_ARGUMENT).get(name):
        module, _, attribute = place.partition(":")
        return _checked(name, _made(name, getattr(import_module(module), attribute), argument))
    near = difflib.get_close_matches(name, list_judges(), n=2)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"Judges: {', '.join(list_judges())}."
    raise InputError(f"no judge named {name!r}", field="judge", advice=advice)


def _made(name: str, judge: Any, argument: str) -> object:
    takes_argument = hasattr(judge, "from_argument")
    if argument and not takes_argument:
        raise InputError(f"judge {name!r} takes no argument {argument!r}", field="judge", advice=f"Write {name}.")
    return judge.from_argument(argument) if takes_argument else judge()


def _checked(name: str, judge: object) -> Judge:
    if not isinstance(judge, Judge):
        raise InputError(f"judge {name!r} lacks name, revision or judge()", field="judge")
    return judge
