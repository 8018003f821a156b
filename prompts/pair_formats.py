"""Public sets of preference pairs in shapes of their own, as plain rows {prompt, chosen, rejected, subset?, id?, cluster?}.

- RM-Bench: `chosen` and `rejected` are lists of responses in three styles, from short to elaborate. Nine pairs a row: `easy` where the
  chosen response is in the more elaborate style, `hard` where the rejected one is, else `normal`.
- LLMBar: `input`, `output_1`, `output_2`, and `label` (1 or 2), the better one.
- CoCoNot: `category` and `subcategory`; the category becomes the subset.

HH-RLHF's transcripts are read by `hh.py`; RewardBench's rows are plain already. Sources: the sets' own cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .rows import RowError

Row = Mapping[str, Any]


def plain_rows(row: Row) -> Iterator[Row]:
    """The plain rows that a row stands for; a row of no special shape as it is.

    Raises:
        RowError: it has the shape of a set and not its content.
    """
    if isinstance(row.get("chosen"), list) and isinstance(row.get("rejected"), list):
        yield from _styles(row)
    elif "output_1" in row and "output_2" in row and "chosen" not in row:
        yield _labelled(row)
    elif "subcategory" in row and row.get("subset") is None:
        yield {**row, "subset": row.get("category")}
    else:
        yield row


def has_pair_columns(row: Row) -> bool:
    """Whether a row is of a shape that `plain_rows` knows."""
    return {"chosen", "rejected"} <= row.keys() or {"input", "output_1", "output_2", "label"} <= row.keys()


def _styles(row: Row) -> Iterator[Row]:
    chosen, rejected = row["chosen"], row["rejected"]
    if len(chosen) != 3 or len(rejected) != 3:
        raise RowError("lists of responses should hold three styles each, chosen and rejected", "chosen")
    name = row.get("id")
    for i, better in enumerate(chosen):
        for j, worse in enumerate(rejected):
            level = "easy" if i > j else "hard" if i < j else "normal"
            ids = {} if name is None else {"id": f"{name}/{i}{j}", "cluster": str(name)}
            yield {"prompt": row.get("prompt"), "chosen": better, "rejected": worse, "subset": level, **ids}


def _labelled(row: Row) -> Row:
    label = str(row.get("label"))
    if label not in ("1", "2"):
        raise RowError(f"is {label}; 1 or 2 says which output is better", "label")
    better, worse = (row["output_1"], row["output_2"]) if label == "1" else (row["output_2"], row["output_1"])
    return {"prompt": row.get("input"), "chosen": better, "rejected": worse, **{k: row[k] for k in ("id", "subset") if k in row}}
