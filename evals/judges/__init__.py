"""Judges: one file each, found by name (`base.py`)."""

from .base import Item, Judge, Ruling, batch_size, get_judge, judge_each, judge_id, list_judges

__all__ = ["Item", "Judge", "Ruling", "batch_size", "get_judge", "judge_each", "judge_id", "list_judges"]
