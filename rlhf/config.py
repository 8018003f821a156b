"""How to train: the parts of a profile that the trainers read. Frozen and validated once; defaults are the recipe's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Tracker = Literal["clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb"]
Trackers = Annotated[tuple[Tracker, ...], BeforeValidator(lambda value: _names(value))]


def _names(value: object) -> object:
    """`none`, one name or a list of them, as transformers takes them."""
    if isinstance(value, str):
        return () if value == "none" else (value,)
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraSettings(_Section):
    """Shape of a LoRA adapter."""

    r: Count = Field(default=16, description="Rank.")
    alpha: Count = Field(default=32, description="Scale numerator.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.05, description="Stored in the adapter; PPO runs with 0.")
    target_modules: tuple[str, ...] | Literal["all-linear"] = Field(default="all-linear", description="Which layers.")


class ModelSettings(_Section):
    """The base model."""

    name: str = Field(default="mistralai/Mistral-7B-Instruct-v0.2", description="Hub name, folder, or `tiny`.")
    dtype: Literal["float32", "bfloat16"] = Field(default="bfloat16", description="Of the frozen base; trainables are float32.")
    quantization: Literal["none", "nf4", "int8"] = Field(default="none", description="bitsandbytes format of the base.")
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] = Field(default="sdpa", description="Attention kernel.")
    threads: Count | None = Field(default=None, description="CPU threads; None leaves torch's choice. Part of the result on CPU.")


class RewardModelSettings(_Section):
    """Reward-model training: loss -log sigmoid(chosen - rejected)."""

    learning_rate: Positive = Field(default=1e-5, description="Peak; linear decay to 0.")
    batch_size: Count = Field(default=4, description="Pairs per micro-batch.")
    gradient_accumulation: Count = Field(default=4, description="Micro-batches per optimizer step.")
    epochs: Count = Field(default=1, description="Passes over the pairs.")
    max_length: Count = Field(default=1024, description="Longer pairs are counted and left out.")
    center_coefficient: NonNegative = Field(default=0.0, description="Weight of (r_chosen + r_rejected)^2: keeps scores near 0.")
    gradient_checkpointing: bool = Field(default=True, description="Trade compute for memory.")
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="Held out by prompt, for the card and the quality gate."
    )
    save_every: Count = Field(default=50, description="Optimizer steps between checkpoints to resume from.")
    report_to: Trackers = Field(default=(), description="Trackers that get the numbers of train/reward.csv, or none.")
    min_accuracy: Fraction = Field(default=0.55, description="PPO doesn't start below this validation accuracy (lower 95 % bound).")
    lora: LoraSettings = LoraSettings()


class GuardSettings(_Section):
    """When to warn and when to stop; what each does is in docs/training.md. None, 0 or 1 switch a limit off."""

    target_kl: Positive | None = Field(default=None, description="Approximate KL at 1.5 times of which a rollout's passes end.")
    max_ratio: Positive = Field(default=10.0, description="Mean ratio of a minibatch above which its optimizer step is left out.")
    soft_kl: Positive | None = Field(default=None, description="Nats per sequence above which a warning is given.")
    negative_kl: Literal["off", "warn", "stop"] = Field(default="warn", description="KL estimate 3 standard errors below 0.")
    min_eos_rate: Fraction = Field(default=0.0, description="Share of responses that must end by themselves.")
    min_length: NonNegative = Field(default=0.0, description="Mean tokens a response must have.")
    max_repetition: Fraction = Field(default=1.0, description="Mean share of 3-grams that came before in their response.")
    min_explained_var: float = Field(default=-1.0, description="Of the value function; below it a warning is given.")
    patience: Count = Field(default=3, description="Steps in a row after which an alarm stops training (explained variance: is shown).")


class PPOSettings(_Section):
    """PPO against the reward model, with a KL penalty to the reference (the base with adapters off, or with one of its own)."""

    algorithm: Literal["ppo", "rloo"] = Field(default="ppo", description="PPO with a value function, or RLOO without one.")
    generations: Annotated[int, Field(ge=2)] = Field(default=2, description="Responses per prompt with algorithm rloo.")
    learning_rate: Positive = Field(default=1e-6, description="Of the policy adapter; linear decay to 0.")
    value_learning_rate: Positive = Field(default=1e-5, description="Of the value head.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="Steps over which the learning rates rise.")
    steps: Count = Field(default=300, description="Rollout batches; one is the unit of train/ppo.csv.")
    rollout_batch_size: Count = Field(default=64, description="Prompts per step.")
    micro_batch_size: Count = Field(default=4, description="Sequences per forward and backward pass; doesn't change the result.")
    ppo_epochs: Count = Field(default=1, description="Passes over a rollout batch.")
    minibatches: Count = Field(default=1, description="Optimizer steps per pass; must divide rollout_batch_size.")
    kl_coef: NonNegative = Field(default=0.05, description="beta of the KL penalty.")
    kl_placement: Literal["reward", "loss"] = Field(default="reward", description="k1 in the reward, or k2 in the loss.")
    kl_target: Positive | None = Field(default=None, description="Nats per sequence that an adaptive kl_coef holds; None keeps it fixed.")
    kl_horizon: Count = Field(default=10000, description="Responses over which an adaptive kl_coef may change by a fifth.")
    clip_range: Positive = Field(default=0.2, description="Ratio clipping.")
    dual_clip: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Bound of the loss of a token with A < 0, in units of -A; 3 is usual."
    )
    old_logprobs: Literal["recompute", "first_pass"] = Field(
        default="recompute", description="From the rollout's own pass, or (one optimizer step per rollout) from the update's."
    )
    value_clip_range: Positive = Field(default=0.2, description="Value clipping.")
    value_coef: NonNegative = Field(default=0.1, description="Weight of the value loss.")
    value_detached: bool = Field(default=False, description="Value head reads the trunk without sending gradients into it.")
    value_model: Literal["head", "adapter"] = Field(default="head", description="Head on the policy's trunk, or an adapter of its own.")
    value_init: Literal["reward_model", "zero"] = Field(default="reward_model", description="Where an own adapter and its head start.")
    critic_warmup_steps: Annotated[int, Field(ge=0)] = Field(default=0, description="First steps in which only the value function learns.")
    gamma: Fraction = Field(default=1.0, description="Discount.")
    lam: Fraction = Field(default=0.95, description="GAE lambda.")
    temperature: Positive = Field(default=1.0, description="Of rollouts, and of every log-probability.")
    max_new_tokens: Count = Field(default=256, description="Response length limit.")
    missing_eos_penalty: NonNegative = Field(default=1.0, description="Subtracted from the score of a response that was cut.")
    reward_clip: Positive = Field(default=10.0, description="Scores are clipped to +- this after the shift and scale.")
    normalize_reward: bool = Field(default=False, description="Divide scores by their deviation on the validation pairs.")
    max_grad_norm: Positive = Field(default=1.0, description="Per parameter group.")
    gradient_checkpointing: bool = Field(default=True, description="Trade compute for memory.")
    stop_kl: Positive = Field(default=50.0, description="Nats per sequence at which training stops and keeps what it has.")
    kl_budget: Positive | None = Field(default=None, description="Nats per sequence beyond which a state is not selected as best.")
    save_every: Count = Field(default=50, description="Steps between checkpoints.")
    publish_every: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Steps between policies kept as adapters, for curves over training; 0 none."
    )
    select: Literal["last", "best_validation"] = Field(default="last", description="Which checkpoint becomes the policy.")
    validate_every: Annotated[int, Field(ge=0)] = Field(default=0, description="Steps between looks at the validation split; 0 never.")
    reference_adapter: str | None = Field(
        default=None, description="Folder of a policy adapter (SFT): the frozen reference, and what the policy starts from. None: the base."
    )
    shard_base: bool = Field(default=False, description="Split the base over the processes (FSDP2), for one that fits no device.")
    rollout_engine: Literal["transformers", "vllm"] = Field(
        default="transformers", description="What samples responses: the model in training, or vLLM (an extra; not the same to the bit)."
    )
    vllm_memory: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.3, description="Share of the device's memory that vLLM takes, its own copy of the base included."
    )
    report_to: Trackers = Field(default=(), description="Trackers that get the numbers of train/ppo.csv, or none.")
    guards: GuardSettings = GuardSettings()
    lora: LoraSettings = LoraSettings()


NOT_IN_THE_NUMBERS = {"report_to", "shard_base", "vllm_memory"}
"""Settings that don't determine what is computed: a run may go on with others."""


class DataSettings(_Section):
    """Preference pairs to train on."""

    name: str = Field(default="Anthropic/hh-rlhf", description="Hub name, file, folder, or `tiny`.")
    split: str = Field(default="train", description="Split of a hub data set.")
    pairs: Count | None = Field(default=20000, description="Seeded sample of N pairs; None takes all.")
    max_bad_rows: Fraction = Field(default=0.02, description="Stop when a larger share is quarantined.")
