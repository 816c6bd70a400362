"""`iess airflow`: Airflow standalone on the embedded PostgreSQL, with this project's DAGs and connections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import err, out, progress
from pipeline.cli.context import Invocation


def command(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1024, max=65535, help="Port of the web server.")] = 8080,
    home: Annotated[
        Path, typer.Option("--demo-home", help="Folder of the demo, whose hospitals are used without an iess.toml.")
    ] = Path(".demo"),
) -> None:
    """Start Airflow here with the DAGs and connections in place; Ctrl-C stops everything."""
    from pipeline.hospitals import hospitals
    from pipeline.settings import load_settings, settings_file
    from pipeline.standalone import run_standalone

    invocation = context.find_object(Invocation) or Invocation()
    config = settings_file(invocation.config)
    if config is not None:
        run_standalone(load_settings(config), config, port=port, say=out.print)
        return
    err.print("There is no iess.toml here: using the demo's two hospitals")
    with (
        progress("demo") as advance,
        hospitals(home, say=err.print, progress=advance) as running,
    ):
        run_standalone(running.settings, running.config, port=port, say=out.print)
