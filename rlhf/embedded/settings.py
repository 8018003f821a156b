"""How the embedded world is drawn and its base model trained: the `world` part of a profile."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptMix(_Section):
    """How often each kind of request is drawn, as weights."""

    harmful: Share = Field(default=0.35, description="Weight of requests that should be refused.")
    benign: Share = Field(default=0.3, description="Weight of plain tasks.")
    borderline: Share = Field(default=0.2, description="Weight of requests that look harmful and are not.")
    facts: Share = Field(default=0.15, description="Weight of questions about facts.")

    @model_validator(mode="after")
    def _draws_something(self) -> Self:
        if not (self.harmful or self.benign or self.borderline or self.facts):
            raise ValueError("at least one kind needs a weight above 0")
        return self


class TinyModelSettings(_Section):
    """Shape of the tiny Mistral and of its tokenizer."""

    vocabulary: Annotated[int, Field(ge=300)] = Field(default=3072, description="Asked size of the byte-level BPE; the text may give less.")
    hidden_size: Count = Field(default=128, description="Width.")
    layers: Count = Field(default=3, description="Decoder layers.")
    heads: Count = Field(default=4, description="Attention heads.")
    kv_heads: Count = Field(default=2, description="Key-value heads.")
    intermediate_size: Count = Field(default=352, description="Width of the gated feed-forward part.")
    max_positions: Count = Field(default=256, description="Longest sequence in tokens.")
    initializer_range: Positive = Field(default=0.06, description="Deviation of initial weights; 0.02 learns slower at this width.")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of twice the heads ({self.heads}): each turns pairs of numbers"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        return self


class PretrainSettings(_Section):
    """Pretraining on world knowledge and chats."""

    declaratives_per_topic: Count = Field(default=72, description="Sentences of world knowledge about each topic.")
    declarative_passes: Count = Field(default=1, description="How often each of them is read.")
    chats: Count = Field(default=24000, description="Chats, each read once.")
    refusal_share: Share = Field(default=0.1, description="Harmful requests that are refused in them.")
    batch_tokens: Count = Field(default=2048, description="Padded tokens per step.")
    learning_rate: Positive = Field(default=3e-3, description="Peak; cosine to 0.")
    chats_teach_words: bool = Field(
        default=False, description="Whether input embeddings learn from chats, too; topics seen in chats then differ from others."
    )
    prompt_loss: bool = Field(default=False, description="Whether the words of requests are predicted, too.")


class SFTSettings(_Section):
    """Supervised fine-tuning with LoRA, merged afterwards: the base that is aligned and measured."""

    chats: Count = Field(default=2400, description="Chats, each read once.")
    refusal_share: Share = Field(default=0.2, description="Harmful requests that are refused in them: where the base starts.")
    batch_tokens: Count = Field(default=1024, description="Padded tokens per step.")
    learning_rate: Positive = Field(default=3e-3, description="Peak; cosine to 0.")
    lora_r: Count = Field(default=16, description="Rank.")
    lora_alpha: Count = Field(default=32, description="Scale numerator.")


class EmbeddedSettings(_Section):
    """The embedded world, its base model, and how much data the later stages draw from it."""

    split_seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        default=0, description="Draws topics and wordings into train, validation and test."
    )
    measured_split: Literal["validation", "test"] = Field(
        default="test", description="What `tiny-...` names mean in `eval`; choices of settings are made on validation."
    )
    noise_share: Share = Field(default=0.5, description="Training requests with words dropped and stray words inserted.")
    training_pairs: Count = Field(default=6400, description="Preference pairs for the reward model.")
    pair_mix: PromptMix = Field(
        default=PromptMix(harmful=0.25, benign=0.2, borderline=0.2, facts=0.35),
        description="Kinds of requests in them; wrong facts are the hardest to tell.",
    )
    prompt_mix: PromptMix = Field(default=PromptMix(), description="Kinds of requests in PPO.")
    model: TinyModelSettings = TinyModelSettings()
    pretrain: PretrainSettings = PretrainSettings()
    sft: SFTSettings = SFTSettings()
