"""Finds and reads suites: by the name of one that ships, from a folder with a card, from a plain file of prompts, or a public set by name.

A suite folder holds `suite.toml` (`card.py`) and `prompts.jsonl`, one row {id, prompt | messages, expected, category, cluster?, answer?}
a line. A plain .jsonl, .csv or .json file needs `prompt` alone; where it has no `expected` column, rates of refusal have nothing to score.
A file with the columns of a public set (`formats.py`) is read as that. Names that start with `tiny-` are the embedded world's.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .card import Kind, SuiteCard, is_suite_name, read_card
from .checks import CARD, row_problems
from .errors import InputError
from .formats import FORMATS, Format
from .importers import check_columns, converted, file_rows, hub_rows, parse_reference, recognise_file, suite_name
from .rows import did_you_mean, parse_prompt, suite_sha256
from .tables import OnBad, suffix_of
from .template import count_marked
from .types import Prompt, PromptSuite
from .wrappers import wrap

if TYPE_CHECKING:
    from .embedded.topics import HeldOut

SHIPPED = Path(__file__).parent / "suites"
EMBEDDED = "tiny-"
ROWS = "prompts.jsonl"
log = logging.getLogger(__name__)


def list_suites() -> tuple[str, ...]:
    """Names of the suites that ship, sorted."""
    return tuple(sorted(card.parent.name for card in SHIPPED.glob(f"*/{CARD}")))


def load_suite(name_or_path: str | Path, *, split_seed: int = 0, split: HeldOut = "test") -> PromptSuite:
    """Read a suite, whole or not at all.

    Args:
        name_or_path: a shipped name (it wins over a file of that name: write ./NAME for the file), `tiny-...`, a folder, a file, or a
            public set: `xstest:FILE`, or `xstest` alone from the hub. `SUITE@base64+rot13` puts its requests into jailbreak wrappers.
        split_seed, split: which redraw of the embedded world, and which of its splits, a `tiny-...` name means.

    Raises:
        InputError: names the file, line and field of the first thing wrong.
        InfrastructureError: the hub can't be reached.
    """
    text = str(name_or_path)
    base, names = _unwrap(text)
    if names:
        return wrap(load_suite(base, split_seed=split_seed, split=split), names)
    suite = _load(text, split_seed, split)
    if marked := count_marked(prompt.messages for prompt in suite.prompts):
        log.warning("%s: %d prompts hold [INST] or [/INST], which the model can't tell from the template's own.", suite.name, marked)
    return suite


def validate_suite(name_or_path: str | Path) -> list[str]:
    """Everything that is wrong with a suite, one line each; empty when it can be used."""
    text = str(name_or_path)
    problems: list[InputError] = []
    try:
        if not _unwrap(text)[1] and not parse_reference(text):
            problems += _problems_of(_resolve(text))
        if not problems:
            load_suite(text)
    except InputError as error:
        problems.append(error)
    return [". ".join(str(problem).split("\n")) for problem in problems]


def _unwrap(text: str) -> tuple[str, list[str]]:
    """(SUITE, wrappers) of `SUITE@A+B`; no wrappers in any other text, nor in the path of a file that is there."""
    base, at, names = text.rpartition("@")
    if not at or not base or re.search(r"[/\\.:]", names) or os.path.lexists(text):
        return text, []
    return base, names.split("+")


def _load(text: str, split_seed: int, split: HeldOut) -> PromptSuite:
    if text.startswith(EMBEDDED) and is_suite_name(text):
        return _embedded(text, split_seed, split)
    if text not in list_suites() and (public := parse_reference(text)):
        return _from_hub(public[0]) if public[1] is None else _from_public_file(public[1], public[0])
    path = _resolve(text)
    return _from_folder(path) if os.path.isdir(path) else _from_file(path, recognise_file(path))


def _problems_of(path: Path) -> list[InputError]:
    card = _card_of(path) if os.path.isdir(path) else None
    rows = path / ROWS if card else path
    problems: list[InputError] = []

    def note(line: int, reason: str) -> None:
        problems.append(InputError(reason, file=rows, line=line))

    readable = list(_rows(rows, None if card else recognise_file(path), note))
    if readable or not problems:
        problems += row_problems(rows, readable, card)
    return problems


def _resolve(text: str) -> Path:
    """The folder or file that a name or path means; a path that isn't there is left to the reader to report."""
    if text in list_suites():
        return SHIPPED / text
    path = Path(text)
    if os.sep not in text and not suffix_of(path) and not (text and os.path.exists(text)):  # os.path: a name too long is just not there
        advice = did_you_mean(text, [*list_suites(), *(known.name for known in FORMATS)])
        raise InputError(f"no suite is called {text!r}", advice=advice or f"Suites that ship: {', '.join(list_suites())}; or give a path.")
    return path


def _card_of(folder: Path) -> SuiteCard:
    if not (folder / CARD).exists():
        raise InputError(f"is a folder without {CARD}", file=folder, advice="Give a suite's folder, or one .jsonl or .csv file.")
    return read_card(folder / CARD)


def _from_folder(folder: Path) -> PromptSuite:
    card = _card_of(folder)
    rows = folder / ROWS
    prompts = _checked(rows, list(_rows(rows)), card)
    digest = suite_sha256(prompts)
    if card.sha256 and card.sha256 != digest:
        advice = f"If the rows were meant to change, raise `version` and set sha256 = {digest!r}."
        raise InputError("the rows are not those of the card", file=folder / CARD, field="sha256", advice=advice)
    return PromptSuite(card.name, card.version, prompts, digest, card.kind, card.description, card.licence, card.source)


def _from_file(path: Path, known: Format | None) -> PromptSuite:
    prompts = _checked(path, list(_rows(path, known)), None)
    return _named(suite_name(known, path) if known else path.name.removesuffix(suffix_of(path)), prompts, known, path.name)


def _from_public_file(path: Path, known: Format) -> PromptSuite:
    check_columns(path, known)
    return _from_file(path, known)


def _from_hub(known: Format) -> PromptSuite:
    place = Path(known.hub.name if known.hub else known.name)
    prompts = _checked(place, list(converted(known, hub_rows(known), place)), None)
    return _named(suite_name(known, None), prompts, known, f"https://huggingface.co/datasets/{place.as_posix()}")


def _named(name: str, prompts: tuple[Prompt, ...], known: Format | None, source: str) -> PromptSuite:
    """A suite without a card: its digest is its version, its kind follows from what is expected."""
    digest = suite_sha256(prompts)
    expected = {prompt.expected for prompt in prompts}
    kind: Kind = "harmful" if expected == {"refuse"} else "benign" if expected == {"comply"} else "mixed"
    return PromptSuite(name, digest[:12], prompts, digest, kind, known.title if known else "", known.licence if known else "", source)


def _rows(path: Path, known: Format | None = None, on_bad: OnBad | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    rows = file_rows(path, on_bad=on_bad)
    return converted(known, rows, path, on_bad=on_bad) if known else rows


def _checked(path: Path, rows: list[tuple[int, dict[str, Any]]], card: SuiteCard | None) -> tuple[Prompt, ...]:
    for problem in row_problems(path, rows, card):
        raise problem
    return tuple(parse_prompt(row) for _, row in rows)


def _embedded(name: str, split_seed: int, split: HeldOut) -> PromptSuite:
    from .embedded import build_world

    suites = build_world(split_seed).suites(split)
    if name not in suites:
        advice = did_you_mean(name, suites) or f"There are: {', '.join(sorted(suites))}."
        raise InputError(f"the embedded world has no suite {name!r}", advice=advice)
    return suites[name]
