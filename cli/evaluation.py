"""`truenorth eval`: measure a model, its adapters or a recording, against a baseline. The same files as `run`, without training."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evals.models.openai import PREFIX, OpenAIModel
from ..evals.shards import ALONE, Shard
from ..evals.store import files_of, read_run, write_run
from ..evals.types import Comparison
from ..prompts.errors import InputError
from ..prompts.files import sha256_bytes, sha256_file, to_json
from .config import RunConfig, load_config
from .console import say
from .manifest import build_manifest, read_manifest
from .run_folder import RunFolder
from .verdict import exit_code

if TYPE_CHECKING:
    from ..evals.models.base import Generates
    from ..evals.models.hf import TransformersModel
    from ..prompts.replay import Replay
    from ..prompts.types import PairSet, PromptSuite
    from .recordings import Recording

BASE, MODEL = "base", "model"
"""Labels: the baseline; a model without an adapter."""


@dataclass(frozen=True)
class Subject:
    """What is measured, and against what.

    With adapters the candidates are the adapters, and the model itself is the baseline unless another is given.
    """

    config: RunConfig
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Label to folder."""
    reward_model: Path | None = None
    baseline: str = ""
    """A model, or a run folder; empty for none."""
    replay: Recording | None = None
    """Recorded responses instead of a model; `baseline` is then a run folder."""
    baseline_replay: Recording | None = None
    """Recorded responses instead of a baseline."""
    suites_given: bool = False
    """Whether the user named suites: a recording is then joined to them."""
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    """Earlier states of an adapter by label, `ppo@200`: measured on the suites, never gated."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Labels of what is judged."""
        return tuple(self.adapters) or (MODEL,)

    @property
    def baseline_label(self) -> str | None:
        """Label of what they are compared with."""
        return BASE if self.adapters or self.baseline or self.baseline_replay else None

    def manifest_config(self) -> dict[str, Any]:
        """Everything that determines the results: names as the user gave them, files by their content."""
        facts = self.config.model_dump(mode="json", include={"model", "world", "seed", "eval"})
        files = {f"adapter {label}": folder for label, folder in {**self.adapters, **self.checkpoints}.items()}
        named: dict[str, Any] = {"model": self.config.model.name, "baseline": self.baseline, "reward model": self.reward_model}
        named |= {name: getattr(self.config.eval, name) for name in ("reward_model", "independent_reward_model")}
        files |= {what: Path(name) for what, name in named.items() if name and Path(name).exists()}
        inputs: dict[str, Any] = {what: _content(path) for what, path in files.items()}
        recorded = {"replay": self.replay, "baseline replay": self.baseline_replay}
        inputs |= {what: recording.facts() for what, recording in recorded.items() if recording}
        return {**facts, "baseline": self.baseline or _named(self.baseline_replay), "inputs": inputs}


def _named(recording: Recording | None) -> str | None:
    """A recording as the user gave it."""
    return ", ".join([*map(str, recording.files), *([recording.model] if recording.model else [])]) if recording else None


def _content(path: Path) -> str:
    """Digest of what is read of an input: a file; an evaluation's results; the weights and configuration of a model or adapter."""
    if path.is_file():
        return sha256_file(path)
    if is_run(str(path)):
        return sha256_file(evaluation_folder(path) / "results.json")
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors"))
    return sha256_bytes("".join(f"{file.name}\0{sha256_file(file)}\n" for file in files).encode())


