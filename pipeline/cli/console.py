"""How every subcommand speaks: tables to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Wide enough for a ledger where no terminal says how wide it is.
_WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120

out = Console(soft_wrap=True, highlight=False, width=_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day up to which everything is known (default: today)."),
]


def show_json(value: Any) -> None:
    """One JSON document on standard output, keys in their own order."""
    typer.echo(json.dumps(value, indent=2, default=_plain))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers_from: int = 1) -> Table:
    """A table whose columns from `numbers_from` on are numbers, right-aligned; None is shown as a dash."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for position, name in enumerate(columns):
        # Folded, not cut: an id that ends in dots names nothing.
        shown.add_column(name, justify="right" if position >= numbers_from else "left", overflow="fold")
    for row in rows:
        shown.add_row(*("–" if cell is None else str(cell) for cell in row))
    return shown


@contextmanager
def progress(description: str, *, enabled: bool = True) -> Iterator[Callable[[str, int], None]]:
    """A progress line on standard error; the callback takes what is being counted and how many more were done.

    Shown on a terminal only: a log file is not filled with bars.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not (enabled and err.is_terminal)) as bars:
        tasks = {"": bars.add_task(description, total=None)}

        def advance(what: str, count: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(f"  {what}", total=None)
            bars.advance(tasks[what], count)

        yield advance


def as_date(value: datetime | None) -> date | None:
    """Typer parses dates as datetimes."""
    return value.date() if value is not None else None


def _plain(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (set, frozenset, tuple)):
        return sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    return str(value)
