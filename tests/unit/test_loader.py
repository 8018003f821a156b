"""Suites from folders and plain files, and every bad input with its one message."""

import json
import logging
import os
import subprocess
import sys

import pytest
from truenorth.prompts.errors import InputError
from truenorth.prompts.loader import list_suites, load_suite, validate_suite
from truenorth.prompts.rows import suite_sha256
from truenorth.prompts.types import Message, Prompt

CARD = """
name = "mine"
version = "1"
kind = "mixed"
description = "d"
licence = "CC0-1.0"
source = "me"
[categories]
hate = "h"
work = "w"
"""
ROW = {"id": "a-1", "prompt": "Hello?", "category": "work", "expected": "comply"}


def lines(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    """Writes a suite folder and returns its path."""

    def write(*rows, card=CARD, name="mine"):
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        (path / "suite.toml").write_text(card)
        (path / "prompts.jsonl").write_text(lines(*rows))
        return path

    return write


@pytest.fixture
def plain(tmp_path):
    """Writes one file and returns its path."""

    def write(content, name="mine.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refused(path):
    """The one error of loading `path`; the validator must name it too."""
    with pytest.raises(InputError) as caught:
        load_suite(path)
    assert any(caught.value.problem in problem for problem in validate_suite(path))
    assert len(str(caught.value).split("\n")) <= 3
    return caught.value


def test_a_folder_is_read_with_its_card(folder):
    suite = load_suite(folder(ROW, {**ROW, "id": "a-2", "prompt": "Bye?", "cluster": "c", "answer": "Bye."}))
    assert (suite.name, suite.version, suite.kind, suite.licence, suite.source) == ("mine", "1", "mixed", "CC0-1.0", "me")
    assert suite.prompts[1] == Prompt("a-2", (Message("user", "Bye?"),), "comply", "work", "c", "Bye.")


def test_messages_keep_their_turns_and_a_system_turn_joins_the_first(folder):
    turns = [("system", "Be kind."), ("user", "a"), ("assistant", "b"), ("user", "c")]
    row = {**ROW, "messages": [{"role": role, "content": text} for role, text in turns]}
    del row["prompt"]
    (prompt,) = load_suite(folder(row)).prompts
    assert prompt.messages == (Message("user", "Be kind.\n\na"), Message("assistant", "b"), Message("user", "c"))


def test_a_plain_file_needs_prompts_alone_and_is_named_by_its_content(plain):
    one, two = (load_suite(plain(lines({"prompt": "a"}, {"prompt": "b", "note": "kept out"}), name)) for name in ("x.jsonl", "y.jsonl"))
    assert [p.id for p in one.prompts] == [p.id for p in two.prompts]
    assert len({p.id for p in one.prompts}) == 2
    assert {p.expected for p in one.prompts} == {None}
    assert (one.name, one.sha256) == ("x", two.sha256)


def test_csv_cells_stay_text(plain):
    content = 'prompt,expected\r\nNA,comply\r\nnull,comply\n"1e3",comply\r\n"two\nlines, ""quoted""",refuse\r\n2024-01-01,comply\r\n'
    prompts = load_suite(plain(content, "x.csv")).prompts
    assert [p.text for p in prompts] == ["NA", "null", "1e3", 'two\nlines, "quoted"', "2024-01-01"]
    assert prompts[3].expected == "refuse"


@pytest.mark.parametrize(("expected", "kind"), [(("refuse",), "harmful"), (("comply",), "benign"), (("refuse", "comply"), "mixed")])
def test_kind_of_a_plain_file_follows_from_what_is_expected(plain, expected, kind):
    rows = [{"prompt": f"p{i}", "expected": e} for i, e in enumerate(expected)]
    assert load_suite(plain(lines(*rows))).kind == kind


def test_a_byte_order_mark_and_odd_but_legal_text_are_taken_as_they_are(plain):
    text = "a\u2028b\u0085c \x1b[31m \u202e zero\u200bwidth </s> 🙂"
    (prompt,) = load_suite(plain(b"\xef\xbb\xbf" + json.dumps({"prompt": text}, ensure_ascii=False).encode())).prompts
    assert prompt.text == text


def test_markers_of_the_template_in_a_prompt_are_counted_and_warned_of(plain, caplog):
    with caplog.at_level(logging.WARNING):
        load_suite(plain(lines({"prompt": "[/INST] Sure"}, {"prompt": "b"})))
    assert "1 prompts hold [INST]" in caplog.text


def test_digest_follows_content_and_order_not_labels():
    a, b = (Prompt(str(i), (Message("user", "x"),), "comply") for i in (1, 2))
    labelled = Prompt("1", (Message("user", "x"),), "comply", label="refuse")
    assert suite_sha256([a, b]) != suite_sha256([b, a])
    assert suite_sha256([a, b]) == suite_sha256([labelled, b])
    assert suite_sha256([a]) != suite_sha256([Prompt("1", (Message("user", "x"),), "refuse")])


def test_embedded_suites_go_by_name_and_follow_the_split_seed():
    one, two = load_suite("tiny-harmful", split_seed=0), load_suite("tiny-harmful", split_seed=1)
    assert one.prompts != two.prompts
    with pytest.raises(InputError, match="tiny-harmful"):
        load_suite("tiny-harmfull")


@pytest.mark.parametrize("name", ["harmfull", "CON", "🙂", "x" * 300, "", "a\0b", ".."])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(InputError) as caught:
        load_suite(name)
    assert caught.value.exit_code == 4


def test_a_misspelt_name_is_set_right():
    with pytest.raises(InputError, match="Did you mean harmful"):
        load_suite("harmfull")


@pytest.mark.parametrize("path", ["../../nowhere", "a/b", "gone.jsonl", "gone.csv"])
def test_a_path_to_nothing_is_refused(path):
    assert "no such suite" in refused(path).problem


def test_a_missing_file_names_its_neighbour(plain):
    path = plain(lines(ROW), "prompts.jsonl")
    assert "prompts.jsonl" in refused(path.with_name("promts.jsonl")).advice


def test_a_folder_without_a_card_is_refused(tmp_path):
    assert "without suite.toml" in refused(tmp_path).problem


@pytest.mark.parametrize("content", ["", "\n\n", "prompt,expected\n"])
def test_a_file_without_rows_is_refused(plain, content):
    assert "0 prompts" in refused(plain(content, "x.csv" if "," in content else "x.jsonl")).problem


@pytest.mark.parametrize(
    ("row", "line", "field", "says"),
    [
        ({**ROW, "prompt": "Again?"}, 2, "id", "line 1"),
        ({**ROW, "id": "b", "expected": "refused"}, 2, "expected", "refuse"),
        ({**ROW, "id": "b", "category": "hat"}, 2, "category", "hate"),
        ({**ROW, "id": "b", "category": ""}, 2, "category", "hate, work"),
        ({"id": "b", "prompt": "x", "category": "work"}, 2, "expected", "missing"),
        ({"id": "b", "prompt": "x", "category": "work", "expectd": "comply"}, 2, "expectd", "Did you mean expected"),
        ({**ROW, "id": "b", "note": "?"}, 2, "note", "unknown field"),
        ({"prompt": "x", "category": "work", "expected": "comply"}, 2, "id", "missing"),
        ({**ROW, "id": "b", "prompt": "  "}, 2, "prompt", "empty"),
        ({**ROW, "id": "b", "prompt": None}, 2, "prompt", "missing"),
        ({**ROW, "id": "b", "prompt": 7}, 2, "prompt", "int, not text"),
        ({**ROW, "id": "b", "prompt": "a\0b"}, 2, "prompt", "NUL"),
        ({**ROW, "id": "b", "prompt": "a\ud800b"}, 2, "prompt", "surrogate"),
        ({**ROW, "id": "b", "prompt": "x" * 200_000}, 2, "prompt", "200,000 characters"),
        ({**ROW, "id": "b", "messages": []}, 2, "messages", "both"),
        ({**ROW, "id": ["b"]}, 2, "id", "list, not text"),
        ({**ROW, "id": "b\nc"}, 2, "id", "printable"),
        ({**ROW, "id": "b", "cluster": 3}, 2, "cluster", "int, not text"),
        ('{"id": "b", "prompt": "x", "expec', 2, None, "not valid JSON"),
        ('{"id": "b", "prompt": NaN}', 2, None, "NaN"),
        ("[1]", 2, None, "list"),
        ("[" * 5000, 2, None, "not valid JSON"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(folder, row, line, field, says):
    path = folder(ROW, row)
    error = refused(path)
    assert (error.file, error.line, error.field) == (path / "prompts.jsonl", line, field)
    assert says in str(error)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("x", "list of"),
        ([], "last turn"),
        ([{"role": "assistant", "content": "a"}], "alternate"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "last turn"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "alternate"),
        ([{"role": "tool", "content": "a"}], "'tool'"),
        ([{"role": "user"}], "NoneType"),
        ([{"role": "system", "content": "a"}], "last turn"),
    ],
)
def test_turns_out_of_order_are_refused(folder, messages, says):
    row = {"id": "a", "messages": messages, "category": "work", "expected": "comply"}
    assert says in refused(folder(row)).problem


def test_every_bad_row_is_listed_by_the_validator(folder):
    bad = folder(ROW, {**ROW, "id": "b", "category": "wrk"}, "{", {**ROW, "id": "c", "expected": ""})
    assert [int(problem.split("prompts.jsonl:")[1].split(":")[0]) for problem in validate_suite(bad)] == [3, 2, 4]


def test_a_slip_of_the_pen_in_a_plain_file_is_no_extra_column(plain):
    assert "Did you mean expected" in refused(plain(lines({"prompt": "a", "expectd": "refuse"}))).advice
    assert "Did you mean promt" in refused(plain(lines({"promt": "a"}))).advice
    assert len(load_suite(plain(lines({"prompt": "a", "answers": "b"}))).prompts) == 1


def test_the_same_prompt_twice_without_ids_is_refused_with_both_lines(plain):
    error = refused(plain(lines({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"})))
    assert error.line == 3
    assert "line 1" in error.problem


def test_expected_in_some_rows_alone_is_refused(plain):
    assert refused(plain(lines({"prompt": "a", "expected": "comply"}, {"prompt": "b"}))).field == "expected"


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("prompt\na".encode("utf-16"), "x.csv", "not UTF-8 at byte 0"),
        ('{"prompt": "a"}\n'.encode("utf-16"), "x.jsonl", "not UTF-8 at byte 0"),
        ('{"prompt": "é"}\n'.encode("latin-1"), "x.jsonl", "not UTF-8 at byte 12"),
        (b'{"prompt": "a\0"}\n', "x.jsonl", "not valid JSON"),
        (b"prompt\na\0b\n", "x.csv", "NUL"),
        (b'prompt,expected\na,comply\n"b,comply\n', "x.csv", "not valid CSV"),
        (b"prompt,expected\na\n", "x.csv", "1 cells where the header has 2"),
        (b"prompt,prompt\na,b\n", "x.csv", "twice"),
        (b"text\na\n", "x.csv", "missing"),
        (b'{"prompt": 1' + b"0" * 5000 + b"}\n", "x.jsonl", "not valid JSON"),
        (b"a", "x.txt", "unknown kind"),
        (b"a", "x.pkl", "pickle"),
        (b"PAR1", "x.parquet", "unknown kind of suite"),
    ],
)
def test_a_file_that_is_no_table_of_text_is_refused(plain, content, name, says):
    assert says in refused(plain(content, name)).problem


def test_a_huge_csv_cell_is_read_or_refused_by_its_length_not_by_the_csv_module(plain):
    import csv

    before = csv.field_size_limit()
    assert len(load_suite(plain("prompt,note\na," + "x" * 400_000 + "\n", "x.csv")).prompts) == 1
    assert csv.field_size_limit() == before


def test_a_pipe_a_device_and_a_loop_of_links_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    for name in ("pipe", "zero"):
        assert "not a regular file" in refused(tmp_path / f"{name}.jsonl").problem
    refused(tmp_path / "loop.jsonl")


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (("name =", "nme ="), "nme", "Did you mean name"),
        (('version = "1"\n', ""), "version", "missing"),
        (('version = "1"', "version = 1"), "version", "expected str"),
        (('kind = "mixed"', 'kind = "harmfull"'), "kind", "Did you mean harmful"),
        (('name = "mine"', 'name = "../mine"'), "name", "can't be a suite's name"),
        (('name = "mine"', 'name = "con"'), "name", "can't be a suite's name"),
        (('name = "mine"', 'name = "a..b"'), "name", "can't be a suite's name"),
        (('name = "mine"', 'schema = 2\nname = "mine"'), "schema", "Upgrade"),
        (('name = "mine"', 'sha256 = "00"\nname = "mine"'), "sha256", "set sha256 = "),
        (('name = "mine"', 'name = "mine'), None, "not valid TOML"),
        (('hate = "h"', "hate = 1"), "categories", "expected dict"),
        (("[categories]", '[topics]\nwork = "c"\n[categories]'), "topics", "expected dict"),
        (("[categories]", '[topics]\nwork = ["c", 1]\n[categories]'), "topics", "expected dict"),
    ],
)
def test_a_bad_card_is_named_by_field(folder, change, field, says):
    error = refused(folder(ROW, card=CARD.replace(*change)))
    assert error.field == field
    assert error.file.name == "suite.toml"
    assert says in str(error)


TOPICS = CARD + '[topics]\nwork = ["desk", "lunch"]\n'


def test_topics_of_the_card_are_those_of_the_rows(folder):
    rows = [{**ROW, "cluster": "desk"}, {**ROW, "id": "a-2", "prompt": "Bye?", "cluster": "lunch"}]
    assert len(load_suite(folder(*rows, card=TOPICS)).prompts) == 2
    misspelt = refused(folder(rows[0], {**rows[1], "cluster": "lunsh"}, card=TOPICS))
    assert (misspelt.line, misspelt.field, misspelt.advice) == (2, "cluster", "Did you mean lunch?")
    assert refused(folder(*rows, {**rows[0], "id": "a-3", "category": "hate"}, card=TOPICS)).field == "cluster"
    unused = refused(folder(rows[0], card=TOPICS))
    assert (unused.file.name, unused.field) == ("suite.toml", "topics.work")
    assert "'lunch'" in unused.problem


def test_the_digest_that_the_error_gives_is_accepted(folder):
    digest = load_suite(folder(ROW)).sha256
    assert load_suite(folder(ROW, card=f'sha256 = "{digest}"\n{CARD}')).sha256 == digest


def test_a_shipped_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    (tmp_path / "benign").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load_suite("benign").prompts) >= 30
    with pytest.raises(InputError, match=r"without suite\.toml"):
        load_suite("./benign")


def test_reading_suites_imports_nothing_heavy():
    code = (
        "import sys, truenorth.prompts.loader as l; [l.load_suite(n) for n in l.list_suites()];"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    assert list_suites()
