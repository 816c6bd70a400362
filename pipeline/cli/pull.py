"""`iess pull SOURCE`: bring a source's FHIR resources into the landing zone."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.console import Json, out, progress, show_json, table
from pipeline.cli.context import clock_of, settings_of


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A source named in the settings.")],
    json: Json = False,
) -> None:
    """Pull a source into the landing zone (nothing is loaded yet)."""
    from pipeline import steps

    settings = settings_of(context)
    with progress(f"pulling {source}") as advance:
        pulled = steps.pull(settings, settings.source(source), clock_of(settings), progress=advance)
    if json:
        show_json(asdict(pulled))
        return
    out.print(table(f"Pull {pulled.pull_id} of {source}", ("type", "received"), sorted(pulled.counts.items())))
    for note in pulled.notes:
        out.print(f"- {escape(note)}")
    if pulled.loaded:
        out.print("This pull has landed before, and is loaded.")
    else:
        out.print(f"Landed, not loaded yet: [bold]iess load {source}[/]")
