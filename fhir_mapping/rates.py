"""How well records keep to FHIR, by type and by group of infants: untidy records of one group would bias its waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from fhir_mapping.model import Conformance, InfantRecord, LedgerLine, MappedInfant

#: Columns of the row that infants are grouped by.
DIMENSIONS = ("race_ethnicity", "payer", "language")
ALL = "all"


class Rate(NamedTuple):
    """Resources of one type and group: judged by the models, found to break them, and quarantined.

    `dimension` and `group` are "all" for everything of the type, lines that could not be read at all included: whose
    they are is not known. An infant without a row is in no other group.
    """

    source: str
    dimension: str
    group: str
    type: str
    judged: int
    nonconformant: int
    quarantined: int


def rates(
    source: str,
    records: Sequence[InfantRecord],
    mapped: Sequence[MappedInfant],
    judged: Iterable[Conformance],
    ledger: Mapping[str, LedgerLine],
) -> list[Rate]:
    """One Rate a group and type, sorted. `mapped` are the records in their order, mapped."""
    faulty = {(verdict.type, verdict.id): bool(verdict.paths) for verdict in judged}
    counts = {name: Counter[tuple[str, str, str]]() for name in ("judged", "nonconformant", "quarantined")}
    for kind, is_faulty in ((kind, fault) for (kind, _), fault in faulty.items()):
        counts["judged"][ALL, ALL, kind] += 1
        counts["nonconformant"][ALL, ALL, kind] += is_faulty
    for kind, line in ledger.items():
        counts["quarantined"][ALL, ALL, kind] += line.quarantined
    for record, one in zip(records, mapped, strict=True):
        unreadable = {(entry.type, entry.id) for entry in one.quarantined}
        for dimension, group in _groups(one):
            for key in _own(record):
                place = (dimension, group, key[0])
                counts["judged"][place] += key in faulty
                counts["nonconformant"][place] += faulty.get(key, False)
                counts["quarantined"][place] += key in unreadable
    places = sorted({place for counter in counts.values() for place, count in counter.items() if count})
    return [Rate(source, *place, *(counter[place] for counter in counts.values())) for place in places]


def _groups(one: MappedInfant) -> Iterator[tuple[str, str]]:
    if one.row is not None:
        for dimension in DIMENSIONS:
            yield dimension, getattr(one.row, dimension) or "unknown"


def _own(record: InfantRecord) -> Iterator[tuple[str, str]]:
    """What belongs to the infant alone, by type and id."""
    for patient in (record.patient, *record.merged):
        yield patient.type, patient.id
    for resources in record.resources.values():
        yield from ((resource.type, resource.id) for resource in resources)
