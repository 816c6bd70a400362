"""`iess demo`: the whole system on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import Json, err, out, progress, show_json
from pipeline.cli.views import ledger_table, print_weekly


def command(
    home: Annotated[Path, typer.Option("--home", help="Folder of the demo; emptied first.")] = Path(".demo"),
    airflow: Annotated[bool, typer.Option("--airflow", help="Through the real DAGs (what `make demo` does).")] = False,
    json: Json = False,
) -> None:
    """Two synthetic hospitals on a real FHIR server, to the report and the alert."""
    from pipeline.demo import run_demo

    with progress("demo", enabled=not json) as advance:
        report = run_demo(
            home,
            through_airflow=airflow,
            say=lambda text: err.print(f"[green]•[/] {text}"),
            progress=advance,
        )
    if json:
        show_json(asdict(report))
        return
    for loaded in report.loaded:
        out.print(ledger_table(loaded))
    print_weekly(out, report.weekly)
    out.print(f"Warehouse hash, without the FHIR servers' own time stamps: {report.warehouse_hash}")
