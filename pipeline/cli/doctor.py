"""`iess doctor`: is everything in place for a pull and a load?"""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.cli.console import Json, out, progress, show_json
from pipeline.cli.context import settings_of

_SIGNS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}


def command(context: typer.Context, json: Json = False) -> None:
    """Check settings, database, disk and every source; ends with the exit code of the first problem."""
    from rich.markup import escape

    from pipeline.doctor import examine

    settings = settings_of(context)
    checks = []
    with progress("examining", enabled=not json):
        for check in examine(settings):
            checks.append(check)
            if not json:
                out.print(f"{_SIGNS[check.verdict]}  {check.name}: {escape(check.detail)}")
    if json:
        show_json([asdict(check) for check in checks])
    problems = [check for check in checks if check.verdict == "problem"]
    if problems:
        raise typer.Exit(problems[0].exit_code)
