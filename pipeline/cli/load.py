"""`iess load [SOURCE]`: take what has landed through selection, mapping and the gate into the warehouse."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import Json, out, progress, show_json
from pipeline.cli.context import clock_of, settings_of
from pipeline.cli.views import ledger_table


def command(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source (default: every source).")] = None,
    json: Json = False,
) -> None:
    """Load every landed pull that the warehouse does not hold yet, oldest first."""
    from pipeline import steps

    settings = settings_of(context)
    names = [settings.source(source).name] if source else sorted(settings.sources)
    loaded = []
    for name in names:
        with progress(f"loading {name}") as advance:
            loaded += steps.process_pending(settings, settings.source(name), clock_of(settings), progress=advance)
    if json:
        show_json([asdict(record) for record in loaded])
        return
    for record in loaded:
        out.print(ledger_table(record))
    if not loaded:
        out.print("Nothing to load: every landed pull is in the warehouse.")
