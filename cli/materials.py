"""What a run trains on and is measured on: the embedded world's draws, or preference data and suites by name or path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..evals.safe_text import for_terminal
from ..prompts.errors import InputError, NothingToEvaluateError
from ..prompts.files import atomic_write, sha256_bytes, to_json, write_jsonl
from ..prompts.template import TEMPLATE
from ..prompts.types import PairSet, PreferencePair, Prompt, PromptSuite
from ..rlhf.embedded.settings import PromptMix
from .config import RunConfig
from .console import say

if TYPE_CHECKING:
    from ..prompts.embedded.lexicon import Kind
    from ..prompts.embedded.topics import HeldOut
    from ..prompts.embedded.world import World

EMBEDDED_TASK = "tiny-facts"
CAPABILITY = "capability"
"""Folder of a run that holds the embedded world's lm-eval task."""


@dataclass(frozen=True, slots=True)
class Materials:
    """Everything that the stages of a run read, apart from models."""

    training_pairs: tuple[PreferencePair, ...]
    validation_pairs: tuple[PreferencePair, ...] | None
    """None: the reward model's trainer holds out a part of the training pairs, by prompt."""
    ppo_prompts: tuple[Prompt, ...]
    validation_suites: tuple[PromptSuite, ...]
    """What choices are made on; empty where there are none."""
    suites: tuple[PromptSuite, ...]
    pairs: tuple[PairSet, ...]
    capability: tuple[str, ...]
    """lm-eval task names or YAML paths."""
    quarantined: PairSet | None = None
    """The training set with its rows that could not be used."""

    def hashes(self) -> dict[str, str]:
        """sha256 of the training pairs, the template, and every suite and pair set, by name."""
        from ..prompts.pairs import pairs_sha256

        measured = {suite.name: suite.sha256 for suite in self.suites} | {pairs.name: pairs.sha256 for pairs in self.pairs}
        return {"training_pairs": pairs_sha256(self.training_pairs), "template": sha256_bytes(TEMPLATE.encode()), **measured}


def prepare(config: RunConfig, out: Path) -> Materials:
    """Read or draw everything a run needs.

    Raises:
        InputError: a suite, pair file or task can't be read.
        NothingToEvaluateError: nothing is left to train or measure on.
    """
    return _embedded(config, out) if config.world is not None else _from_data(config)


def load_measured(config: RunConfig) -> tuple[tuple[PromptSuite, ...], tuple[PairSet, ...]]:
    """The suites and pair sets that `config.eval` names, for the embedded world's split or none; says which rows of pairs were put aside.

    Raises:
        InputError: one can't be read, or two have one name.
    """
    from ..prompts.loader import load_suite
    from ..prompts.pairs import load_pairs, reasons_text

    split_seed, split = measured_world(config)
    suites = tuple(load_suite(name, split_seed=split_seed, split=split) for name in config.eval.suites)
    pairs = tuple(load_pairs(name, split=split, limit=config.eval.limit, split_seed=split_seed) for name in config.eval.pairs)
    _check_names(config, suites, pairs)
    for group in pairs:
        if group.quarantined:
            left = f"{len(group.quarantined)} of {group.rows} rows can't be used and are not measured"
            say(f"warning: {for_terminal(group.name, 100)}: {left}: {for_terminal(reasons_text(group.quarantined), 500)}")
    return suites, pairs


def _check_names(config: RunConfig, suites: Sequence[PromptSuite], pairs: Sequence[PairSet]) -> None:
    """Refuse a pair set with the name of a suite or of another set: results and gates tell them apart by it."""
    given: dict[str, str] = {suite.name: name for suite, name in zip(suites, config.eval.suites, strict=True)}
    for group, name in zip(pairs, config.eval.pairs, strict=True):
        if group.name in given:
            raise InputError(
                f"{given[group.name]} and {name} both go by the name {group.name!r}", field="eval.pairs",
                advice="Name each once, and rename one file; the files of one folder can be given together: the folder.",
            )  # fmt: skip
        given[group.name] = name


def measured_world(config: RunConfig) -> tuple[int, HeldOut]:
    """Which redraw of the embedded world, and which of its splits, `tiny-...` names mean."""
    return (config.world.split_seed, config.world.measured_split) if config.world else (0, "test")


def _embedded(config: RunConfig, out: Path) -> Materials:
    from ..prompts.embedded.world import build_world

    assert config.world is not None
    settings, world = config.world, build_world(config.world.split_seed)
    prompt_mix, pair_mix = (_weights(mix) for mix in (settings.prompt_mix, settings.pair_mix))
    rollouts = config.ppo.steps * config.ppo.rollout_batch_size
    suites, pairs = load_measured(config)
    return Materials(
        training_pairs=world.training_pairs(settings.training_pairs, seed=config.seed, noise_share=settings.noise_share, mix=pair_mix),
        validation_pairs=world.pairs("validation"),
        ppo_prompts=world.prompts(rollouts, seed=config.seed, noise_share=settings.noise_share, mix=prompt_mix),
        validation_suites=tuple(world.suites("validation").values()),
        suites=suites,
        pairs=pairs,
        capability=capability_tasks(config, out),
    )


def _weights(mix: PromptMix) -> dict[Kind, float]:
    return {"harmful": mix.harmful, "benign": mix.benign, "borderline": mix.borderline, "facts": mix.facts}


def capability_tasks(config: RunConfig, out: Path) -> tuple[str, ...]:
    """The lm-eval tasks that `config.eval` names; the embedded world's own is written to OUT/capability first."""
    from ..prompts.embedded.world import build_world

    split_seed, split = measured_world(config)
    return tuple(
        str(write_capability_task(build_world(split_seed), split, out / CAPABILITY)) if name == EMBEDDED_TASK else name
        for name in config.eval.capability
    )


def _from_data(config: RunConfig) -> Materials:
    from ..prompts.pairs import load_pairs, prompt_hashes

    suites, held_out = load_measured(config)
    measured = prompt_hashes(
        [*(pair for group in held_out for pair in group.pairs), *(prompt for suite in suites for prompt in suite.prompts)]
    )
    data = config.data
    training = load_pairs(
        data.name, split=data.split, limit=data.pairs, seed=config.seed, exclude_prompts=measured, max_bad_rows=data.max_bad_rows
    )
    if not training.pairs:
        raise NothingToEvaluateError(f"{data.name}: no pair is left to train on")
    prompts = tuple(Prompt(pair.id, pair.messages, None, pair.subset, pair.cluster) for pair in training.pairs)
    return Materials(training.pairs, None, prompts, (), suites, held_out, config.eval.capability, training)


def write_capability_task(world: World, split: HeldOut, folder: Path) -> Path:
    """The embedded world's multiple-choice task for lm-eval: its documents and the YAML that reads them.

    Returns:
        The path of `tiny-facts.yaml`.
    """
    rows = [{"question": d.question, "choices": list(d.choices), "gold": d.gold, "id": d.id} for d in world.capability_documents(split)]
    write_jsonl(folder / "tiny-facts.jsonl", rows)
    task = {
        "task": "tiny-facts",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "tiny-facts.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1},
    }
    path = folder / "tiny-facts.yaml"
    atomic_write(path, to_json(task, indent=1) + "\n")  # JSON is YAML
    return path
