"""Rollouts by vLLM, against a stand-in: an engine with vLLM's arguments and results that samples with transformers and peft alone."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from peft import PeftModel
from ppo_runs import SETTINGS, make_prompts, read_rows
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from truenorth.evals.models.hf import TransformersModel
from truenorth.prompts.errors import InputError
from truenorth.rlhf.config import LoraSettings
from truenorth.rlhf.ppo import PPOTrainer, RewardScale
from truenorth.rlhf.ppo_metrics import COLUMNS, ENGINE_COLUMNS
from truenorth.rlhf.preflight import run_identity
from truenorth.rlhf.vllm_rollouts import check_vllm, sampling_options, seed_of

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # by peft alone
BY_VLLM = SETTINGS.model_copy(update={"rollout_engine": "vllm", "steps": 2, "temperature": 0.7})


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str


@dataclass
class Completion:
    token_ids: Sequence[int]
    finish_reason: str | None
    logprobs: list[dict[int, Any]] | None
    text: str = ""


@dataclass
class Engine:
    """What the stand-in was given, and how it lies."""

    options: dict[str, Any] = field(default_factory=dict)
    requests: list[LoRARequest] = field(default_factory=list)
    params: list[dict[str, Any]] = field(default_factory=list)
    adapters: list[dict[str, torch.Tensor]] = field(default_factory=list)
    ignores_adapter: bool = False
    error: float = 0.0
    """Added to the first log-probability of each response."""
    tamper: Callable[[Completion], Completion] = lambda completion: completion

    def start(self, **options: Any) -> SimpleNamespace:
        self.options = options
        return SimpleNamespace(generate=self.generate)

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[dict[str, Any]], *, lora_request: LoRARequest, use_tqdm: bool
    ) -> Any:
        self.requests.append(lora_request)
        self.params += params
        self.adapters.append(load_file(Path(lora_request.lora_path) / "adapter_model.safetensors"))
        model = AutoModelForCausalLM.from_pretrained(self.options["model"])
        if not self.ignores_adapter:
            model = PeftModel.from_pretrained(model, lora_request.lora_path)
        answers = [self._complete(model.eval(), prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, params, strict=True)]
        return [SimpleNamespace(outputs=[self.tamper(answer)]) for answer in answers]

    @torch.no_grad()
    def _complete(self, model: Any, prompt: list[int], params: dict[str, Any]) -> Completion:
        generator, tokens, found = torch.Generator().manual_seed(params["seed"]), [], []
        while len(tokens) < params["max_tokens"] and tokens[-1:] != params["stop_token_ids"]:
            logits = model(torch.tensor([prompt + tokens])).logits[0, -1] / params["temperature"]
            token = int(torch.multinomial(logits.softmax(-1), 1, generator=generator))
            found.append({token: SimpleNamespace(logprob=float(logits.log_softmax(-1)[token]) + (0 if tokens else self.error))})
            tokens.append(token)
        return Completion(tokens, "length" if len(tokens) == params["max_tokens"] else "stop", found)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    fake = Engine()
    vllm, lora, request = ModuleType("vllm"), ModuleType("vllm.lora"), ModuleType("vllm.lora.request")
    vllm.LLM, vllm.SamplingParams, request.LoRARequest = fake.start, dict, LoRARequest  # type: ignore[attr-defined]
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    return fake


@pytest.fixture
def make(tiny_base: Path, tiny_reward: Path, tmp_path: Path) -> Callable[..., PPOTrainer]:
    def build(**overrides: Any) -> PPOTrainer:
        model = TransformersModel.load(tiny_base, reward_model=tiny_reward, name="base")
        settings = BY_VLLM.model_copy(update=overrides)
        return PPOTrainer(model, make_prompts(20), settings, out=tmp_path, seed=1, progress=False)

    return build


Make = Callable[..., PPOTrainer]


def gaps(row: Any) -> tuple[float, float]:
    mean, largest = (float(row[name]) for name in ENGINE_COLUMNS)
    return mean, largest


def away_from_the_base(trainer: PPOTrainer) -> PPOTrainer:
    for name, parameter in trainer.learner.policy.items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return trainer


def test_training_samples_each_step_from_the_policy_as_it_is_then(make: Make, engine: Engine, tmp_path: Path):
    trainer = make()
    start = trainer.learner.policy_tensors()
    assert trainer.train().steps == 2
    assert [request.lora_int_id for request in engine.requests] == [1, 2]
    assert len({request.lora_name for request in engine.requests}) == len({request.lora_path for request in engine.requests}) == 2
    assert all(torch.equal(engine.adapters[0][name], tensor) for name, tensor in start.items())
    assert any(not torch.equal(engine.adapters[1][name], tensor) for name, tensor in start.items())
    assert not any(Path(request.lora_path).exists() for request in engine.requests)
    rows = read_rows(tmp_path)
    assert tuple(rows[0]) == (*COLUMNS, *ENGINE_COLUMNS)
    assert [row["optimizer_steps"] for row in rows] == ["4", "4"]
    assert [float(row["val/first_ratio_dev"]) for row in rows] == [0, 0]  # the ratio is against our own log-probabilities
    assert max(gaps(row)[1] for row in rows) < 1e-4


def test_a_finished_run_is_gone_on_with(make: Make, engine: Engine, tmp_path: Path):
    make(steps=1).train()
    before = read_rows(tmp_path)
    assert make(steps=1).train().steps == 1
    assert (read_rows(tmp_path), len(engine.requests)) == (before, 1)


def test_responses_come_in_the_order_of_the_prompts_with_their_own_log_probabilities(make: Make, engine: Engine):
    trainer = away_from_the_base(make())
    rollout = trainer.rollout()
    eos = trainer.model.template.eos
    assert rollout.engine_logprobs is not None
    assert rollout.engine_logprobs.shape == rollout.mask.shape
    assert torch.allclose(rollout.engine_logprobs, rollout.logprobs, atol=1e-4)
    assert (rollout.engine_logprobs[~rollout.mask] == 0).all()
    assert rollout.ended.tolist() == [response[-1] == eos for _, response in rollout.items]


def test_an_engine_that_is_wrong_about_its_log_probabilities_shows(make: Make, engine: Engine):
    engine.error = 0.5
    rollout = make().rollout()
    row = make().step(rollout)
    tokens = int(rollout.mask.sum())
    assert gaps(row) == pytest.approx((0.5 * len(rollout.items) / tokens, 0.5), abs=1e-4)


@pytest.mark.parametrize("ignores_adapter", [False, True])
def test_an_engine_that_samples_from_the_base_shows(make: Make, engine: Engine, ignores_adapter: bool):
    engine.ignores_adapter = ignores_adapter
    trainer = away_from_the_base(make())
    mean, largest = gaps(trainer.step(trainer.rollout()))
    assert (mean > 1e-2, largest > 1e-1) == (ignores_adapter, ignores_adapter)


def test_the_whole_distribution_is_sampled_at_the_temperature_of_the_trainer(make: Make, engine: Engine):
    trainer = make()
    trainer.rollout()
    eos = trainer.model.template.eos
    for params in engine.params:
        assert {k: v for k, v in params.items() if k != "seed"} == {
            "n": 1, "temperature": 0.7, "max_tokens": 6, "min_tokens": 0, "top_k": -1, "top_p": 1.0, "min_p": 0.0,
            "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
            "stop_token_ids": [eos], "ignore_eos": False, "logprobs": 0, "detokenize": False,
        }  # fmt: skip
    assert len({params["seed"] for params in engine.params}) == 8
    assert all(0 <= params["seed"] < 2**63 for params in engine.params)


def test_a_row_s_seed_follows_from_its_key():
    key = (3, "ppo 7 1,22,4", 1)
    digest = hashlib.sha256(b"3\0ppo 7 1,22,4\x001").hexdigest()
    assert seed_of(key) == int(f"{int(digest[:16], 16):064b}"[:63], 2)
    assert sampling_options(BY_VLLM, key, 2)["seed"] == seed_of(key)


def test_the_engine_is_started_on_the_same_base_without_what_leaks(make: Make, engine: Engine, tiny_base: Path):
    trainer = make(lora=LoraSettings(r=12, alpha=8), vllm_memory=0.4)
    longest = max(len(trainer.model.template.prompt_ids(prompt.messages)) for prompt in trainer.prompts)
    assert engine.options == {
        "model": str(tiny_base), "dtype": "float32", "skip_tokenizer_init": True, "trust_remote_code": False, "generation_config": "vllm",
        "logprobs_mode": "processed_logprobs", "enable_lora": True, "max_loras": 1, "max_lora_rank": 16, "max_model_len": longest + 6,
        "gpu_memory_utilization": 0.4, "enable_prefix_caching": False, "seed": 0,
    }  # fmt: skip


def test_a_rank_beyond_the_engine_s_is_refused(make: Make, engine: Engine):
    with pytest.raises(InputError, match="up to rank 512, not 513"):
        make(lora=LoraSettings(r=513, alpha=8))


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda c: Completion((), "abort", []), r"0 tokens with \(\) \(abort\)"),
        (lambda c: Completion(c.token_ids, "abort", c.logprobs), "abort"),
        (lambda c: Completion((5,), "stop", c.logprobs), r"\(5,\) \(stop\)"),
        (lambda c: Completion((2, 5), "length", c.logprobs), "ended a response"),
        (lambda c: Completion(c.token_ids, c.finish_reason, None), "no log-probabilities"),
    ],
)
def test_an_answer_that_was_not_asked_for_stops_training(make: Make, engine: Engine, tamper: Any, message: str):
    engine.tamper = tamper
    with pytest.raises(RuntimeError, match=message):
        make().rollout()


def test_without_vllm_the_extra_is_named(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match="needs vLLM") as error:
        make()
    assert "pip install truenorth[vllm]" in str(error.value)


@pytest.mark.parametrize(
    ("model", "processes", "settings", "what"),
    [
        ({"quantization": "nf4"}, 1, {}, "a base in nf4"),
        ({"quantization": "int8"}, 1, {}, "a base in int8"),
        ({"dtype": "float32", "device": "cuda"}, 1, {}, "a float32 base on a GPU"),
        ({}, 1, {"shard_base": True}, "shard_base"),
        ({}, 2, {}, "2 processes"),
    ],
)
def test_what_the_engine_can_t_sample_for_is_refused(engine: Engine, model: Any, processes: int, settings: Any, what: str):
    given = {"quantization": "none", "dtype": "bfloat16", "device": "cpu"} | model
    stand_in: Any = SimpleNamespace(**given, base=SimpleNamespace(device=torch.device(given["device"])))
    with pytest.raises(InputError, match=what):
        check_vllm(BY_VLLM.model_copy(update=settings), stand_in, processes=processes)


def test_the_engine_is_part_of_what_a_run_is(tiny_base: Path):
    model = TransformersModel.load(tiny_base, name="base")

    def digest(**settings: Any) -> str:
        changed = SETTINGS.model_copy(update=settings)
        return run_identity(model, make_prompts(2), changed, RewardScale(), 1, reward=len, reference=None)["settings"]

    assert digest(rollout_engine="vllm") != digest()
    assert digest(vllm_memory=0.5) == digest()


def test_the_columns_are_documented_and_absent_without_the_engine(make: Make, tmp_path: Path):
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    assert [name for name in ENGINE_COLUMNS if f"`{name}`" not in text] == []
    make(rollout_engine="transformers", steps=1).train()
    assert tuple(read_rows(tmp_path)[0]) == COLUMNS
