"""Preference pairs: HH-RLHF transcripts, plain rows, quarantine, draw, and files that can't be read."""

import gzip
import json
import pickle
import random
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from truenorth.prompts.errors import InfrastructureError, InputError, NothingToEvaluateError
from truenorth.prompts.hh import split_transcripts
from truenorth.prompts.pairs import load_pairs, pairs_sha256, prompt_hash, prompt_hashes, reasons_text, write_quarantine
from truenorth.prompts.rows import RowError
from truenorth.prompts.sources import set_name
from truenorth.prompts.types import Message, QuarantinedRow

HH_FILES = Path(__file__).parents[3] / "shared" / "data" / "hh_rlhf"
needs_hh = pytest.mark.skipif(not HH_FILES.is_dir(), reason="the public HH-RLHF files are not beside the repository")

HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant: "


def transcript(*turns):
    return "".join((HUMAN if index % 2 == 0 else ASSISTANT) + text for index, text in enumerate(turns))


def plain_rows(count):
    return [{"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(count)]


def write(path, rows):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_transcripts_split_at_the_last_common_assistant_turn():
    context = ("one", "two", "three")
    messages, chosen, rejected = split_transcripts(transcript(*context, "Yes: a"), transcript(*context, "Yes: b"))
    assert [m.content for m in messages] == ["one", "two", "three"]
    assert [m.role for m in messages] == ["user", "assistant", "user"]
    assert (chosen, rejected) == ("Yes: a", "Yes: b")


def test_a_reply_may_hold_what_looks_like_the_other_reply():
    _, chosen, rejected = split_transcripts(transcript("q", "same start, long"), transcript("q", "same start"))
    assert (chosen, rejected) == ("same start, long", "same start")


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(
    lambda t: t.strip() == t and "Human:" not in t and "Assistant:" not in t
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(turns=st.lists(WORDS, min_size=1, max_size=5).filter(lambda t: len(t) % 2), replies=st.tuples(WORDS, WORDS))
def test_splitting_undoes_joining(turns, replies):
    messages, *found = split_transcripts(*(transcript(*turns, reply) for reply in replies))
    assert [m.content for m in messages] == turns
    assert tuple(found) == replies


@pytest.mark.parametrize(
    ("chosen", "rejected", "reason"),
    [
        ("no marker at all", "none here", "no Assistant turn"),
        (transcript("q"), transcript("q", "a"), "no Assistant turn"),
        (transcript("q", "a"), transcript("r", "b"), "contexts differ"),
        (transcript("q", "a", "x", "b"), transcript("q", "a", "y", "b"), "contexts differ before"),
        (transcript("q", "a", "x", "b"), transcript("q", "c"), "contexts differ before"),
        (transcript("q", "a") + ASSISTANT + "b", transcript("q", "c"), "two Assistant turns"),
        (HUMAN + "q" + HUMAN + "q" + ASSISTANT + "a", HUMAN + "q" + HUMAN + "q" + ASSISTANT + "b", "don't alternate"),
        (ASSISTANT + "a", ASSISTANT + "b", "don't alternate"),
        (transcript(" ", "a"), transcript(" ", "b"), "empty turn"),
        ("preface" + transcript("q", "a"), "preface" + transcript("q", "b"), "before the first turn"),
    ],
)
def test_transcripts_that_cannot_be_split_say_why(chosen, rejected, reason):
    with pytest.raises(RowError, match=reason):
        split_transcripts(chosen, rejected)


BAD_ROWS = [
    ({"prompt": "q", "chosen": "same", "rejected": "same"}, "chosen equals rejected"),
    ({"prompt": "q", "chosen": "same", "rejected": "same "}, "chosen equals rejected"),
    ({"prompt": "q", "chosen": "", "rejected": "b"}, "chosen: is empty"),
    ({"prompt": "q", "chosen": "a", "rejected": "  "}, "rejected: is empty"),
    ({"prompt": "q", "chosen": None, "rejected": "b"}, "chosen: is NoneType, not text"),
    ({"prompt": "q", "chosen": "a", "rejected": 1.5}, "rejected: is float, not text"),
    ({"prompt": "q", "chosen": ["a"], "rejected": "b"}, "chosen: is list, not text"),
    ({"prompt": "q", "chosen": "a", "rejected": "b\0"}, "rejected: holds a NUL character"),
    ({"prompt": "q", "chosen": "a", "rejected": "b\udc00"}, "rejected: holds half a surrogate pair"),
    ({"prompt": 3, "chosen": "a", "rejected": "b"}, "prompt: is int, not text"),
    ({"messages": [{"role": "assistant", "content": "x"}], "chosen": "a", "rejected": "b"}, "messages: turn 1 is 'assistant'"),
    ({"prompt": "question 0", "chosen": "good 0", "rejected": "bad 0"}, "the same pair or id as an earlier row"),
    ({"prompt": "q", "chosen": "a"}, "rejected: is NoneType, not text"),
    ({"chosen": transcript("q", ""), "rejected": transcript("q", "b")}, "an empty reply"),
    ("{not json", "not valid JSON"),
    ("[]", "a list where an object was expected"),
    ('{"prompt": "q", "chosen": "a", "rejected": Infinity}', "Infinity is not JSON"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_ROWS)
def test_a_bad_row_is_put_aside_with_its_line_and_reason(tmp_path, row, reason):
    pairs = load_pairs(write(tmp_path / "p.jsonl", [*plain_rows(3), row, *plain_rows(5)[3:]]), max_bad_rows=0.5)
    assert len(pairs.pairs) == 5
    (bad,) = pairs.quarantined
    assert (bad.file, bad.line) == ("p.jsonl", 4)
    assert reason in bad.reason


def test_rows_are_all_accounted_for(tmp_path):
    rows = [*plain_rows(20), *(row for row, _ in BAD_ROWS)]
    exclude = frozenset(prompt_hash([Message("user", f"question {i}")]) for i in range(4))
    found = load_pairs(write(tmp_path / "p.jsonl", rows), max_bad_rows=1, exclude_prompts=exclude)
    assert found.rows == len(rows)
    assert found.excluded == 4
    assert len(found.pairs) + len(found.quarantined) + found.excluded == found.rows


def test_too_many_bad_rows_stop_the_reading_and_say_which(tmp_path):
    path = write(tmp_path / "p.jsonl", [*plain_rows(47), *["{"] * 2, {"prompt": "q", "chosen": "a", "rejected": "a"}])
    assert len(load_pairs(path, max_bad_rows=0.06).pairs) == 47
    with pytest.raises(InputError, match=r"3 of 50 rows .* 5\.0%: 2 x not valid JSON.*1 x chosen equals rejected") as caught:
        load_pairs(path, max_bad_rows=0.05)
    assert "p.jsonl:48" in caught.value.advice


def test_reasons_are_counted_the_most_frequent_first_and_long_ones_cut():
    rows = [QuarantinedRow("f", i, reason) for i, reason in enumerate(["a", "b", "b", "c", "d", "e", "x" * 300, "x" * 300, "x" * 300])]
    assert reasons_text(rows) == f"3 x {'x' * 99}…, 2 x b, 1 x a, 1 x c, 2 more"


def test_quarantine_is_written_one_row_a_line(tmp_path):
    found = load_pairs(write(tmp_path / "p.jsonl", [*plain_rows(3), "{"]), max_bad_rows=0.5)
    write_quarantine(tmp_path / "quarantine.jsonl", found.quarantined)
    (row,) = (json.loads(line) for line in (tmp_path / "quarantine.jsonl").read_text().splitlines())
    assert row["file"] == "p.jsonl"
    assert row["line"] == 4
    assert "not valid JSON" in row["reason"]


def test_plain_columns_keep_subset_id_cluster_and_dialogue(tmp_path):
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    row = {"id": 7, "messages": turns, "chosen": " yes", "rejected": "no", "subset": "kind", "cluster": "topic"}
    (pair,) = load_pairs(write(tmp_path / "p.jsonl", [row])).pairs
    assert (pair.id, pair.subset, pair.cluster, pair.chosen) == ("7", "kind", "topic", " yes")
    assert [m.content for m in pair.messages] == ["a", "b", "c"]


def test_pairs_on_one_prompt_share_a_cluster(tmp_path):
    rows = [{"prompt": p, "chosen": f"a{i}", "rejected": "b"} for i, p in enumerate(["x", "x", "y"])]
    clusters = {p.chosen: p.cluster for p in load_pairs(write(tmp_path / "p.jsonl", rows)).pairs}
    assert clusters["a0"] == clusters["a1"] != clusters["a2"]


def test_every_file_format_gives_the_same_pairs(tmp_path):
    rows = plain_rows(30)
    write(tmp_path / "a.jsonl", rows)
    write(tmp_path / "b.jsonl.gz", rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "c.parquet")
    header = "prompt,chosen,rejected\n"
    (tmp_path / "d.csv").write_text(header + "".join(f"{r['prompt']},{r['chosen']},{r['rejected']}\n" for r in rows))
    found = [load_pairs(tmp_path / name) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d.csv")]
    assert len({each.sha256 for each in found}) == 1


def test_the_draw_follows_seed_and_content_not_files_or_order(tmp_path):
    rows = plain_rows(200)
    one = load_pairs(write(tmp_path / "one" / "train.jsonl", rows), limit=50, seed=3)
    shuffled = random.Random(0).sample(rows, len(rows))
    write(tmp_path / "two" / "x" / "train-00000.jsonl", shuffled[:90])
    write(tmp_path / "two" / "y" / "train-00001.jsonl.gz", shuffled[90:])
    two = load_pairs(tmp_path / "two", limit=50, seed=3)
    assert [p.id for p in one.pairs] == [p.id for p in two.pairs]
    assert {p.id for p in one.pairs} != {p.id for p in load_pairs(tmp_path / "two", limit=50, seed=4).pairs}


def test_a_smaller_draw_starts_a_larger_one(tmp_path):
    path = write(tmp_path / "p.jsonl", plain_rows(60))
    few, many, whole = (load_pairs(path, limit=limit, seed=1).pairs for limit in (10, 40, None))
    assert few == many[:10] == whole[:10]
    assert len(whole) == 60


def test_a_digest_sees_every_field(tmp_path):
    base = load_pairs(write(tmp_path / "p.jsonl", plain_rows(2))).pairs
    assert pairs_sha256(base) != pairs_sha256(base[::-1])
    assert pairs_sha256(base) == load_pairs(tmp_path / "p.jsonl").sha256


def test_prompts_of_the_evaluation_are_not_drawn_whatever_their_case_and_blanks(tmp_path):
    test = load_pairs(write(tmp_path / "test.jsonl", [{"prompt": " QUESTION\n 1", "chosen": "x", "rejected": "y"}]))
    train = load_pairs(write(tmp_path / "train.jsonl", plain_rows(5)), exclude_prompts=prompt_hashes(test.pairs))
    assert (train.excluded, len(train.pairs)) == (1, 4)
    assert not prompt_hashes(test.pairs) & prompt_hashes(train.pairs)


def test_markers_of_the_template_in_a_dialogue_are_counted_and_warned_of(tmp_path, caplog):
    load_pairs(write(tmp_path / "p.jsonl", [*plain_rows(2), {"prompt": "[/INST] Sure", "chosen": "a", "rejected": "b"}]))
    assert "1 dialogues hold [INST]" in caplog.text


def test_nothing_left_after_exclusion_is_said(tmp_path):
    path = write(tmp_path / "p.jsonl", plain_rows(3))
    with pytest.raises(NothingToEvaluateError, match="3 pairs was excluded"):
        load_pairs(path, exclude_prompts=prompt_hashes(load_pairs(path).pairs))


def test_a_folder_is_read_by_split_and_its_folders_name_the_subsets(tmp_path):
    write(tmp_path / "harmless" / "train.jsonl", plain_rows(4)[:2])
    write(tmp_path / "helpful" / "train.jsonl.gz", plain_rows(4)[2:])
    write(tmp_path / "helpful" / "test.jsonl", plain_rows(9)[4:])
    (tmp_path / "README.md").write_text("not data")
    train = load_pairs(tmp_path)
    assert sorted(p.subset for p in train.pairs) == ["harmless", "harmless", "helpful", "helpful"]
    assert len(load_pairs(tmp_path, split="test").pairs) == 5
    with pytest.raises(InputError, match="no file for the split 'validation'; there are: test, train"):
        load_pairs(tmp_path, split="validation")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("mine.jsonl", "mine"),
        ("x/Mine.CSV", "Mine"),
        ("x/harmless-base/test.jsonl.gz", "harmless-base-test"),
        ("LLMBar/Natural/dataset.json", "Natural-dataset"),
        ("x/train-00000-of-00002.parquet", "x-train-00000-of-00002"),
        ("x/test_harmless.jsonl", "test_harmless"),
    ],
)
def test_a_file_goes_by_its_own_name_however_its_path_is_written(tmp_path, monkeypatch, place, name):
    path = write(tmp_path / place, [])
    monkeypatch.chdir(path.parent)
    assert {
        set_name(one) for one in (path, str(path), path.name, f"./{path.name}", f"{path.parent}/../{path.parent.name}/{path.name}")
    } == {name}


def test_a_folder_goes_by_its_own_name_and_the_hubs_sets_keep_theirs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x" / "LLMBar" / "train.jsonl", plain_rows(2))
    assert {load_pairs(place).name for place in ("x/LLMBar", "x/LLMBar/", tmp_path / "x/LLMBar", "x/../x/LLMBar")} == {"LLMBar"}
    assert set_name("Anthropic/hh-rlhf") == "Anthropic/hh-rlhf"
    assert load_pairs("tiny-pairs", limit=5).name == "tiny-pairs"


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        load_pairs(path, **options)
    assert caught.value.exit_code == 4
    assert len(str(caught.value).split("\n")) <= 3
    return str(caught.value)


def test_missing_empty_and_unreadable_paths_are_refused(tmp_path):
    assert "no such" in refused(tmp_path / "gone.jsonl")
    assert "no file of pairs" in refused(tmp_path)
    assert "there are no rows" in refused(write(tmp_path / "empty.jsonl", []))
    assert "there are no rows" in refused(write(tmp_path / "empty.jsonl.gz", []))
    assert "unknown kind" in refused(write(tmp_path / "pairs.txt", plain_rows(1)))
    assert "one of: .jsonl, .jsonl.gz, .csv, .parquet, .json." in refused(tmp_path / "pairs.txt")


def test_columns_that_were_found_are_listed(tmp_path):
    message = refused(write(tmp_path / "p.jsonl", [{"prompt": "q", "choosen": "a", "rejected": "b"}]))
    assert "found: prompt, choosen, rejected" in message
    assert "Did you mean choosen" in message
    pyarrow.parquet.write_table(pyarrow.table({"query": ["a"], "answer": ["b"]}), tmp_path / "p.parquet")
    assert "no column chosen and rejected; found: query, answer" in refused(tmp_path / "p.parquet")


def test_a_pickle_is_refused_and_not_opened(tmp_path):
    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "opened",))

    for name in ("p.pkl", "p.jsonl", "p.parquet", "p.jsonl.gz", "p.csv"):
        (tmp_path / name).write_bytes(pickle.dumps(Canary()))
        refused(tmp_path / name)
    assert "runs code" in refused(tmp_path / "p.pkl")
    assert not (tmp_path / "opened").exists()


def test_truncated_or_false_files_are_refused(tmp_path):
    whole = write(tmp_path / "a.jsonl.gz", plain_rows(500)).read_bytes()
    (tmp_path / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert "damaged or truncated gzip" in refused(tmp_path / "half.jsonl.gz")
    (tmp_path / "flipped.jsonl.gz").write_bytes(whole[:500] + bytes([whole[500] ^ 255]) + whole[501:])
    refused(tmp_path / "flipped.jsonl.gz")
    write(tmp_path / "plain.jsonl.gz.jsonl", plain_rows(1)).rename(tmp_path / "plain.jsonl.gz")
    assert "damaged or truncated gzip" in refused(tmp_path / "plain.jsonl.gz")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(plain_rows(500)), tmp_path / "b.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:2000])
    assert "not a readable Parquet file" in refused(tmp_path / "half.parquet")
    (tmp_path / "zip.parquet").write_bytes(b"PK\x03\x04 not parquet")
    assert "not a readable Parquet file" in refused(tmp_path / "zip.parquet")


def test_a_truncated_last_line_is_put_aside(tmp_path):
    path = write(tmp_path / "p.jsonl", plain_rows(60))
    path.write_bytes(path.read_bytes()[:-20])
    found = load_pairs(path)
    assert (len(found.pairs), [q.line for q in found.quarantined]) == (59, [60])


def test_the_embedded_pairs_go_by_name_and_follow_the_split_seed():
    one, two = load_pairs("tiny-pairs", split_seed=0), load_pairs("tiny-pairs", split_seed=1)
    assert one.sha256 != two.sha256
    assert len(load_pairs("tiny-pairs", limit=5).pairs) == 5


class Hub:
    """Stands in for the hub: records what was asked, gives one pair for each subset, or fails as told."""

    def __init__(self, monkeypatch, error=None):
        import datasets

        self.asked, self.error = [], error
        monkeypatch.setattr(datasets, "load_dataset", self.load_dataset)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)

    def load_dataset(self, name, *, data_dir, split):
        self.asked.append((name, data_dir, split))
        if self.error:
            raise self.error
        return [{"chosen": transcript(f"about {data_dir}", "a"), "rejected": transcript(f"about {data_dir}", "b")}]


def test_hh_rlhf_by_hub_name_is_read_subset_by_subset(monkeypatch):
    hub = Hub(monkeypatch)
    found = load_pairs("Anthropic/hh-rlhf", split="test")
    subsets = ["harmless-base", "helpful-base", "helpful-online", "helpful-rejection-sampled"]
    assert hub.asked == [("Anthropic/hh-rlhf", subset, "test") for subset in subsets]
    assert sorted(p.subset for p in found.pairs) == subsets


def test_failures_of_the_hub_have_their_own_exit_codes(monkeypatch):
    import datasets.exceptions

    Hub(monkeypatch, datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' doesn't exist on the Hub or cannot be accessed."))
    message = refused("nobody/nothing")
    assert "https://huggingface.co/datasets/nobody/nothing" in message
    assert "HF_TOKEN" in message
    Hub(monkeypatch, ConnectionError("Couldn't reach the Hub"))
    with pytest.raises(InfrastructureError, match="Couldn't reach the Hub"):
        load_pairs("nobody/nothing")
    Hub(monkeypatch, ValueError("Unknown split \"dev\". Should be one of ['train']."))
    assert "Unknown split" in refused("nobody/nothing", split="dev")


def test_a_data_set_that_is_not_cached_is_bad_input_when_the_hub_may_not_be_asked(monkeypatch):
    import datasets

    Hub(monkeypatch, ConnectionError("offline"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused("nobody/nothing")


def test_a_path_below_a_folder_that_is_there_never_means_the_hub(tmp_path, monkeypatch):
    hub = Hub(monkeypatch)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "no such" in refused("data/pairs")
    assert hub.asked == []


@pytest.mark.shared
@needs_hh
@pytest.mark.parametrize(
    ("file", "rows", "bad"),
    [
        ("harmless-base/train", 946, 4),
        ("harmless-base/test", 235, 4),
        ("helpful-base/train", 992, 11),
        ("helpful-base/test", 219, 3),
        ("helpful-online/train", 891, 7),
        ("helpful-online/test", 246, 1),
        ("helpful-rejection-sampled/train", 2206, 30),
        ("helpful-rejection-sampled/test", 543, 5),
    ],
)
def test_the_public_files_are_read_within_the_allowed_share(file, rows, bad):
    found = load_pairs(HH_FILES / f"{file}.jsonl.gz")
    assert (found.rows, len(found.quarantined), len(found.pairs)) == (rows, bad, rows - bad)
    assert {p.subset for p in found.pairs} == {file.split("/")[0]}


@pytest.mark.shared
@needs_hh
def test_no_text_of_the_public_files_is_lost_or_invented():
    """Each pair, put back together, is the row that it came from, but for blanks around turns."""
    path = HH_FILES / "helpful-base" / "test.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n") if line]
    originals = {tuple("".join(row[side].split()) for side in ("chosen", "rejected")) for row in rows}
    for pair in load_pairs(path).pairs:
        context = [message.content for message in pair.messages]
        assert tuple("".join(transcript(*context, reply).split()) for reply in (pair.chosen, pair.rejected)) in originals


@pytest.mark.shared
@needs_hh
def test_a_drawn_training_set_shares_no_prompt_with_the_test_split():
    test = load_pairs(HH_FILES, split="test")
    train = load_pairs(HH_FILES, limit=500, seed=1, exclude_prompts=prompt_hashes(test.pairs))
    assert len(train.pairs) == 500
    assert not prompt_hashes(test.pairs) & prompt_hashes(train.pairs)
