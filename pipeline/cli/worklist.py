"""`iess worklist`: infants to act on today."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.console import AsOf, Json, as_date, out, show_json, table
from pipeline.cli.context import clock_of, settings_of


def command(
    context: typer.Context,
    as_of: AsOf = None,
    long_past: Annotated[
        bool, typer.Option("--long-past", help="Also those waiting over twelve weeks: records to be checked.")
    ] = False,
    json: Json = False,
) -> None:
    """Infants waiting now: no neurology 72 hours after first contact, or no treatment 7 days after diagnosis. PHI."""
    from pipeline import inspection

    settings = settings_of(context)
    found = inspection.worklist(settings, as_date(as_of) or clock_of(settings).today)
    shown = [row for row in found if long_past or not row["long_past"]]
    if json:
        show_json(shown)
        return
    left_out = len(found) - len(shown)
    if shown:
        columns = ("source", "infant", "waits for", "since", "days", "referral", "booked")
        rows = [
            (
                row["source"],
                escape(row["infant"]),
                row["reason"].removeprefix("no "),
                row["since"],
                row["days_waiting"],
                row["referral"],
                row["booked"],
            )
            for row in shown
        ]
        out.print(table("Waiting now", columns, rows, numbers_from=4))
    else:
        out.print("Nobody is on the work list.")
    if left_out:
        out.print(f"{left_out} waits of over twelve weeks are left out: check their records (--long-past shows them).")
