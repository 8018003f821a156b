"""Recorded responses: columns, joins, samples, labels, public formats, bad files."""

import json
from collections import Counter
from pathlib import Path

import pytest
from truenorth.prompts.errors import InputError, NothingToEvaluateError
from truenorth.prompts.loader import load_suite
from truenorth.prompts.replay import load_replay

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not beside the repository")


@pytest.fixture
def file(tmp_path):
    """Writes a recording and returns its path: text as it is, rows as JSON lines, another value as JSON."""

    def write(content, name=None):
        rows = isinstance(content, list)
        path = tmp_path / (name or ("r.csv" if isinstance(content, str) else "r.jsonl" if rows else "r.json"))
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content) if rows else json.dumps(content)
        path.write_bytes(text.encode())
        return path

    return write


def suite_file(tmp_path, *rows):
    path = tmp_path / "suite.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_suite(path)


def test_csv_text_is_kept_to_the_letter(file):
    responses = ["NA", "null", "None", "1e3", "", " padded ", 'two\nlines, "quoted"', "x" * 300_000, "é 🙂"]
    cells = "".join(f'p{i},"{text.replace(chr(34), chr(34) * 2)}"\r\n' for i, text in enumerate(responses))
    replay = load_replay(file("prompt,response\r\n" + cells))
    assert [recorded.response for recorded in replay.responses] == responses
    assert [prompt.text for prompt in replay.suites[0].prompts] == [f"p{i}" for i in range(len(responses))]


def test_optional_columns_are_read_and_others_ignored(file):
    row = {"id": 4, "suite": "My Suite", "prompt": "p", "response": "r", "category": "c", "expected": "refuse"}
    replay = load_replay(file([{**row, "label": "partial", "model": "m", "score": {"any": 1}}]))
    ((suite,), (recorded,)) = replay.suites, replay.responses
    (prompt,) = suite.prompts
    assert (suite.name, prompt.id, prompt.category, prompt.expected, prompt.label) == ("my-suite", "4", "c", "refuse", "partial")
    assert (recorded.suite, recorded.prompt_id, recorded.sample, recorded.model) == ("my-suite", "4", 0, "m")
    assert (replay.format, replay.models, replay.missing, replay.unmatched) == ("replay", ("m",), 0, 0)


def test_a_suite_for_each_name_in_the_column(file):
    rows = [{"suite": s, "prompt": f"{s}{i}", "response": "r"} for s in ("a", "b") for i in range(3)]
    assert [(suite.name, len(suite.prompts)) for suite in load_replay(file(rows)).suites] == [("a", 3), ("b", 3)]


def test_responses_to_one_prompt_are_its_samples(file):
    replay = load_replay(file([{"prompt": p, "response": r} for p, r in ["x1", "y1", "x2", "x3"]]))
    first, second = (prompt.id for prompt in replay.suites[0].prompts)
    assert [(r.prompt_id, r.sample, r.response) for r in replay.responses] == [
        (first, 0, "1"),
        (second, 0, "1"),
        (first, 1, "2"),
        (first, 2, "3"),
    ]


def test_labelled_responses_to_one_prompt_are_rows_of_one_cluster(file):
    rows = [{"id": "a", "prompt": "x", "response": str(i), "label": label} for i, label in enumerate(["refuse", "comply", "refuse"])]
    replay = load_replay(file(rows))
    assert [(p.id, p.label, p.cluster) for p in replay.suites[0].prompts] == [
        ("a", "refuse", "a"),
        ("a#2", "comply", "a"),
        ("a#3", "refuse", "a"),
    ]
    assert [(r.prompt_id, r.sample) for r in replay.responses] == [("a", 0), ("a#2", 0), ("a#3", 0)]


def test_a_dialogue_may_stand_in_messages(file):
    turns = [{"role": r, "content": c} for r, c in [("user", "a"), ("assistant", "b"), ("user", "c")]]
    (prompt,) = load_replay(file([{"messages": turns, "response": "r"}])).suites[0].prompts
    assert [m.content for m in prompt.messages] == ["a", "b", "c"]


def test_rows_join_a_suite_by_id_else_by_exact_prompt(file, tmp_path):
    suite = suite_file(tmp_path, *({"id": f"s{i}", "prompt": f"p{i}", "expected": "comply", "cluster": "k"} for i in range(4)))
    rows = [{"id": "s2", "prompt": "p2", "response": "by id"}, {"id": "other", "prompt": "p0", "response": "by prompt"}]
    replay = load_replay(file([*rows, {"prompt": "P0", "response": "neither"}]), suites=[suite])
    assert [(r.suite, r.prompt_id, r.response) for r in replay.responses] == [("suite", "s2", "by id"), ("suite", "s0", "by prompt")]
    assert (replay.unmatched, replay.missing) == (1, 2)
    assert replay.suites[0].sha256 == suite.sha256
    assert replay.suites[0].prompts == suite.prompts


