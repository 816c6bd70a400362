"""`iess weekly --as-of DATE`: measure the delays, run the detector, raise and publish."""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.cli.console import AsOf, Json, as_date, out, progress, show_json
from pipeline.cli.context import clock_of, settings_of
from pipeline.cli.views import print_weekly


def command(context: typer.Context, as_of: AsOf = None, json: Json = False) -> None:
    """Work through all weeks since the last one: measures, detector, alert, report."""
    from pipeline import weekly

    settings = settings_of(context)
    clock = clock_of(settings)
    with progress("measuring") as advance:
        found = weekly.run(settings, as_date(as_of) or clock.today, clock, progress=advance)
    if json:
        show_json(asdict(found))
        return
    print_weekly(out, found)
