"""Tables that several subcommands print."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.panel import Panel

from pipeline.cli.console import table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pipeline.records import Loaded, Weekly

_LEDGER = ("type", "received", "loaded", "unchanged", "superseded", "deleted", "out of scope", "quarantined")


def ledger_table(loaded: Loaded) -> Table:
    """The conservation law of one pull: received is the sum of the rest, type by type."""
    return table(
        f"Ledger of {loaded.source}, pull {loaded.pull_id}", _LEDGER, [astuple(entry) for entry in loaded.ledger]
    )


def print_weekly(out: Console, weekly: Weekly) -> None:
    """The delays by group, the alert as it was sent, and where the report is."""
    rows = [
        (
            line.measure,
            line.dimension,
            line.group,
            line.infants,
            line.late,
            _percent(line.share_late),
            f"{_percent(line.low)} to {_percent(line.high)}" if line.low is not None else None,
            line.median_days,
        )
        for line in weekly.delays
    ]
    columns = ("measure", "by", "group", "infants", "late", "share late", "95% interval", "median days")
    out.print(table(f"Delays as of {weekly.as_of}", columns, rows, numbers_from=3))
    out.print(f"{weekly.weeks} weeks, {weekly.charts} charts, {weekly.signals} signals")
    for message in weekly.alerts:
        out.print(Panel(escape(message), title="Alert, as sent", border_style="red"))
    if not weekly.alerts:
        out.print("No alert.")
    if weekly.report:
        out.print(f"Report: {weekly.report}")


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f}%"
