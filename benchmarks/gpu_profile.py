"""Train the 7B profiles' real shape with random weights, and hold the peaks against what `truenorth doctor` plans.

    python benchmarks/gpu_profile.py --work /tmp/mistral                       # 32 layers on a GPU, bf16 and nf4, 20 steps of each trainer
    python benchmarks/gpu_profile.py --work /tmp/m2 --layers 2 --device cpu --steps 2 -o ppo.rollout_batch_size=4 ...

Reward model and PPO are trained by the public trainers on texts as long as the plan assumes, each in a process of its own. Needs
mistral-common for the tokenizer, and on a disk 15 GB for 32 layers. Peaks are of what the run itself holds: the plan's runtime part
(CUDA context, libraries) is left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from docs_table import markdown, replace_table
from measure import CPU_ENVIRONMENT, PeakMemory
from mistral_shape import mistral_tokenizer, save_random_mistral

PROFILES = ("mistral-7b", "mistral-7b-qlora")
STAGES = {"reward": ("reward",), "ppo": ("rollout", "score", "update")}
"""Phases of the plan that each trainer goes through."""
MARKERS = 8
"""Tokens of `<s>[INST] ... [/INST]` around a prompt."""
COLUMNS = ("profile", "layers", "precision", "trainer", "steps", "peak GB", "planned GB", "planned / peak", "tokens/s")


def main() -> None:
    args = _arguments()
    if args.stage:
        found = measure(args)
        args.result.write_text(json.dumps(found), encoding="utf-8")
        return
    save_random_mistral(args.work / f"base-{args.layers}", layers=args.layers)
    rows = [_in_a_process(profile, stage, args) for profile in args.profiles for stage in STAGES]
    text = markdown(COLUMNS, [[row[name] for name in COLUMNS] for row in rows])
    print(text)
    if args.docs:
        replace_table(args.docs, f"{args.device}_profile", text)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--profiles", nargs="+", default=PROFILES)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of the reward model, rollout batches of PPO")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--work", type=Path, required=True, help="folder for the model and the runs")
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    parser.add_argument("--json", type=Path, help="write all numbers here as well")
    parser.add_argument("-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="settings, as `truenorth run -o`")
    parser.add_argument("--stage", choices=tuple(STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(profile: str, stage: str, args: argparse.Namespace) -> dict[str, Any]:
    result = args.work / f"{profile}-{stage}.json"
    own = ["--profiles", profile, "--stage", stage, "--result", str(result)]
    common = ["--layers", args.layers, "--device", args.device, "--steps", args.steps, "--prompt-tokens", args.prompt_tokens]
    common += ["--work", args.work, *(part for text in args.overrides for part in ("-o", text))]
    environment = os.environ | (CPU_ENVIRONMENT if args.device == "cpu" else {})
    subprocess.run([sys.executable, __file__, *map(str, common), *own], env=environment, check=True)
    return dict(json.loads(result.read_text(encoding="utf-8")))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One trainer of one profile."""
    from truenorth.cli.config import load_config
    from truenorth.prompts.files import read_json
    from truenorth.rlhf.memory import ModelShape, plan_memory

    (profile,), base = args.profiles, args.work / f"base-{args.layers}"
    config = load_config(profile, [f"model.name={base}", f"ppo.steps={args.steps}", *args.overrides])
    train = {"reward": train_reward, "ppo": train_ppo}[args.stage]
    memory, tokens, seconds = train(config, args, args.work / f"run-{profile}")
    shape = ModelShape.from_config(read_json(base / "config.json", "model config"))
    options = {"device": args.device, "batch_tokens": config.eval.batch_tokens, "prompt_tokens": args.prompt_tokens}
    plan = plan_memory(shape, config.model, config.reward_model, config.ppo, **options)
    planned = max(plan.totals[name] - plan.phases[name]["runtime"] for name in STAGES[args.stage])
    peak = max(memory.peaks.values())
    precision = config.model.dtype if config.model.quantization == "none" else config.model.quantization
    values = (profile, args.layers, precision, args.stage, args.steps, f"{peak / 1e9:.2f}", f"{planned / 1e9:.2f}")
    rates = (f"{planned / peak:.2f}", f"{tokens / seconds:.0f}")
    facts = {"peaks": memory.peaks, "phases": plan.phases, "peak_bytes": peak, "planned_bytes": planned}
    return dict(zip(COLUMNS, values + rates, strict=True)) | facts


