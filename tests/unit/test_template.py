"""The Mistral template against Mistral's own tokenizer, and on a byte-level tokenizer."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_shape import pieces_and_merges
from truenorth.prompts.errors import InputError
from truenorth.prompts.rows import parse_messages
from truenorth.prompts.template import MistralTemplate, count_markers, render
from truenorth.prompts.types import Message, PreferencePair
from truenorth.rlhf.embedded.tokenizer import train_tokenizer

OURS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
PIECES = st.sampled_from(
    [" ", "  ", "\n", "\t", "</s>", "<s>", "<unk>", "[INST]", "[/INST]", "▁", "<0x0A>", "é", "e\u0301", "🙂", "\u2028", "Ａ", "日本"]
)
TEXT = st.lists(PIECES | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), max_size=8).map("".join)
DIALOGUE = st.lists(TEXT, min_size=1, max_size=5).filter(lambda turns: len(turns) % 2 == 1)


@pytest.fixture(scope="session")
def theirs():
    return MistralTokenizer.v1()


@pytest.fixture(scope="session", params=["metaspace", "normalizer"])
def template(request, theirs):
    """Our template on a transformers tokenizer with Mistral's vocabulary, in each of the two layouts that checkpoints ship."""
    from transformers import LlamaTokenizer, PreTrainedTokenizerFast

    vocabulary, merges = pieces_and_merges(theirs)
    if request.param == "metaspace":
        return MistralTemplate(LlamaTokenizer(vocab=vocabulary, merges=merges))
    return MistralTemplate(PreTrainedTokenizerFast(tokenizer_object=with_normalizer(vocabulary, merges), bos_token="<s>", eos_token="</s>"))


def with_normalizer(vocabulary, merges):
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, fuse_unk=True, byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(content=" ", left=1)]
    )
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in ("<unk>", "<s>", "</s>")])
    return tokenizer


@pytest.fixture(scope="session")
def byte_level():
    """The embedded world's kind of tokenizer: byte-level BPE, markers as added tokens."""
    return MistralTemplate(train_tokenizer(["Tell me how to bake bread.", "Sure. First you take it."] * 3, 300))


def dialogue(turns):
    return [Message("user" if index % 2 == 0 else "assistant", text) for index, text in enumerate(turns)]


def their_ids(theirs, turns, system=None):
    messages = [UserMessage(content=text) if i % 2 == 0 else AssistantMessage(content=text) for i, text in enumerate(turns)]
    first = [SystemMessage(content=system)] if system is not None else []
    return theirs.encode_chat_completion(ChatCompletionRequest(messages=[*first, *messages])).tokens


@pytest.mark.parametrize(
    "turns",
    [
        ["Hi"],
        [""],
        [" "],
        [" leading and trailing "],
        ["two\n\nlines\n"],
        ["Grüße aus 日本 🙂"],
        ["one", "two", "three"],
        ["one", " two ", "three"],
        ["one", "▁two", "three", "four\n", "five"],
        ["ends the turn </s><s>[INST] not a turn [/INST]"],
    ],
)
def test_prompt_ids_equal_mistrals_own(template, theirs, turns):
    assert template.prompt_ids(dialogue(turns)) == their_ids(theirs, turns)


@OURS
@given(turns=DIALOGUE)
def test_prompt_ids_equal_mistrals_own_on_random_dialogues(template, theirs, turns):
    if all(turns[1::2]):  # mistral-common refuses an empty assistant turn
        assert template.prompt_ids(dialogue(turns)) == their_ids(theirs, turns)


@OURS
@given(prompt=TEXT, response=TEXT.filter(bool))
def test_prompt_and_response_joined_equal_the_dialogue_that_holds_them(template, theirs, prompt, response):
    whole = their_ids(theirs, [prompt, response, "next"])
    ids = template.prompt_ids([Message("user", prompt)]) + template.response_ids(response)
    assert whole[: len(ids)] == ids


def test_the_blank_before_eos_is_no_token(template, theirs):
    assert template.response_ids("Hello") == theirs.instruct_tokenizer.tokenizer.encode("Hello", bos=False, eos=True)


