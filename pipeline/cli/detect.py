"""`iess detect BLOCKS.csv --out PATH.csv`: the weekly detector on counts. Pure: no database, no settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import Json, out, show_json


def command(
    blocks: Annotated[
        Path, typer.Argument(help="CSV: week, site, prior_neurology, x, n_group, y, n_reference.", exists=True)
    ],
    out_file: Annotated[Path, typer.Option("--out", help="CSV of the chart, one row a week.")],
    charts: Annotated[int, typer.Option("--charts", min=1, max=1_000_000, help="K: charts that share the budget.")] = 1,
    budget: Annotated[
        float, typer.Option("--budget", min=1e-6, max=1e6, help="B: false alerts a year over all charts.")
    ] = 1.0,
    json: Json = False,
) -> None:
    """Run the e-SR detector with limit A = 52 K / B over weekly blocks of counts."""
    import pandas as pd

    from fhir_source.errors import SettingsError, UnreadableInput
    from surveillance.detector import detect_frame

    try:
        # As text: a site may be called NA, or 01 beside 1.
        counts = pd.read_csv(blocks, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError):
        raise UnreadableInput("Not a CSV file with a header line", file=str(blocks)) from None
    counts.columns = counts.columns.str.strip()
    chart = detect_frame(counts, charts=charts, budget=budget)
    try:
        chart.to_csv(out_file, index=False)
    except OSError:
        raise SettingsError("The chart can't be written there", file=str(out_file)) from None
    signals = [str(week) for week in chart.loc[chart["signal"], "week"]]
    if json:
        show_json({"weeks": len(chart), "limit": 52 * charts / budget, "signals": signals, "out": str(out_file)})
        return
    out.print(f"{len(chart)} weeks, limit {52 * charts / budget:g}, {len(signals)} signals: {out_file}")
    for week in signals:
        out.print(f"  signal in the week of {week}")
