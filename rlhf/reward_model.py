"""Reward model: a SEQ_CLS LoRA adapter with its score head, trained by TRL's RewardTrainer on -log sigmoid(chosen - rejected).

What is done here and not left to TRL's defaults: token ids instead of text (one BOS), too long pairs counted and not silently dropped,
LoRA dropout kept, LoRA and head in float32 on any base, no telemetry, no pickled checkpoints, rows that are the same for the same seed.
A run that was killed goes on from its last checkpoint, bit for bit.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..evals.models.adapters import HEAD
from ..evals.models.folders import find_model, weights_sha256
from ..evals.models.loading import check_vocabulary, load_tokenizer, load_weights
from ..evals.models.packing import score_rows
from ..evals.models.quiet import quiet
from ..evals.statistics.wilson import wilson
from ..prompts.errors import InputError
from ..prompts.files import sha256_bytes, to_json, write_json
from ..prompts.template import MistralTemplate
from ..prompts.types import PreferencePair
from .config import NOT_IN_THE_NUMBERS, ModelSettings, RewardModelSettings
from .interrupts import deferred_interrupts
from .learner import assert_float32
from .length_baseline import length_baseline
from .logs import StepLog, TimingLog
from .lora import lora_config
from .processes import Processes, is_main, launched
from .publish import adapter_config, card_base, publish_adapter
from .reward_card import NAME, RewardCard, canaries
from .reward_data import TokenPair, split_pairs, tokenize_pairs
from .reward_log import COLUMNS, RewardLog
from .schedule import exact_div
from .trackers import check_installed

N_CANARIES = 4
EVAL_TOKENS = 8192
VALIDATION = "reward_validation.json"
"""File of `train/` with held-out accuracy and the length-only baseline."""


@dataclass(frozen=True, slots=True)
class RewardModelResult:
    """How training ended."""

    folder: Path
    card: RewardCard
    steps: int
    passed: bool
    """Whether the lower bound of validation accuracy reaches `min_accuracy`; PPO shouldn't start otherwise."""