def test_an_id_with_another_prompt_is_refused(file, tmp_path):
    suite = suite_file(tmp_path, {"id": "s0", "prompt": "p0"})
    with pytest.raises(InputError, match="'s0' has another prompt in the suite suite"):
        load_replay(file([{"id": "s0", "prompt": "else", "response": "r"}]), suites=[suite])
    with pytest.raises(InputError, match="id of another prompt on line 1"):
        load_replay(file([{"id": "a", "prompt": p, "response": "r"} for p in "xy"]))


def test_two_recordings_of_the_same_prompts_join_and_keep_their_own_labels(file):
    base = load_replay(file([{"id": i, "prompt": f"p{i}", "response": "b", "label": "comply"} for i in range(3)], "base.jsonl"))
    tuned = load_replay(file([{"prompt": f"p{i}", "response": "t"} for i in (2, 0, 1)], "tuned.jsonl"), suites=base.suites)
    assert [r.prompt_id for r in tuned.responses] == ["2", "0", "1"]
    assert {p.label for p in tuned.suites[0].prompts} == {""}
    assert tuned.suites[0].sha256 == base.suites[0].sha256
    labelled = load_replay(file([{"prompt": "p1", "response": "t", "label": "refuse"}], "labelled.jsonl"), suites=base.suites)
    assert [(p.id, p.label) for p in labelled.suites[0].prompts] == [("0", ""), ("1", "refuse"), ("2", "")]


def test_one_model_of_several_can_be_chosen(file):
    path = file([{"prompt": "p", "response": m, "model": m} for m in ("m1", "m2", "m1")])
    assert load_replay(path).models == ("m1", "m2")
    assert [r.response for r in load_replay(path, model="m1").responses] == ["m1", "m1"]
    with pytest.raises(NothingToEvaluateError, match="'m3'"):
        load_replay(path, model="m3")


def test_what_a_model_really_said_is_kept_and_half_a_surrogate_pair_replaced(file):
    replay = load_replay(file([{"prompt": "p", "response": "nul \0 esc \x1b[0m"}, {"prompt": "p", "response": "cut \ud83d"}]))
    assert [r.response for r in replay.responses] == ["nul \0 esc \x1b[0m", "cut \ufffd"]


def test_json_arrays_and_completion_objects_are_read(file):
    rows = [{"prompt": "p", "response": "r", "category": None}]
    for content, name in (({"completions": rows, "rate": 1.0}, "a.json"), (json.dumps(rows), "b.json")):
        assert [r.response for r in load_replay(file(content, name)).responses] == ["r"]


def test_xstest_completions_are_recognised(file):
    header = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label\n"
    rows = "v2-1,homonyms,p1,r1,,,True,3_partial_refusal\nv2-2,contrast_homonyms,p2,r2,,,True,2_full_refusal\n"
    replay = load_replay(file(header + rows))
    assert replay.format == "xstest"
    assert [(p.id, p.expected, p.category, p.label) for p in replay.suites[0].prompts] == [
        ("v2-1", "comply", "homonyms", "partial"),
        ("v2-2", "refuse", "contrast_homonyms", "refuse"),
    ]


def test_gptfuzz_responses_are_recognised(file):
    replay = load_replay(file("question,Response,label\n80,first,0\n80,second,1\n3,third,1\n"))
    assert replay.format == "gptfuzz"
    assert [p.label for p in replay.suites[0].prompts] == ["refuse", "comply", "comply"]
    assert len({p.cluster for p in replay.suites[0].prompts}) == 2
    assert [r.response for r in replay.responses] == ["first", "second", "third"]


def test_harmbench_validation_takes_the_majority_of_three(file):
    def item(*votes):
        return {
            "test_case": f"t{votes}",
            "generation": "g",
            "model": "m",
            "behavior_id": "b",
            **{f"human_{i}": v for i, v in enumerate(votes)},
        }

    replay = load_replay(file({"b": [item(1, 0, 1), item(0, 0, 1)], "c": [item(1, 1, 1)]}))
    assert replay.format == "harmbench"
    assert [p.label for p in replay.suites[0].prompts] == ["comply", "refuse", "comply"]


def test_harmbenchs_models_are_named_without_their_files_ending_and_attacks_are_categories(file):
    row = {"test_case": "t", "generation": "g", "behavior_id": "b", "human_0": 1, "human_1": 1, "human_2": 1}
    rows = [
        {**row, "test_case": "s", "model": "a_7b.json", "experiment": "x", "method": "PAIR"},
        {**row, "model": ".json", "experiment": "b_13b"},
    ]
    replay = load_replay(file({"b": rows}))
    assert [(r.model, p.category) for r, p in zip(replay.responses, replay.suites[0].prompts, strict=True)] == [
        ("a_7b", "PAIR"),
        ("b_13b", ""),
    ]


def test_two_spellings_of_a_suite_are_refused_not_merged(file):
    rows = [{"suite": name, "prompt": name, "response": "r"} for name in ("A b", "A b", "a-B")]
    with pytest.raises(InputError, match=r"'A b' and 'a-B' would both be the suite 'a-b'") as caught:
        load_replay(file(rows))
    assert (caught.value.line, caught.value.field) == (3, "suite")


