"""The command line: `truenorth COMMAND`. Finds commands, and turns every way a command can end into pytest's exit codes.

    0 all gates passed    1 a gate or check failed    2 interrupted    3 infrastructure failed or incomplete
    4 wrong usage or bad input    5 filters left nothing to evaluate

Each command is a file in `cli/commands/`, imported when it is asked for. What they import at their top is light.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from ..prompts.errors import TruenorthError
from . import console

COMMANDS = ("run", "train", "eval", "judge", "audit", "labels", "compare", "report", "suites", "doctor", "verify", "init")
"""In the order of the help text; `NAME` is `command` in `cli/commands/NAME.py`."""

INTERRUPTED, BROKEN, USAGE = 2, 3, 4


class LazyGroup(click.Group):
    """A group whose commands are imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands' names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f".commands.{cmd_name}", __package__).command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, or say which one was probably meant."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}. {console.did_you_mean(args[0], COMMANDS)}", ctx=ctx)
        return super().resolve_command(ctx, args)


def _kebab(token: str) -> str:
    return token.replace("_", "-")


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _kebab},
    epilog="Start with: truenorth run tiny",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an unexpected error.")
@click.version_option(package_name="truenorth", message="truenorth %(version)s")
def cli(debug: bool) -> None:
    """Train with human preferences, then measure what it bought and what it cost."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never raises."""
    arguments = list(sys.argv[1:] if args is None else args)
    _quiet_dependencies()
    console.prepare_streams()
    before = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        code = _guarded(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)
    console.close_stdout()
    return code


def _guarded(arguments: list[str]) -> int:
    try:
        result: Any = cli.main(arguments or ["--help"], prog_name="truenorth", standalone_mode=False, obj=tuple(arguments))
        return result if isinstance(result, int) else 0
    except click.UsageError as error:
        return console.fail(f"{error.format_message()}\n{_help_hint(error)}", USAGE)
    except click.ClickException as error:
        return console.fail(error.format_message(), USAGE)
    except TruenorthError as error:
        return console.fail(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return console.fail("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except BrokenPipeError:
        return 0  # the reader of our output has seen enough
    except Exception as error:
        return console.unexpected(error, BROKEN, debug="--debug" in arguments)


def _help_hint(error: click.UsageError) -> str:
    return f"See: {error.ctx.command_path} --help" if error.ctx else "See: truenorth --help"


def _on_sigterm(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends at once
    raise KeyboardInterrupt


def _quiet_dependencies() -> None:
    """No telemetry of libraries, no notes addressed to their own developers; in a log a line of progress every ten seconds."""
    for name, value in {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}.items():
        os.environ.setdefault(name, value)
    if sys.stderr is None or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "10")
    if not sys.warnoptions:
        warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