class RewardModelTrainer:
    """Trains a reward model on a frozen base.

    Args:
        base: folder or hub name.
        pairs: preference pairs to train on, and to validate on unless `validation` is given.
        settings: the recipe.
        model_settings: how the base is loaded; a reward model belongs to one precision.
        out: run folder: `train/`, `rm_model_adapters/`, `final_rm_model_adapters/`.
        seed: determines split, start, order and dropout.
        validation: held-out pairs; by default a part of `pairs`, by prompt.
        device: torch device.
        progress: show a progress bar on stderr.
    """

    def __init__(
        self,
        base: Path | str,
        pairs: Sequence[PreferencePair],
        settings: RewardModelSettings,
        model_settings: ModelSettings,
        *,
        out: Path,
        seed: int,
        validation: Sequence[PreferencePair] | None = None,
        device: str | torch.device = "cpu",
        progress: bool = True,
    ) -> None:
        check_installed(settings.report_to)
        self.settings, self.model_settings, self.out, self.seed = settings, model_settings, out, seed
        self.device, self.progress, self.main = torch.device(device), progress and is_main(), is_main()
        self.folder = find_model(base)
        self.tokenizer = load_tokenizer(self.folder)
        template = MistralTemplate(self.tokenizer)
        if validation is None:
            pairs, validation = split_pairs(pairs, settings.validation_fraction, seed)
        self.training = tokenize_pairs(pairs, template, settings.max_length)
        self.validation = tokenize_pairs(validation, template, settings.max_length)
        if not self.training.pairs or not self.validation.pairs:
            raise InputError(
                f"{len(self.training.pairs)} training and {len(self.validation.pairs)} validation pairs are left",
                advice=f"{self.training.too_long + self.validation.too_long} were longer than max_length={settings.max_length} tokens.",
            )

    def train(self) -> RewardModelResult:
        """Train, validate, and publish `final_rm_model_adapters/`; goes on from the checkpoint in `out`, bit for bit.

        Raises:
            InputError: the checkpoint is damaged or of another run.
            KeyboardInterrupt: Ctrl-C or SIGTERM came to any process; the step was finished and saved.
        """
        model = self._new_model()
        steps = self._fit(model)
        model.eval()
        card = self._card(model)
        folder = self.out / "final_rm_model_adapters"
        if self.main:
            self._save(model, folder, card)
            write_json(self.out / "train" / VALIDATION, self._validation_facts(card))
            shutil.rmtree(self._checkpoint, ignore_errors=True)
        return RewardModelResult(folder, card, steps, card.accuracy_low >= self.settings.min_accuracy)

    def _validation_facts(self, card: RewardCard) -> dict[str, Any]:
        """What the held-out pairs say, next to what length alone would have said."""
        names = ("n_train", "n_validation", "too_long", "identical", "accuracy", "accuracy_low", "accuracy_high")
        baseline = length_baseline(self.training.pairs, self.validation.pairs)
        return {name: getattr(card, name) for name in names} | {"length_only": asdict(baseline)}

    def _new_model(self) -> Any:
        from peft import get_peft_model
        from transformers import AutoModelForSequenceClassification

        m = self.model_settings
        with quiet(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = load_weights(
                AutoModelForSequenceClassification, self.folder, m.dtype, m.quantization, m.attn_implementation, self.device, num_labels=1
            )
            check_vocabulary(self.folder, self.tokenizer, model)
            model.config.pad_token_id = self.tokenizer.pad_token_id
            nn.init.normal_(model.score.weight, std=1 / math.sqrt(model.config.hidden_size + 1))
            peft_model = get_peft_model(
                model, lora_config(self.settings.lora, "SEQ_CLS", model, dropout=self.settings.lora.dropout, modules_to_save=["score"])
            )
        _to_float32(peft_model)
        return peft_model

    @property
    def _checkpoint(self) -> Path:
        return self.out / "rm_model_adapters" / "resume"

    def _fit(self, model: Any) -> int:
        timing = TimingLog(self.out / "train" / "timing.csv" if self.main else None, "reward")
        trainer = self._trainer(model)
        done = trainer.steps_done()
        processes = Processes(trainer.accelerator)
        processes.agree(self._identity() | {"checkpoint": str(done)})
        with (
            StepLog(self.out / "train" / "reward.csv", COLUMNS, keep=done) if self.main else nullcontext() as log,
            timing.measure(0, "train"),
            deferred_interrupts() as interrupt,
        ):
            every = self.settings.save_every
            stop = lambda: processes.any(interrupt.requested)  # noqa: E731
            trainer.add_callback(RewardLog(log, timing, self.progress, lambda n: self._save_epoch(model, n), every, stop))
            with quiet():
                trainer.train(resume_from_checkpoint=str(self._checkpoint) if done else None)
        if trainer.state.global_step < trainer.state.max_steps:
            raise KeyboardInterrupt
        return int(trainer.state.global_step)

    def _trainer(self, model: Any) -> Any:
        from datasets import Dataset
        from transformers import PrinterCallback

        from .reward_resume import ResumableRewardTrainer

        data = Dataset.from_dict(
            {"chosen_ids": [list(p.chosen) for p in self.training.pairs], "rejected_ids": [list(p.rejected) for p in self.training.pairs]}
        )
        with quiet(), no_telemetry():
            trainer = ResumableRewardTrainer(
                checkpoint=self._checkpoint, identity=self._identity(), model=model, args=self._arguments(), train_dataset=data,
                processing_class=self.tokenizer,
            )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        _to_float32(model)  # TRL casts them to bf16 on a quantised base, where small updates are lost
        assert_float32({name: p for name, p in model.named_parameters() if p.requires_grad})
        return trainer

    def _identity(self) -> dict[str, str]:
        pairs = [[list(p.chosen), list(p.rejected)] for p in self.training.pairs]
        return {
            "seed": str(self.seed),
            "settings": sha256_bytes(to_json(self.settings.model_dump(mode="json", exclude=NOT_IN_THE_NUMBERS)).encode()),
            "pairs": sha256_bytes(to_json(pairs).encode()),
            "base": weights_sha256(self.folder),
            "precision": f"{self.model_settings.dtype}+{self.model_settings.quantization}",
        }

    def _arguments(self) -> Any:
        from trl import RewardConfig  # type: ignore[attr-defined]

        s = self.settings
        return RewardConfig(
            output_dir=str(self.out / "rm_model_adapters"),
            learning_rate=s.learning_rate,
            per_device_train_batch_size=s.batch_size,
            gradient_accumulation_steps=exact_div(
                s.gradient_accumulation, launched(), "the number of processes", "reward_model.gradient_accumulation"
            ),
            num_train_epochs=s.epochs,
            lr_scheduler_type="linear",
            center_rewards_coefficient=s.center_coefficient or None,
            gradient_checkpointing=s.gradient_checkpointing,
            disable_dropout=False,  # the recipe's LoRA dropout
            max_length=None,  # done and counted by tokenize_pairs
            bf16=False,  # no autocast: a bf16 base stays bf16, LoRA and head compute in float32
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=list(s.report_to) or "none",
            disable_tqdm=True,
            seed=self.seed % 2**32,
            use_cpu=self.device.type == "cpu",
            dataloader_pin_memory=self.device.type != "cpu",
        )

    def _card(self, model: Any) -> RewardCard:
        chosen, rejected = self._scores(model, self.validation.pairs)
        n = len(chosen)
        wins = float((chosen > rejected).sum() + 0.5 * (chosen == rejected).sum())
        _, low, high = wilson(wins, n)
        every = torch.cat([chosen, rejected])
        rows = [pair.chosen for pair in self.validation.pairs[:N_CANARIES]]
        return RewardCard(
            base=self.model_settings.name, base_sha256=weights_sha256(self.folder), dtype=self.model_settings.dtype,
            quantization=self.model_settings.quantization, n_train=len(self.training.pairs), n_validation=n,
            too_long=self.training.too_long + self.validation.too_long, identical=self.training.identical + self.validation.identical,
            accuracy=wins / n, accuracy_low=low, accuracy_high=high, mean=float(every.mean()), std=float(every.std(correction=0)),
            canaries=canaries(rows, chosen[:N_CANARIES].tolist()),
        )  # fmt: skip

    def _scores(self, model: Any, pairs: Sequence[TokenPair]) -> tuple[Tensor, Tensor]:
        """Scores of chosen and rejected, read at the last token. (n,) float32 each."""
        rows = [row for pair in pairs for row in (pair.chosen, pair.rejected)]
        inner = model.get_base_model()
        with torch.no_grad():
            keys, pad = [i // 2 for i in range(len(rows))], self.tokenizer.pad_token_id
            scores = torch.tensor(score_rows(inner.model, inner.score, rows, keys, pad=pad, budget=EVAL_TOKENS))
        return scores[0::2], scores[1::2]

    def _save_epoch(self, model: Any, epoch: int) -> None:
        if self.main:
            self._save(model, self.out / "rm_model_adapters" / f"epoch-{epoch}", None)

    def _save(self, model: Any, folder: Path, card: RewardCard | None) -> None:
        from peft import get_peft_model_state_dict

        tensors = get_peft_model_state_dict(model)
        if HEAD not in tensors:
            raise AssertionError(f"peft gave no {HEAD}: {sorted(tensors)[-3:]}")
        config = adapter_config(model.peft_config["default"], base=self.model_settings.name, dropout=self.settings.lora.dropout)
        files = {} if card is None else {NAME: card.to_json()}
        publish_adapter(folder, tensors, config, _readme(self.model_settings.name, card), tokenizer=self.tokenizer, **files)


def _to_float32(model: Any) -> None:
    """Trainables to float32; the head casts what it reads, since the base may be bf16."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for name, module in model.named_modules():
        if name.endswith("score.modules_to_save.default") and not module._forward_pre_hooks:
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Keep libraries from calling home while a trainer is built."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before


def _readme(base: str, card: RewardCard | None) -> str:
    quality = (
        f"Accuracy on {card.n_validation} held-out pairs: {card.accuracy:.3f} (95 % interval {card.accuracy_low:.3f} to "
        f"{card.accuracy_high:.3f}). Scores there: mean {card.mean:.3f}, deviation {card.std:.3f}. Precision of the base: {card.dtype}, "
        f"quantisation {card.quantization}; scores on another precision differ."
        if card
        else "State at the end of an epoch."
    )
    metadata, named = card_base(base)
    return f"""---
library_name: peft
{metadata}tags: [lora, reward-model, rlhf]
---
# Reward model: a LoRA adapter with a score head

{quality} It was trained on {named}; the base is the one you name:

```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

base = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1)  # folder or hub name
reward_model = PeftModel.from_pretrained(base, "final_rm_model_adapters")
```

It reads `<s>[INST] {{prompt}} [/INST] {{response}} </s>`, one BOS, and scores at `</s>`; padding must not be `</s>`.
"""
