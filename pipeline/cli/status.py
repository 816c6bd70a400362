"""`iess status`: where each source stands, and which alerts are open."""

from __future__ import annotations

from dataclasses import asdict, astuple

import typer

from pipeline.cli.console import Json, out, show_json, table
from pipeline.cli.context import settings_of


def command(context: typer.Context, json: Json = False) -> None:
    """Last pulls, watermarks, freshness, open alerts."""
    from pipeline.status import look

    status = look(settings_of(context))
    if json:
        show_json(asdict(status))
        return
    columns = ("source", "last pull", "watermark", "data through", "infants", "quarantined", "landed, not loaded")
    out.print(table("Sources", columns, [astuple(source) for source in status.sources], numbers_from=4))
    if status.alerts:
        about = ("alert", "about", "status", "opened", "due", "with")
        out.print(table("Open alerts", about, [astuple(alert) for alert in status.alerts], numbers_from=6))
    else:
        out.print("No open alert.")
