"""`iess purge`: retention by policy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import Json, out, show_json, table
from pipeline.cli.context import clock_of, settings_of


def command(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    json: Json = False,
) -> None:
    """Remove raw files and findings that the settings' `retention` keeps no longer. The ledger's counts stay."""
    from pipeline import retention

    settings = settings_of(context)
    done = retention.purge(settings, clock_of(settings), dry_run=dry_run)
    if json:
        show_json(asdict(done))
        return
    if done.landing_before is None and done.quarantine_before is None:
        out.print("The settings have no retention.landing_days and no retention.quarantine_days: all is kept.")
        return
    verb = "would be removed" if dry_run else "removed"
    rows: list[tuple[object, ...]] = [
        (
            f"landing {pull.source} {pull.pull_id}",
            pull.files,
            f"kept: {pull.kept_because}" if pull.kept_because else verb,
        )
        for pull in done.pulls
    ]
    rows += [(name, count, verb) for name, count in done.rows.items()]
    if rows:
        out.print(table("Retention", ("what", "files, rows", ""), rows))
    else:
        out.print("Nothing is past its time.")
