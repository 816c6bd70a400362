"""What is known of an infant beside the timeline's columns, and the groups that analysts see of it.

The mapping's attributes (`fhir_mapping/attributes.csv`) are kept as one JSON object in the timeline's row, so that they
share its history and a new attribute needs no migration; here is the SQL that turns them into columns.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources
from typing import Literal


@dataclass(frozen=True)
class Attribute:
    """One attribute of the mapping: its name, type and meaning."""

    name: str
    type: Literal["text", "int"]
    meaning: str


def _read(package: str, file: str) -> list[dict[str, str]]:
    return list(csv.DictReader((resources.files(package) / file).read_text(encoding="utf-8").splitlines()))


ATTRIBUTES = tuple(
    Attribute(row["attribute"], "int" if row["type"] == "int" else "text", row["meaning"])
    for row in _read("fhir_mapping", "attributes.csv")
)
#: Etiology -> its group, after the classes of the National Infantile Spasms Consortium (Wirrell 2015), TSC apart.
ETIOLOGY_GROUPS = {row["etiology"]: row["group"] for row in _read("warehouse", "etiology_groups.csv")}


def expressions() -> dict[str, str]:
    """SQL of each attribute of a timeline row `t`, by name; NULL where it is not known."""
    return {
        one.name: f"(t.attributes ->> '{one.name}'){'::integer' if one.type == 'int' else ''}" for one in ATTRIBUTES
    }


#: Joins `area.deprivation_quintile` to a timeline row `t`: by the whole postal code, else by its first five characters.
AREA = """LEFT JOIN LATERAL (
      SELECT d.quintile AS deprivation_quintile
        FROM upper(regexp_replace(t.attributes ->> 'postal_code', '[^A-Za-z0-9]', '', 'g')) AS code
        JOIN clinical.area_deprivation d ON d.postal_code IN (code, left(code, 5))
       ORDER BY length(d.postal_code) DESC LIMIT 1) area ON true"""


def _up_to_three(name: str) -> str:
    number = f"(t.attributes ->> '{name}')::integer"
    return f"CASE WHEN {number} > 3 THEN 3 ELSE {number} END"  # not least(), which takes NULL for the larger one


_WEEKS = "(t.attributes ->> 'gestational_weeks')::integer"
_GROUPS = ", ".join(f"('{etiology}', '{group}')" for etiology, group in ETIOLOGY_GROUPS.items())

#: SQL of what analysts see of the attributes of a timeline row `t`, by column of `analytics.infant_interval`.
COARSE = {
    "spd15": "coalesce(t.attributes ->> 'spd15', 'unknown')",
    "caregiver_race_ethnicity": "coalesce(t.attributes ->> 'caregiver_race_ethnicity', 'unknown')",
    "caregiver_bipoc": "coalesce(t.attributes ->> 'caregiver_bipoc', 'unknown')",
    # Classes of the WHO (Born Too Soon, 2012).
    "prematurity": (
        f"CASE WHEN {_WEEKS} < 28 THEN 'extremely_preterm' WHEN {_WEEKS} < 32 THEN 'very_preterm' "
        f"WHEN {_WEEKS} < 37 THEN 'moderate_to_late_preterm' WHEN {_WEEKS} >= 37 THEN 'term' ELSE 'unknown' END"
    ),
    "etiology_group": (
        "(SELECT CASE WHEN t.attributes ->> 'etiology' IS NULL THEN 'unknown' WHEN count(DISTINCT kind) > 1 THEN "  # noqa: S608
        "'multiple' ELSE coalesce(min(kind), 'other') END "
        f"FROM (VALUES {_GROUPS}) AS m (etiology, kind) "
        "WHERE m.etiology = ANY(string_to_array(t.attributes ->> 'etiology', '+')))"
    ),
    "deprivation_quintile": "area.deprivation_quintile",
    **{name: _up_to_three(name) for name in ("detour_referrals", "orphan_referrals", "no_shows")},
}
