"""`iess explain SOURCE INFANT`: one infant's timeline with its evidence."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.context import settings_of


def command(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A source, as `iess status` names it.")],
    infant: Annotated[str, typer.Argument(help="Id of the infant's Patient resource.")],
) -> None:
    """One infant's timeline: what happened when, who says so, by which rule. PHI: written nowhere but here."""
    from pipeline import explaining

    typer.echo(explaining.explain(settings_of(context), source, infant), nl=False)
