"""Strata as data: dimensions by which measures are reported, their fixed references and orders (`dimensions.csv`)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Literal


@dataclass(frozen=True)
class Dimension:
    """One way to group infants. `order` lists its values from least to most where they have one."""

    name: str
    reference: str | None
    order: tuple[str, ...]
    use: Literal["charted", "everywhere", "further", "pair"]
    meaning: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns that a pair joins; the dimension itself otherwise."""
        return tuple(self.name.split("+"))


def _read() -> dict[str, Dimension]:
    text = (resources.files(__package__) / "dimensions.csv").read_text(encoding="utf-8")
    return {
        row["dimension"]: Dimension(
            row["dimension"],
            row["reference"] or None,
            tuple(row["order"].split()),
            row["use"],  # type: ignore[arg-type]
            row["meaning"],
        )
        for row in csv.DictReader(text.splitlines())
    }


DIMENSIONS_BY_NAME = _read()
#: Dimensions that charts may watch, outcomes are frozen with and releases may show; `source` is the last.
DIMENSIONS = tuple(name for name, one in DIMENSIONS_BY_NAME.items() if one.use == "charted")
#: Never charted or released, but estimated in every scope and window as those are.
EVERYWHERE = tuple(name for name, one in DIMENSIONS_BY_NAME.items() if one.use == "everywhere")
#: These, and others that are estimated for the whole network and all of the past only, as pairs are.
FURTHER_DIMENSIONS = tuple(name for name, one in DIMENSIONS_BY_NAME.items() if one.use in ("everywhere", "further"))
PAIRS = tuple(name for name, one in DIMENSIONS_BY_NAME.items() if one.use == "pair")
#: Fixed reference of each dimension (fixed, since the best of J groups is a biased reference). None: no comparison.
REFERENCES: dict[str, str | None] = {name: one.reference for name, one in DIMENSIONS_BY_NAME.items()}
#: Values that are no group: reported in their own row, never compared, never charted.
UNKNOWN = frozenset({"unknown", "declined", "undetermined", ""})
#: Fewest infants of a cell of a pair that have an estimate (clinical.md 5.5: show only cells of 11 or more).
MIN_PAIR_CELL = 11
