"""`report.html`: one file that opens from disk, needs no network, and trusts no text in it.

Everything goes through Jinja's autoescape; foreign text through `show`, which also names invisible characters. The page's policy allows
the one style sheet and the one script by their digests and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ..evals.safe_text import for_csv_cell, plain, visible
from .flips import TRANSITION_WORDS, Flip, Side
from .report import Report
from .section import Section
from .words import OUTCOME_WORDS, VERDICT_WORDS, level_text, number_text

STATIC_FLIPS = 50
"""Flips that are in the page itself; the rest is drawn by its script from data."""
_LONGEST_TEXT = 8000


def render_html(report: Report, sections: Sequence[Section]) -> str:
    """The whole page."""
    style, script = _asset("report.css"), _asset("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            sections=sections,
            style=Markup(style),
            script=Markup(script),
            policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'",
            verdict_word=VERDICT_WORDS[report.comparison.verdict],
            static_flips=STATIC_FLIPS,
            level=level_text(report.comparison.alpha),
        )
    )


def show(text: str) -> Markup:
    """Escaped text with badges for what can't be seen; very long text is cut and says so."""
    parts = (Markup('<span class="char">{}</span>').format(part) if badge else escape(part) for part, badge in _segments(text))
    return Markup("").join(parts)


def plain_flip(flip: Flip) -> dict[str, object]:
    """A flip as the page's script reads it: strings and pieces, nothing that could be markup."""
    return {
        "id": flip.id,
        "t": flip.transition,
        "suite": plain(flip.suite),
        "decoding": plain(flip.decoding),
        "category": plain(flip.category),
        "judges": flip.judges,
        "key": row_key(flip),
        "where": _segments(where_line(flip)),
        "prompt": _segments(flip.prompt),
        "sides": [
            {
                "label": _segments(side.label),
                "outcome": OUTCOME_WORDS[side.outcome],
                "status": side.status,
                "reward": "" if side.reward is None else number_text(side.reward),
                "hide": side.hide,
                "pieces": [[piece.text, piece.badge, piece.op == "only"] for piece in side.pieces],
                "others": _segments(others_line(side)),
                "why": _segments(side.explanation),
            }
            for side in flip.sides
        ],
    }


def row_key(flip: Flip) -> list[object]:
    """Suite, id, decoding, sample as samples.csv writes them, then label and outcome of each side: what exported labels are joined by."""
    texts = [for_csv_cell(text) for text in (flip.suite, flip.prompt_id, flip.decoding)]
    return [*texts, flip.sample, *([for_csv_cell(side.label), side.outcome] for side in flip.sides)]


def others_line(side: Side) -> str:
    """`classifier@1: complies`: what further judges say."""
    return ", ".join(f"{judge}: {OUTCOME_WORDS[outcome]}" for judge, outcome in side.others)


def where_line(flip: Flip) -> str:
    """Suite, category, decoding, sample and id in one line."""
    sample = f"sample {flip.sample + 1}" if flip.sample else ""
    return " · ".join(part for part in (flip.suite, flip.category, flip.decoding, sample, flip.prompt_id) if part)


def _segments(text: str) -> list[list[object]]:
    """What `show` shows, as [text, badge] for the page's script."""
    shown: list[list[object]] = [[segment.text, segment.badge] for segment in visible(text[:_LONGEST_TEXT])]
    left = len(text) - _LONGEST_TEXT
    return [*shown, [f"{left:,} more characters in samples.csv", True]] if left > 0 else shown


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or "reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["show"] = show
    environment.filters["where_line"] = where_line
    environment.filters["others_line"] = others_line
    environment.filters["row_key"] = row_key
    environment.filters["number"] = number_text
    environment.filters["plain_flip"] = plain_flip
    environment.globals.update(transition_words=TRANSITION_WORDS, outcome_words=OUTCOME_WORDS)
    return environment


def _asset(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