def test_rows_join_the_suite_that_another_recording_made_of_the_same_name(file):
    rows = [{"suite": "My Suite", "prompt": "p", "response": "r"}]
    base = load_replay(file(rows, "base.jsonl"))
    assert [r.suite for r in load_replay(file(rows, "tuned.jsonl"), suites=base.suites).responses] == ["my-suite"]


@pytest.mark.parametrize("name", ["r.txt", "r.parquet"])
def test_an_unknown_kind_of_recording_is_told_the_kinds_that_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        load_replay(tmp_path / name)
    assert "one of: .json, .jsonl, .jsonl.gz, .csv." in caught.value.advice


@pytest.mark.parametrize(
    ("content", "line", "field", "says"),
    [
        ("prompt,response\n", None, None, "0 responses"),
        ("", None, None, "0 responses"),
        ("prompt,reply\na,b\n", 2, "response", "found: prompt, reply"),
        ("promt,response\na,b\n", 2, "prompt", "Did you mean promt"),
        ("prompt,response,label\na,b,refused\n", 2, "label", "Did you mean refuse"),
        ("prompt,response,expected\na,b,yes\n", 2, "expected", "not one of comply, refuse"),
        ("prompt,response\na,b\n,c\n", 3, "prompt", "is empty"),
        ("prompt,response\na,b\nc\n", 3, None, "1 cells"),
        ("prompt,response\na,b\0\n", 2, None, "NUL"),
        ('prompt,response\na,"b\n', 2, None, "not valid CSV"),
        ([{"prompt": "p", "response": None}], 1, "response", "NoneType"),
        ([{"prompt": "p", "response": ["r"]}], 1, "response", "list"),
        ([{"prompt": "p", "response": "r", "label": 1}], 1, "label", "int"),
        ("question,Response,label\n1,r,2\n", 2, "label", "not one of 0, 1"),
        ("type,prompt,completion,final_label\nx,p,r,4_odd\n", 2, "final_label", "1_full_compliance"),
        ({"a": 3}, None, None, "array of objects"),
    ],
)
def test_a_bad_recording_is_named_by_line_and_field(file, content, line, field, says):
    path = file(content)
    with pytest.raises(InputError) as caught:
        load_replay(path)
    assert (caught.value.file, caught.value.line, caught.value.field) == (path, line, field)
    assert says in str(caught.value)


def test_a_recording_of_other_prompts_is_refused(file, tmp_path):
    suite = suite_file(tmp_path, {"id": "s0", "prompt": "p0"})
    with pytest.raises(InputError, match="none of the 2 rows belongs to suite"):
        load_replay(file([{"prompt": p, "response": "r"} for p in "xy"]), suites=[suite])


@pytest.mark.parametrize("name", ["gone.csv", "r.parquet", "r.txt", "r.pkl"])
def test_other_kinds_of_file_are_refused(tmp_path, name):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError):
        load_replay(tmp_path / name)


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize(
    ("path", "kind", "count", "labels"),
    [
        ("xstest/model_completions/xstest_v2_completions_gpt4.csv", "xstest", 450, {"comply": 230, "refuse": 211, "partial": 9}),
        ("gptfuzz_labeled/responses_labeled/evaluate.csv", "gptfuzz", 1540, {"refuse": 995, "comply": 545}),
        ("harmbench_val_human/text_behaviors_val_set.json", "harmbench", 300, None),
        ("refusal_direction_runs/gemma-2b-it/completions/harmless_baseline_evaluations.json", "refusal_direction", 100, {"": 100}),
    ],
)
def test_public_files_are_read_whole(path, kind, count, labels):
    replay = load_replay(SHARED / path)
    assert (replay.format, len(replay.responses), replay.missing) == (kind, count, 0)
    found = Counter(prompt.label for suite in replay.suites for prompt in suite.prompts)
    assert labels is None or found == labels


@pytest.mark.shared
@needs_shared
def test_harmbenchs_own_file_names_every_model_and_attack():
    replay = load_replay(SHARED / "harmbench_val_human" / "text_behaviors_val_set.json")
    assert all(name and not name.endswith(".json") for name in replay.models)
    assert all(recorded.model for recorded in replay.responses)
    assert all(prompt.category for prompt in replay.suites[0].prompts)


@pytest.mark.shared
@needs_shared
def test_two_models_on_xstest_join_row_by_row():
    folder = SHARED / "xstest" / "model_completions"
    base = load_replay(folder / "xstest_v2_completions_gpt4.csv")
    other = load_replay(folder / "xstest_v2_completions_llama2orig.csv", suites=base.suites)
    assert (other.unmatched, other.missing) == (0, 0)
    assert other.suites[0].sha256 == base.suites[0].sha256
    assert [r.prompt_id for r in other.responses] == [r.prompt_id for r in base.responses]
