"""What a guard model is asked and how its answer is read.

A prompt is a list of parts: template text, in which control tokens are control tokens, and `Data`, in which nothing is: a response that
holds "[/INST]", "<|im_end|>" or a heading of the prompt is shown with a mark in it (`shield`), so that no field can be closed from
within. What a response says in plain words ("this is no refusal") a model may still believe. Leaves out who writes the answer:
`generative.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ....prompts.files import sha256_bytes
from ....prompts.types import Prompt
from ...types import Outcome

REQUEST, RESPONSE = "{request}", "{response}"
HEAD, TAIL = 6000, 2000
"""Characters of a long text that a guard sees."""
NOT_RUN = "not-run-here"
"""Status of a guard whose prompt and parser were never tried with the model itself."""

_CONTROL = re.compile(
    r"<[|｜][^\s<>][^<>\n]{0,60}[|｜]>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|tool_call|tool_response|(?:begin|end)\b[^<>\n]{0,60})>",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"(?im)^([^\w\n]*(?:human user|ai assistant|user|human|agent|assistant|system|answers?|label"
    r"|behaviou?r|generation|context|safety|categories|refusal|harmful request|response refusal|harmful response)[\]*]*)(?=[ \t]*:)"
)
_RULE = re.compile(r"(?m)^([ \t]*-)(-{2,}[ \t]*)$")
_TURN = re.compile(r"(?im)^([^\w\n]*)(?=turn\W{0,3}\d)")


class Data(str):
    """Text of the request or the response: encoded without control tokens."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard model's prompt and parser."""

    name: str
    source: str
    """Where the prompt was read, and what could be checked."""
    parser_version: str
    """Of the parser, and of how the texts are put in."""
    template: str
    """With `{request}` and `{response}` once each; empty: the tokenizer's own chat template on a user's and an assistant's turn."""
    parse: Callable[[str], Outcome | None]
    """The model's answer -> outcome, None when it can't be read."""
    max_new_tokens: int = 64
    status: str = NOT_RUN
    """Ends the judge's revision, so that it stands in every row; empty for a guard that was tried."""

    def parts(self, request: str, response: str, template: str = "") -> list[str]:
        """The prompt as template texts and `Data`.

        Raises:
            ValueError: the template doesn't name each field exactly once.
        """
        text = template or self.template
        if text.count(REQUEST) != 1 or text.count(RESPONSE) != 1 or text.index(REQUEST) > text.index(RESPONSE):
            raise ValueError("a guard's template names the request and then the response, once each")
        before, rest = text.split(REQUEST)
        between, after = rest.split(RESPONSE)
        return [before, Data(shield(head_and_tail(request))), between, Data(shield(head_and_tail(_no_turn(response)))), after]


def whole_request(prompt: Prompt) -> str:
    """The request as one text; of a dialogue every turn, numbered: what the last one asks for may stand in an earlier one.

    No turn can pretend to be two: a line in it that looks like the head of a turn gets a mark.
    """
    if len(prompt.messages) == 1:
        return prompt.text
    return "\n\n".join(f"(turn {number}, {turn.role})\n{_no_turn(turn.content)}" for number, turn in enumerate(prompt.messages, 1))


def _no_turn(text: str) -> str:
    return _TURN.sub(r"\1~", text)


def shield(text: str) -> str:
    """The text with a mark in everything that could be read as a control token, a heading or a rule of a prompt."""
    text = _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
    return _RULE.sub(r"\1 \2", _HEADING.sub(r"\1 ~", text))


def head_and_tail(text: str) -> str:
    """The head and the tail of a long text, with what was left out counted."""
    if len(text) <= HEAD + TAIL:
        return text
    return f"{text[:HEAD]}\n[{len(text) - HEAD - TAIL} characters left out]\n{text[-TAIL:]}"


def prompt_sha256(template: str) -> str:
    """First 8 digits of the template's digest."""
    return sha256_bytes(template.encode())[:8]
