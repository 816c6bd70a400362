"""Indexes large NDJSON files inside DuckDB, with typed columns: only odd lines reach Python.

DuckDB parses each line once, into the few columns that selection needs (typed columns: three times as fast as JSON
paths), and keeps the rows in the order of the lines. What these columns can't say for certain makes a row *odd*: no
plain id, no type, a patient by identifier, a Bundle, a line that is not JSON. Odd lines are read again by `lines`,
whose word is the definition.

DuckDB takes a trailing comma, NaN and Infinity for JSON. Such a line is refused when it is selected; outside the
cohort it is counted as what it says it is.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import duckdb
import ibis
import orjson

from fhir_mapping.cohort import BROAD, CANDIDATE, LINKED, NOTHING, Patterns
from fhir_mapping.engines import DuckDB
from fhir_mapping.fhir_types import RESOURCE_TYPES
from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.lines import owner_element
from fhir_source.source import IN_SCOPE_TYPES, PATIENT_TYPES

#: Files below this size are read line by line: DuckDB's start costs more than it saves.
LARGE = 4_000_000
_COMPRESSION = 10  # of FHIR in gzip, roughly

#: Types whose owner is not one plain reference.
_ODD_TYPES = ("Appointment", "Bundle", "PractitionerRole")
_ONE_OWNER = tuple(kind for kind in PATIENT_TYPES if kind not in ("Patient", *_ODD_TYPES))
#: Marks of the rows that the index leaves out.
ODD, OUT_OF_SCOPE = -1, -2


@dataclass
class TypedScan:
    """What the typed reading found. `tables` hold `type, id, owner, mark, updated`, with file and line to `rowid`s."""

    tables: list[str] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)  # lines that aren't blank, by file
    odd: dict[int, list[int]] = field(default_factory=dict)  # their numbers among those lines, by file
    out_of_scope: dict[str, int] = field(default_factory=dict)
    updated: int | None = None  # latest meta.lastUpdated, microseconds since 1970
    refused: list[int] = field(default_factory=list)  # files for the exact reading: too long a line, damaged

    def add(self, other: TypedScan) -> None:
        """Take in what was found in other files."""
        self.tables += other.tables
        self.rows |= other.rows
        self.odd |= other.odd
        self.refused += other.refused
        for kind, rows in other.out_of_scope.items():
            self.out_of_scope[kind] = self.out_of_scope.get(kind, 0) + rows
        self.updated = max((one for one in (self.updated, other.updated) if one is not None), default=None)


def is_large(file: InputFile, limit: int) -> bool:
    """Whether a file is worth the typed reading."""
    return not file.document and file.path.stat().st_size * (_COMPRESSION if file.compressed else 1) >= limit


def scan(engine: DuckDB, files: Sequence[tuple[int, InputFile]], patterns: Patterns) -> TypedScan:
    """Read the files, in groups that begin with the same type, into tables of the connection."""
    scanned = TypedScan()
    groups: dict[str, list[tuple[int, InputFile]]] = defaultdict(list)
    for number, file in files:
        groups[_first_type(file)].append((number, file))
    if groups:
        engine.ask(f"CREATE TYPE fhir_type AS ENUM ({_listed(sorted(RESOURCE_TYPES))})")
    # DuckDB reads one file with one thread; so the largest groups go first, each with a thread of its own.
    tasks = sorted(groups.items(), key=lambda group: (-sum(file.path.stat().st_size for _, file in group[1]), group[0]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = pool.map(lambda task: _scan_group(engine.cursor(), task[0], task[1], patterns), tasks)
        for part in parts:
            scanned.add(part)
    return scanned


def _first_type(file: InputFile) -> str:
    """The type that the first line of a file names; "" when it names none."""
    for _, content in lines_of(file):
        try:
            kind = orjson.loads(content)["resourceType"]
        except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
            return ""
        return kind if isinstance(kind, str) and kind in RESOURCE_TYPES else ""
    return ""


def _scan_group(engine: DuckDB, kind: str, members: Sequence[tuple[int, InputFile]], patterns: Patterns) -> TypedScan:
    scanned = TypedScan()
    table = f"typed_{members[0][0]}_{kind or 'any'}".lower()
    try:
        _parse(engine, table, kind, members, patterns)
    except duckdb.Error:
        engine.ask(f'DROP TABLE IF EXISTS "{table}"')
        if len(members) == 1:
            scanned.refused.append(members[0][0])
            return scanned
        for member in members:
            scanned.add(_scan_group(engine, kind, [member], patterns))
        return scanned
    if kind and engine.ask(f'SELECT 1 FROM "{table}" WHERE mark >= 0 AND type <> {_quoted(kind)} LIMIT 1'):  # noqa: S608
        # Its columns were chosen for another type: read the group as what it is.
        engine.ask(f'DROP TABLE "{table}"')
        return _scan_group(engine, "", members, patterns)
    _account(engine, table, members, scanned)
    return scanned


def _parse(engine: DuckDB, table: str, kind: str, members: Sequence[tuple[int, InputFile]], patterns: Patterns) -> None:
    """Parse the files into a table, one row a line that isn't blank, in the order of files and lines."""
    paths = ", ".join(_quoted(str(file.path)) for _, file in members)
    columns = ", ".join(f"{_quoted(name)}: {_quoted(what)}" for name, what in _columns(kind).items())
    engine.ask(
        f'CREATE OR REPLACE VIEW "raw_{table}" AS SELECT * EXCLUDE (resourceType) REPLACE (id::VARCHAR AS id), '  # noqa: S608
        f"resourceType AS type, file_index::SMALLINT AS file, resourceType IN ({_listed(IN_SCOPE_TYPES)}) AS in_scope, "
        f"resourceType IN ({_listed(_ONE_OWNER)}) AS one_owner, try_cast(resourceType AS fhir_type) IS NULL "
        f"OR resourceType IN ({_listed(_ODD_TYPES)}) AS odd_type FROM read_json([{paths}], "
        f"format='newline_delimited', records=true, ignore_errors=true, columns={{{columns}}})"
    )
    raw = ibis.table(_schema(kind), name=f"raw_{table}")
    flat = engine.sql(index_columns(raw, kind, patterns))
    engine.ask(f'CREATE TABLE "{table}" AS SELECT * REPLACE (try_cast(type AS fhir_type) AS type) FROM ({flat})')  # noqa: S608


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(kind: str) -> dict[str, str]:
    """The columns to parse of a file that begins with this type; "" stands for any type."""
    columns = {"resourceType": "VARCHAR", "id": "JSON", "meta": "STRUCT(lastUpdated VARCHAR)"}
    if kind in ("", "Patient"):
        columns["link"] = "VARCHAR"
    if kind in ("", "Condition"):
        columns["code"] = "VARCHAR"
    return columns | dict.fromkeys(_owner_elements(kind), "STRUCT(reference VARCHAR)")


