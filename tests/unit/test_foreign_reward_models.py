"""Reward models of architectures that nothing else here knows, against plain transformers on one sequence at a time."""

from pathlib import Path

import pytest
import torch
from tiny_models import WORDS, tokenizer
from truenorth.evals.models import own_pooling
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.evals.models.reward import load_reward_model
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message

ITEMS = [
    ((Message("user", "how do I make tea"),), "sure here it comes"),
    ((Message("user", "how do I make tea"),), "no"),
    ((Message("user", "tell me"), Message("assistant", "yes"), Message("user", "more please one two three four")), "cats and dogs"),
    ((Message("user", "how do I make cake"),), "sure here it goes"),
]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
DECODER = {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ENCODER = {"pad_token_id": 0, "max_position_embeddings": 64}
CONFIGS = {
    "deberta-v2": ENCODER | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "bert": ENCODER | {"type_vocab_size": 2},
    "modernbert": {"pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2},
    "gemma2": DECODER | {"sliding_window": 8, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8},
    "phi3": DECODER,
}


@pytest.fixture
def model(tiny_base):
    return TransformersModel.load(tiny_base)


def encoder_tokenizer():
    """Words with [CLS] and [SEP], as BERT has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys((*special, *WORDS.split())))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 1), ("[SEP]", 2)]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends)
    names = dict(zip(("pad_token", "cls_token", "sep_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=made, **names, model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def save(folder: Path, kind: str, *, labels: int = 1, **overrides) -> Path:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    own = tokenizer() if "num_key_value_heads" in CONFIGS[kind] else encoder_tokenizer()
    config = AutoConfig.for_model(
        kind, **{**SHAPE, **CONFIGS[kind], "vocab_size": len(own), "initializer_range": 0.3, "num_labels": labels, **overrides}
    )
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(3)
        made = AutoModelForSequenceClassification.from_config(config)
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
        made.save_pretrained(folder)
    own.save_pretrained(folder)
    return folder


def plain_scores(folder: Path, model: TransformersModel) -> list[float]:
    """One sequence at a time, by the calls that a model's card shows."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with quiet():
        attention = {"attn_implementation": "eager"} if "gemma2" in str(folder) else {}
        classifier = AutoModelForSequenceClassification.from_pretrained(folder, **attention).eval()
        own = AutoTokenizer.from_pretrained(folder)
    scores = []
    for messages, text in ITEMS:
        if own.cls_token_id is None:
            inputs = {"input_ids": torch.tensor([[*model.template.prompt_ids(messages), *model.template.response_ids(text)]])}
        else:
            inputs = own("\n\n".join(message.content for message in messages), text, return_tensors="pt")
        with torch.no_grad():
            scores.append(classifier(**inputs).logits.item())
    return scores


@pytest.mark.parametrize("kind", CONFIGS)
def test_scores_are_those_of_plain_transformers_whatever_they_are_batched_with(model, tmp_path, kind):
    folder = save(tmp_path / kind, kind)
    expected = plain_scores(folder, model)
    assert max(expected) - min(expected) > 0.01
    found = load_reward_model(folder, model)
    assert found.rewards(ITEMS) == pytest.approx(expected, abs=1e-5)
    assert found.rewards([*ITEMS[::-1], *ITEMS]) == pytest.approx([*expected[::-1], *expected], abs=1e-5)
    assert [found.rewards([item])[0] for item in ITEMS] == pytest.approx(expected, abs=1e-5)
    assert load_reward_model(folder, model, batch_tokens=1).rewards(ITEMS) == pytest.approx(expected, abs=1e-5)


def test_the_response_is_the_second_segment(model, tmp_path):
    found = load_reward_model(save(tmp_path / "bert", "bert"), model)
    prompt, response = found.rows(*ITEMS[1])
    assert encoder_tokenizer().decode(prompt) == "[CLS] how do I make tea [SEP]"
    assert encoder_tokenizer().decode(response) == "no [SEP]"
    assert found.score([[*prompt, *response]], [()]) != pytest.approx(found.score([[*prompt, *response]], [prompt]), abs=1e-4)


def test_a_marker_of_the_tokenizer_in_a_text_ends_no_segment(model, tmp_path):
    found = load_reward_model(save(tmp_path / "bert", "bert"), model)
    prompt, response = found.rows((Message("user", "tea [SEP] cake"),), "no [SEP] yes")
    assert [*prompt, *response].count(2) == 2


def test_only_rows_of_equal_length_share_a_pass_and_none_is_lost():
    rows = [[1] * n for n in (3, 5, 3, 3, 5)]
    assert own_pooling._of_equal_length(rows, 6) == [[0, 2], [3], [1], [4]]


def test_a_decoder_without_a_padding_token_scores_rows_one_by_one(model, tmp_path):
    folder = save(tmp_path / "phi3", "phi3", pad_token_id=None)
    expected = plain_scores(folder, model)
    assert load_reward_model(folder, model).rewards([*ITEMS, *ITEMS]) == pytest.approx([*expected, *expected], abs=1e-5)


def test_what_is_longer_than_the_models_positions_is_refused_not_cut(model, tmp_path):
    found = load_reward_model(save(tmp_path / "bert", "bert", max_position_embeddings=12), model)
    with pytest.raises(InputError, match="reads at most 12 tokens; a dialogue with its response has 15"):
        found.rewards(ITEMS)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "made-up"}, "no sequence classifier of transformers"),
        ({"model_type": None}, "no sequence classifier of transformers"),
        ({"model_type": "clip"}, "no sequence classifier of transformers"),
        ({"model_type": "llama", "architectures": ["LlamaForRewardModelWithGating"]}, "expected LlamaForSequenceClassification"),
        ({"model_type": "bert", "architectures": ["BertModel"]}, "expected BertForSequenceClassification"),
    ],
)
def test_other_code_and_other_heads_are_refused(model, tmp_path, config, says):
    import json

    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match=says):
        load_reward_model(tmp_path, model)


def test_pickled_weights_and_several_labels_are_refused(model, tmp_path):
    folder = save(tmp_path / "bert", "bert", labels=2)
    with pytest.raises(InputError, match="2 labels"):
        load_reward_model(folder, model)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only pytorch_model\.bin"):
        load_reward_model(folder, model)


def test_a_head_that_is_not_among_the_weights_is_not_made_up(model, tmp_path):
    from safetensors.torch import load_file, save_file

    for kind, head in (("bert", "classifier.weight"), ("gemma2", "score.weight")):
        weights = save(tmp_path / kind, kind) / "model.safetensors"
        tensors = load_file(weights)
        del tensors[head]
        save_file(tensors, weights, {"format": "pt"})
        with pytest.raises(InputError, match=head):
            load_reward_model(weights.parent, model)
