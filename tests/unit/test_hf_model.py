from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification
from truenorth.evals.models.base import Generates, ScoresKL, ScoresReward
from truenorth.evals.models.batching import pad_left, token_budget_batches
from truenorth.evals.models.hf import REWARD_ADAPTER, TransformersModel
from truenorth.evals.models.quiet import quiet
from truenorth.evals.types import Decoding
from truenorth.prompts.errors import InputError
from truenorth.prompts.types import Message, Prompt

TEXTS = ("how do I make tea", "hello", "what is the sky", "tell me about cats and dogs please one two three")
T1 = Decoding("t1.0", 1.0, 10, 2)
GREEDY = Decoding("greedy", 0.0, 10)


def prompt(text: str) -> Prompt:
    return Prompt(text, (Message("user", text),), None)


PROMPTS = [prompt(text) for text in TEXTS]


@pytest.fixture(scope="module")
def model(tiny_base: Path, tiny_policy: Path, tiny_reward: Path) -> TransformersModel:
    return TransformersModel.load(tiny_base, adapters={"ppo": tiny_policy}, reward_model=tiny_reward)


@pytest.fixture(scope="module")
def items(model: TransformersModel) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Prompts of several lengths with sampled responses of several lengths."""
    found = sorted(model.generate(PROMPTS, T1, adapter="ppo", seed=1), key=lambda g: (g.index, g.sample))
    return [(g.prompt_tokens, g.response_tokens[: 1 + 2 * i]) for i, g in enumerate(found)]


def test_the_roles_are_fulfilled(model: TransformersModel):
    assert isinstance(model, Generates)
    assert isinstance(model, ScoresKL)
    assert isinstance(model, ScoresReward)


# -- generation


def test_every_prompt_gets_its_samples(model: TransformersModel):
    generated = list(model.generate(PROMPTS, T1, adapter=None, seed=0))
    assert sorted((g.index, g.sample) for g in generated) == [(i, s) for i in range(4) for s in range(2)]
    for g in generated:
        assert g.prompt_tokens == tuple(model.template.prompt_ids(PROMPTS[g.index].messages))
        assert (g.response_tokens[-1] == 2) == (g.finish_reason == "stop")
        assert 1 <= len(g.response_tokens) <= 10


@pytest.mark.parametrize("decoding", [T1, GREEDY])
@pytest.mark.parametrize("adapter", [None, "ppo"])
def test_a_response_never_depends_on_its_batch_mates(model: TransformersModel, decoding: Decoding, adapter: str | None):
    together = {(g.index, g.sample): g.response_tokens for g in model.generate(PROMPTS, decoding, adapter=adapter, seed=3)}
    for index, alone in enumerate(PROMPTS):
        for g in model.generate([alone], decoding, adapter=adapter, seed=3):
            assert g.response_tokens == together[index, g.sample]


def test_a_prompt_that_exceeds_the_context_is_named_before_anything_is_generated(model: TransformersModel):
    with pytest.raises(InputError, match=r"prompt 'long' has \d+ tokens; with 10 new ones it exceeds the context of 256"):
        next(model.generate([*PROMPTS, Prompt("long", (Message("user", "cats " * 2000),), None)], T1, adapter=None, seed=0))


def test_seed_sample_and_adapter_change_a_sampled_response(model: TransformersModel):
    def responses(adapter: str | None, seed: int) -> list[tuple[int, ...]]:
        return [g.response_tokens for g in model.generate(PROMPTS[:1], T1, adapter=adapter, seed=seed)]

    first = responses("ppo", 0)
    assert first == responses("ppo", 0)
    assert first[0] != first[1]
    assert first != responses("ppo", 1)
    assert first != responses(None, 0)


def test_greedy_takes_the_most_likely_token(model: TransformersModel):
    (g,) = model.generate(PROMPTS[:1], GREEDY, adapter="ppo", seed=0)
    with torch.no_grad(), model.base.active("ppo"):
        logits = model.base.causal(torch.tensor([[*g.prompt_tokens, *g.response_tokens]])).logits[0]
    best = logits[len(g.prompt_tokens) - 1 : -1].argmax(-1)
    assert tuple(best.tolist()) == g.response_tokens


def test_generation_stops_at_eos(tmp_path: Path):
    from tiny_models import save_tiny_model

    model = TransformersModel.load(save_tiny_model(tmp_path / "model", tie_word_embeddings=False))
    head = model.base.causal.lm_head.weight.zero_()
    endless = model.sample([[1, 5, 6]], [(0, "a", 0)], temperature=1e-6, max_new_tokens=4, adapter=None)
    hidden = model.base.hidden(torch.tensor([[1, 5, 6]]))[0, -1]
    head[2] = hidden.detach() * 100  # after this prompt nothing but EOS is likely
    stopped = model.sample([[1, 5, 6]], [(0, "a", 0)], temperature=1.0, max_new_tokens=4, adapter=None)
    assert len(endless[0]) == 4
    assert stopped == [(2,)]


def test_the_output_layer_gets_no_slice(model: TransformersModel):
    """In bf16 on a CPU torch copies the layer's weights once for each row of a slice."""
    from transformers.models.mistral.modeling_mistral import MistralForCausalLM

    head = model.base.causal.get_output_embeddings()
    seen: list[bool] = []
    first = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()), prepend=True)
    last = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].is_contiguous()))
    assert isinstance(model.base.causal, MistralForCausalLM)
    model.sample([[1, 5, 6], [1, 7]], [(0, "a", 0), (0, "b", 0)], temperature=1.0, max_new_tokens=1, adapter=None)
    first.remove()
    last.remove()
    assert seen == [False, True]


