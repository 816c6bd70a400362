"""`iess estimate DATA.csv --out PATH.csv`: every estimator of the weekly run on a table of one's own. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import Json, out, show_json


def command(
    data: Annotated[
        Path,
        typer.Argument(help="CSV: days and status, or late, or both; group, site, entry, n, covariates.", exists=True),
    ],
    out_file: Annotated[Path, typer.Option("--out", help="CSV of the estimates, one row each.")],
    reference: Annotated[
        str | None, typer.Option("--reference", help="Group to compare with (default: the first by name).")
    ] = None,
    days: Annotated[
        list[float] | None, typer.Option("--day", help="Day for survival and incidence; again for more.")
    ] = None,
    tau: Annotated[float, typer.Option("--tau", min=0, help="Horizon of the restricted mean, days.")] = 28,
    adjust: Annotated[
        list[str] | None, typer.Option("--adjust", help="Covariate of the second models; again for more.")
    ] = None,
    min_at_risk: Annotated[
        int, typer.Option("--min-at-risk", min=1, help="Fewest at risk where a curve under late entry begins.")
    ] = 1,
    ordered: Annotated[
        bool,
        typer.Option("--ordered", help="Groups go from least to most deprived by name: indices that need an order."),
    ] = False,
    json: Json = False,
) -> None:
    """Estimate proportions, differences, ratios, curves and models of a table, as the weekly run does."""
    import pandas as pd

    from fhir_source.errors import SettingsError, UnreadableInput
    from surveillance.estimating import estimate_frame

    try:
        # As text: a group may be called NA, or 01 beside 1.
        table = pd.read_csv(data, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError):
        raise UnreadableInput("Not a CSV file with a header line", file=str(data)) from None
    found = estimate_frame(
        table,
        reference=reference,
        days=days or (7, 14, 28),
        tau=tau,
        adjust=adjust or (),
        min_at_risk=min_at_risk,
        ordered=ordered,
    )
    try:
        found.to_csv(out_file, index=False)
    except OSError:
        raise SettingsError("The estimates can't be written there", file=str(out_file)) from None
    given = int(found["estimate"].notna().sum())
    if json:
        show_json({"estimates": len(found), "given": given, "out": str(out_file)})
        return
    out.print(f"{len(found)} estimates, {len(found) - given} of them a reason why not: {out_file}")
