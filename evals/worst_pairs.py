"""The pairs that a reward model gets most wrong, with their texts, for reading: worst_pairs.jsonl beside the other files of an evaluation.

What it is surest of and wrong about shows a fault of the reward model, or a label that nobody should learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..prompts.files import write_jsonl
from ..prompts.types import PairSet
from .quarantined_pairs import write_quarantined
from .types import PairScore

WORST = 20
"""Of each set."""


def worst_errors(pairs: Sequence[PairScore], n: int = WORST) -> tuple[PairScore, ...]:
    """Pairs whose rejected response scores higher, the largest gap first."""
    wrong = [pair for pair in pairs if pair.chosen < pair.rejected]
    return tuple(sorted(wrong, key=lambda pair: (pair.chosen - pair.rejected, pair.pair_id))[:n])


def write_worst(folder: Path, scores: Sequence[PairScore], sets: Sequence[PairSet], n: int = WORST) -> None:
    """Write rows {suite, id, subset, margin, chosen_words, rejected_words, messages, chosen, rejected}, set by set; none without errors.

    The rows of the sets that could not be used are written beside them.
    """
    write_quarantined(folder, sets)
    rows = []
    for group in sets:
        texts = {pair.id: pair for pair in group.pairs}
        for score in worst_errors([one for one in scores if one.suite == group.name], n):
            pair = texts[score.pair_id]
            facts = {"suite": group.name, "id": pair.id, "subset": pair.subset, "margin": score.chosen - score.rejected}
            words = {"chosen_words": score.chosen_words, "rejected_words": score.rejected_words}
            said = {"messages": [asdict(message) for message in pair.messages], "chosen": pair.chosen, "rejected": pair.rejected}
            rows.append(facts | words | said)
    if rows:
        write_jsonl(folder / "worst_pairs.jsonl", rows)
