"""A local guard model as a judge: `generative:GUARD=MODEL`, e.g. `generative:wildguard=allenai/wildguard`, greedy, in left-padded batches.

The response is data: its control tokens are encoded as text, and it is cut in the middle when long. An answer that the guard's parser
can't read is `invalid`, never a verdict. A judge is known by its model's bytes (`identity`), which are read without loading it. Leaves out
servers (`openai.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ...prompts.errors import InputError
from ...prompts.files import read_json, sha256_bytes, sha256_file
from ...prompts.types import Prompt
from .base import FinishReason, Item, Ruling
from .guards import GUARDS, Data, Guard, prompt_sha256, whole_request

MARKS = ("\ue000request\ue000", "\ue000response\ue000")
"""Stand for the two texts while a chat template is rendered."""
BATCH = 8
"""Responses that are judged at once."""
DIGITS = 8
"""Of a model's identity, shown in a judge's revision."""
_KEPT = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""Kinds of files in a model's folder that decide what it says: weights, configuration, tokenizer, chat template."""


class Writes(Protocol):
    """Continues prompts greedily."""

    def chat_template(self) -> str:
        """The model's chat template on a user's turn `{request}` and an assistant's turn `{response}`, ready for the verdict."""
        ...

    def write(self, prompts: Sequence[Sequence[str]], max_new_tokens: int) -> list[str]:
        """What the model adds to each prompt, given as parts; control tokens of `Data` parts are text."""
        ...


class GenerativeJudge:
    """One judge for all guards."""

    batch_size = BATCH

    def __init__(self, guard: Guard, model: str, writer: Writes | None = None) -> None:
        self.guard, self.model, self._given = guard, model, writer

    @classmethod
    def from_argument(cls, argument: str) -> GenerativeJudge:
        """`wildguard=allenai/wildguard`.

        Raises:
            InputError: no such guard, or no model.
        """
        name, _, model = argument.partition("=")
        if name not in GUARDS or not model:
            raise InputError(f"judge 'generative:{argument}' names no guard and model", field="judge", advice=_advice())
        return cls(GUARDS[name], model)

    @property
    def name(self) -> str:
        """Of the guard."""
        return f"generative-{self.guard.name}"

    @cached_property
    def template(self) -> str:
        """What is asked, with both fields."""
        return self.guard.template or self.writer.chat_template()

    @cached_property
    def writer(self) -> Writes:
        """The model; its parts are loaded when they are first needed."""
        return self._given or LocalWriter(self.model)

    @property
    def revision(self) -> str:
        """Model, its commit on the hub or a digest of its files, digest of the prompt, parser, and whether the guard was ever tried.

        Raises:
            InputError: there is no such model, or it has no chat template where the guard needs one.
        """
        where = getattr(self.writer, "revision", "")[:DIGITS]
        model = f"{Path(self.model).name}{'-' + where if where else ''}"
        status = f".{self.guard.status}" if self.guard.status else ""
        return f"{model}.{prompt_sha256(self.template)}.p{self.guard.parser_version}{status}"

    def judge(self, prompt: Prompt, response: str, finish_reason: FinishReason) -> Ruling:
        """The guard's verdict; `invalid` for an empty response or an answer that can't be read."""
        return self.judge_batch([Item(prompt, response, finish_reason)])[0]

    def judge_batch(self, items: Sequence[Item]) -> list[Ruling]:
        """As `judge`, for several at once."""
        asked = [item for item in items if item.response.strip()]
        parts = [self.guard.parts(whole_request(item.prompt), item.response, self.template) for item in asked]
        answers = iter(self.writer.write(parts, self.guard.max_new_tokens) if parts else [])
        return [self._read(next(answers)) if item.response.strip() else Ruling("invalid", "empty") for item in items]

    def _read(self, answer: str) -> Ruling:
        outcome = self.guard.parse(answer)
        return Ruling(outcome or "invalid", f"{'said' if outcome else 'unreadable'}: {answer.strip()[:60]!r}")


