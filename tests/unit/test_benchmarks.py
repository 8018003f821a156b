"""What the benchmarks write, without running them; gpu_profile.py in its small form is in test_gpu_profile.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from docs_table import markdown, replace_table
from judges_table import row
from measure import PeakMemory
from ppo_memory import NO_TRL, table
from reward_scoring import AGREE, Scorers, compare, random_pairs

PEAKS = {"four roles on one base": 2 * 10**9, "the same, micro-batches of 4": 10**9, "four separate models": 4 * 10**9}
DOCS = Path(__file__).resolve().parents[2] / "docs" / "memory.md"


def test_a_table_replaces_the_one_between_its_marks(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- sizes -->\nold\n<!-- /sizes -->\nbelow\n")
    for _ in range(2):
        replace_table(page, "sizes", markdown(("a", "b"), [(1, 2)]))
        assert page.read_text() == "above\n<!-- sizes -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- /sizes -->\nbelow\n"
    with pytest.raises(ValueError, match="no place for the table: <!-- other -->"):
        replace_table(page, "other", "")


def test_peaks_are_shown_as_shares_and_a_missing_trl_with_its_reason():
    lines = table(PEAKS, 8 * 10**9).splitlines()
    assert lines[2] == "| four roles on one base | 2.00 GB | 0.50 | 0.25 |"
    assert lines[-1] == "| TRL 1.12 | 8.00 GB | 2.00 | 1.00 |"
    without = table(PEAKS, None).splitlines()
    assert without[2] == "| four roles on one base | 2.00 GB | 0.50 | - |"
    assert without[-1] == f"| TRL 1.12 | {NO_TRL} | - | - |"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")
def test_a_peak_is_what_was_in_memory_at_once_and_not_what_was_there_before():
    memory = PeakMemory("cpu")
    with memory.measure("large"):
        block = bytearray(200 * 2**20)
        del block
    with memory.measure("small"):
        block = bytearray(20 * 2**20)
    assert 195 * 2**20 < memory.peaks["large"] < 260 * 2**20
    assert 15 * 2**20 < memory.peaks["small"] < 100 * 2**20
    assert len(block) == 20 * 2**20


def test_scoring_in_other_layouts_gives_the_same_scores_or_no_table():
    pairs, scorers = random_pairs(3), Scorers()
    lines = compare(scorers, pairs, 1).splitlines()
    n_plain, n_once = (int(lines[i].split("|")[2]) for i in (4, 6))
    assert n_once < n_plain
    ours = scorers.prompt_once
    scorers.prompt_once = lambda pairs: [score + 2 * AGREE for score in ours(pairs)]  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="the scores differ"):
        compare(scorers, pairs, 1)


@pytest.mark.parametrize("name", ["memory_table", "cpu_profile", "ppo_memory", "reward_scoring", "update_layout"])
def test_every_table_of_the_page_on_memory_is_there(name: str):
    text = DOCS.read_text(encoding="utf-8")
    assert "| --- |" in text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def test_a_judge_without_some_verdicts_is_measured_on_the_others():
    truth = np.array([True, True, False, False, False])
    found = row("judge", [np.array([1.0, np.nan, 0.0, 1.0, 0.0])], [truth])
    assert found == ("judge", "0.500", "+0.250", "0.200")  # 3 of 4 agree; by chance 1/2 x 1/4 + 1/2 x 3/4
