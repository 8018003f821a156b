"""`ppo_policy_model/`: the policy as a plain PEFT folder."""

from __future__ import annotations

from pathlib import Path

from .learner import Learner
from .publish import adapter_config, card_base, publish_adapter


def publish_policy(folder: Path, learner: Learner, step: int) -> None:
    """Write `ppo_policy_model/`."""
    model, lora = learner.model, learner.settings.lora
    config = adapter_config(learner.config, base=model.name, dropout=lora.dropout)
    publish_adapter(folder, learner.policy_tensors(), config, _readme(model.name, step, learner.settings.algorithm))


def _readme(base: str, step: int, algorithm: str) -> str:
    metadata, named = card_base(base)
    return f"""---
library_name: peft
{metadata}tags: [lora, {algorithm}, rlhf]
---
# Policy: a LoRA adapter trained with {algorithm.upper()}

State after {step} {algorithm.upper()} steps. It was trained on {named}; the base is the one you name:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained(BASE)  # folder or hub name
policy = PeftModel.from_pretrained(base, "ppo_policy_model")
```

Prompts are written `<s>[INST] {{prompt}} [/INST]`, one BOS; the model answers and ends with `</s>`.
"""
