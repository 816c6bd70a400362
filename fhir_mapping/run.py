"""All that `iess map` does: a folder of FHIR data in, timelines and accounts out. No database, no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import date
from pathlib import Path

from fhir_mapping.assemble import infant_records
from fhir_mapping.codes import load
from fhir_mapping.collecting import no_cycles
from fhir_mapping.conformance import verdicts
from fhir_mapping.contract import TimelineRow
from fhir_mapping.files import InputFile, find_files
from fhir_mapping.links import LINK_NAMES
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import (
    Conformance,
    InfantRecord,
    LedgerLine,
    MappedInfant,
    MappingSettings,
    Quarantined,
    ReferralLink,
)
from fhir_mapping.rates import Rate, rates
from fhir_mapping.select import Progress, Selection, select
from fhir_mapping.tables import check_ending, write_csv, write_timelines

_LEDGER = tuple(field.name for field in fields(LedgerLine))
_LINK = tuple(field.name for field in fields(ReferralLink))
_QUARANTINE = tuple(field.name for field in fields(Quarantined))


@dataclass(frozen=True)
class MapReport:
    """What `map_folder` did. `nonconforming` counts, by type, the selected resources that don't conform to FHIR;
    `rates` tells the same by group of infants, with what is quarantined; `links` counts neurology referrals and
    visits by how they belong together (links.LINK_NAMES).
    """

    out: Path
    rows: int
    infants: int
    as_of: date | None
    files: int
    empty_files: tuple[str, ...]
    ledger: dict[str, LedgerLine]
    quarantined: int
    excluded: dict[str, int]
    nonconforming: dict[str, int]
    links: dict[str, int]
    rates: tuple[Rate, ...]
    written: tuple[Path, ...]


def map_folder(
    folder: Path,
    out: Path,
    settings: MappingSettings,
    *,
    engine: str = "duckdb",
    progress: Progress | None = None,
) -> MapReport:
    """Map every infant of the folder and write `out` (CSV or Parquet) with its ledger, quarantine and exclusions.

    Nothing is written unless everything could be read. Raises UnreadableInput (no folder, nothing in it, a damaged
    gzip file) and SettingsError (wrong ending, bad local codes).
    """
    check_ending(out)
    with no_cycles():
        return _mapped(find_files(folder), out, settings, engine, progress)


def _mapped(
    files: Sequence[InputFile], out: Path, settings: MappingSettings, engine: str, progress: Progress | None
) -> MapReport:
    codes = load(settings.local_codes)
    selection = select(files, settings, codes, engine=engine, progress=progress)
    settings = replace(settings, as_of=settings.as_of or selection.data_through)
    records = infant_records(selection.resources)
    mapped = []
    for done, record in enumerate(records, start=1):
        mapped.append(map_infant(record, settings, codes))
        record.release()
        if progress and done % 500 == 0:
            progress("infants mapped", done)
    judged = verdicts(selection.resources, settings.fhir_version)
    rows = sorted(
        (item.row for item in mapped if item.row is not None),
        key=lambda row: (row.infant, row.diagnosis or date.max, row.first_provider or date.max),
    )
    quarantined, ledger = _with_unreadable(selection, mapped)
    excluded = _excluded(selection, records, mapped)
    links = [(item.infant, link) for item in mapped for link in item.links]
    found = rates(settings.source, records, mapped, judged, ledger)
    written = _write(out, rows, ledger, quarantined, excluded, judged, found, links)
    return MapReport(
        out=out,
        rows=len(rows),
        infants=len(records),
        as_of=settings.as_of,
        files=len(files),
        empty_files=tuple(file.name for file in files if file.path.stat().st_size == 0),
        ledger=ledger,
        quarantined=len(quarantined),
        excluded=excluded,
        nonconforming=dict(sorted(Counter(verdict.type for verdict in judged if verdict.paths).items())),
        links={name: sum(link.rule == rule for _, link in links) for rule, name in LINK_NAMES.items()},
        rates=tuple(found),
        written=written,
    )


def _with_unreadable(
    selection: Selection, mapped: Sequence[MappedInfant]
) -> tuple[list[Quarantined], dict[str, LedgerLine]]:
    """The quarantine and ledger with the resources that the rules could not read moved from scope to quarantine."""
    unreadable = {(entry.type, entry.id): entry for infant in mapped for entry in infant.quarantined}
    moved = Counter(kind for kind, _ in unreadable)
    ledger = {
        kind: replace(line, in_scope=line.in_scope - moved[kind], quarantined=line.quarantined + moved[kind])
        for kind, line in selection.ledger.items()
    }
    entries = [*selection.quarantined, *(entry for infant in mapped for entry in infant.quarantined)]
    return sorted(set(entries), key=astuple), ledger


def _excluded(selection: Selection, records: Sequence[InfantRecord], mapped: Sequence[MappedInfant]) -> dict[str, int]:
    """Infants without a row, by reason: what the rules say, records merged away, and people without a Patient.

    Who was too old for an ambiguous code is counted with those whom the rules find outside the age window.
    """
    counts = Counter(item.excluded for item in mapped if item.row is None and item.excluded)
    counts["age_outside_window"] += selection.past_infancy
    counts["merged_away"] += sum(len(record.merged) for record in records)
    recorded = {identity for record in records for identity in (record.infant, *(one.id for one in record.merged))}
    counts["no_patient_resource"] += len(selection.infants - recorded)
    return {reason: count for reason, count in sorted(counts.items()) if count}


def _write(
    out: Path,
    rows: Sequence[TimelineRow],
    ledger: dict[str, LedgerLine],
    quarantined: Sequence[Quarantined],
    excluded: dict[str, int],
    judged: Sequence[Conformance],
    found: Sequence[Rate],
    links: Sequence[tuple[str, ReferralLink]],
) -> tuple[Path, ...]:
    """Everything beside the timelines first, the timelines last: who finds them finds the rest."""

    def beside(name: str) -> Path:
        return out.with_name(f"{out.name}.{name}.csv")

    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(beside("ledger"), ("type", *_LEDGER), ((kind, *astuple(line)) for kind, line in ledger.items()))
    write_csv(beside("quarantine"), _QUARANTINE, (astuple(entry) for entry in quarantined))
    write_csv(beside("excluded"), ("reason", "infants"), excluded.items())
    write_csv(
        beside("conformance"),
        ("type", "id", "path"),
        ((verdict.type, verdict.id, path) for verdict in judged for path in verdict.paths),
    )
    write_csv(beside("rates"), Rate._fields, found)
    write_csv(beside("referrals"), ("infant", *_LINK), sorted((infant, *astuple(link)) for infant, link in links))
    write_timelines(out, rows)
    return (out, *map(beside, ("ledger", "quarantine", "excluded", "conformance", "rates", "referrals")))
