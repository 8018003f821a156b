"""`truenorth run [PROFILE|FILE.yaml]`: train, evaluate, compare, report."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import json_option, out_option, override_option, profile_argument


@click.command("run")
@profile_argument
@out_option(required=False, text="Folder of the run; runs/PROFILE by default. The same again goes on where it stopped.")
@override_option
@json_option
def command(profile: str, out: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:
    """Train a reward model and a policy, then measure base against tuned.

    PROFILE is tiny (the default: CPU, minutes, no network), mistral-7b or mistral-7b-qlora. Exits 0 when all gates passed, 1 when one
    failed.
    """
    from ..config import load_config
    from ..joint import refuse_several
    from ..pipeline import run_pipeline
    from ..run_folder import check_out
    from ..verdict import conclude

    refuse_several("run")
    config = load_config(profile, overrides)
    folder = out or default_folder(profile)
    check_out(folder)
    comparison, code = run_pipeline(config, folder, command="run")
    return conclude(comparison, code, folder, as_json=as_json)


def default_folder(profile: str) -> Path:
    """`runs/PROFILE`; for a file, its name without the suffix."""
    return Path("runs") / Path(profile).stem