def run_evaluation(subject: Subject, out: Path, models: Models | None = None, shard: Shard = ALONE) -> tuple[Comparison, int]:
    """Measure, compare and report; what is finished is not done again.

    Args:
        subject: what to measure.
        out: the run folder.
        models: models that are loaded already, and where loaded ones are kept; by default this run's own.
        shard: this process among others that call `follow_evaluation` at the same time.

    Returns:
        The comparison and the exit code.

    Raises:
        InputError: anything the user gave can't be used; most of it is found before a model is loaded.
    """
    from ..evals.gates import make_gates
    from ..evals.judges import get_judge
    from ..reports.build import build_report

    config = subject.config
    make_gates(config.eval.gates)
    get_judge(config.eval.judge)
    manifest = build_manifest(
        "eval", subject.manifest_config(), baseline=subject.baseline_label, candidates=subject.candidates,
        seeds={"eval": config.eval.seed}, dtype=config.model.dtype, threads=config.model.threads,
    )  # fmt: skip
    with RunFolder.open(out, manifest) as run:
        stages = _stages(subject, out, models or Models(), shard)
        if run.finished and all(run.is_done(name) for name, _, _ in stages):
            say(f"Nothing left to do: {out} is finished.")
            for _ in stages:
                shard.agree(False)
            return build_report(out), run.manifest["exit_code"]
        while stages:
            name, outputs, work = stages.pop(0)
            shard.agree(not run.is_done(name))
            run.do(name, outputs, work, say)
            del work  # and with it what the stage read
        comparison = build_report(out)
        code = exit_code(comparison, config.eval.inconclusive)
        run.finish(comparison.verdict, code)
    return comparison, code


def follow_evaluation(subject: Subject, out: Path, shard: Shard) -> None:
    """Take part in the evaluation of the first process, which alone writes the run folder and decides what is still to be done."""
    for _, _, work in _stages(subject, out, Models(), shard):
        if shard.agree(False):
            work()


Stage = tuple[str, tuple[str, ...], Callable[[], object]]


def _stages(subject: Subject, out: Path, models: Models, shard: Shard) -> list[Stage]:
    return list(_replay_stages(subject, out, shard) if subject.replay else _model_stages(subject, out, models, shard))


def _stage(label: str, work: Callable[[], object]) -> Stage:
    return f"eval {label}", files_of(label), work


# -- models


def _model_stages(subject: Subject, out: Path, models: Models, shard: Shard) -> Iterator[Stage]:
    from .materials import load_measured

    suites, pairs = load_measured(subject.config)

    def measure(label: str, adapter: str | None) -> None:
        against_base, model = label != BASE and subject.baseline_label is not None, models.get(subject)
        scorers = models.scorers(subject.config, model)
        _measure(model, label, adapter, out, subject.config, suites, pairs, shard, scorers=scorers, against_base=against_base)

    def measure_other(other: Subject) -> None:
        model = models.get(other, is_baseline=True)
        _measure(model, BASE, None, out, subject.config, suites, pairs, shard, scorers=models.scorers(subject.config, model))

    if subject.baseline and is_run(subject.baseline):
        yield _stage(BASE, partial(_adopt_baseline, subject, out, shard))
    elif subject.baseline:
        other = replace(subject, config=with_model(subject.config, subject.baseline), adapters={}, reward_model=None, baseline="")
        yield _stage(BASE, partial(measure_other, other))
    elif subject.adapters:
        yield _stage(BASE, partial(measure, BASE, None))
    for label in subject.candidates:
        adapter = label if label in subject.adapters else None
        yield _stage(label, partial(measure, label, adapter))
    for label in subject.checkpoints:
        yield _stage(label, partial(_measure_checkpoint, subject, models, label, out, suites, shard))


class Models:
    """Models by what they are made from, each loaded when it is first needed, and once.

    Args:
        candidate: a model object that stands for the measured model.
        baseline: one that stands for the baseline.
    """

    def __init__(self, candidate: Generates | None = None, baseline: Generates | None = None) -> None:
        self.candidate, self.baseline = candidate, baseline
        self._loaded: dict[str, Any] = {}
        self._scorers: dict[int, dict[str, Any]] = {}

    @property
    def identity(self) -> list[str]:
        """What the given objects are."""
        return [str(model.card(None)) for model in (self.candidate, self.baseline) if model is not None]

    def get(self, subject: Subject, *, is_baseline: bool = False) -> Any:
        """The subject's model with its adapters and reward model."""
        given = self.baseline if is_baseline else self.candidate
        if given is not None:
            return given
        facts = subject.config.model_dump(mode="json", include={"model", "world", "seed"})
        adapters = {label: str(path) for label, path in {**subject.adapters, **subject.checkpoints}.items()}
        key = to_json([facts, adapters, str(subject.reward_model)])
        if key not in self._loaded:
            self._loaded[key] = open_model(subject)
        return self._loaded[key]

    def scorers(self, config: RunConfig, model: Any) -> dict[str, Any]:
        """Who else scores the responses of a model, loaded once for each (`scorers.py`)."""
        from .scorers import load_scorers

        if id(model) not in self._scorers:
            self._scorers[id(model)] = load_scorers(config, model)
        return self._scorers[id(model)]


