"""Reads every line once: accounts for it, and notes in the index what selection needs to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa

from fhir_mapping.cohort import Patterns
from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.index import SCHEMA, id_text
from fhir_mapping.ledger import Tally
from fhir_mapping.lines import (
    UNKNOWN,
    Deletion,
    Entry,
    Fault,
    Json,
    is_deletion_bundle,
    owners_of,
    read,
    text_at,
)
from fhir_mapping.model import Quarantined
from fhir_mapping.newest import instant_of
from fhir_source.source import IN_SCOPE_TYPES

_IN_SCOPE = frozenset(IN_SCOPE_TYPES)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 50_000
Row = tuple[int, int, int, int, str, str, str | None, int, int | None]


@dataclass
class Scan:
    """What one reading of the files found, besides the index."""

    tally: Tally = field(default_factory=Tally)
    quarantined: list[Quarantined] = field(default_factory=list)
    deletions: list[tuple[int, Deletion]] = field(default_factory=list)  # each with the number of its file
    updated: int | None = None  # latest meta.lastUpdated, microseconds since 1970

    def note_updated(self, updated: int | None) -> None:
        if updated is not None and (self.updated is None or updated > self.updated):
            self.updated = updated

    def note_fault(self, fault: Fault, file: str, line: int) -> None:
        self.quarantined.append(Quarantined(file, line, fault.type, fault.id, fault.reason, fault.path, fault.message))
        self.tally.quarantined[fault.type or UNKNOWN] += 1


def index_lines(numbers: Iterable[tuple[int, InputFile]], patterns: Patterns, scan: Scan) -> Iterator[pa.RecordBatch]:
    """Batches of index rows of the files, read line by line; counts and faults go to `scan`."""
    rows: list[Row] = []
    for number, file in numbers:
        for line, content in lines_of(file):
            rows += rows_of(content, number, line, patterns, scan, file.name, line)
            if len(rows) >= _BATCH:
                yield batch_of(rows)
                rows = []
    if rows:
        yield batch_of(rows)


def rows_of(
    content: bytes, file: int, line: int, patterns: Patterns, scan: Scan, name: str, shown_line: int
) -> Iterator[Row]:
    """The index rows of one line. The index knows it as (file, line), people as (name, shown_line)."""
    for found in read(content):
        if isinstance(found, Fault):
            scan.note_fault(found, name, shown_line)
        elif isinstance(found, Deletion):
            scan.deletions.append((file, found))
        else:
            yield from _rows_of_entry(found, file, line, patterns, scan)


def _rows_of_entry(entry: Entry, file: int, line: int, patterns: Patterns, scan: Scan) -> Iterator[Row]:
    body = entry.body
    kind = body["resourceType"]
    updated = microseconds(text_at(body, "meta", "lastUpdated"))
    if kind not in _IN_SCOPE:
        _count_out_of_scope(body, scan)
        scan.note_updated(updated)
        return
    mark = patterns.mark_of(body)
    owners = owners_of(body) if kind != "Patient" else ()
    prefix = "Practitioner/" if kind == "PractitionerRole" else "Patient/"
    for nth, owner in enumerate(owners or (None,)):
        column = owner if owner is None or owner.startswith("?") else prefix + owner
        yield (file, line, entry.part, nth, kind, id_text(body["id"]), column, mark, updated)


def _count_out_of_scope(body: Json, scan: Scan) -> None:
    kind = body["resourceType"]
    if kind == "Bundle" and is_deletion_bundle(body):
        for counter in (scan.tally.rows, scan.tally.different, scan.tally.deleted):
            counter[kind] += 1
    else:
        scan.tally.never_in_scope[kind] += 1


def microseconds(text: str) -> int | None:
    """An instant as microseconds since 1970 UTC; None when it can't be read."""
    instant = instant_of(text)
    if instant is None:
        return None
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    return pa.record_batch([pa.array(values, item.type) for values, item in zip(columns, SCHEMA, strict=True)], SCHEMA)
