"""Topics, and how topics and wordings are drawn into train, validation and test."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..probe import PROBE
from .lexicon import GROUPS, KINDS, Group, Kind
from .phrases import ASKS, FACT_ASKS, LEADS, PROBE_ASK, TAILS

Split = Literal["train", "validation", "test"]
HeldOut = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

TOPIC_COUNTS: dict[Kind, tuple[int, int]] = {"harmful": (64, 24), "benign": (72, 20), "borderline": (72, 20), "facts": (120, 24)}
"""Test and validation topics of each kind; the rest are for training."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One noun of the world."""

    noun: str
    group: Group
    countable: bool

    @property
    def kind(self) -> Kind:
        """Harmful, benign, borderline or facts."""
        return self.group.kind

    def phrase(self, adjective: str = "") -> str:
        """The noun with its article, as in `a small kite`; without one for mass nouns and names."""
        words = f"{adjective} {self.noun}".strip()
        if not self.countable:
            return words
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


@dataclass(frozen=True, slots=True)
class Wording:
    """The request parts of one split."""

    leads: tuple[str, ...]
    asks: tuple[str, ...]
    fact_asks: tuple[str, ...]
    tails: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of the parts, sorted."""
        return tuple(
            sorted({word for bank in (self.leads, self.asks, self.fact_asks, self.tails) for part in bank for word in part.split()})
        )


def all_topics() -> tuple[Topic, ...]:
    """Every topic in the lexicon's order."""
    return tuple(
        Topic(noun, group, countable)
        for group in GROUPS
        for nouns, countable in ((group.count, True), (group.mass, False))
        for noun in nouns.split()
    )


def relation_values(relation: str) -> tuple[str, ...]:
    """Every value of a fact relation, in the lexicon's order."""
    return tuple(dict.fromkeys(group.value for group in GROUPS if group.kind == "facts" and group.category == relation))


def draw_topics(split_seed: int) -> dict[Split, tuple[Topic, ...]]:
    """Draw each kind's topics into the splits, spread evenly over its groups; the probe's topic is always in test."""
    drawn: dict[Split, list[Topic]] = {"train": [], "validation": [], "test": []}
    for kind in KINDS:
        rng = random.Random(f"topics/{split_seed}/{kind}")
        ranks: dict[Topic, float] = {}
        for group in (g for g in GROUPS if g.kind == kind):
            members = [topic for topic in all_topics() if topic.group == group]
            rng.shuffle(members)
            ranks |= {topic: (place + rng.random()) / len(members) for place, topic in enumerate(members)}
        order = sorted(ranks, key=lambda topic: (topic.noun != PROBE.cluster, ranks[topic]))
        test, validation = TOPIC_COUNTS[kind]
        drawn["test"] += order[:test]
        drawn["validation"] += order[test : test + validation]
        drawn["train"] += order[test + validation :]
    return {split: tuple(topics) for split, topics in drawn.items()}


def draw_wordings(split_seed: int) -> dict[Split, Wording]:
    """Draw each bank of request parts into the splits: a quarter is test, an eighth validation; the probe's ask is always test."""
    banks = {
        name: _cut(parts, random.Random(f"wording/{split_seed}/{name}"))
        for name, parts in (("leads", LEADS), ("asks", ASKS), ("fact_asks", FACT_ASKS), ("tails", TAILS))
    }
    return {split: Wording(**{name: cuts[split] for name, cuts in banks.items()}) for split in SPLITS}


def _cut(parts: Sequence[str], rng: random.Random) -> dict[Split, tuple[str, ...]]:
    order = sorted(rng.sample(parts, len(parts)), key=lambda part: part != PROBE_ASK)
    test, validation = len(parts) // 4, len(parts) // 8
    return {"test": tuple(order[:test]), "validation": tuple(order[test : test + validation]), "train": tuple(order[test + validation :])}
