"""`iess charts`: the registered comparisons. Adding and retiring are dated acts of a named person."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.cli.alerts import By
from pipeline.cli.console import Json, out, show_json, table
from pipeline.cli.context import clock_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.charting import ChartLine

app = typer.Typer(help="The weekly comparisons: list, add, retire, verify.", no_args_is_help=True)


@app.command("list")
def list_charts(
    context: typer.Context,
    retired: Annotated[bool, typer.Option("--all", help="The retired ones too.")] = False,
    json: Json = False,
) -> None:
    """The registered charts, and where each stands."""
    from pipeline import charting

    found = charting.listed(settings_of(context), retired=retired)
    if json:
        show_json([asdict(line) for line in found])
    elif found:
        _show(found)
    else:
        out.print("No chart is registered: the first weekly run registers those of docs/measures.md.")


@app.command("add")
def add(
    context: typer.Context,
    measure: Annotated[str, typer.Argument(help="Such as I2 (docs/measures.md).")],
    dimension: Annotated[str, typer.Argument(help="Such as race_ethnicity.")],
    group: Annotated[str, typer.Argument(help="The group.")],
    reference: Annotated[str, typer.Argument(help="What it is compared with.")],
    by: By,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why this comparison; kept with it.")],
    scope: Annotated[str, typer.Option("--scope", help="within-site or total.")] = "within-site",
    version: Annotated[str, typer.Option("--version", help="binary or time-to-event (days waited).")] = "binary",
    role: Annotated[str, typer.Option("--role", help="alert (counts in the budget) or supporting.")] = "alert",
    margin: Annotated[
        float, typer.Option("--margin", help="Odds (or hazard) ratio that isn't material yet, such as 1.1.")
    ] = 1.0,
    min_reference: Annotated[int, typer.Option("--min-reference", help="Of the reference, before a block counts.")] = 1,
    json: Json = False,
) -> None:
    """Register a chart. It begins in this week, and an alerting one raises the limit of all from this week on."""
    from pipeline import charting
    from surveillance.measures.registry import Chart

    settings = settings_of(context)
    chart = Chart(
        measure,
        dimension,
        group,
        reference,
        scope,  # type: ignore[arg-type]
        role,  # type: ignore[arg-type]
        rationale=why,
        version=version,  # type: ignore[arg-type]
        margin=margin,
        min_reference=min_reference,
    )
    line = charting.add(settings, chart, clock_of(settings), by=by)
    if json:
        show_json(asdict(line))
    else:
        out.print(f"Registered {escape(line.chart)} from {line.registered_on} on.")


@app.command("retire")
def retire(
    context: typer.Context,
    chart: Annotated[str, typer.Argument(metavar="CHART", help="Id of the chart, as `iess charts list` shows it.")],
    by: By,
) -> None:
    """End a chart. Its weeks stay, and it can't be taken back."""
    from pipeline import charting

    settings = settings_of(context)
    line = charting.retire(settings, chart, clock_of(settings), by=by)
    out.print(f"Retired {escape(line.chart)} on {line.retired_on}.")


@app.command("verify")
def verify(context: typer.Context, json: Json = False) -> None:
    """Check the hashes of every chart's weeks, and compute every week anew from its counts."""
    from pipeline import charting

    found = charting.verified(settings_of(context))
    if json:
        show_json([asdict(line) for line in found])
    else:
        rows = [
            (escape(line.chart), line.head[:12] if line.head else None, line.weeks, line.last_week) for line in found
        ]
        columns = ("chart", "head of its hashes", "weeks", "last week")
        out.print(table("Every week matches its hash, and computes to the same", columns, rows, numbers_from=2))


def _show(lines: Sequence[ChartLine]) -> None:
    columns = ("chart", "role", "from", "retired", "last week", "evidence", "limit")
    rows = [
        (
            escape(line.chart),
            line.role,
            line.registered_on or "first data",
            line.retired_on,
            line.last_week,
            None if line.m is None else f"{line.m:.3g}",
            None if line.limit is None else f"{line.limit:g}",
        )
        for line in lines
    ]
    out.print(table("Charts", columns, rows, numbers_from=4))
