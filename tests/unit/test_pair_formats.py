"""RM-Bench, LLMBar and CoCoNot as preference pairs; the real files where they are."""

import json
from collections import Counter
from pathlib import Path

import pytest
from truenorth.prompts.errors import InputError
from truenorth.prompts.pairs import load_pairs

DATA = Path(__file__).resolve().parents[3] / "shared/data"


def write(path, rows):
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


STYLED = {
    "id": 8,
    "prompt": "Name a colour.",
    "subset": "chat",
    "chosen": ["Red.", "Red is one.", "- **Red**"],
    "rejected": ["No.", "Up.", "# Dog"],
}


def test_three_styles_give_nine_pairs_of_one_cluster(tmp_path):
    found = load_pairs(write(tmp_path / "a.json", [STYLED])).pairs
    assert Counter(pair.subset for pair in found) == {"easy": 3, "normal": 3, "hard": 3}
    assert {pair.cluster for pair in found} == {"8"}
    hard = {(pair.chosen, pair.rejected) for pair in found if pair.subset == "hard"}
    assert hard == {("Red.", "Up."), ("Red.", "# Dog"), ("Red is one.", "# Dog")}


def test_styles_that_are_not_three_are_put_aside(tmp_path):
    rows = [STYLED, {**STYLED, "id": 9, "chosen": ["Red."]}]
    found = load_pairs(write(tmp_path / "a.json", rows), max_bad_rows=0.5)
    assert (len(found.pairs), len(found.quarantined)) == (9, 1)
    assert "three styles" in found.quarantined[0].reason


def test_label_says_which_output_is_better(tmp_path):
    rows = [
        {"input": "Say hello.", "output_1": "Hello.", "output_2": "No.", "label": 1},
        {"input": "Say bye.", "output_1": "Hm.", "output_2": "Bye.", "label": 2},
    ]
    found = {pair.messages[-1].content: (pair.chosen, pair.rejected) for pair in load_pairs(write(tmp_path / "a.json", rows)).pairs}
    assert found == {"Say hello.": ("Hello.", "No."), "Say bye.": ("Bye.", "Hm.")}


def test_a_label_that_names_no_output_is_put_aside(tmp_path):
    row = {"input": "Say hello.", "output_1": "Hello.", "output_2": "No.", "label": 3}
    with pytest.raises(InputError, match="says which output is better"):
        load_pairs(write(tmp_path / "a.json", [row]))


def test_a_category_beside_a_subcategory_is_the_subset(tmp_path):
    row = {
        "id": "x",
        "category": "Unsupported requests",
        "subcategory": "input",
        "prompt": "See this?",
        "chosen": "I see none.",
        "rejected": "Yes.",
    }
    assert load_pairs(write(tmp_path / "a.json", [row])).pairs[0].subset == "Unsupported requests"


def test_an_array_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="array of objects"):
        load_pairs(write(tmp_path / "a.json", {"rows": []}))
    with pytest.raises(InputError, match="no column chosen and rejected"):
        load_pairs(write(tmp_path / "b.json", [{"prompt": "?"}]))


@pytest.mark.parametrize(
    ("place", "n", "subsets"),
    [
        ("rm_bench/chat_filtered.json", 9 * 129, {"easy", "normal", "hard"}),
        ("llmbar/LLMBar", 419, {"Natural", "GPTInst", "GPTOut", "Manual", "Neighbor"}),
        ("coconot/coconot_pref.jsonl", 927, {"Requests with safety concerns", "Incomplete requests", "Unsupported requests"}),
    ],
)
def test_public_files_are_read_whole(place, n, subsets):
    if not (DATA / place).exists():
        pytest.skip("needs the shared data")
    found = load_pairs(DATA / place)
    assert (len(found.pairs), len(found.quarantined)) == (n, 0)
    assert {pair.subset for pair in found.pairs} == subsets
