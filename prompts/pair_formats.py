"""Public sets of preference pairs in shapes of their own, as plain rows {prompt, chosen, rejected, subset?, id?, cluster?}.

- RM-Bench: `chosen` and `rejected` are lists of responses in three styles, from short to elaborate. Nine pairs a row: `easy` where the
  chosen response is in the more elaborate style, `hard` where the rejected one is, else `normal`. The domain is its files' name alone
  (`chat_filtered.json`), and a subset besides.
- RewardBench 2: one response in `chosen`, several in `rejected`, a pair for each of them; its `Ties` have several right answers, too, and
  each of them beats each wrong one. Its own score asks that the chosen response beat all the others at once: not measured here.
- LLMBar: `input`, `output_1`, `output_2`, and `label` (1 or 2), the better one.
- CoCoNot: `category` and `subcategory`; the category becomes the subset.

HH-RLHF's transcripts are read by `hh.py`; RewardBench's rows are plain already. Sources: the sets' own cards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .rows import RowError
from .types import SUBSETS

Row = Mapping[str, Any]
_FILE_OF_A_DOMAIN = re.compile(r"(chat|code|math|safety-refuse|safety-response)_filtered")


def plain_rows(row: Row, subset: str = "") -> Iterator[Row]:
    """The plain rows that a row stands for; a row of no special shape as it is.

    Args:
        row: as it stands in a file.
        subset: that of the file, which the format's own is added to.

    Raises:
        RowError: it has the shape of a set and not its content.
    """
    if isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list):
        yield from _styles(row, subset) if _is_styled(row) else _each_against_each(row)
    elif "output_1" in row and "output_2" in row and "chosen" not in row:
        yield _labelled(row)
    elif "subcategory" in row and row.get("subset") is None:
        yield {**row, "subset": row.get("category")}
    else:
        yield row


def has_pair_columns(row: Row) -> bool:
    """Whether a row is of a shape that `plain_rows` knows."""
    return {"chosen", "rejected"} <= row.keys() or {"input", "output_1", "output_2", "label"} <= row.keys()


def domain_of(stem: str) -> str:
    """The domain of RM-Bench that a file of this name (without its suffix) holds; empty for other files."""
    found = _FILE_OF_A_DOMAIN.fullmatch(stem)
    return found[1] if found else ""


def _is_styled(row: Row) -> bool:
    """Whether the lists are RM-Bench's styles, not RewardBench 2's right and wrong answers, which it counts."""
    return len(row["chosen"]) == len(row["rejected"]) == 3 and "num_correct" not in row


def _styles(row: Row, subset: str) -> Iterator[Row]:
    name = row.get("id")
    for i, better in enumerate(row["chosen"]):
        for j, worse in enumerate(row["rejected"]):
            level = "easy" if i > j else "hard" if i < j else "normal"
            ids = {} if name is None else {"id": f"{name}/{i}{j}", "cluster": str(name)}
            named = {"subset": SUBSETS.join(filter(None, (subset, level)))}
            yield {"prompt": row.get("prompt"), "chosen": better, "rejected": worse, **named, **ids}


def _each_against_each(row: Row) -> Iterator[Row]:
    chosen, rejected, name = row["chosen"], row["rejected"], row.get("id")
    if not rejected or (len(chosen) != 1 and "num_correct" not in row):
        raise RowError("lists of responses hold three styles each, or one chosen response and those that it beats", "chosen")
    for i, better in enumerate(chosen):
        for j, worse in enumerate(rejected):
            ids = {} if name is None else {"id": f"{name}/{i}/{j}", "cluster": str(name)}
            yield {"prompt": row.get("prompt"), "chosen": better, "rejected": worse, "subset": row.get("subset"), **ids}


def _labelled(row: Row) -> Row:
    label = str(row.get("label"))
    if label not in ("1", "2"):
        raise RowError(f"is {label}; 1 or 2 says which output is better", "label")
    better, worse = (row["output_1"], row["output_2"]) if label == "1" else (row["output_2"], row["output_1"])
    return {"prompt": row.get("input"), "chosen": better, "rejected": worse, **{k: row[k] for k in ("id", "subset") if k in row}}
