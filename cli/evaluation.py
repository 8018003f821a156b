"""`truenorth eval`: measure a model, its adapters or a recording, against a baseline. The same files as `run`, without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evals.judges.server import patience
from ..evals.shards import ALONE, Shard
from ..evals.store import files_of
from ..evals.types import Comparison
from ..prompts.files import sha256_bytes, sha256_file
from .config import RunConfig
from .console import say
from .finished import adopt_evaluation, evaluation_folder, is_run
from .judge_card import keep_card, load_card
from .labels import BASE, MODEL
from .manifest import build_manifest
from .models import Models, with_model
from .run_folder import RunFolder
from .verdict import exit_code

if TYPE_CHECKING:
    from ..evals.models.base import Generates
    from ..prompts.replay import Replay
    from ..prompts.types import PairSet, PromptSuite
    from .recordings import Recording


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
        named |= {name: getattr(self.config.eval, name) for name in ("reward_model", "independent_reward_model", "judge_card")}
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
    with patience(**subject.config.server.model_dump()):
        return _run_evaluation(subject, out, models or Models(), shard)


def _run_evaluation(subject: Subject, out: Path, models: Models, shard: Shard) -> tuple[Comparison, int]:
    from ..evals.gates import make_gates
    from ..evals.judges import get_judge
    from ..reports.build import build_report

    config = subject.config
    make_gates(config.eval.gates)
    get_judge(config.eval.judge)
    card = load_card(config.eval)
    manifest = build_manifest(
        "eval", subject.manifest_config(), baseline=subject.baseline_label, candidates=subject.candidates,
        seeds={"eval": config.eval.seed}, dtype=config.model.dtype, threads=config.model.threads,
    )  # fmt: skip
    with RunFolder.open(out, manifest) as run:
        stages = _stages(subject, out, models, shard)
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
        keep_card(run, card)
        comparison = build_report(out)
        code = exit_code(comparison, config.eval.inconclusive)
        run.finish(comparison.verdict, code)
    return comparison, code


def follow_evaluation(subject: Subject, out: Path, shard: Shard) -> None:
    """Take part in the evaluation of the first process, which alone writes the run folder and decides what is still to be done."""
    with patience(**subject.config.server.model_dump()):
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
    from ..prompts.united import united
    from .materials import load_measured

    def measure(recording: Recording, replay: Replay, label: str) -> None:
        evaluate_recording(replay, label=label, out=out, config=subject.config.eval, name=recording.name, shard=shard)

    assert subject.replay is not None
    replay = subject.replay.read(load_measured(subject.config)[0] if subject.suites_given else ())
    if subject.baseline_replay and not subject.suites_given:
        suites = united(replay.suites, subject.baseline_replay.read().suites)
        replay = replay if suites == replay.suites else subject.replay.read(suites)
    subject.replay.tell(replay)
    if subject.baseline_replay:
        base = subject.baseline_replay.read(replay.suites)
        subject.baseline_replay.tell(base)
        yield _stage(BASE, partial(measure, subject.baseline_replay, base, BASE))
    elif subject.baseline:
        yield _stage(BASE, partial(_adopt_baseline, subject, out, shard))
    yield _stage(MODEL, partial(measure, subject.replay, replay, MODEL))


def _adopt_baseline(subject: Subject, out: Path, shard: Shard) -> None:
    if shard.main:
        adopt_evaluation(Path(subject.baseline), out, BASE)
