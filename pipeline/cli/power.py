"""`iess power`: what the weekly alert can and can't see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.console import AsOf, Json, as_date, out, progress, show_json, table
from pipeline.cli.context import clock_of, settings_of


def command(
    context: typer.Context,
    cases: Annotated[
        float | None, typer.Option("--cases", min=1, max=100_000, help="Infants with IESS a year, all sites together.")
    ] = None,
    group_share: Annotated[
        float | None, typer.Option("--group-share", min=0.001, max=0.999, help="Share of the group compared.")
    ] = None,
    reference_share: Annotated[
        float | None, typer.Option("--reference-share", min=0.001, max=0.999, help="Share of the reference.")
    ] = None,
    late: Annotated[
        float | None, typer.Option("--late", min=0.001, max=0.999, help="Share late in the reference (0.4 if unknown).")
    ] = None,
    sites: Annotated[int | None, typer.Option("--sites", min=1, max=100, help="Sites, each compared within.")] = None,
    odds_ratio: Annotated[
        float, typer.Option("--odds-ratio", min=1.01, max=100, help="The difference to be seen.")
    ] = 2.0,
    simulated: Annotated[
        int, typer.Option("--simulated", min=10, max=10_000, help="Charts simulated; more are slower and surer.")
    ] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed and options, same figures.")] = 1,
    as_of: AsOf = None,
    json: Json = False,
) -> None:
    """Simulate false alerts a year and weeks to detection, chart by chart.

    Volume and shares are this network's, from its last year in the warehouse, but for those given here.
    """
    from pipeline import inspection

    settings = settings_of(context)
    volume = inspection.Volume(cases, group_share, reference_share, late, sites, odds_ratio)
    day = as_date(as_of) or clock_of(settings).today
    with progress("simulating", enabled=not json) as advance:
        found = inspection.sight(settings, day, volume, simulated=simulated, seed=seed, progress=advance)
    if json:
        show_json({**asdict(found), "false_a_year": found.false_a_year})
        return
    rows = [
        (
            line.chart,
            *(
                (
                    f"{line.power.scenario.cases:.0f}",
                    f"{line.power.scenario.group_share:.0%} v {line.power.scenario.reference_share:.0%}",
                    f"{line.power.false_a_year:.3f}",
                    f"{line.power.median_weeks:.0f}" if line.power.median_weeks is not None else "over 260",
                    *(f"{share:.0%}" for share in line.power.detected.values()),
                )
                if line.power
                else (None,) * 7
            ),
        )
        for line in found.charts
    ]
    columns = (
        "chart",
        "cases a year",
        "group v reference",
        "false alerts a year",
        "median weeks",
        "seen in 26 weeks",
        "52",
        "104",
    )
    out.print(table(f"Weeks to see an odds ratio of {odds_ratio:g}, limit {found.limit:g}", columns, rows))
    out.print(
        f"All charts together: {found.false_a_year:.2f} false alerts a year in {simulated} simulations a chart; "
        f"at most {found.budget:g} by the limit."
    )
    if any(line.power is None for line in found.charts):
        out.print("– : too few infants to tell the volume; give --cases, --group-share and --reference-share.")
    out.print("The weeks that an outcome takes to mature come on top.")
