"""The tables: a module a PostgreSQL schema; `staged`, of a pull; `measures`, of the surveillance package."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules


def load_all() -> None:
    """Import every module of tables, so that the metadata is whole."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
