"""`iess erase SOURCE INFANT --reason TEXT`: remove one infant everywhere."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import Json, err, out, show_json, table
from pipeline.cli.context import clock_of, settings_of


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A source, as `iess status` names it.")],
    infant: Annotated[str, typer.Argument(help="Id of the infant's Patient resource.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record. No patient data.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask: for programs.")] = False,
    json: Json = False,
) -> None:
    """Erase an infant from every table of the warehouse and from the landed files, for good. The ledger stays."""
    from pipeline import erasure

    if not reason.strip():
        raise typer.BadParameter("--reason needs words")
    settings = settings_of(context)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("there is no terminal to confirm at; give --yes")
        if not typer.confirm("Erase this infant, and all records merged with it, for good?", err=True):
            err.print("Nothing is erased.")
            raise typer.Exit(130)
    done = erasure.erase(settings, source, infant, clock_of(settings), reason=reason.strip())
    if json:
        show_json(asdict(done))
        return
    if not done.patients:
        out.print("The infant was erased before; the warehouse holds nothing of them.")
    else:
        out.print(table("Erased", ("table", "rows"), list(done.rows.items())))
        out.print(f"{done.patients} Patient records of one infant are erased, and later pulls can't bring them back.")
    if done.landed_lines:
        out.print(f"{sum(done.landed_lines.values())} lines of {len(done.landed_lines)} landed pulls are gone too.")
