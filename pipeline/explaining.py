"""One infant's timeline with its evidence, from what the warehouse holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from fhir_mapping import codes as value_sets
from fhir_mapping.assemble import infant_records
from fhir_mapping.explain import explain as in_words
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappingSettings
from fhir_mapping.newest import newest
from pipeline.database import open_warehouse
from warehouse import state
from warehouse.errors import InfantUnknown, translated

if TYPE_CHECKING:
    from pipeline.settings import Settings

#: How the source's dates were read at its last load, and up to which day its open waits were counted.
_LAST_LOAD = text(
    "SELECT fhir_version, timezone, coalesce(as_of, data_through) AS as_of FROM ops.pull "
    "WHERE source = :source ORDER BY sequence DESC LIMIT 1"
)


def explain(settings: Settings, source: str, infant: str) -> str:
    """The infant's timeline in words, mapped anew from what the warehouse holds. PHI: for the clinical role only.

    `infant` may be the id of a Patient that was merged into another. Raises InfantUnknown.
    """
    with open_warehouse(settings) as engine:
        with translated(source), engine.connect() as connection:
            last = connection.execute(_LAST_LOAD, {"source": source}).one_or_none()
        resources, _ = newest(state.current_resources(engine, source, [infant], staged=False) if last else [])
    for record in infant_records(resources):
        if last and infant in (record.infant, *(patient.id for patient in record.merged)):
            mapping = MappingSettings(
                source=source,
                timezone=last.timezone or "UTC",
                fhir_version=last.fhir_version,
                as_of=last.as_of,
                **settings.mapping.rules(),
            )
            return in_words(record, map_infant(record, mapping, value_sets.load(settings.mapping.local_codes)))
    raise InfantUnknown(
        "The warehouse holds nothing of this infant", source=source, next_step="check the source and the Patient id"
    )
