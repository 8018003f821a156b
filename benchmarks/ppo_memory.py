"""Peak memory of one PPO step on a CPU: four roles on one base, four separate models, and the last PPO of TRL.

    python benchmarks/ppo_memory.py --work /tmp/ppo-memory --docs docs/memory.md [--peers DIR --peers-python PYTHON]

The model has 84 M parameters (float32, vocabulary 32,000), 16 rollouts of 32 new tokens, one minibatch. Each row is a process of its
own; its peak is the resident memory that the kernel reports, libraries included. `--peers` is a folder with `ppo_trl.py`, which trains
the same shape with TRL 1.12 in the environment of PYTHON (with `PEERS_WORK` set as that script wants it). Results are kept in `--work`
and used again. Our side does 2 passes over the rollouts, TRL's script 4: the second has the optimizer's moments in place, further ones
add nothing.

"Four separate models" is the same step while three more copies of the base are in memory; one of them scores the responses, the other
two (reference, critic) only lie there, since their passes need less than the policy's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from docs_table import markdown, replace_table
from gpu_profile import Texts, resident
from mistral_shape import save_random_mistral

SHAPE = {
    "hidden_size": 640, "intermediate_size": 1728, "num_attention_heads": 10, "num_key_value_heads": 2, "head_dim": 64,
    "max_position_embeddings": 4096,
}  # fmt: skip
LAYERS, ROLLOUTS, NEW_TOKENS = 10, 16, 32
VARIANTS = {
    "four roles on one base": {"copies": 1, "micro": 16},
    "the same, micro-batches of 4": {"copies": 1, "micro": 4},
    "four separate models": {"copies": 4, "micro": 16},
}
TRL = "TRL 1.12"
NO_TRL = "not measured: no --peers were given"


def main() -> None:
    args = _arguments()
    if args.variant:
        args.result.write_text(json.dumps(measure(args)), encoding="utf-8")
        return
    args.work.mkdir(parents=True, exist_ok=True)
    save_random_mistral(args.work / "base", layers=LAYERS, dtype="float32", **SHAPE)
    peaks = {name: _in_a_process(name, i, args)["peak_bytes"] for i, name in enumerate(VARIANTS)}
    trl = _trl(args)
    text = table(peaks, trl)
    print(text)
    if args.docs:
        replace_table(args.docs, "ppo_memory", text)


def table(peaks: dict[str, int], trl: int | None) -> str:
    """Markdown: each peak, and its share of the other layouts'."""
    separate = peaks["four separate models"]
    every = peaks | ({TRL: trl} if trl else {})
    rows = [(name, f"{p / 1e9:.2f} GB", f"{p / separate:.2f}", f"{p / trl:.2f}" if trl else "-") for name, p in every.items()]
    if not trl:
        rows.append((TRL, NO_TRL, "-", "-"))
    return markdown(("layout", "peak", "of four separate models", f"of {TRL}"), rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the model and the results")
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    parser.add_argument("--peers", type=Path, help="folder with ppo_trl.py")
    parser.add_argument("--peers-python", type=Path, help="interpreter with TRL 1.12")
    parser.add_argument("--variant", choices=tuple(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_a_process(variant: str, index: int, args: argparse.Namespace) -> dict[str, Any]:
    result = args.work / f"variant-{index}.json"
    if not result.exists():
        own = ["--work", str(args.work), "--variant", variant, "--result", str(result)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, __file__, *own], env=environment, check=True)
    return dict(json.loads(result.read_text(encoding="utf-8")))


def _trl(args: argparse.Namespace) -> int | None:
    """Peak of TRL's process in bytes; None where there is no TRL 1.12 to run."""
    if not args.peers or not args.peers_python:
        return None
    work = Path(os.environ.get("PEERS_WORK", Path.home() / ".cache" / "truenorth-peers"))
    result = work / "results" / f"ppo_trl_M_r{NEW_TOKENS}_mb1.json"
    if not result.exists():
        command = [args.peers_python, args.peers / "ppo_trl.py", "M", NEW_TOKENS, 1, "--updates", 2]
        subprocess.run(list(map(str, command)), check=True, cwd=args.peers)
    return int(json.loads(result.read_text(encoding="utf-8"))["peak_rss_mb"] * 2**20)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """One layout: one PPO step in this process."""
    import torch
    from truenorth.evals.models.hf import TransformersModel
    from truenorth.prompts.types import Message, Prompt
    from truenorth.rlhf.config import LoraSettings, PPOSettings
    from truenorth.rlhf.ppo import PPOTrainer

    torch.set_num_threads(1)
    variant, texts, lengths = VARIANTS[args.variant], Texts(seed=0), random.Random(0)
    prompts = [Prompt(str(i), (Message("user", texts.text(n)),), None) for i, n in enumerate(_lengths(lengths))]
    settings = PPOSettings(
        steps=1, rollout_batch_size=ROLLOUTS, micro_batch_size=variant["micro"], ppo_epochs=2, max_new_tokens=NEW_TOKENS,
        gradient_checkpointing=False, temperature=0.7, lora=LoraSettings(r=8, alpha=16, target_modules=("q_proj", "v_proj")),
    )  # fmt: skip
    reward = _reward_adapter(args.work)
    separate = [TransformersModel.load(args.work / "base", reward_model=reward) for _ in range(variant["copies"] - 1)]
    model = TransformersModel.load(args.work / "base", reward_model=None if separate else reward)
    for each in (model, *separate):
        resident(each.base.causal, "cpu")
    score = (lambda p, texts: separate[0].rewards([(q.messages, t) for q, t in zip(p, texts, strict=True)])) if separate else None
    trainer = PPOTrainer(model, prompts, settings, out=args.work / "run", seed=0, reward=score, progress=False)
    row = trainer.step(trainer.rollout())
    if row["optimizer_steps"] != settings.ppo_epochs:
        raise RuntimeError(f"{row['optimizer_steps']} optimizer steps were taken: {row['warning']}")
    return {"variant": args.variant, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _lengths(rng: random.Random) -> list[int]:
    """Prompt lengths; the longest is as long as the longest of TRL's script, and so is the padding."""
    return [192, *(rng.randint(8, 192) for _ in range(ROLLOUTS - 1))]


def _reward_adapter(work: Path) -> Path:
    """A random reward adapter in a plain PEFT folder."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    folder = work / "reward"
    if not folder.exists():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(work / "base", num_labels=1)
        config = LoraConfig(task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], modules_to_save=["score"])
        get_peft_model(model, config).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
