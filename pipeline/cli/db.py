"""`iess db`: the warehouse's schema."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import out
from pipeline.cli.context import settings_of

app = typer.Typer(
    help="The warehouse's database: upgrade, hash, psql and backups, rotate the key of the keyed hashes.",
    no_args_is_help=True,
)


@app.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the warehouse to the revision of this code (creates it when it is empty)."""
    from pipeline.database import database_url
    from warehouse import migrate
    from warehouse.engine import open_engine

    with database_url(settings_of(context)) as url:
        engine = open_engine(url)
        migrate.upgrade(engine)
        engine.dispose()
    out.print("The warehouse is at the revision of this code.")


@app.command("hash")
def content_hash(context: typer.Context) -> None:
    """Print the hash of the warehouse's content (not of its order, nor of when it was written)."""
    from pipeline.database import open_warehouse
    from warehouse.fingerprint import warehouse_hash

    with open_warehouse(settings_of(context)) as engine:
        typer.echo(warehouse_hash(engine))


@app.command("exec", context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def execute(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="psql, pg_dump, pg_restore ... with its own options.")],
    role: Annotated[str | None, typer.Option("--role", help="Role to take, such as iess_analyst.")] = None,
) -> None:
    """Run psql, pg_dump or the like on the warehouse, the embedded one too; ends with its exit code."""
    from pipeline.database import client_environment

    with client_environment(settings_of(context), role=role) as environment:
        program = shutil.which(command[0], path=environment["PATH"])
        if program is None:
            raise typer.BadParameter(f"no program of that name: {command[0]}")
        # Ctrl-C is the program's: psql stops a query by it, and the server must outlive that.
        former = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            ended = subprocess.run([program, *command[1:]], env=environment, check=False)  # noqa: S603
        finally:
            signal.signal(signal.SIGINT, former)
    raise typer.Exit(ended.returncode if ended.returncode >= 0 else 128 - ended.returncode)


@app.command("deprivation")
def deprivation(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="CSV: postal_code, quintile (default: the setting deprivation.table).")
    ] = None,
    edition: Annotated[
        str | None, typer.Option("--edition", help="Name of the index and its year (default: deprivation.edition).")
    ] = None,
) -> None:
    """Load a table of deprivation by postal code in place of the former one."""
    from fhir_source.errors import SettingsError
    from pipeline.database import open_warehouse
    from warehouse.deprivation import load_deprivation

    settings = settings_of(context)
    table = file or settings.deprivation.table
    name = edition or settings.deprivation.edition
    if table is None or not name:
        raise SettingsError(
            "No table of deprivation, or no edition of it, is named",
            next_step="give FILE and --edition, or set deprivation.table and deprivation.edition",
        )
    with open_warehouse(settings) as engine:
        areas = load_deprivation(engine, table, edition=name)
    out.print(f"{areas} postal codes of {name} are loaded.")


@app.command("rotate-key")
def rotate_key(
    context: typer.Context,
    new_key_file: Annotated[
        Path | None,
        typer.Option(
            "--new-key-file",
            help="File (mode 600) with the new key; needed when the key in use comes from IESS_HASH_KEY.",
        ),
    ] = None,
) -> None:
    """Give every infant a new key in `analytics`: what was exported before can't be joined to what comes after."""
    from pipeline import hash_key
    from pipeline.database import open_warehouse

    settings = settings_of(context)
    with open_warehouse(settings) as engine:
        infants = hash_key.rotate(settings, engine, new_key_file)
    out.print(f"{infants} infants have new keys.")
    if settings.hash_key is not None:
        out.print("Set IESS_HASH_KEY to the new key now: no load works with the former one.")
    else:
        out.print(f"The new key is in {settings.home / 'hash.key'}; the former one is gone.")
