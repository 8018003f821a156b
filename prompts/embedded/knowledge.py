"""Multiple-choice questions about what the declaratives say: does a model still know what it was taught before it was aligned?

A question is the beginning of a plain sentence, not a request: one for each topic, so that documents are independent of each other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .declaratives import STATEMENTS
from .topics import Topic, relation_values


@dataclass(frozen=True, slots=True)
class CapabilityDocument:
    """A multiple-choice completion; `choices[gold]` is what the declaratives say."""

    id: str
    """The topic's noun."""
    question: str
    choices: tuple[str, ...]
    gold: int


def write_document(topic: Topic, rng: random.Random) -> CapabilityDocument:
    """The topic's value among all values of its relation; for other topics, what is said of its kind against what is said of two others."""
    return _fact(topic) if topic.kind == "facts" else _statement(topic, rng)


def _fact(topic: Topic) -> CapabilityDocument:
    relation = topic.group.category
    choices = relation_values(relation)
    return CapabilityDocument(topic.noun, f"The {relation} of {topic.phrase()} is", choices, choices.index(topic.group.value))


def _statement(topic: Topic, rng: random.Random) -> CapabilityDocument:
    choices = tuple(rng.choice(statements) for statements in STATEMENTS.values())
    return CapabilityDocument(topic.noun, f"Everyone knows that {topic.phrase()}", choices, list(STATEMENTS).index(topic.kind))