def _schema(kind: str) -> dict[str, str]:
    """The same columns as Ibis names their types, with those that are computed on the way."""
    parsed = {
        name: what.replace("VARCHAR", "string").replace("(", "<").replace(")", ">").replace(" ", ": ").lower()
        for name, what in _columns(kind).items()
        if name != "resourceType"
    }
    parsed |= {"id": "string", "meta": "struct<lastUpdated: string>"}
    return (
        parsed | {"type": "string", "file": "int16"} | dict.fromkeys(("in_scope", "one_owner", "odd_type"), "boolean")
    )


def _owner_elements(kind: str) -> list[str]:
    kinds = _ONE_OWNER if not kind else [kind] if kind in _ONE_OWNER else []
    return sorted({owner_element(one) for one in kinds})


def index_columns(raw: Any, kind: str, patterns: Patterns) -> Any:
    """The Ibis expression that makes index columns out of parsed ones. `kind` "" when any type may come."""
    plain = raw.id.like('"%') & (raw.id != '""') & ~raw.id.contains("\\")
    owner = _owner(raw, kind)
    certain = plain & ~raw.odd_type & (~raw.one_owner | _is_plain(owner).fill_null(False))
    mark = ibis.cases((~certain.fill_null(False), ODD), (~raw.in_scope, OUT_OF_SCOPE), else_=_mark(raw, kind, patterns))
    return raw.select(
        file=raw.file,
        type=raw.type,
        id=ibis.cases((raw.in_scope, raw.id)),
        owner=owner,
        mark=mark.cast("int8"),
        updated=raw.meta.lastUpdated.try_cast("timestamp('UTC')"),
    )


