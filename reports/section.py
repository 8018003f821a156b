"""What a section of the report is made of: plain data, no markup.

The HTML template draws each kind of block; the tables that are published as files are `Export`s of the section that shows them. Texts are
raw: every renderer escapes them for its own place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup

from .flips import Flip

Status = Literal["", "pass", "fail", "inconclusive", "not_run", "none", "better", "worse", "unclear", "neutral"]
CsvValue = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    status: Status = ""
    """Adds the sign of that status; the text says the same in words."""
    detail: str = ""
    """A second, quieter line."""
    drawing: Markup | None = None
    """SVG of `svg.py`, after the text."""
    link: str = ""
    """Id of another place on the page."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption. `numeric` columns are right-aligned; the first column heads its row."""

    caption: str
    columns: tuple[str | Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    unbroken: frozenset[int] = frozenset()
    """Columns whose lines are kept whole."""
    note: str = ""
    collapsed: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; with a status it becomes a notice."""

    text: str
    status: Status = ""
    items: tuple[str, ...] = ()
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True)
class Fact:
    """A term, its value and a quieter note."""

    term: str
    value: str
    status: Status = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """A list of facts."""

    facts: tuple[Fact, ...]
    caption: str = ""
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True, slots=True)
class CardRow:
    """One measured number of a card: base, tuned, difference, and a drawing of both intervals."""

    id: str
    title: str
    where: str
    base: str
    tuned: str
    tuned_interval: str
    change: str
    change_interval: str
    change_status: Status
    n: str
    drawing: Markup | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """One quadrant."""

    id: str
    title: str
    question: str
    rows: tuple[CardRow, ...]
    more: tuple[CardRow, ...] = ()
    """Folded away."""
    empty: str = ""
    """Said when there are no rows."""


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards side by side."""

    cards: tuple[Card, ...]
    base: str
    tuned: str
    kind: Literal["cards"] = "cards"


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption and its numbers."""

    drawing: Markup
    title: str
    note: str
    lines: tuple[str, ...]
    """Names of the lines, in the order of their colours."""
    table: Table
    marks: tuple[tuple[str, str], ...] = ()
    """(class, what it means) of the marks at single steps."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Drawings side by side."""

    figures: tuple[Figure, ...]
    kind: Literal["figures"] = "figures"


@dataclass(frozen=True, slots=True)
class Flips:
    """Transcripts side by side."""

    flips: tuple[Flip, ...]
    total: int
    kind: Literal["flips"] = "flips"


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy."""

    text: str
    caption: str
    collapsed: bool = False
    kind: Literal["code"] = "code"


@dataclass(frozen=True, slots=True)
class Reply:
    """One model's reply to the probe."""

    label: str
    text: str
    outcome: str
    status: Status
    judge: str
    hide: bool
    """Collapsed until asked for: the judge found no refusal."""


@dataclass(frozen=True, slots=True)
class Point:
    """A fact behind an answer: what, its value, and a quieter note."""

    text: str
    value: str
    status: Status
    note: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the first screen's questions with its answer in a few words."""

    question: str
    text: str
    status: Status
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Hero:
    """The first screen: verdict, probe, and the three answers."""

    verdict: str
    word: str
    headline: tuple[str, ...]
    gates_line: str
    notes: tuple[str, ...]
    subject: str
    probe: str
    replies: tuple[Reply, ...]
    answers: tuple[Answer, ...] = ()
    kind: Literal["hero"] = "hero"


Block = Table | Paragraph | Facts | Cards | Figures | Flips | Code | Hero


@dataclass(frozen=True, slots=True)
class Export:
    """A CSV file: rows by column name, read as often as wanted. Columns in `text` may hold foreign text and are guarded."""

    file: str
    columns: tuple[str, ...]
    text: frozenset[str]
    rows: Iterable[Mapping[str, CsvValue]]
    parquet: str = ""
    """Name of the same table as Parquet; empty for none."""
    whole: frozenset[str] = frozenset()
    """Columns of whole numbers; those in neither `text` nor `whole` are floating-point."""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the report."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""
    exports: tuple[Export, ...] = field(default=())
