"""`iess`: the command line. One file a subcommand; each calls the function of `pipeline` that a DAG task calls."""

from __future__ import annotations

import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fhir_source.errors import IessError
from pipeline.cli import (
    airflow,
    alerts,
    charts,
    db,
    demo,
    detect,
    doctor,
    erase,
    estimate,
    explain,
    load,
    power,
    pull,
    purge,
    quarantine,
    run,
    status,
    synth,
    weekly,
    worklist,
)
from pipeline.cli import map as map_command
from pipeline.cli.console import err
from pipeline.cli.context import Invocation

app = typer.Typer(
    name="iess",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    help="Referral-delay surveillance of Infantile Epileptic Spasms Syndrome from FHIR data.",
    epilog="Exit codes: 0 done, 1 a bug, 2 wrong usage, others in docs/operator-guide.md.",
)

app.command("demo")(demo.command)
app.command("pull")(pull.command)
app.command("map")(map_command.command)
app.command("load")(load.command)
app.command("weekly")(weekly.command)
app.command("run")(run.command)
app.command("status")(status.command)
app.add_typer(alerts.app, name="alerts")
app.add_typer(charts.app, name="charts")
app.command("worklist")(worklist.command)
app.command("explain")(explain.command)
app.command("power")(power.command)
app.add_typer(quarantine.app, name="quarantine")
app.command("purge")(purge.command)
app.command("erase")(erase.command)
app.command("doctor")(doctor.command)
app.command("synth")(synth.command)
app.command("detect")(detect.command)
app.command("estimate")(estimate.command)
app.command("airflow")(airflow.command)
app.add_typer(db.app, name="db")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("iess-referral-watch"))
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (default: $IESS_CONFIG, else ./iess.toml).")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that stand before the subcommand."""
    context.obj = Invocation(config)


def main() -> None:
    """Run, and end with a documented exit code and one clear message."""
    try:
        app()
    except IessError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", markup=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)
    except BrokenPipeError:
        # `iess ... | head`: the reader has gone, and that is no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        if os.environ.get("IESS_DEBUG"):
            raise
        err.print(
            f"[bold red]unexpected error:[/] {type(error).__name__} in "
            f"{escape(Path(where.filename).name)}:{where.lineno}. "
            "This is a bug. Its message is not shown, since it may hold patient data; "
            "IESS_DEBUG=1 shows it where that is allowed.",
            markup=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