def test_positions_of_prompts_never_reach_the_output_layer(model: TransformersModel, items: Any):
    rows: list[int] = []
    hook = model.base.causal.get_output_embeddings().register_forward_pre_hook(lambda _, x: rows.append(x[0].numel() // x[0].shape[-1]))
    n = sum(len(response) for _, response in items)
    with model.base.active("ppo"):
        model.score_tokens(items)
    model.sequence_kl(items, adapter="ppo")
    assert rows == [n, n, n]
    rows.clear()
    model.sample([[1, 5, 6, 7], [1, 7]], [(0, "a", 0), (0, "b", 0)], temperature=1.0, max_new_tokens=1, adapter=None)
    assert rows == [2]
    model.token_rewards(items)
    assert rows == [2]
    hook.remove()


# -- log-probabilities (I2, I3)


def test_adapters_off_is_the_base_bit_for_bit(tiny_base: Path, model: TransformersModel, items: Any):
    plain = TransformersModel.load(tiny_base)
    with torch.no_grad():
        assert torch.equal(plain.score_tokens(items).logprobs, model.score_tokens(items).logprobs)


def test_kl_of_the_base_against_itself_is_exactly_zero(model: TransformersModel, items: Any):
    assert all((kl.exact, kl.k1, kl.k3) == (0, 0, 0) for kl in model.sequence_kl(items, adapter=None))


def reference_logits(model: TransformersModel, adapter: str | None, item: Any) -> torch.Tensor:
    """Logits of one row's response positions by the library's own forward pass, (t, v)."""
    prompt_ids, response = item
    with torch.no_grad(), model.base.active(adapter):
        logits = model.base.causal(torch.tensor([[*prompt_ids, *response]])).logits[0]
    return logits[len(prompt_ids) - 1 : len(prompt_ids) + len(response) - 1].double()


def test_logprobs_equal_a_plain_forward_pass_of_each_row_alone(model: TransformersModel, items: Any):
    with torch.no_grad(), model.base.active("ppo"):
        scores = model.score_tokens(items, temperature=0.7, entropy=True)
    logp = [torch.log_softmax(reference_logits(model, "ppo", item) / 0.7, -1) for item in items]
    expected = torch.cat([rows[range(len(rows)), list(item[1])] for rows, item in zip(logp, items, strict=True)])
    assert (scores.logprobs - expected).abs().max() < 1e-5
    assert scores.entropy is not None
    assert (scores.entropy + (torch.cat(logp).exp() * torch.cat(logp)).sum(-1)).abs().max() < 1e-5


def test_logprobs_do_not_depend_on_padding_or_batch_mates(model: TransformersModel, items: Any):
    with torch.no_grad(), model.base.active("ppo"):
        together = model.score_tokens(items).logprobs
        alone = torch.cat([model.score_tokens([item]).logprobs for item in items])
        long_mate = model.score_tokens([items[0], (items[0][0], list(range(5, 65)))]).logprobs
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(long_mate[: len(items[0][1])], together[: len(items[0][1])], rtol=1e-6, atol=1e-6)


def test_left_padding_of_generation_and_right_padding_of_scoring_agree(model: TransformersModel, items: Any):
    rows = [[*p, *r] for p, r in items]
    ids, mask = pad_left(rows, model.base.pad, torch.device("cpu"))
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad(), model.base.active("ppo"):
        left = model.base.causal(ids, attention_mask=mask, position_ids=positions).logits[:, -2]
        right = model.score_tokens(items).hidden
        last = torch.tensor([len(r) for _, r in items]).cumsum(0) - 1
        assert (model.base.logits(right[last]) - left).abs().max() < 1e-5


def test_real_tokens_that_equal_the_padding_id_are_seen(model: TransformersModel):
    """A mask made from `ids != pad` would hide them."""
    with torch.no_grad():
        with_unk = model.score_tokens([((1, 0, 0, 7), (9,))]).logprobs
        without = model.score_tokens([((1, 7), (9,))]).logprobs
    assert (with_unk - without).abs() > 1e-3
    expected = torch.log_softmax(reference_logits(model, None, ((1, 0, 0, 7), (9,))), -1)[0, 9]
    assert abs(float(with_unk - expected)) < 1e-5


# -- KL


def test_sequence_kl_sums_the_whole_vocabulary_over_the_response(model: TransformersModel, items: Any):
    found = model.sequence_kl(items, adapter="ppo")
    for item, kl in zip(items, found, strict=True):
        p, q = (torch.log_softmax(reference_logits(model, adapter, item), -1) for adapter in ("ppo", None))
        assert kl.n_tokens == len(item[1])
        assert kl.exact == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-4)
        rows = range(len(item[1]))
        assert kl.k1 == pytest.approx(float((p - q)[rows, list(item[1])].sum()), abs=1e-4)


def test_most_moved_tokens_are_those_of_the_largest_divergence(model: TransformersModel, items: Any):
    response = items[-1][1]
    (found,) = model.sequence_kl([items[-1]], adapter="ppo")
    p, q = (torch.log_softmax(reference_logits(model, adapter, items[-1]), -1) for adapter in ("ppo", None))
    each = (p.exp() * (p - q)).sum(-1)
    best = each.argsort(descending=True)[:3].tolist()
    assert [text for text, _ in found.moved] == [model.tokenizer.decode([response[i]]) for i in best]
    assert [nats for _, nats in found.moved] == pytest.approx([each[i].item() for i in best], abs=1e-4)
    assert model.sequence_kl([items[-1]], adapter=None)[0].moved == ()


def test_sequence_kl_does_not_depend_on_batching(model: TransformersModel, items: Any, monkeypatch: pytest.MonkeyPatch):
    together = model.sequence_kl(items, adapter="ppo")
    monkeypatch.setattr(model, "batch_tokens", 1)
    monkeypatch.setattr("truenorth.evals.models.hf.LOGIT_ROWS", 3)
    alone = model.sequence_kl(items, adapter="ppo")
    assert [kl.exact for kl in alone] == pytest.approx([kl.exact for kl in together], abs=1e-5)


def test_kl_against_another_adapter_turns_round(model: TransformersModel, items: Any):
    there = model.sequence_kl(items, adapter="ppo", reference=None)
    back = model.sequence_kl(items, adapter=None, reference="ppo")
    assert [a.k1 for a in there] == pytest.approx([-b.k1 for b in back], abs=1e-5)


def test_k1_of_own_samples_averages_to_the_exact_kl(model: TransformersModel):
    samples = [g for s in range(15) for g in model.generate(PROMPTS, Decoding("t1.0", 1.0, 6, 8), adapter="ppo", seed=s)]
    found = model.sequence_kl([(g.prompt_tokens, g.response_tokens) for g in samples], adapter="ppo")
    difference = torch.tensor([kl.k1 - kl.exact for kl in found], dtype=torch.float64)
    assert abs(float(difference.mean() / (difference.std() / len(found) ** 0.5))) < 4


def test_an_empty_response_has_no_kl(model: TransformersModel):
    assert [(kl.exact, kl.n_tokens) for kl in model.sequence_kl([((1, 5), ())], adapter="ppo")] == [(0.0, 0)]
    assert model.sequence_kl([], adapter="ppo") == []


# -- reward (I9)


def test_rewards_equal_plain_peft_on_single_rows(model: TransformersModel, tiny_base: Path, tiny_reward: Path):
    with quiet():
        base = AutoModelForSequenceClassification.from_pretrained(tiny_base, num_labels=1)
        plain = PeftModel.from_pretrained(base, tiny_reward).eval()
    dialogues = [(prompt(text).messages, answer) for text, answer in zip(TEXTS, ("yes", "no no no", "", "the moon is red"), strict=True)]
    rows = [model.template.prompt_ids(m) + model.template.response_ids(answer) for m, answer in dialogues]
    with torch.no_grad():
        expected = [float(plain(torch.tensor([row])).logits) for row in rows]
    assert model.rewards(dialogues) == pytest.approx(expected, abs=1e-5)
    assert len({round(x, 3) for x in expected}) == 4


def test_rewards_do_not_depend_on_batch_mates(model: TransformersModel, items: Any):
    alone = [model.token_rewards([item])[0] for item in items]
    assert model.token_rewards(items) == pytest.approx(alone, rel=1e-5, abs=1e-6)  # kernels of some processors round a little more


def test_a_cut_response_is_scored_at_an_added_eos(model: TransformersModel):
    assert model.token_rewards([((1, 5, 6), (7, 8))]) == model.token_rewards([((1, 5, 6), (7, 8, 2))])


def test_without_a_reward_model_there_is_no_reward(tiny_base: Path):
    with pytest.raises(ValueError, match="no reward model"):
        TransformersModel.load(tiny_base).rewards([((Message("user", "a"),), "b")])


# -- switching (I8)


def test_switching_never_changes_requires_grad_and_restores_the_adapter(model: TransformersModel, items: Any):
    model.base.set_trainable("ppo", True)
    before = {name: p.requires_grad for name, p in model.base.causal.named_parameters()}
    assert {name.split(".")[-2] for name, on in before.items() if on} == {"ppo"}
    with model.base.active("ppo"):
        with torch.no_grad():
            inside = model.score_tokens(items).logprobs
        model.token_rewards(items)
        model.sequence_kl(items, adapter=None, reference=REWARD_ADAPTER)
        list(model.generate(PROMPTS, T1, adapter=None, seed=0))
        with torch.no_grad():
            assert torch.equal(model.score_tokens(items).logprobs, inside)
    assert {name: p.requires_grad for name, p in model.base.causal.named_parameters()} == before
    model.base.set_trainable("ppo", False)


def test_gradients_reach_the_active_adapter_alone(tiny_base: Path, tiny_policy: Path, tiny_reward: Path, items: Any):
    model = TransformersModel.load(tiny_base, adapters={"a": tiny_policy, "b": tiny_policy}, reward_model=tiny_reward)
    model.base.set_trainable("a", True)
    model.base.set_trainable("b", True)
    with model.base.active("a"):
        model.score_tokens(items).logprobs.sum().backward()
    assert all(p.grad is not None for p in model.base.parameters("a").values())
    others = {name: p for name, p in model.base.causal.named_parameters() if ".a." not in name}
    assert all(p.grad is None for p in others.values())


def test_an_unknown_adapter_is_a_key_error_that_lists_the_known(model: TransformersModel):
    with pytest.raises(KeyError, match="ppo"), model.base.active("nope"):
        pass


def test_a_new_adapter_depends_on_its_seed_alone(tiny_base: Path, tiny_policy: Path):
    from peft import LoraConfig

    def matrices(seed: int, noise: int, first: dict[str, Path]) -> list[torch.Tensor]:
        model = TransformersModel.load(tiny_base, adapters=first)
        torch.manual_seed(noise)
        model.base.new_adapter("default", LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]), seed=seed)
        return list(model.base.tensors("default").values())

    first = matrices(1, 10, {})
    assert all(map(torch.equal, first, matrices(1, 11, {"other": tiny_policy})))
    assert not all(map(torch.equal, first, matrices(2, 10, {})))