def _owner(raw: Any, kind: str) -> Any:
    """The reference to the Patient, as it stands."""
    elements = _owner_elements(kind)
    if not elements:
        return ibis.null("string")
    if kind:
        return raw[elements[0]].reference
    own = [(raw.type == one, owner_element(one)) for one in ("Coverage", "RelatedPerson", "Task")]
    return ibis.cases(
        *((is_one, raw[element].reference) for is_one, element in own),
        (raw.one_owner, raw.subject.reference),
    )


def _is_plain(reference: Any) -> Any:
    """Whether a reference is `Patient/` and an id, and nothing more: all other forms are read in Python."""
    unusual = reference.contains("?") | reference.contains("#") | reference.contains(" ") | reference.contains("/_")
    return reference.startswith("Patient/") & ~unusual & ~reference.endswith("/")


def _mark(raw: Any, kind: str, patterns: Patterns) -> Any:
    branches = []
    if kind in ("", "Patient"):
        linked = raw.link.contains("reference")
        branches.append((linked if kind else linked & (raw.type == "Patient"), LINKED))
    if kind in ("", "Condition"):
        told = raw.code.re_search(f"{patterns.candidate}|{patterns.broad.removeprefix('(?i)')}")
        sure = ibis.cases((raw.code.re_search(patterns.candidate), CANDIDATE), else_=BROAD)
        branches.append((told if kind else told & (raw.type == "Condition"), sure))
    return ibis.cases(*branches, else_=NOTHING) if branches else ibis.literal(NOTHING)


def _account(engine: DuckDB, table: str, members: Sequence[tuple[int, InputFile]], scanned: TypedScan) -> None:
    """Number the lines by file, gather the odd ones, count what is out of scope."""
    scanned.rows.update((number, 0) for number, _ in members)
    numbers, firsts = [], []
    for position, rows, first, last in engine.ask(
        f'SELECT file, count(*), min(rowid), max(rowid) FROM "{table}" GROUP BY 1'  # noqa: S608
    ):
        if last - first + 1 != rows:
            raise RuntimeError("DuckDB gave the lines of the files in another order than theirs")
        scanned.rows[members[position][0]] = rows
        numbers.append(f"WHEN {position} THEN {members[position][0]}")
        firsts.append(f"WHEN {position} THEN {first}")
    view = f"{table}_lines"
    number = f"CASE file {' '.join(numbers)} END" if numbers else "0"
    first = f"CASE file {' '.join(firsts)} END" if firsts else "0"
    engine.ask(
        f'CREATE VIEW "{view}" AS SELECT ({number})::INTEGER AS file, (rowid - {first} + 1)::INTEGER AS line, '  # noqa: S608
        "(-1)::INTEGER AS part, 0::SMALLINT AS nth, type::VARCHAR AS type, id, owner, mark, "
        f'epoch_us(updated) AS updated FROM "{table}"'
    )
    for file, line in engine.ask(f'SELECT file, line FROM "{view}" WHERE mark = {ODD} ORDER BY ALL'):  # noqa: S608
        scanned.odd.setdefault(file, []).append(line)
    counts = engine.ask(f'SELECT type, count(*) FROM "{view}" WHERE mark = {OUT_OF_SCOPE} GROUP BY 1')  # noqa: S608
    scanned.out_of_scope = dict(counts)
    ((latest,),) = engine.ask(f'SELECT max(updated) FROM "{view}" WHERE mark <> {ODD}')  # noqa: S608
    scanned.updated = latest
    scanned.tables.append(view)