def open_model(subject: Subject) -> TransformersModel | OpenAIModel:
    """Load the base once, with the adapters and the reward model on it. `tiny` is built or taken from the cache; a server is only named."""
    settings = subject.config.model
    if settings.name.startswith(PREFIX):
        return OpenAIModel.from_argument(settings.name.removeprefix(PREFIX))
    from ..evals.models.hf import TransformersModel
    from .pipeline import adapter_name, device, prepare_torch

    prepare_torch(subject.config)
    return TransformersModel.load(
        base_folder(subject.config), name=settings.name, dtype=settings.dtype, quantization=settings.quantization,
        attn_implementation=settings.attn_implementation, device=device(), batch_tokens=subject.config.eval.batch_tokens,
        adapters={**subject.adapters, **{adapter_name(label): path for label, path in subject.checkpoints.items()}},
        reward_model=subject.reward_model,
    )  # fmt: skip


def base_folder(config: RunConfig) -> Path | str:
    """Folder or hub name of the base model; the embedded one is trained unless it is cached."""
    if config.world is None:
        return config.model.name
    from ..prompts.embedded.world import build_world
    from ..rlhf.embedded.base import build_base
    from .caches import cache_folder

    return build_base(build_world(config.world.split_seed), config.world, config.seed, cache_folder())


def _measure(
    model: Generates,
    label: str,
    adapter: str | None,
    out: Path,
    config: RunConfig,
    suites: Sequence[PromptSuite],
    pairs: Sequence[PairSet],
    shard: Shard,
    *,
    scorers: Mapping[str, Any],
    against_base: bool = False,
) -> None:
    from ..evals.judges import get_judge
    from ..evals.runner import evaluate
    from .materials import capability_tasks
    from .progress import StageProgress

    embedded = all(name.startswith("tiny-") for name in config.eval.suites)  # the grammar knows no other world
    with StageProgress(label) as progress:
        evaluate(
            model, label=label, adapter=adapter, out=out, config=config.eval, suites=suites, pairs=pairs,
            capability=capability_tasks(config, out), reference=get_judge("grammar") if embedded else None,
            baseline=out / "eval" / BASE if against_base else None, progress=progress if shard.main else None, shard=shard,
            **scorers,
        )  # fmt: skip


def _measure_checkpoint(subject: Subject, models: Models, label: str, out: Path, suites: Sequence[PromptSuite], shard: Shard) -> None:
    from .pipeline import adapter_name

    bare = subject.config.eval.model_copy(update={"capability": ()})
    config, model = subject.config.model_copy(update={"eval": bare}), models.get(subject)
    scorers = models.scorers(subject.config, model)
    _measure(model, label, adapter_name(label), out, config, suites, (), shard, scorers=scorers, against_base=True)


# -- recordings


def _replay_stages(subject: Subject, out: Path, shard: Shard) -> Iterator[Stage]:
    from ..evals.recorded import evaluate_recording
    from .materials import load_measured

    def measure(recording: Recording, replay: Replay, label: str) -> None:
        evaluate_recording(replay, label=label, out=out, config=subject.config.eval, name=recording.name, shard=shard)

    assert subject.replay is not None
    replay = subject.replay.load(load_measured(subject.config)[0] if subject.suites_given else ())
    if subject.baseline_replay:
        base = subject.baseline_replay.load(replay.suites)
        yield _stage(BASE, partial(measure, subject.baseline_replay, base, BASE))
    elif subject.baseline:
        yield _stage(BASE, partial(_adopt_baseline, subject, out, shard))
    yield _stage(MODEL, partial(measure, subject.replay, replay, MODEL))