# -- identity and folders


def test_the_card_tells_adapters_apart_by_content(model: TransformersModel, tiny_policy: Path):
    base, tuned = model.card(None), model.card("ppo")
    assert (base.label, base.adapter_sha256, tuned.label) == ("base", "", "ppo")
    assert len(tuned.adapter_sha256) == len(base.model_sha256) == len(base.tokenizer_sha256) == len(base.template_sha256) == 64
    assert base.model_sha256 == tuned.model_sha256


def test_padding_is_never_eos(model: TransformersModel):
    assert model.base.pad == 0 != model.template.eos


@pytest.fixture
def folder(tiny_base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base, tmp_path / "model"))


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_missing_folder_is_one_message(tmp_path: Path):
    with pytest.raises(InputError, match="no such model folder"):
        TransformersModel.load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model_type": "mistral"'])
def test_a_malformed_config_is_named(folder: Path, content: str):
    (folder / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json"):
        TransformersModel.load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_missing_files_are_refused(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(InputError):
        TransformersModel.load(folder)


def test_unknown_architectures_and_code_are_refused(folder: Path):
    edit_config(folder, model_type="lightglue", auto_map={"AutoModelForCausalLM": "evil.Model"})
    with pytest.raises(InputError, match="model_type 'lightglue' is not supported"):
        TransformersModel.load(folder)


def test_code_beside_a_known_architecture_is_not_run(folder: Path):
    edit_config(folder, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('run')")
    TransformersModel.load(folder)


def test_pickled_weights_are_refused(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only pytorch_model\.bin"):
        TransformersModel.load(folder)


def test_truncated_weights_are_refused(folder: Path):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="can't be loaded"):
        TransformersModel.load(folder)


def test_missing_tensors_are_not_made_up(folder: Path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"incomplete: model\.layers\.1\.mlp\.up_proj\.weight"):
        TransformersModel.load(folder)


def test_weights_of_another_shape_are_refused(folder: Path):
    edit_config(folder, intermediate_size=64)
    with pytest.raises(InputError):
        TransformersModel.load(folder)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path):
    from tiny_models import save_tiny_model

    with pytest.raises(InputError, match=r"the tokenizer has .* tokens, the model 100"):
        TransformersModel.load(save_tiny_model(tmp_path / "small", vocab_size=100))


@pytest.mark.parametrize(("status", "words"), [("gated", "gated.*HF_TOKEN"), ("missing", "no model.*HF_TOKEN"), ("offline", "HF_TOKEN")])
def test_hub_errors_name_the_page_and_the_variable(status: str, words: str, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    response: Any = SimpleNamespace(headers={}, request=None, status_code=403)
    errors = {
        "gated": GatedRepoError("x", response=response),
        "missing": RepositoryNotFoundError("x", response=response),
        "offline": LocalEntryNotFoundError("x"),
    }

    def fail(*_: object, **__: object) -> None:
        raise errors[status]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(InputError, match=rf"(?s)(?=.*https://huggingface\.co/acme/model)(?=.*{words})"):
        TransformersModel.load("acme/model")


# -- batching


def test_batches_stay_within_the_budget_and_hold_every_row_once():
    lengths = [5, 1, 9, 3, 3, 20, 2]
    batches = token_budget_batches(lengths, 18)
    assert sorted(i for batch in batches for i in batch) == list(range(7))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 18 for batch in batches)
    assert batches[0] == [5]
