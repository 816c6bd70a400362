"""`iess airflow`: Airflow standalone on the embedded PostgreSQL, with this project's DAGs and connections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.context import settings_of


def command(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", min=1024, max=65535, help="Port of the web server.")] = 8080,
    config: Annotated[Path, typer.Option("--settings", help="Settings that the DAGs run with.")] = Path("iess.toml"),
) -> None:
    """Start Airflow here; stop it with Ctrl-C."""
    from pipeline.standalone import run_standalone

    run_standalone(settings_of(context), config, port=port)
