"""The clinical mix, from `rates.csv`: one row a rate, with why it is what it is."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate
from typing import TYPE_CHECKING

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping


@dataclass(frozen=True)
class Table:
    """Values to draw from, with their weights added up."""

    values: tuple[str, ...]
    cumulative: tuple[float, ...]

    def pick(self, draw: random.Random) -> str:
        return draw.choices(self.values, cum_weights=self.cumulative)[0]


@dataclass(frozen=True)
class Rates:
    """`rates["untreated"]` is a number; `rates.table("race")` draws from the rows named `race.<value>`."""

    numbers: Mapping[str, float]
    tables: Mapping[str, Table]

    def __getitem__(self, name: str) -> float:
        return self.numbers[name]

    def table(self, name: str) -> Table:
        return self.tables[name]


@lru_cache(maxsize=1)
def _shipped() -> dict[str, float]:
    text = files("synthetic").joinpath("rates.csv").read_text(encoding="utf-8")
    return {row["name"]: float(row["value"]) for row in csv.DictReader(text.splitlines())}


def load(changed: Mapping[str, float] | None = None) -> Rates:
    """The shipped rates with `changed` laid over them. Raises SettingsError for an unknown name or a negative value."""
    numbers = dict(_shipped())
    for name, value in (changed or {}).items():
        if name not in numbers or value < 0:
            raise SettingsError(f"There is no rate {name!r} that could be {value}", next_step="see synthetic/rates.csv")
        numbers[name] = value
    grouped: dict[str, list[tuple[str, float]]] = {}
    for name, value in numbers.items():
        table, dot, entry = name.partition(".")
        if dot:
            grouped.setdefault(table, []).append((entry, value))
    tables = {
        table: Table(tuple(value for value, _ in rows), tuple(accumulate(weight for _, weight in rows)))
        for table, rows in grouped.items()
    }
    return Rates(numbers, tables)
