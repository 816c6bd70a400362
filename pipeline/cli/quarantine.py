"""`iess quarantine`: what could not be used, why, and another try."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.console import Json, out, progress, show_json, table
from pipeline.cli.context import clock_of, settings_of
from pipeline.cli.views import ledger_table

app = typer.Typer(help="Lines and resources that could not be used: list, show, replay.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="A source, as `iess status` names it.")]


@app.command("list")
def list_findings(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="Only this source (default: every source).")] = None,
    json: Json = False,
) -> None:
    """Findings by pull and reason: counts, no ids."""
    from expectations.quarantine import explain
    from pipeline import replay

    found = replay.counts(settings_of(context), source)
    if json:
        show_json([{**line._asdict(), "meaning": explain(line.reason).meaning} for line in found])
        return
    if not found:
        out.print("Nothing is in quarantine.")
        return
    columns = ("source", "pull", "stage", "type", "reason", "meaning", "findings")
    rows = [
        (line.source, line.pull_id, line.stage, line.resource_type, line.reason, explain(line.reason).meaning,
         line.findings)
        for line in found
    ]  # fmt: skip
    out.print(table("Quarantine", columns, rows, numbers_from=6))


@app.command("show")
def show(
    context: typer.Context,
    source: Source,
    pull_id: Annotated[str, typer.Argument(metavar="PULL_ID", help="Such as 20260105T070000Z.")],
    json: Json = False,
) -> None:
    """Findings of one pull with file and line, and what to do. Resource ids are PHI: for the clinical role only."""
    from expectations.quarantine import explain
    from pipeline import replay

    found = replay.findings(settings_of(context), source, pull_id)
    if json:
        show_json([finding._asdict() for finding in found])
        return
    if not found:
        out.print("Nothing of this pull is in quarantine.")
        return
    columns = ("", "file", "line", "resource", "reason", "path", "message")
    rows = [
        (
            finding.n,
            escape(finding.file),
            finding.line or None,
            escape(f"{finding.resource_type}/{finding.resource_id}") if finding.resource_type else None,
            finding.reason,
            escape(finding.path),
            escape(finding.message),
        )
        for finding in found
    ]
    out.print(table(f"Quarantine of {source}, pull {pull_id}", columns, rows, numbers_from=7))
    for reason in sorted({finding.reason for finding in found}):
        known = explain(reason)
        again = "a replay may then pass it" if known.replay else "a replay can't help"
        out.print(f"[bold]{reason}[/]: {escape(known.meaning)}. {escape(known.next_step)} ({again}).")


@app.command("replay")
def replay(
    context: typer.Context,
    source: Source,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Only pulls with findings of this reason; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Take the pulls with findings through selection, mapping and the gate again; what now passes is loaded."""
    from pipeline import replay as replaying

    settings = settings_of(context)
    with progress(f"replaying {source}", enabled=not json) as advance:
        loaded = replaying.replay(settings, source, clock_of(settings), reasons=reason, progress=advance)
    if json:
        show_json([asdict(record) for record in loaded])
        return
    for record in loaded:
        out.print(ledger_table(record))
    if not loaded:
        out.print("Nothing to replay.")