def train_reward(config: Any, args: argparse.Namespace, out: Path) -> tuple[PeakMemory, int, float]:
    """Peaks, tokens seen and seconds taken."""
    from truenorth.prompts.types import Message, PreferencePair
    from truenorth.rlhf.logs import read_step_log
    from truenorth.rlhf.reward_model import RewardModelTrainer

    class Measured(RewardModelTrainer):
        def _fit(self, model: Any) -> int:
            resident(model, args.device)
            with memory.measure("training"):
                return super()._fit(model)

    settings = config.reward_model
    texts = Texts(seed=0)
    response = settings.max_length - args.prompt_tokens
    n = args.steps * settings.batch_size * settings.gradient_accumulation

    def pair(i: int) -> PreferencePair:
        prompt, chosen, rejected = (texts.text(k) for k in (args.prompt_tokens - MARKERS, response - 1, response - 1))
        return PreferencePair(str(i), (Message("user", prompt),), chosen, rejected)

    pairs = [pair(i) for i in range(n + 4)]
    memory = PeakMemory(args.device)
    trainer = Measured(
        config.model.name, pairs[:n], settings, config.model, out=out, seed=0, validation=pairs[n:], device=args.device, progress=False
    )
    result = trainer.train()
    if result.steps != args.steps:
        raise RuntimeError(f"{result.steps} steps were done, not {args.steps}")
    rows, timing = read_step_log(out / "train" / "reward.csv"), read_step_log(out / "train" / "timing.csv")
    seconds = sum(float(row["seconds"] or 0) for row in timing if row["part"] == "step")
    return memory, int(float(rows[-1]["num_tokens"] or 0)), seconds


def train_ppo(config: Any, args: argparse.Namespace, out: Path) -> tuple[PeakMemory, int, float]:
    """Peaks, tokens of prompts and responses, and seconds taken."""
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.prompts.types import Message, Prompt
    from truenorth.rlhf.ppo import PPOTrainer

    texts = Texts(seed=1)
    prompts = [
        Prompt(str(i), (Message("user", texts.text(args.prompt_tokens - MARKERS)),), None) for i in range(config.ppo.rollout_batch_size)
    ]
    m = config.model
    memory, tokens, seconds = PeakMemory(args.device), 0, 0.0
    model = TransformersModel.load(
        m.name, dtype=m.dtype, quantization=m.quantization, attn_implementation=m.attn_implementation, device=args.device,
        reward_model=out / "final_rm_model_adapters", batch_tokens=config.eval.batch_tokens,
    )  # fmt: skip
    resident(model.base.causal, args.device)
    trainer = PPOTrainer(model, prompts, config.ppo, out=out, seed=0, progress=False)
    for _ in range(args.steps):
        start = time.perf_counter()
        with memory.measure("rollout"):
            rollout = trainer.rollout()
        with memory.measure("update"):
            row = trainer.step(rollout)
        if row["brake"] or not row["optimizer_steps"]:
            raise RuntimeError(f"step {row['step']} was not taken: {row['brake'] or row['warning']}")
        seconds += time.perf_counter() - start
        tokens += sum(len(prompt) + len(response) for prompt, response in rollout.items)
    return memory, tokens, seconds


def resident(model: Any, device: str) -> Any:
    """The model with its weights in memory: on a CPU they are mapped from their file, and count only when they are touched."""
    if device == "cpu":
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    return model


class Texts:
    """Random words that are one token each."""

    def __init__(self, seed: int) -> None:
        tokenizer = mistral_tokenizer()
        words = [piece[1:] for piece in sorted(tokenizer.get_vocab()) if re.fullmatch("▁[a-z]{4,}", piece)][:2000]
        self._words = [word for word in words if len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1]
        self._random = random.Random(seed)

    def text(self, tokens: int) -> str:
        """A text of that many tokens."""
        return " ".join(self._random.choices(self._words, k=tokens))


if __name__ == "__main__":
    main()
