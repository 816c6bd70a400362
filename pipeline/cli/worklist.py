"""`iess worklist`: infants to act on today."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.cli.console import AsOf, Json, as_date, out, show_json, table
from pipeline.cli.context import clock_of, settings_of

if TYPE_CHECKING:
    from pipeline.settings import Settings


def command(
    context: typer.Context,
    as_of: AsOf = None,
    long_past: Annotated[
        bool, typer.Option("--long-past", help="Also those waiting over twelve weeks: records to be checked.")
    ] = False,
    tell: Annotated[
        bool, typer.Option("--tell", help="Send the day's message (counts, no PHI) instead, as the DAG iess_worklist.")
    ] = False,
    json: Json = False,
) -> None:
    """Infants waiting now: no neurology 72 hours after first contact, or no treatment 7 days after diagnosis. PHI."""
    from pipeline import inspection

    settings = settings_of(context)
    if tell:
        _tell(settings, json=json)
        return
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


def _tell(settings: Settings, *, json: bool) -> None:
    from pipeline import weekly, worklist

    clock = clock_of(settings)
    told = worklist.tell(settings, clock)
    delivered = weekly.notify(settings, clock)
    if json:
        show_json({**asdict(told), "delivered": delivered})
    elif told.message_id is None:
        out.print("Nobody is on the work list, and nobody was told.")
    else:
        sent = "delivered" if told.message_id in delivered else "in the outbox" if told.fresh else "told before"
        out.print(f"{told.waiting} infants wait: {told.message_id}, {sent}.")
