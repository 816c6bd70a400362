"""`iess run FOLDER|SOURCE`: all of it, from the pull to the report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.console import AsOf, Json, as_date, out, progress, show_json
from pipeline.cli.context import clock_of, settings_of
from pipeline.cli.views import ledger_table, print_weekly


def command(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="FOLDER|SOURCE", help="A folder of FHIR, or a source of the settings.")
    ],
    fhir_version: Annotated[Literal["R4", "R5"] | None, typer.Option("--fhir-version", help="For a folder.")] = None,
    site_timezone: Annotated[str, typer.Option("--site-timezone", help="For a folder: its site's time zone.")] = "UTC",
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Pull, map, check, load, measure, detect and report in one go."""
    from pipeline import steps, weekly

    settings = settings_of(context)
    source = (
        settings.source(what)
        if what in settings.sources or not Path(what).exists()
        else steps.folder_source(Path(what), timezone=site_timezone, fhir_version=fhir_version)
    )
    clock = clock_of(settings)
    with progress(f"{source.name}") as advance:
        steps.pull(settings, source, clock, progress=advance)
        loaded = steps.process_pending(settings, source, clock, progress=advance)
        found = weekly.run(settings, as_date(as_of) or clock.today, clock, progress=advance)
    if json:
        show_json({"loaded": [asdict(record) for record in loaded], "weekly": asdict(found)})
        return
    for record in loaded:
        out.print(ledger_table(record))
    print_weekly(out, found)
