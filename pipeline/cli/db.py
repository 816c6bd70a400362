"""`iess db`: the warehouse's schema."""

from __future__ import annotations

import typer

from pipeline.cli.console import out
from pipeline.cli.context import settings_of

app = typer.Typer(help="The warehouse's schema: upgrade, hash.", no_args_is_help=True)


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
