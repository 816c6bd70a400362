"""Tables that several subcommands print."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from pipeline.cli.console import table

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from pipeline.records import DelayByGroup, Loaded, Weekly

_LEDGER = ("type", "received", "loaded", "unchanged", "superseded", "deleted", "out of scope", "quarantined")


def ledger_table(loaded: Loaded) -> Table:
    """The conservation law of one pull: received is the sum of the rest, type by type."""
    return table(
        f"Ledger of {loaded.source}, pull {loaded.pull_id}", _LEDGER, [astuple(entry) for entry in loaded.ledger]
    )


def print_weekly(out: Console, weekly: Weekly) -> None:
    """The delays by group, the alert as it was sent, and where the report is."""
    rows = [
        (line.measure, _group(line), line.infants, line.late, _share(line), line.median_days) for line in weekly.delays
    ]
    columns = ("measure", "group", "infants", "late", "share late (95%)", "median days")
    out.print(table(f"Delays as of {weekly.as_of}", columns, rows, numbers_from=2))
    alerting = f"{weekly.alerting_charts} of which may alert"
    out.print(f"{weekly.weeks} weeks, {weekly.charts} charts ({alerting}), {weekly.signals} signals")
    for message in weekly.alerts:
        out.rule("Alert, as sent", style="red")
        out.print(message, markup=False)
        out.rule(style="red")
    if not weekly.alerts:
        out.print("No alert.")
    if weekly.report:
        out.print(f"Report: {weekly.report}")


def _group(line: DelayByGroup) -> str:
    return "all" if line.dimension == "all" else f"{line.dimension}: {line.group}"


def _share(line: DelayByGroup) -> str | None:
    if line.share_late is None:
        return None
    interval = "" if line.low is None or line.high is None else f" ({100 * line.low:.0f}-{100 * line.high:.0f})"
    return f"{100 * line.share_late:.0f}%{interval}"
