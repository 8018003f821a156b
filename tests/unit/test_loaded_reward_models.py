"""Reward models apart from the policy's own: an adapter on the same base, a whole classifier with or without a chat template."""

from pathlib import Path

import pytest
import torch
from tiny_models import peft_alone, save_adapter, tokenizer
from transformers import AutoModelForSequenceClassification, MistralConfig, MistralForSequenceClassification
from truenorth.evals.models.base import RewardModel
from truenorth.evals.models.hf import TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.evals.models.reward import load_reward_model
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message

ITEMS = [
    ((Message("user", "how do I make tea"),), "sure here it comes"),
    ((Message("user", "how do I make tea"),), "no"),
    ((Message("user", "tell me"), Message("assistant", "yes"), Message("user", "more please one two three four")), "cats and dogs"),
]


@pytest.fixture
def model(tiny_base, tiny_reward):
    return TransformersModel.load(tiny_base, reward_model=tiny_reward)


def save_classifier(folder: Path, *, labels=1, template=None, **overrides) -> Path:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = MistralConfig(**shape, vocab_size=len(tokenizer()), pad_token_id=2, num_labels=labels, sliding_window=None, **overrides)
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(5)
        MistralForSequenceClassification(config).save_pretrained(folder)
    own = tokenizer()
    own.save_pretrained(folder)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def test_adapter_on_the_same_base_scores_like_plain_peft_and_leaves_the_first_reward_model_alone(
    model, tiny_base, tiny_reward, tiny_policy, tmp_path
):
    other = save_adapter(tmp_path / "other", tiny_base, "SEQ_CLS", seed=99)
    before = model.rewards(ITEMS)
    found = load_reward_model(other, model)
    assert isinstance(found, RewardModel)
    rows = [[*model.template.prompt_ids(messages), *model.template.response_ids(text)] for messages, text in ITEMS]
    scores, _ = peft_alone(tiny_base, other, tiny_policy, rows)
    assert found.rewards(ITEMS) == pytest.approx([score[0] for score in scores], abs=1e-4)
    assert model.rewards(ITEMS) == before
    assert (found.name, len(found.sha256)) == ("other", 64)


def test_whole_classifier_scores_the_last_token_even_where_padding_is_eos(model, tmp_path):
    folder = save_classifier(tmp_path / "whole")  # its config pads with EOS: pooling by padding id would read the wrong token
    found = load_reward_model(folder, model)
    with quiet():
        plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    expected = []
    for messages, text in ITEMS:
        ids = torch.tensor([[*model.template.prompt_ids(messages), *model.template.response_ids(text)]])
        with torch.no_grad():
            hidden = plain.model(input_ids=ids).last_hidden_state[0, -1]
            expected.append(plain.score(hidden).item())
    assert found.rewards(ITEMS) == pytest.approx(expected, abs=1e-5)
    assert found.rewards(ITEMS[::-1]) == pytest.approx(expected[::-1], abs=1e-5)


def test_a_classifiers_own_chat_template_is_used(model, tmp_path):
    template = "{{ bos_token }}{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}{{ eos_token }}"
    found = load_reward_model(save_classifier(tmp_path / "own", template=template), model)
    messages, text = ITEMS[0]
    _, row = found.rows(messages, text)
    assert tokenizer().decode(row) == "<s>user : how do I make tea assistant : sure here it comes </s>"
    assert len(found.rewards(ITEMS)) == 3


def test_a_classifier_with_several_labels_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="3 labels"):
        load_reward_model(save_classifier(tmp_path / "three", labels=3), model)


def test_a_model_without_a_score_head_is_refused(model, tiny_base):
    with pytest.raises(InputError, match="no score head"):
        load_reward_model(tiny_base, model)


def test_what_is_not_there_is_told(model, tmp_path):
    with pytest.raises(InputError, match="no such model folder"):
        load_reward_model(tmp_path / "none", model)