# -- finished evaluations


def is_run(text: str) -> bool:
    """Whether a path is a run folder or one evaluation in it."""
    path = Path(text)
    return (path / "manifest.json").is_file() or (path / "results.json").is_file()


def evaluation_folder(path: Path) -> Path:
    """The evaluation that a path means: RUN/eval/LABEL itself, or the one candidate of RUN.

    Raises:
        InputError: not a run, not finished, or a run with several candidates.
    """
    if (path / "results.json").is_file():
        return path
    candidates = read_manifest(path).get("candidates") or []
    if len(candidates) != 1:
        names = ", ".join(f"{path}/eval/{label}" for label in candidates) or "none is finished"
        raise InputError(f"holds {len(candidates)} evaluated models", file=path, advice=f"Name one: {names}.")
    return path / "eval" / str(candidates[0])


def _adopt_baseline(subject: Subject, out: Path, shard: Shard) -> None:
    if shard.main:
        adopt_evaluation(Path(subject.baseline), out, BASE)


def adopt_evaluation(source: Path, out: Path, label: str) -> None:
    """Copy a finished evaluation into OUT/eval/LABEL, so that the folder holds everything its report is made from."""
    folder = evaluation_folder(source)
    run = read_run(folder)
    target = out / "eval" / label
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("prompts.jsonl", "generations.jsonl", "judgments.jsonl", "scores.jsonl"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    write_run(target, replace(run, model=replace(run.model, label=label)))


def with_model(config: RunConfig, name: str) -> RunConfig:
    """The same settings for another model."""
    world = load_config("tiny").world if name == "tiny" else None
    return config.model_copy(update={"model": config.model.model_copy(update={"name": name}), "world": world})


def adapter_labels(folders: Sequence[Path]) -> dict[str, Path]:
    """A label for each adapter: its folder's name, with the name of the folder above where two are called the same.

    Raises:
        InputError: no adapter there, or one folder is given twice.
    """
    labels: dict[str, Path] = {}
    names = [folder.resolve().name for folder in folders]
    for folder, name in zip(folders, names, strict=True):
        if not (folder / "adapter_config.json").is_file():
            problem = "no such adapter folder" if not folder.exists() else "is not an adapter: it has no adapter_config.json"
            raise InputError(problem, file=folder, advice="Give a PEFT folder, like RUN/ppo_policy_model.")
        full = folder.resolve()
        text = name if names.count(name) == 1 and name not in (BASE, MODEL) else f"{full.parent.name}-{name}"
        label = re.sub(r"[^A-Za-z0-9_-]", "-", text)[:64].lstrip("-_") or "adapter"
        if label in labels:
            raise InputError(f"adapters {labels[label]} and {folder} have the same name", advice="Rename one folder.")
        labels[label] = folder
    return labels


def checkpoint_labels(folders: Sequence[Path], adapters: Sequence[Path]) -> dict[str, Path]:
    """`NAME@STEP` for each checkpoint by the number that its folder's name ends with, NAME that of the one adapter.

    Raises:
        InputError: no adapter there, a name without a number, two of one step, or not exactly one adapter that they are states of.
    """
    if folders and len(adapters) != 1:
        raise InputError(f"--checkpoint is a state of an adapter; {len(adapters)} are given", advice="Give --adapter once.")
    labels: dict[str, Path] = {}
    for folder in folders:
        if not (folder / "adapter_config.json").is_file():
            raise InputError(
                "is no adapter folder: it has no adapter_config.json", file=folder, advice="Give RUN/ppo_checkpoints/policies/step-N."
            )
        number = re.search(r"(\d+)$", folder.resolve().name)
        if number is None:
            raise InputError("names no step: a checkpoint's folder ends with its number", file=folder)
        label = f"{next(iter(adapter_labels(adapters)))}@{int(number[1])}"
        if label in labels:
            raise InputError(f"{labels[label]} and {folder} are the same step", advice="Give each step once.")
        labels[label] = folder
    return dict(sorted(labels.items(), key=lambda item: int(item[0].rpartition("@")[2])))
