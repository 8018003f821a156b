"""One frozen base in memory with LoRA adapters on it. Policy, reference and reward model are views of the same weights.

The reference is the base with adapters off. Adapters are switched by `active()`, which never touches `requires_grad`: peft's own
switches do, and so freeze or unfreeze adapters behind one's back. A backward pass must finish inside the same `active()` block as its
forward pass, or the adapter's gradients are lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from ...prompts.errors import InputError
from .adapters import WEIGHTS, AdapterFile
from .quiet import quiet


class SharedBase:
    """A causal language model whose own weights never change.

    Args:
        causal: the model as loaded; it is frozen and put into eval mode.
        pad: id of the padding token.
    """

    def __init__(self, causal: Any, pad: int) -> None:
        self.causal, self.pad = causal.eval().requires_grad_(False), pad
        # Generation hands over a slice, the last position; in bf16 on a CPU torch would copy the output layer's weights once for each row.
        causal.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
        self.peft: PeftModel | None = None
        self._layers: list[BaseTunerLayer] = []
        self._active: str | None = None

    @property
    def device(self) -> torch.device:
        """Where the input embeddings are."""
        return torch.device(self.causal.get_input_embeddings().weight.device)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return int(self.causal.config.hidden_size)

    @contextmanager
    def active(self, adapter: str | None) -> Iterator[None]:
        """Run with one adapter, or with none of them (None: the base); restores what was active before."""
        before = self._active
        self._switch(adapter)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, adapter: str | None) -> None:
        if adapter is not None and (self.peft is None or adapter not in self.peft.peft_config):
            known = ", ".join(self.peft.peft_config) if self.peft else "none"
            raise KeyError(f"no adapter {adapter!r}; loaded: {known}")
        for layer in self._layers:
            layer._disable_adapters = adapter is None
            if adapter is not None:
                layer._active_adapter = [adapter]
        self._active = adapter

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, eval mode (so that caches work under gradient checkpointing); restores the mode after."""
        training = self.causal.training
        self.causal.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.causal.train(training)

    def hidden(self, ids: Tensor) -> Tensor:
        """Last hidden states of right-padded rows. Shapes: (b, width) -> (b, width, hidden_size).

        No attention mask is needed: under causal attention no token sees the padding after it.
        """
        states: Tensor = self.causal.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Output layer. Shapes: (..., hidden_size) -> (..., v)."""
        logits: Tensor = self.causal.get_output_embeddings()(hidden)
        return logits

    def new_adapter(self, name: str, config: LoraConfig, *, seed: int) -> None:
        """Add a fresh float32 adapter, its parameters trainable. The seed alone determines them; the global random state stays."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._add(name, config)
        self.set_trainable(name, True)

    def load_adapter(self, name: str, file: AdapterFile) -> None:
        """Add a validated adapter, frozen.

        Raises:
            InputError: it was made for another base.
        """
        self._check_fit(file)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=file.r,
            lora_alpha=file.alpha,  # type: ignore[arg-type]
            use_rslora=file.use_rslora,
            target_modules=list(file.modules),
            init_lora_weights=False,
            inference_mode=True,
        )
        with torch.random.fork_rng():
            self._add(name, config)
        self.set_tensors(name, file.tensors)
        self.set_trainable(name, False)

    def set_tensors(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Overwrite an adapter's matrices; names as peft saves them, all of them present."""
        result: Any = set_peft_model_state_dict(self.peft, tensors, adapter_name=name)
        missing = [key for key in result.missing_keys if f".{name}." in key]
        if result.unexpected_keys or missing:
            raise ValueError(f"adapter {name}: unexpected {result.unexpected_keys[:3]}, missing {missing[:3]}")

    def tensors(self, name: str) -> dict[str, Tensor]:
        """A copy of an adapter's matrices on the CPU, by the names peft saves."""
        found = get_peft_model_state_dict(self.peft, adapter_name=name)
        return {key: tensor.detach().cpu().clone() for key, tensor in found.items()}

    def tensors_sha256(self, name: str) -> str:
        """Digest of an adapter's present matrices.

        Raises:
            KeyError: no such adapter.
        """
        with self.active(name):  # checks the name
            digest = hashlib.sha256()
        for key, tensor in sorted(self.tensors(name).items()):
            digest.update(key.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """An adapter's parameters by their full names."""
        return {key: p for key, p in self.causal.named_parameters() if ".lora_" in key and key.split(".")[-2] == name}

    def set_trainable(self, name: str, trainable: bool) -> None:
        """The only place where `requires_grad` changes."""
        for parameter in self.parameters(name).values():
            parameter.requires_grad_(trainable)

    def _add(self, name: str, config: LoraConfig) -> None:
        trainable = {key: p.requires_grad for key, p in self.causal.named_parameters()}
        if self.peft is not None and name in self.peft.peft_config:
            raise InputError(f"two adapters are called {name!r}", advice="Give each another name.")
        with quiet():
            if self.peft is None:
                self.peft = PeftModel(self.causal, config, adapter_name=name)
            else:
                self.peft.add_adapter(name, config)
        self._layers = [module for module in self.causal.modules() if isinstance(module, BaseTunerLayer)]
        for key, parameter in self.causal.named_parameters():
            parameter.requires_grad_(trainable.get(key, False))
        self._switch(self._active)

    def _check_fit(self, file: AdapterFile) -> None:
        layers = dict(self.causal.named_modules())
        if file.head is not None and file.head.shape[1] != self.hidden_size:
            raise _misfit(file.folder, "score", f"hidden size {file.head.shape[1]}", f"hidden size {self.hidden_size}")
        for module in file.modules:
            a, b = (file.tensors[f"base_model.model.{module}.lora_{half}.weight"] for half in "AB")
            layer = layers.get(module)
            if layer is None or not hasattr(layer, "in_features"):
                raise _misfit(file.folder, module, "adapts it", "has no such linear layer")
            theirs, ours = (a.shape[1], b.shape[0]), (layer.in_features, layer.out_features)
            if theirs != ours:
                raise _misfit(file.folder, module, f"{theirs[0]} -> {theirs[1]}", f"{ours[0]} -> {ours[1]}")


def _misfit(folder: Path, module: str, adapter: str, base: str) -> InputError:
    return InputError(
        f"the adapter was made for another base: {module}: adapter {adapter}, base {base}",
        file=folder / WEIGHTS,
        advice="Give the base model that it was trained on.",
    )
