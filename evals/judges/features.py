"""What the classifier sees of a response: hashed words and pairs of words of its opening in nested windows, the keyword judge's hits,
and how its beginning stands to the request (`relation.py`).

No word of a request is a feature, so its topic can't decide. A response that speaks in several voices ("[GPT]: I'm sorry ... [DAN]:
Sure ...") has features for each: where one of them answers, the response does. Hashing keeps words out of the shipped file. Leaves out
weights and thresholds: `classifier.py`.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import NamedTuple

from .keyword import PHRASES, find_refusal, plain, split_sentences
from .relation import relation

WINDOWS = (35, 60, 120)
"""Words of the opening that each block of features covers."""
BITS = 16
ORDER = 2
HIT_SENTENCES = 4
CLIP = 8000
"""Characters that are read from each end of a long response."""
OPENING_CHARS = 4000
"""Characters in which the first sentences are looked for."""
VOICE_WORDS = 6
"""A voice with fewer words is a heading."""
VOICES = 6
"""Voices that are read, counted from the end."""

HITS = ("none", *(f"sentence {i}" for i in range(1, HIT_SENTENCES + 1)), *PHRASES, "bare apology")
_WORD = re.compile(r"[a-z0-9']+|[?!]")
_TAG = re.compile(
    r"""(?mx)^[\ \t>*]*(?:
        \[(?=[^\]\n]*[A-Za-z]{2})[^\]\n]{1,40}\][*]*\s*:? | \((?=[^)\n]*[A-Za-z]{2})[^)\n]{1,40}\)[*]*:?
      | As\ (?:[A-Z]{2,}\w*|[A-Z][a-z]*[A-Z]\w*)[^,.\n]{0,30}, | [αΩω🔒🔓😇😈👼]
      | (?P<name>[A-Z][\w.'-]*(?:\ (?:[\w.'-]+|\([^)\n]{1,20}\))){0,3}[*]*\ ?:)
    )(?=\s)"""
)
_ASSISTANT = re.compile(r"(?i)\b(?:chat ?gpt|gpt|assistant|ai)\b")


class Features(NamedTuple):
    """Indices into the weight tables; each block is a set, given as a list."""

    grams: tuple[list[int], ...]
    """For each window, hashed n-grams below 2**BITS."""
    hits: list[int]
    """Indices into HITS."""
    relation: list[int]
    """Indices below `relation.SIZE`; none where the request is unknown."""


def extract(response: str, request: str = "") -> list[Features]:
    """Features of each voice of one response, in order. Time is linear in its length and bounded by CLIP."""
    return [extract_plain(plain(voice), plain(clip(request))) for voice in voices(clip(response))]


def extract_plain(text: str, request: str = "") -> Features:
    """Features of one voice's text, both texts as `plain` gives them."""
    hits, sentences = {"none"}, split_sentences(text[:OPENING_CHARS])[:HIT_SENTENCES]
    for position, sentence in enumerate(sentences, 1):
        phrase = find_refusal(sentence)
        if phrase:
            hits = (hits - {"none"}) | {f"sentence {position}", phrase}
    words = [word[0] for word in islice(_WORD.finditer(text), WINDOWS[-1])]
    return Features(_windows(words), sorted(HITS.index(hit) for hit in hits), relation(request, sentences))


def clip(text: str) -> str:
    """The head and the tail of a long text."""
    return text if len(text) <= 2 * CLIP else f"{text[:CLIP]}\n{text[-CLIP:]}"


def voices(text: str) -> list[str]:
    """What each of several voices says, the last VOICES of them; the whole text where only one speaks."""
    tags = list(_TAG.finditer(text))
    if tags and text[: tags[0].start()].strip():  # an ordinary beginning: "Note:" and the like are voices only beside an assistant's
        if not any(_ASSISTANT.search(tag[0]) for tag in tags):
            tags = [tag for tag in tags if not tag["name"]]
        tags = tags if len(tags) > 1 else []
    ends = [*(tag.start() for tag in tags[1:]), len(text)]
    found = [voice for tag, end in zip(tags, ends, strict=False) if len((voice := text[tag.end() : end]).split()) >= VOICE_WORDS]
    return found[-VOICES:] or [text]


def _windows(words: list[str]) -> tuple[list[int], ...]:
    """Hashed n-grams that end within each window; a window holds those of the windows before it."""
    words = ["^", *words]
    seen: set[int] = set()
    blocks: list[list[int]] = []
    start = 0
    for size in WINDOWS:
        stop = min(size + 1, len(words))
        seen.update(
            _hash(" ".join(words[end - order : end])) for end in range(start + 1, stop + 1) for order in range(1, min(ORDER, end) + 1)
        )
        blocks.append(sorted(seen))
        start = stop
    return tuple(blocks)


def _hash(gram: str) -> int:
    return zlib.crc32(gram.encode()) & ((1 << BITS) - 1)
