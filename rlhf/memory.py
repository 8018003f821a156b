"""How much memory a run will need, from a model's config.json and a profile alone. Arithmetic only: nothing is loaded, no torch.

Weights, adapters and optimizer follow exactly from the shapes. What is kept for a backward pass is counted tensor by tensor, for a
decoder block as transformers runs it with peft's LoRA. The peak is that of the largest phase; what one phase frees the next one uses.
`benchmarks/gpu_profile.py` holds plans against real runs. Left out: sharding over devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config import LoraSettings, ModelSettings, PPOSettings, RewardModelSettings

GB = 10**9
NF4_BITS = 4.127
"""Bits per weight of nf4 with double quantisation: 4, and a scale of 8 bits per 64 weights that is itself scaled per 256."""
RUNTIME = {"cuda": GB, "cpu": GB // 2}
"""Context, kernels and libraries, estimated."""
ADAM = 12
"""Bytes per trainable parameter beside its float32 value: gradient and two moments."""
PROMPT_TOKENS = 512
"""Prompt length that plans assume."""
USABLE = 0.95
"""Share of a device that a plan may fill; the allocator loses the rest."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder in the manner of Mistral, Llama or Qwen; parameters without biases."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    tied: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """From the content of config.json.

        Raises:
            KeyError: a size is missing.
        """
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return cls(
            hidden, int(config["num_hidden_layers"]), heads, int(config.get("num_key_value_heads") or heads),
            int(config.get("head_dim") or hidden // heads), int(config["intermediate_size"]), int(config["vocab_size"]),
            bool(config.get("tie_word_embeddings", False)),
        )  # fmt: skip

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of a block's linear layers."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, q), "k_proj": (self.hidden, kv), "v_proj": (self.hidden, kv), "o_proj": (q, self.hidden),
            "gate_proj": (self.hidden, self.intermediate), "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }  # fmt: skip

    @property
    def linear_parameters(self) -> int:
        """In all blocks: what quantisation shrinks."""
        return self.layers * sum(a * b for a, b in self.linears.values())

    @property
    def other_parameters(self) -> int:
        """Embeddings, output layer and norms."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2) + (2 * self.layers + 1) * self.hidden

    def adapted(self, lora: LoraSettings) -> list[tuple[int, int]]:
        """(inputs, outputs) of the layers of a block that have LoRA matrices."""
        names = self.linears if lora.target_modules == "all-linear" else lora.target_modules
        return [self.linears[name] for name in names if name in self.linears]

    def lora_parameters(self, lora: LoraSettings) -> int:
        """Of one adapter."""
        return self.layers * lora.r * sum(map(sum, self.adapted(lora)))

    def kv_bytes(self, width: int) -> int:
        """Cache of one token, `width` bytes a number."""
        return 2 * self.layers * self.kv_heads * self.head_dim * width

    def block_bytes(self, width: int, lora: LoraSettings, *, mask_bytes: int = 0) -> int:
        """What a block keeps of one token for its backward pass. Frozen layers keep nothing, but what stands between and beside them does.

        Attention keeps query, key, value and its output; the MLP keeps gate, its activation, and up; the norms their float32 inputs. LoRA
        keeps its inputs: float32 copies, one for each layer, unless the base is float32 and there is no dropout.

        Args:
            width: bytes of a number of the base.
            lora: the adapter.
            mask_bytes: that dropout keeps for each of its inputs; 0 without dropout.
        """
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        inputs = sum(n for n, _ in self.adapted(lora))
        copies = 4 * inputs if width < 4 or mask_bytes else 4 * (2 * self.hidden + self.intermediate)
        return width * (2 * q + 2 * kv + 3 * self.intermediate) + 8 * self.hidden + copies + mask_bytes * inputs

    def passing_bytes(self, width: int) -> int:
        """What a block's widest place, its MLP, holds of one token only while it is computed: three tensors and a float32 one for LoRA."""
        return self.intermediate * (3 * width + 4)

    @property
    def largest_linear(self) -> int:
        """Weights of a block's largest layer."""
        return max(a * b for a, b in self.linears.values())


KNOWN = {"mistralai/Mistral-7B-Instruct-v0.2": ModelShape(4096, 32, 32, 8, 128, 14336, 32000)}
"""Shapes of bases that the shipped profiles name, for a plan before anything is downloaded."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes that a run needs at its peak."""

    phases: dict[str, dict[str, int]]
    """Parts of each phase: `reward` (training it), `rollout`, `score` (of rollouts), `update`."""

    @property
    def totals(self) -> dict[str, int]:
        """Of each phase."""
        return {name: sum(parts.values()) for name, parts in self.phases.items()}

    @property
    def peak(self) -> str:
        """The largest phase."""
        return max(self.totals, key=lambda name: self.totals[name])

    @property
    def total_bytes(self) -> int:
        """Of the largest phase."""
        return self.totals[self.peak]

    @property
    def parts(self) -> dict[str, int]:
        """Each part where it is largest; phases share memory, so they add up to more than `total_bytes`."""
        names = dict.fromkeys(name for parts in self.phases.values() for name in parts)
        return {name: max(parts.get(name, 0) for parts in self.phases.values()) for name in names}

    def fits(self, memory_bytes: float) -> bool:
        """Whether it stays within the usable share of a device's memory."""
        return self.total_bytes <= USABLE * memory_bytes


def plan_memory(
    shape: ModelShape,
    model: ModelSettings,
    reward: RewardModelSettings,
    ppo: PPOSettings,
    *,
    device: str,
    batch_tokens: int,
    prompt_tokens: int = PROMPT_TOKENS,
) -> MemoryPlan:
    """The plan of one process.

    Args:
        shape: of the base.
        model: precision and quantisation of the base.
        reward: reward-model training.
        ppo: rollouts and updates.
        device: `cuda` or `cpu`.
        batch_tokens: padded tokens that are generated at a time.
        prompt_tokens: length of a prompt.
    """
    width = 2 if model.dtype == "bfloat16" else 4
    fixed = {"base_weights": weight_bytes(shape, model), "runtime": RUNTIME[device], "workspace": _workspace(shape, model, device)}
    policy, scorer = shape.lora_parameters(ppo.lora), shape.lora_parameters(reward.lora) + shape.hidden
    critic = shape.hidden + 1
    if ppo.value_model == "adapter":
        critic += scorer - shape.hidden if ppo.value_init == "reward_model" else policy
    during_ppo = fixed | {"adapters": 4 * (policy + critic + scorer), "optimizer": ADAM * (policy + critic)}
    length = prompt_tokens + ppo.max_new_tokens
    rows = max(1, min(ppo.rollout_batch_size, batch_tokens // length))
    micro = min(ppo.micro_batch_size, ppo.rollout_batch_size // ppo.minibatches)
    scored = min(ppo.rollout_batch_size * length, max(batch_tokens, length))
    no_head = 0 if shape.tied else width * shape.vocabulary * shape.hidden
    training = _Pass(shape, model, reward.lora, 2 * reward.batch_size, reward.max_length, reward.gradient_checkpointing, device)
    updating = _Pass(shape, model, ppo.lora.model_copy(update={"dropout": 0.0}), micro, length, ppo.gradient_checkpointing, device)
    return MemoryPlan({
        "reward": fixed | {"base_weights": fixed["base_weights"] - no_head, "adapters": 4 * scorer, "optimizer": ADAM * scorer}
        | {"activations": training.kept + training.passing},
        "rollout": during_ppo | {"kv_cache": rows * length * shape.kv_bytes(width), "logits": rows * shape.vocabulary * (width + 24)}
        | {"activations": rows * prompt_tokens * shape.passing_bytes(width)},
        "score": during_ppo | {"activations": scored * (shape.passing_bytes(width) + 4 * shape.hidden * width)},
        # The logits are gone before the backward pass reaches a block.
        "update": during_ppo | {"activations": updating.kept + updating.passing}
        | {"logits": max(0, micro * ppo.max_new_tokens * shape.vocabulary * (16 if width == 4 else 2 * width + 16) - updating.passing)},
    })  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Pass:
    """A forward and backward pass: what it keeps from one end to the other, and what it holds for one block at a time."""

    shape: ModelShape
    model: ModelSettings
    lora: LoraSettings
    rows: int
    length: int
    checkpointing: bool
    device: str

    @property
    def kept(self) -> int:
        """With checkpointing the input of every block, else all of every block."""
        each = self.rows * self.length * self.shape.hidden * self._width if self.checkpointing else self._block
        return self.shape.layers * each

    @property
    def passing(self) -> int:
        """With checkpointing this is where a block is computed again."""
        passing = self.rows * self.length * self.shape.passing_bytes(self._width)
        return passing + self._block if self.checkpointing else passing

    @property
    def _width(self) -> int:
        return 2 if self.model.dtype == "bfloat16" else 4

    @property
    def _block(self) -> int:
        mask = (1 if self.device == "cuda" else 4) if self.lora.dropout else 0
        block = self.shape.block_bytes(self._width, self.lora, mask_bytes=mask) * self.rows * self.length
        if self.model.attn_implementation == "eager":  # scores, their softmax in float32, and its copy
            block += self.rows * self.shape.heads * self.length**2 * (2 * self._width + 4)
        return block


def _workspace(shape: ModelShape, model: ModelSettings, device: str) -> int:
    """One layer's weights once more: as bitsandbytes unpacks them, or as a CPU lays bf16 out for its products."""
    width = 2 if model.dtype == "bfloat16" else 4
    return width * shape.largest_linear if model.quantization != "none" or (device == "cpu" and width == 2) else 0


def weight_bytes(shape: ModelShape, model: ModelSettings) -> int:
    """Of the frozen base; embeddings, output layer and norms are never quantised."""
    width = 2 if model.dtype == "bfloat16" else 4
    bits = {"none": 8.0 * width, "int8": 8.0, "nf4": NF4_BITS}[model.quantization]
    return int(shape.linear_parameters * bits / 8) + shape.other_parameters * width


def smaller(
    shape: ModelShape, model: ModelSettings, reward: RewardModelSettings, ppo: PPOSettings, memory_bytes: float,
    *, device: str, batch_tokens: int, prompt_tokens: int = PROMPT_TOKENS,
) -> dict[str, Any] | None:  # fmt: skip
    """The mildest change of settings that makes a plan fit, as `dotted.key -> value`; None when none of these does.

    Tried in this order, each on top of those before: what changes no result, then fewer pairs at a time, then a quantised base.
    """
    changes: dict[str, Any] = {}
    accumulation = reward.batch_size * reward.gradient_accumulation
    for step in (
        {"ppo.gradient_checkpointing": True, "reward_model.gradient_checkpointing": True},
        {"ppo.micro_batch_size": 1},
        {"eval.batch_tokens": min(batch_tokens, 4096)},
        {"reward_model.batch_size": 1, "reward_model.gradient_accumulation": accumulation},
        {"model.quantization": "nf4"},
    ):
        changes |= step
        ours = {
            part: {k.split(".")[1]: v for k, v in changes.items() if k.startswith(part)} for part in ("model.", "reward_model.", "ppo.")
        }
        plan = plan_memory(
            shape, model.model_copy(update=ours["model."]), reward.model_copy(update=ours["reward_model."]),
            ppo.model_copy(update=ours["ppo."]), device=device, batch_tokens=changes.get("eval.batch_tokens", batch_tokens),
            prompt_tokens=prompt_tokens,
        )  # fmt: skip
        if plan.fits(memory_bytes):
            given = {"model": model, "reward_model": reward, "ppo": ppo}
            return {
                key: value for key, value in changes.items()
                if (batch_tokens if key == "eval.batch_tokens" else getattr(given[key.split(".")[0]], key.split(".")[1])) != value
            }  # fmt: skip
    return None
