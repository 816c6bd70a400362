"""Deprivation by postal code: a table that the operator supplies. None is shipped, since the indices' terms forbid it.

The quintile of an infant is that of the home's area at the first provider visit. It is looked up when it is read, so
that a new edition holds for all infants at once.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from sqlalchemy import Engine, text

from fhir_source.errors import UnreadableInput
from warehouse.attributes import AREA
from warehouse.copying import copy_rows
from warehouse.errors import translated

if TYPE_CHECKING:
    from pathlib import Path

_NOT_IN_CODES = re.compile(r"[^A-Z0-9]")
#: What analysts see follows the table.
_RENEW = f"""
    UPDATE analytics.infant_interval i SET deprivation_quintile = area.deprivation_quintile
      FROM clinical.referral_timeline t JOIN clinical.infant_key k USING (source, infant) {AREA}
     WHERE t.valid_to IS NULL AND (i.source, i.infant_key) = (t.source, k.infant_key)
       AND i.deprivation_quintile IS DISTINCT FROM area.deprivation_quintile
"""  # noqa: S608 - our own SQL


def load_deprivation(engine: Engine, file: Path, *, edition: str) -> int:
    """Replace the table by a CSV file with the columns `postal_code` and `quintile` (1 least to 5 most deprived).

    `edition` names the index and its year. Gives the number of postal codes. Raises UnreadableInput with the line of
    what can't be used; then the former table stays.
    """
    areas = _read(file)
    with translated(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"))
        connection.execute(text("DELETE FROM clinical.area_deprivation"))
        copy_rows(
            connection,
            "clinical.area_deprivation",
            ("postal_code", "quintile", "edition"),
            ((code, quintile, edition) for code, quintile in sorted(areas.items())),
        )
        connection.execute(text(_RENEW))
    return len(areas)


def _read(file: Path) -> dict[str, int]:
    areas: dict[str, int] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            if not {"postal_code", "quintile"} <= set(rows.fieldnames or ()):
                raise _unusable(file, "has no columns postal_code and quintile")
            for row in rows:
                code = _NOT_IN_CODES.sub("", str(row["postal_code"]).upper())
                if not code or row["quintile"] not in {"1", "2", "3", "4", "5"}:
                    raise _unusable(file, f"has no postal code, or no quintile from 1 to 5, in line {rows.line_num}")
                if areas.setdefault(code, int(row["quintile"])) != int(row["quintile"]):
                    raise _unusable(file, f"gives the postal code of line {rows.line_num} a second quintile")
    except (OSError, UnicodeDecodeError, csv.Error):
        raise _unusable(file, "can't be read as CSV in UTF-8") from None
    if not areas:
        raise _unusable(file, "is empty")
    return areas


def _unusable(file: Path, why: str) -> UnreadableInput:
    return UnreadableInput(
        f"The table of deprivation {why}",
        file=file.name,
        kept="the former table",
        next_step="give a CSV with the columns postal_code and quintile: 1 (least) to 5 (most deprived)",
    )