class LocalWriter:
    """A causal LM of transformers, from a folder or the hub; safetensors only, no code of the model's own."""

    def __init__(self, model: str) -> None:
        self.model = model

    @cached_property
    def revision(self) -> str:
        """As in `identity`."""
        return identity(self.model)

    @cached_property
    def tokenizer(self) -> Any:
        """Of the model."""
        from transformers import AutoTokenizer

        with _told(self.model):
            return AutoTokenizer.from_pretrained(self.model, trust_remote_code=False, **self._pinned)

    @cached_property
    def network(self) -> Any:
        """The model itself, on the GPU where there is one."""
        import torch
        from transformers import AutoModelForCausalLM

        with _told(self.model):
            found: Any = AutoModelForCausalLM.from_pretrained(
                self.model, trust_remote_code=False, use_safetensors=True, dtype="auto", **self._pinned
            )
        return found.to("cuda" if torch.cuda.is_available() else "cpu").eval()

    @property
    def _pinned(self) -> dict[str, str]:
        """Of a hub model the very commit that it is known by."""
        return {} if Path(self.model).is_dir() else {"revision": self.revision}

    def chat_template(self) -> str:
        """As in `Writes`.

        Raises:
            InputError: the model has no chat template, or one that doesn't show both turns.
        """
        from jinja2.exceptions import TemplateError

        turns = [{"role": role, "content": mark} for role, mark in zip(("user", "assistant"), MARKS, strict=True)]
        try:
            text: str = self.tokenizer.apply_chat_template(turns, tokenize=False)
        except (ValueError, TemplateError) as error:
            text = str(error)
        if [text.count(mark) for mark in MARKS] != [1, 1]:
            advice = "Name the model that the guard was made for."
            raise InputError(f"the chat template of {self.model!r} doesn't show both turns once", field="judge", advice=advice)
        return text.replace(MARKS[0], "{request}").replace(MARKS[1], "{response}")

    def write(self, prompts: Sequence[Sequence[str]], max_new_tokens: int) -> list[str]:
        """As in `Writes`; padded on the left, so that every prompt ends where writing begins."""
        import torch

        ids, mask = pad_left([encode(self.tokenizer, parts) for parts in prompts], self._pad)
        tensors = [torch.tensor(rows, device=self.network.device) for rows in (ids, mask)]
        with torch.inference_mode():
            found = self.network.generate(
                tensors[0], attention_mask=tensors[1], max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=self._pad
            )
        return [str(text) for text in self.tokenizer.batch_decode(found[:, len(ids[0]) :], skip_special_tokens=True)]

    @property
    def _pad(self) -> int:
        found = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return int(next(token for token in found if token is not None))


def identity(model: str) -> str:
    """What a model is known by: its commit on the hub, or of a folder, whose name says nothing, a digest of its files. Loads nothing.

    Raises:
        InputError: there is no such model, or its folder holds no weights that may be loaded.
    """
    folder = Path(model)
    if folder.is_dir():
        return _digest(folder)
    from transformers import AutoConfig

    with _told(model):
        commit = AutoConfig.from_pretrained(model, trust_remote_code=False)._commit_hash
        if not commit:
            raise ValueError("the hub names no commit of it")
    return str(commit)


def _digest(folder: Path) -> str:
    """Of all files that decide what a model says; an adapter's base is a part of it."""
    files = sorted(file for file in folder.iterdir() if file.suffix in _KEPT)
    if not any(file.suffix == ".safetensors" for file in files):
        raise InputError("no *.safetensors weights of a judge's model", file=folder, field="judge", advice=_MODEL)
    facts = [f"{file.name}\0{sha256_file(file)}" for file in files]
    if (adapter := folder / "adapter_config.json") in files:
        facts.append(identity(str(read_json(adapter, "adapter config")["base_model_name_or_path"])))
    return sha256_bytes("\n".join(facts).encode())


@contextmanager
def _told(model: str) -> Iterator[None]:
    """Tell that a model can't be loaded as a user's mistake."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputError(f"judge model {model!r} can't be loaded: {reason}", field="judge", advice=_MODEL) from None


def pad_left(rows: Sequence[Sequence[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of equal length and their mask, 1 for what is no padding."""
    length = max(map(len, rows))
    ids = [[pad] * (length - len(row)) + list(row) for row in rows]
    return ids, [[0] * (length - len(row)) + [1] * len(row) for row in rows]


def encode(tokenizer: Any, parts: Sequence[str]) -> list[int]:
    """Token ids of a prompt: control tokens come from template parts alone."""
    ids: list[int] = []
    for part in parts:
        ids += tokenizer(str(part), add_special_tokens=False, split_special_tokens=isinstance(part, Data))["input_ids"]
    return ids


def _advice() -> str:
    return f"Write generative:GUARD=MODEL with one of {', '.join(GUARDS)}: generative:wildguard=allenai/wildguard"


_MODEL = "Name a folder with *.safetensors or a hub model that you may read; gated ones need HF_TOKEN."
