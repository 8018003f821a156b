"""How the beginning of a response stands to its request: whether it repeats its words, and which of the two negates.

Whoever is asked why something bad was right and says that it was not right has refused, without any phrase of a refusal. The topic can't
decide: a word counts only by standing in both texts. Leaves out requests of several sentences' length, such as jailbreaks: they count as
unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

REQUEST_WORDS = 40
"""A longer request is taken for unknown."""
SENTENCES = 2
"""Sentences of the response that are compared with the request."""
STEM = 5
"""Letters by which words are compared."""
OVERLAPS = (0.34, 0.67)
"""Shares of the request's words from which on a sentence repeats some, or most, of them."""

_CASES = 2 * 2 * 2 * (len(OVERLAPS) + 1)
KNOWN = SENTENCES * _CASES
"""Index that stands for a request that is known."""
SIZE = KNOWN + 1

_WORD = re.compile(r"[a-z']+")
_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|cannot|unjustified|wrong|false|incorrect|inaccurate|myth)\b|n't\b")
_ASKS_FOR_REASONS = re.compile(r"why\b|what (?:were|are|is) the (?:benefits|reasons)|how (?:was|were)\b")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """a an the of to in on at for and or is are was were be been do does did i you he she it they we my your his her its their this
        that these those what why how where when who which can could should would will may might with as by from me so some any good best
        ways way get someone people""",
    )
)


def relation(request: str, sentences: Sequence[str]) -> list[int]:
    """Indices below SIZE, one for each of the first sentences, and KNOWN; none where the request is long or has no words to repeat.

    All texts as `plain` gives them.
    """
    if len(request.split(maxsplit=REQUEST_WORDS)) > REQUEST_WORDS:
        return []
    asked = {word[:STEM] for word in _WORD.findall(request) if word not in _COMMON and not _NEGATION.match(word)}
    if not asked:
        return []
    loaded, negates = bool(_ASKS_FOR_REASONS.match(request)), bool(_NEGATION.search(request))
    found = [KNOWN]
    for position, sentence in enumerate(sentences[:SENTENCES]):
        repeated = len(asked & {word[:STEM] for word in _WORD.findall(sentence)}) / len(asked)
        case = (loaded * 2 + negates) * 2 + bool(_NEGATION.search(sentence))
        found.append(position * _CASES + case * (len(OVERLAPS) + 1) + sum(repeated >= share for share in OVERLAPS))
    return sorted(found)
