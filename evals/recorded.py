"""Measures recorded responses: a file (or several) in, a finished evaluation out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..prompts.replay import Replay, load_replay
from ..prompts.types import PromptSuite
from .config import EvalConfig
from .judges import Judge
from .models.replay import ReplayModel
from .runner import evaluate
from .shards import ALONE, Shard
from .types import EvalRun


def evaluate_recording(
    recording: Replay | str | Path,
    *,
    label: str,
    out: Path,
    config: EvalConfig | None = None,
    suites: Sequence[PromptSuite] = (),
    name: str = "",
    judge: Judge | None = None,
    shard: Shard = ALONE,
) -> EvalRun:
    """Judge what was recorded; everything goes to OUT/eval/LABEL/, resumably.

    Args:
        recording: a file (`prompts/replay.py`), or what `load_replay` made of several.
        label: folder name under eval/.
        out: the run folder.
        config: judge and limit; the defaults without it.
        suites: of a file: join its rows to these.
        name: how reports call the model; the file's name by default.
        judge: instead of the one that `config.judge` names.
        shard: which part of the rows this process judges.

    Raises:
        InputError: the file can't be read, or the folder holds another model's rows.
    """
    replay = recording if isinstance(recording, Replay) else load_replay(recording, suites=suites)
    model = ReplayModel(replay, name or (label if isinstance(recording, Replay) else Path(recording).name))
    return evaluate(
        model, label=label, out=out, config=config or EvalConfig(), suites=replay.suites, judge=judge, probe=None,
        decodings=(model.decoding,), shard=shard,
    )  # fmt: skip
