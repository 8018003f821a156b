"""RM-Bench, LLMBar and CoCoNot as preference pairs; the real files where they are."""

import json
from collections import Counter
from pathlib import Path

import pytest
from truenorth.evals.slices import measure
from truenorth.evals.types import EvalRun, ModelCard, PairScore
from truenorth.prompts.errors import InputError
from truenorth.prompts.pairs import load_pairs
from truenorth.prompts.types import SUBSETS

DATA = Path(__file__).resolve().parents[3] / "shared/data"
LEVELS = ("easy", "normal", "hard")


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


@pytest.mark.parametrize(("chosen", "rejected"), [(["Red.", "Blue."], ["No.", "Up.", "Dog."]), ([], ["No."]), (["Red."], [])])
def test_lists_of_no_known_shape_are_put_aside(tmp_path, chosen, rejected):
    rows = [STYLED, {**STYLED, "id": 9, "chosen": chosen, "rejected": rejected}]
    found = load_pairs(write(tmp_path / "a.json", rows), max_bad_rows=0.5)
    assert (len(found.pairs), len(found.quarantined)) == (9, 1)
    assert "three styles" in found.quarantined[0].reason


def test_a_folder_of_domains_makes_each_pair_one_of_its_domain_and_of_its_level(tmp_path):
    write(tmp_path / "chat_filtered.json", [STYLED])
    write(tmp_path / "safety-refuse_filtered.json", [{**STYLED, "id": 9, "prompt": "Name a number."}])
    write(tmp_path / "train_filtered.json", [{**STYLED, "id": 10}])  # no domain
    found = load_pairs(tmp_path, split="test")
    assert len(found.pairs) == 18
    assert Counter(pair.subset for pair in found.pairs if pair.cluster == "8") == {f"chat + {level}": 3 for level in LEVELS}
    assert {pair.subset.split(SUBSETS)[0] for pair in found.pairs} == {"chat", "safety-refuse"}


def test_accuracy_is_read_on_each_of_the_subsets_that_a_pair_belongs_to():
    wrong = {"chat + hard", "code + hard", "code + easy"}
    names = [f"{domain} + {level}" for domain in ("chat", "code") for level in LEVELS]
    pairs = tuple(PairScore("s", f"p{i}", 0.0 if name in wrong else 2.0, 1.0, name) for i, name in enumerate([*names, *names]))
    run = EvalRun(ModelCard("m", "m", "0"), {"s": "0"}, (), "", (), pairs=pairs)
    found = {row.subset: (row.value, row.n) for row in measure(run) if row.metric == "pairwise_accuracy"}
    shares = {"chat": (2 / 3, 6), "code": (1 / 3, 6), "easy": (1 / 2, 4), "normal": (1.0, 4), "hard": (0.0, 4)}
    assert {name: (pytest.approx(value), n) for name, (value, n) in {"": (1 / 2, 12), **shares}.items()} == found


def test_one_chosen_response_makes_a_pair_with_each_that_it_beats(tmp_path):
    rows = [
        {
            "id": "r2",
            "prompt": "Name a colour.",
            "chosen": ["Red."],
            "rejected": ["No.", "Up.", "Dog."],
            "num_correct": 1,
            "subset": "Focus",
        }
    ]
    found = load_pairs(write(tmp_path / "a.json", rows)).pairs
    assert {(pair.id, pair.chosen, pair.rejected, pair.subset, pair.cluster) for pair in found} == {
        (f"r2/0/{i}", "Red.", text, "Focus", "r2") for i, text in enumerate(["No.", "Up.", "Dog."])
    }


def test_several_right_answers_each_beat_each_wrong_one_and_are_no_styles(tmp_path):
    row = {**STYLED, "num_correct": 3, "subset": "Ties"}
    found = load_pairs(write(tmp_path / "a.json", [row, {**row, "id": 9, "chosen": ["Red.", "Blue."]}])).pairs
    assert Counter((pair.cluster, pair.subset) for pair in found) == {("8", "Ties"): 9, ("9", "Ties"): 6}


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
        ("rm_bench/chat_filtered.json", 9 * 129, set(LEVELS)),
        ("rm_bench", 9 * 570, {f"{domain} + {level}" for domain in ("chat", "safety-refuse", "safety-response") for level in LEVELS}),
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