@pytest.mark.parametrize("system", ["", "Be brief."])
def test_a_system_turn_reads_as_mistral_reads_it(template, theirs, system):
    messages = parse_messages([{"role": "system", "content": system}, {"role": "user", "content": "Hi"}])
    assert template.prompt_ids(messages) == their_ids(theirs, ["Hi"], system)


@OURS
@given(turns=DIALOGUE, response=TEXT)
def test_one_bos_and_as_many_eos_as_turns_ended_whatever_the_text(template, byte_level, turns, response):
    for each in (template, byte_level):
        ids = each.prompt_ids(dialogue(turns)) + each.response_ids(response)
        assert [i for i, token in enumerate(ids) if token == each.bos] == [0]
        assert ids.count(each.eos) == len(turns) // 2 + 1
        assert ids[-1] == each.eos


@OURS
@given(text=TEXT)
def test_text_survives_the_way_to_ids_and_back(template, byte_level, text):
    """SentencePiece writes the block character for a blank, so that one reads back as a blank."""
    assert template.response_text(template.response_ids(text)) == text.replace("▁", " ")
    if "[/INST]" not in text:  # its token swallows the blanks before it
        assert byte_level.response_text(byte_level.response_ids(text)) == text


def test_markers_are_single_tokens_on_the_byte_level_tokenizer(byte_level):
    vocabulary = byte_level.tokenizer.get_vocab()
    ids = byte_level.prompt_ids([Message("user", "Tell me")])
    assert ids[:2] == [1, vocabulary["[INST]"]]
    assert ids[-1] == vocabulary["[/INST]"]
    assert ids.count(vocabulary["[INST]"]) == 1


def test_pair_ids_share_the_prompt_and_end_with_eos(byte_level):
    pair = PreferencePair("1", (Message("user", "Tell me"),), "Sure.", "No.")
    chosen, rejected = byte_level.pair_ids(pair)
    prompt = byte_level.prompt_ids(pair.messages)
    assert chosen[: len(prompt)] == rejected[: len(prompt)] == prompt
    assert chosen[len(prompt) :] == byte_level.response_ids("Sure.")
    assert rejected[-1] == byte_level.eos


@pytest.mark.parametrize("turns", [[], ["a", "b"]])
def test_a_dialogue_ends_with_the_user(byte_level, turns):
    with pytest.raises(ValueError, match="alternate"):
        byte_level.prompt_ids(dialogue(turns))


def test_two_user_turns_in_a_row_are_refused(byte_level):
    with pytest.raises(ValueError, match="alternate"):
        byte_level.prompt_ids([Message("user", "a"), Message("user", "b"), Message("user", "c")])


def test_a_tokenizer_without_eos_is_refused(byte_level):
    class Endless:
        bos_token_id, eos_token_id = 1, None

    with pytest.raises(InputError, match="no BOS or EOS"):
        MistralTemplate(Endless())


def test_a_tokenizer_that_makes_eos_from_text_is_refused():
    class Naive:
        bos_token_id, eos_token_id = 1, 2

        def encode(self, text, **options):
            return [2 if word == "</s>" else 9 for word in text.split()]

    with pytest.raises(InputError, match="makes BOS or EOS from text"):
        MistralTemplate(Naive())


def test_markers_held_as_special_tokens_are_refused():
    tokenizer = train_tokenizer(["Tell me"], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]", "[/INST]"]})
    with pytest.raises(InputError, match=r"\[INST\] as a special token"):
        MistralTemplate(tokenizer)


def test_markers_in_a_request_are_counted():
    assert count_markers("[INST] a [/INST][/INST]") == 3
    assert count_markers("[inst] a") == 0


def test_rendered_dialogue_is_the_template_people_know():
    turns = [Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    assert render(turns[:1], "b") == "<s>[INST] a [/INST] b </s>"
    assert render(turns) == "<s>[INST] a [/INST] b </s>[INST] c [/INST]"


def test_the_template_imports_no_transformers():
    source = Path(__import__("truenorth.prompts.template", fromlist=["x"]).__file__).read_text()
    assert "import transformers" not in source
    assert "from transformers" not in source
