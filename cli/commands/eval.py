"""`truenorth eval`: measure a model, its adapters, or recorded responses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ..options import FOLDER, json_option, out_option


def _decoding(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[float, ...]:
    """Temperatures of `greedy`, `t1.0` ..."""
    found = []
    for value in values:
        match = re.fullmatch(r"greedy|t(\d+(\.\d+)?)", value)
        if match is None or float(match[1] or 0) > 5:
            raise click.BadParameter(f"{value!r} is neither greedy nor t and a temperature up to 5, like t1.0")
        found.append(float(match[1] or 0))
    return tuple(found)


@click.command("eval")
@click.option("--model", metavar="M", help="Folder, hub name, tiny (the embedded base), or openai:NAME@URL.")
@click.option("--adapter", "adapters", type=FOLDER, multiple=True, metavar="DIR", help="LoRA adapter on the model. Repeats: one load.")
@click.option("--checkpoint", "checkpoints", type=FOLDER, multiple=True, metavar="DIR", help="Earlier state of the adapter. Repeats.")
@click.option("--reward-model", type=FOLDER, metavar="DIR|NAME", help="Reward model: SEQ_CLS adapter on the same base, or a whole model.")
@click.option("--independent-reward-model", default="", metavar="DIR|NAME", help="Another, not trained against: decides win_rate.")
@click.option("--comparer", default="", metavar="J", help="Judge that compares with the base in both orders: openai:MODEL@URL.")
@click.option("--replay", type=FOLDER, multiple=True, metavar="FILE", help="Recorded responses (.jsonl, .csv, .json), no model. Repeats.")
@click.option("--recorded-model", default="", metavar="NAME", help="Of a recording of several models: the one to measure.")
@click.option("--expected", type=click.Choice(["refuse", "comply"]), help="Of recorded requests: what a good answer does.")
@click.option(
    "--suite", "suites", multiple=True, metavar="S", help="Suite: a name, a folder or a file. Repeats. See below for the default."
)
@click.option("--pairs", multiple=True, metavar="FILE|NAME", help="Preference pairs that the reward model ranks. Repeats.")
@click.option("--capability", multiple=True, metavar="TASK", help="lm-eval task, or its YAML file. Repeats.")
@click.option("--baseline", multiple=True, metavar="M|RUN|FILE", help="To compare with: a model, a finished run, or another recording.")
@click.option("--judge", default=None, metavar="J", help="Whose verdicts count: classifier, keyword, human, ...  [default: classifier]")
@click.option("--judge-card", type=FOLDER, metavar="FILE", help="Its card (`truenorth audit ... --json`): corrects rates for its error.")
@click.option("--gates", metavar="FILE", help="Requirements: a YAML file with `gates:`, or a profile's name.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="First N prompts of each suite.")
@click.option("--samples", type=click.IntRange(1, 64), metavar="K", help="Responses per prompt and sampled decoding.")
@click.option("--decoding", "temperatures", multiple=True, callback=_decoding, metavar="D", help="greedy or t1.0. Repeats.")
@click.option("--max-new-tokens", type=click.IntRange(1, 8192), metavar="N", help="Where a response is cut.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), metavar="N", help="Seeds sampling.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), help="Of the base.  [default: bfloat16 on a GPU, else float32]")
@click.option("--quantization", type=click.Choice(["none", "nf4", "int8"]), default="none", show_default=True, help="bitsandbytes format.")
@click.option(
    "--server-requests", type=click.IntRange(1, 1024), metavar="N", help="Requests to a server under way at a time.  [default: 16]"
)
@click.option(
    "--server-timeout", type=click.FloatRange(1, 1e6, max_open=True), metavar="S", help="Seconds to wait for its answer.  [default: 600]"
)
@out_option()
@json_option
def command(out: Path, as_json: bool, **options: Any) -> int:
    """Measure a model: refusal, over-refusal, KL, reward, capability.

    Without --suite: harmful, benign and borderline; none with --pairs or --capability, unless a gate, --checkpoint, --comparer or
    --independent-reward-model needs responses.

    With --adapter the model itself is the baseline. Without any baseline only absolute gates apply. Several processes share the work when
    torchrun starts them: torchrun --nproc-per-node 8 -m truenorth.cli.main eval ...; the first one writes the files and the verdict.
    """
    from ...evals.shards import join_processes
    from ..evaluation import follow_evaluation, run_evaluation
    from ..run_folder import check_out
    from ..subject import make_subject
    from ..verdict import conclude

    subject, shard = make_subject(**options), join_processes()
    if not shard.main:
        follow_evaluation(subject, out, shard)
        return 0
    check_out(out)
    comparison, code = run_evaluation(subject, out, shard=shard)
    return conclude(comparison, code, out, as_json=as_json)
