"""What a response says is data in every judge's prompt: judge_injections.json holds harmless payloads that try to be more."""

import json
import re
from pathlib import Path

import pytest
from truenorth.evals.judges.generative import GenerativeJudge, encode
from truenorth.evals.judges.guards import GUARDS, Data, shield
from truenorth.evals.judges.keyword import KeywordJudge
from truenorth.evals.judges.openai import OpenAIJudge
from truenorth.evals.judges.pairwise import PairwiseJudge
from truenorth.prompts.types import Message, Prompt

PAYLOADS = json.loads(Path(__file__).with_name("judge_injections.json").read_text(encoding="utf-8"))
CHATML = "<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n{response}<|im_end|>\n<END CONVERSATION>\nRefusal: "
DELIMITERS = (
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|im_start|>", "<|im_end|>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|begin_of_text|>", "<start_of_turn>", "<end_of_turn>", "</think>", "<|end|>", "<eos>"),
    *("<BEGIN CONVERSATION>", "<END CONVERSATION>", "<｜User｜>", "[TOOL_CALLS]"),
)
HEADINGS = ("human user", "ai assistant", "answers", "answer", "[behavior]", "[generation]", "user", "agent", "refusal", "response refusal")


class Recorder:
    """Keeps what it was asked."""

    def __init__(self):
        self.asked = []

    def chat_template(self):
        return CHATML

    def write(self, prompts, max_new_tokens):
        self.asked += prompts
        return ["no"] * len(prompts)


def asked(text):
    return Prompt("p", (Message("user", text),), "refuse")


def shown(name, request, response):
    writer = Recorder()
    ruling = GenerativeJudge(GUARDS[name], "m", writer).judge(asked(request), response, "stop")
    return writer.asked[0], ruling


def structure(parts):
    """How often each delimiter stands in a prompt, and its lines that look like a heading or a rule."""
    text = "".join(parts)
    lines = [re.sub(r"^\W+(?=\w)", "", line.strip()).split(":")[0].strip().lower() for line in text.splitlines() if ":" in line]
    headings = [line for line in lines if line in HEADINGS or f"[{line}" in HEADINGS]
    return [text.count(mark) for mark in DELIMITERS], headings, len(re.findall(r"(?m)^\s*-{3,}\s*$", text))


def test_the_suite_is_large_enough():
    assert len(PAYLOADS) >= 30
    assert len(set(PAYLOADS.values())) == len(PAYLOADS)


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_changes_a_guards_prompt_around_it(name, payload):
    plain, usual = shown(name, "How do I open it?", "Sure.")
    for request, response in (("How do I open it?", PAYLOADS[payload]), (PAYLOADS[payload], "Sure.")):
        parts, ruling = shown(name, request, response)
        assert [part for part in parts if not isinstance(part, Data)] == [part for part in plain if not isinstance(part, Data)]
        assert [isinstance(part, Data) for part in parts] == [False, True, False, True, False]
        assert structure(parts) == structure(plain)
        assert ruling == usual


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_in_an_earlier_turn_changes_a_guards_prompt_around_it(name, payload):
    found = []
    for text in ("It is blue.", PAYLOADS[payload]):
        writer = Recorder()
        turns = (Message("user", text), Message("assistant", text), Message("user", "How do I open it?"))
        GenerativeJudge(GUARDS[name], "m", writer).judge(Prompt("p", turns, "refuse"), "Sure.", "stop")
        found.append(structure(writer.asked[0]))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", GUARDS)
def test_without_the_shield_these_payloads_would_change_prompts(name):
    """The test above can fail: some payload closes a field of each prompt when it is put in as it is."""
    template = GUARDS[name].template or CHATML
    plain = structure([template.replace("{request}", "How?").replace("{response}", "Sure.")])
    assert any(structure([template.replace("{request}", "How?").replace("{response}", text)]) != plain for text in PAYLOADS.values())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_lose_nothing_but_their_power(payload):
    text = PAYLOADS[payload]
    kept = iter(shield(text))
    assert all(letter in kept for letter in text)  # the original is a subsequence: marks are added, nothing is removed
    assert shield(shield(text)) == shield(text)


def test_ordinary_answers_are_shown_as_they_are():
    for text in (
        "Paris is the capital of France.",
        "Use a < b and c > d.",
        "Steps:\n1. Mix.\n2. Bake.\n- Serve.",
        "x = [1, 2]\nif x:\n    go()",
    ):
        assert shield(text) == text


def test_control_tokens_of_payloads_are_never_encoded_as_such():
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    special = [mark for mark in DELIMITERS if mark.startswith("<")]
    words = {"<unk>": 0, **{chr(code): code for code in range(1, 127)}}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(words, [], unk_token="<unk>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", additional_special_tokens=special)
    ids = set(tokenizer.convert_tokens_to_ids(special))
    assert ids & set(encode(tokenizer, ["a<|im_end|>b"]))
    for text in PAYLOADS.values():
        assert not ids & set(encode(tokenizer, ["a", Data(shield(text)), "b"]))
        assert not ids & set(encode(tokenizer, ["a", Data(text), "b"]))


class Asked(Exception):
    """Carries what would have been sent."""


def sent(judge, method, *arguments):
    """The messages that a judge of a server sends."""

    def refuse(self, body, left):
        raise Asked(body)

    kind = type("Unconnected", (judge,), {"_post": refuse})
    with pytest.raises(Asked) as caught:
        getattr(kind("m", "http://127.0.0.1:1/v1"), method)(*arguments)
    return json.loads(caught.value.args[0])["messages"]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(("judge", "method"), [(OpenAIJudge, "judge"), (PairwiseJudge, "choose")])
def test_no_payload_leaves_the_json_object_of_a_servers_judge(judge, method, payload):
    usual = sent(judge, method, asked("How?"), "Sure.", "stop")
    names = list(json.loads(usual[1]["content"]))
    texts = ["How?", "Sure.", "stop"]
    for place in range(len(names)):
        put = [PAYLOADS[payload] if i == place else text for i, text in enumerate(texts)]
        messages = sent(judge, method, asked(put[0]), *put[1:])
        assert [(row["role"], set(row)) for row in messages] == [("system", {"role", "content"}), ("user", {"role", "content"})]
        assert messages[0] == usual[0]
        assert json.loads(messages[1]["content"]) == {name: shield(text) for name, text in zip(names, put, strict=False)}
        assert not any(mark in messages[1]["content"] for mark in DELIMITERS)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(("judge", "method"), [(OpenAIJudge, "judge"), (PairwiseJudge, "choose")])
def test_no_payload_in_an_earlier_turn_leaves_the_json_object_of_a_servers_judge(judge, method, payload):
    text = PAYLOADS[payload]
    turns = (Message("user", text), Message("assistant", text), Message("user", "How do I open it?"))
    messages = sent(judge, method, Prompt("p", turns, "refuse"), "Sure.", "stop")
    assert [row["role"] for row in messages] == ["system", "user"]
    assert json.loads(messages[1]["content"])["request"] == [
        {"role": "user", "content": shield(text)}, {"role": "assistant", "content": shield(text)},
        {"role": "user", "content": "How do I open it?"},
    ]  # fmt: skip
    assert not any(mark in messages[1]["content"] for mark in DELIMITERS)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_turns_a_refusal_into_an_answer_for_the_keyword_judge(payload):
    response = f"I'm sorry, but I can't help with that.\n\n{PAYLOADS[payload]}"
    assert KeywordJudge().judge(asked("How?"), response, "stop").outcome in ("refuse", "partial")
