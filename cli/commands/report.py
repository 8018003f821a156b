"""`truenorth report RUN`: decide again and rebuild the report. Nothing is generated or judged."""

from __future__ import annotations

from pathlib import Path

import click

from ..options import FOLDER, json_option


@click.command("report")
@click.argument("run", type=FOLDER)
@click.option("--redact", is_flag=True, help="Replace prompts and responses that may be harmful by their digests.")
@click.option("--out", type=FOLDER, metavar="DIR", help="Where the files go; RUN/report by default.")
@click.option(
    "--export",
    "exports",
    type=click.Choice(["lm-eval", "inspect", "every-eval-ever"]),
    multiple=True,
    help="Also write the results in another tool's format, to the folder export beside the report. Repeats.",
)
@json_option
def command(run: Path, redact: bool, out: Path | None, exports: tuple[str, ...], as_json: bool) -> int:
    """Rebuild the report of a finished run. RUN is the --out folder of run, eval or compare."""
    from ...reports.build import build_report
    from ..manifest import eval_config, read_manifest
    from ..verdict import conclude, exit_code

    config = eval_config(read_manifest(run), run)
    comparison = build_report(run, out, redact=redact, exports=exports)
    return conclude(comparison, exit_code(comparison, config.inconclusive), run, as_json=as_json, report=out)
