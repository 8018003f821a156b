"""`truenorth run`: train, evaluate, compare, report, as numbered stages.

    1 base         the embedded base model (tiny only)      -> base_model/
    2 reward       the reward model                         -> final_rm_model_adapters/
    3 ppo          the policy                               -> ppo_policy_model/
    4 eval base    the base, adapters off                   -> eval/base/
    5 eval ppo     the policy, and earlier states of it     -> eval/ppo/, eval/ppo@STEP/
    6 report       the comparison                           -> report/

A finished stage is not run again; a finished run answers with its stored verdict. The base is in memory once: policy and reward model
are adapters on it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evals.judges.server import patience
from ..evals.store import files_of
from ..evals.types import Comparison
from ..prompts.errors import TruenorthError
from .caches import cache_folder
from .config import RunConfig
from .console import say
from .judge_card import keep_card, load_card
from .manifest import build_manifest
from .materials import Materials, prepare
from .progress import StageProgress
from .run_folder import RunFolder
from .scorers import load_scorers
from .verdict import exit_code

if TYPE_CHECKING:
    from ..evals.models.hf import TransformersModel
    from ..rlhf.ppo import PPOResult

BASE, TUNED = "base", "ppo"
"""Labels of the two evaluations."""
REFERENCE = "reference"
"""Name of the frozen adapter that PPO is held to, where there is one."""
BASE_FOLDER, REWARD_FOLDER, POLICY_FOLDER = "base_model", "final_rm_model_adapters", "ppo_policy_model"


class RewardModelTooWeakError(TruenorthError):
    """The reward model failed its quality gate; PPO against it would optimise noise (exit 1)."""

    exit_code = 1


@dataclass
class Pipeline:
    """The stages of one run, each a method that reads files and leaves files."""

    config: RunConfig
    out: Path

    @cached_property
    def materials(self) -> Materials:
        """What to train and measure on; read once, when a stage first needs it."""
        return prepare(self.config, self.out)

    @property
    def base(self) -> Path | str:
        """Folder or hub name of the base model."""
        return self.out / BASE_FOLDER if self.config.world else self.config.model.name

    def build_base(self) -> None:
        """1. Train the embedded base model, or take it from the cache."""
        from ..prompts.embedded.world import build_world
        from ..rlhf.embedded.base import build_base

        assert self.config.world is not None
        world = build_world(self.config.world.split_seed)
        made = build_base(world, self.config.world, self.config.seed, cache_folder())
        shutil.rmtree(self.out / BASE_FOLDER, ignore_errors=True)
        shutil.copytree(made, self.out / BASE_FOLDER)

    def train_reward(self) -> None:
        """2. Train the reward model."""
        from ..prompts.pairs import write_quarantine
        from ..rlhf.processes import is_main
        from ..rlhf.reward_model import RewardModelTrainer

        materials = self.materials
        if materials.quarantined is not None and is_main():
            write_quarantine(self.out / "train" / "quarantine.jsonl", materials.quarantined.quarantined)
        result = RewardModelTrainer(
            self.base, materials.training_pairs, self.config.reward_model, self.config.model, out=self.out, seed=self.config.seed,
            validation=materials.validation_pairs, device=device(),
        ).train()  # fmt: skip
        card = result.card
        say(f"reward model: accuracy {card.accuracy:.3f} [{card.accuracy_low:.3f}, {card.accuracy_high:.3f}] on {card.n_validation} pairs")

    def check_reward_model(self) -> None:
        """Stop before PPO when the reward model's accuracy may be below the profile's minimum.

        Raises:
            RewardModelTooWeakError: it may.
        """
        from ..rlhf.reward_card import read_card

        card, wanted = read_card(self.out / REWARD_FOLDER), self.config.reward_model.min_accuracy
        if card.accuracy_low < wanted:
            raise RewardModelTooWeakError(
                f"the reward model's accuracy is {card.accuracy:.3f} [{card.accuracy_low:.3f}, {card.accuracy_high:.3f}] on "
                f"{card.n_validation} held-out pairs: not surely above {wanted}\n"
                "PPO was not started. Train it on more or better pairs, or lower reward_model.min_accuracy."
            )

    def train_ppo(self) -> PPOResult:
        """3. Train the policy against the reward model, by PPO or RLOO."""
        from ..evals.models.adapters import read_adapter
        from ..rlhf.ppo import PPOTrainer
        from ..rlhf.reward_card import check_canaries, read_card
        from ..rlhf.rewards import RewardScale
        from ..rlhf.rloo import RLOOTrainer

        self.check_reward_model()
        card, settings = read_card(self.out / REWARD_FOLDER), self.config.ppo
        model = self.load_model(policy=False, on="cpu" if settings.shard_base else device())  # a base to be split may fit no device
        check_canaries(model, card, self.out / REWARD_FOLDER)
        if settings.reference_adapter is not None:
            model.add_adapter(REFERENCE, read_adapter(Path(settings.reference_adapter), "CAUSAL_LM"))
        trainer = RLOOTrainer if settings.algorithm == "rloo" else PPOTrainer
        return trainer(
            model, self.materials.ppo_prompts, settings, out=self.out, seed=self.config.seed,
            reward_scale=RewardScale(card.mean, card.std), validate=self._validation(),
            reference=REFERENCE if settings.reference_adapter is not None else None,
        ).train()  # fmt: skip

    def evaluate(self, label: str) -> None:
        """4 and 5. Measure one model on every suite, pair set and task; an earlier state of the policy on the suites alone."""
        from ..evals.judges import get_judge
        from ..evals.runner import evaluate

        materials, is_checkpoint = self.materials, "@" in label
        if is_checkpoint and label not in self.checkpoints:
            say(f"{label}: training stopped before this step")
            return
        with StageProgress(label) as progress:
            evaluate(
                self.evaluated_model, label=label, adapter=None if label == BASE else adapter_name(label), out=self.out,
                config=self.config.eval, suites=materials.suites, reference=get_judge("grammar") if self.config.world else None,
                baseline=None if label == BASE else self.out / "eval" / BASE, progress=progress,
                pairs=() if is_checkpoint else materials.pairs, capability=() if is_checkpoint else materials.capability, **self.scorers,
            )  # fmt: skip

    @property
    def checkpoints(self) -> dict[str, Path]:
        """Earlier states of the policy that are measured, by label; those that training reached."""
        folders = {label: policy_folder(self.out, label) for label in checkpoint_labels(self.config)}
        return {label: folder for label, folder in folders.items() if folder.exists()}

    @property
    def policies(self) -> dict[str, Path]:
        """Adapter name to folder: the policy and its earlier states."""
        return {TUNED: self.out / POLICY_FOLDER} | {adapter_name(label): folder for label, folder in self.checkpoints.items()}

    @cached_property
    def scorers(self) -> dict[str, Any]:
        """Who else scores, loaded once."""
        return load_scorers(self.config, self.evaluated_model)

    def report(self) -> Comparison:
        """6. Compare and write the report."""
        from ..reports.build import build_report

        return build_report(self.out, redact=self.config.report.redact)

    @cached_property
    def evaluated_model(self) -> TransformersModel:
        """Base, policy and reward model, loaded once for both evaluations."""
        return self.load_model(policy=True)

    def load_model(self, *, policy: bool, on: str | None = None) -> TransformersModel:
        """The base with the reward model on it, and the policy where asked for; on `device()` unless another is given."""
        from ..evals.models.hf import TransformersModel

        settings = self.config.model
        return TransformersModel.load(
            self.base, name=settings.name, dtype=settings.dtype, quantization=settings.quantization,
            attn_implementation=settings.attn_implementation, device=on or device(), batch_tokens=self.config.eval.batch_tokens,
            adapters=self.policies if policy else {}, reward_model=self.out / REWARD_FOLDER,
        )  # fmt: skip

    def _validation(self) -> Callable[[TransformersModel, int], float] | None:
        suites = self.materials.validation_suites
        if not suites or self.config.ppo.select != "best_validation":
            return None
        from ..rlhf.embedded.validation import Validation

        return Validation(suites, max_new_tokens=self.config.ppo.max_new_tokens, seed=self.config.seed)


def run_pipeline(config: RunConfig, out: Path, *, command: str = "run") -> tuple[Comparison, int]:
    """Run or go on with a run; see the module's docstring.

    Returns:
        The comparison and the exit code: 0 all gates passed, 1 one failed or, where the profile says so, is inconclusive, 3 PPO was
        stopped by a brake.

    Raises:
        InputError: bad configuration or input, or a folder that holds another run.
        RewardModelTooWeakError: the reward model failed its quality gate.
    """
    with patience(**config.server.model_dump()):
        return _run_pipeline(config, out, command)


def _run_pipeline(config: RunConfig, out: Path, command: str) -> tuple[Comparison, int]:
    card = load_card(config.eval)
    prepare_torch(config)
    pipeline = Pipeline(config, out)
    with RunFolder.open(out, fresh_manifest(config, command)) as run:
        if run.finished and all(run.is_done(stage) for stage in run.manifest["stages"]):
            say(f"Nothing left to do: {out} is finished.")
            return pipeline.report(), run.manifest["exit_code"]
        for stage, outputs, work in stages(pipeline):
            run.do(stage, outputs, work, say)
        if not run.manifest["hashes"]:
            run.manifest["hashes"] = pipeline.materials.hashes()
            run.save()
        keep_card(run, card)
        comparison = pipeline.report()
        code = exit_code(comparison, config.eval.inconclusive) or _stopped_early(out, config.ppo.steps)
        run.finish(comparison.verdict, code)
    return comparison, code


def stages(pipeline: Pipeline) -> list[tuple[str, tuple[str, ...], Callable[[], Any]]]:
    """(name, outputs that are hashed, work) of every stage before the report."""
    base: list[tuple[str, tuple[str, ...], Callable[[], Any]]] = []
    if pipeline.config.world:
        base = [("base", (BASE_FOLDER,), pipeline.build_base)]
    return [
        *base,
        ("reward", (REWARD_FOLDER, "train/reward.csv"), pipeline.train_reward),
        ("ppo", (POLICY_FOLDER, "train/ppo.csv"), pipeline.train_ppo),
        ("eval base", files_of(BASE), lambda: pipeline.evaluate(BASE)),
        ("eval ppo", files_of(TUNED), lambda: pipeline.evaluate(TUNED)),
        *((f"eval {at}", files_of(at), partial(pipeline.evaluate, at)) for at in checkpoint_labels(pipeline.config)),
    ]


def checkpoint_labels(config: RunConfig) -> tuple[str, ...]:
    """`ppo@STEP` of at most `eval.checkpoints` published states, evenly spread over those before the last step."""
    every, n = config.ppo.publish_every, config.eval.checkpoints
    steps = list(range(every, config.ppo.steps, every)) if every and n else []
    picked = dict.fromkeys(steps[round((i + 1) * len(steps) / n) - 1] for i in range(min(n, len(steps)))) if len(steps) > n else steps
    return tuple(f"{TUNED}@{step}" for step in picked)


def policy_folder(out: Path, label: str) -> Path:
    """Where PPO published the state that a label names."""
    return out / "ppo_checkpoints" / "policies" / f"step-{int(label.rpartition('@')[2]):06d}"


def adapter_name(label: str) -> str:
    """The label as an adapter's name, which knows no @."""
    return label.replace("@", "-")


def fresh_manifest(config: RunConfig, command: str) -> dict[str, Any]:
    """The manifest that a new run starts with."""
    return build_manifest(
        command, config, profile=config.profile, baseline=BASE, candidates=[TUNED], seeds={"seed": config.seed, "eval": config.eval.seed},
        dtype=config.model.dtype, threads=config.model.threads,
    )  # fmt: skip


def _stopped_early(out: Path, wanted: int) -> int:
    """3 when PPO did fewer steps than were asked for: an incomplete run is no pass."""
    from ..rlhf.logs import shortfall

    reason = shortfall(out / "train" / "ppo.csv", wanted)
    if reason:
        say(f"PPO {reason}")
    return 3 if reason else 0


def prepare_torch(config: RunConfig) -> None:
    """Fix what results depend on: threads, and determinism of the operations."""
    import torch

    if config.model.threads is not None:
        torch.set_num_threads(config.model.threads)


def device() -> str:
    """This process's CUDA device where there is one, else `cpu`; the embedded profile's bytes are promised on a CPU."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
