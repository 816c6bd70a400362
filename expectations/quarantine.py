"""Why a line or resource is in quarantine: the reason codes, what each means, and what to do next.

The codes are data (`reasons.csv`); the mapping puts them on what it can't use, `iess quarantine` shows them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from expectations.errors import CatalogueInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = ("reason", "meaning", "next_step", "replay")


@dataclass(frozen=True)
class Reason:
    """One reason code. `replay`: whether the stored line may pass once the record, a rule or a limit has changed."""

    reason: str
    meaning: str
    next_step: str
    replay: bool


@cache
def reasons() -> Mapping[str, Reason]:
    """All reasons by code, in the order of the table."""
    text = resources.files("expectations").joinpath("reasons.csv").read_text(encoding="utf-8")
    reader = csv.DictReader(text.splitlines(), strict=True)
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise CatalogueInvalid(f"reasons.csv must have the columns {', '.join(_COLUMNS)}", file="reasons.csv")
    return {
        row["reason"]: Reason(row["reason"], row["meaning"], row["next_step"], row["replay"] == "yes") for row in reader
    }


def explain(reason: str) -> Reason:
    """The reason by its code; one that is not in the table says so rather than fail, since old rows outlive tables."""
    unknown = Reason(
        reason, "No longer in the table of reasons", "Look the code up in an earlier release", replay=False
    )
    return reasons().get(reason, unknown)
