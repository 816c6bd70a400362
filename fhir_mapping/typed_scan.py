"""Indexes large NDJSON files inside DuckDB, with typed columns: only odd lines reach Python.

DuckDB parses each line once, into the few columns that selection needs (typed columns: three times as fast as JSON
paths), and keeps the rows in the order of the lines. What these columns can't say for certain makes a row *odd*: no
plain id, no type, a patient by identifier, a Bundle, a line that is not JSON. Odd lines are read again by `lines`,
whose word is the definition.

DuckDB takes a trailing comma, NaN, Infinity and numbers beyond a double for JSON. Such a line is refused when it is
selected; outside the cohort it is counted as what it says it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import duckdb
import ibis
import orjson

from fhir_mapping.cohort import Patterns
from fhir_mapping.engines import DuckDB
from fhir_mapping.fhir_types import RESOURCE_TYPES
from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.flatten import ODD, ODD_TYPES, ONE_OWNER, OUT_OF_SCOPE, index_columns, parsed, raw_lines
from fhir_mapping.line_map import LineMap, blank_lines
from fhir_mapping.lines import Fault, parse
from fhir_source.source import IN_SCOPE_TYPES

#: Files below this size are read line by line: DuckDB's start costs more than it saves.
LARGE = 1_000_000
_COMPRESSION = 10  # of FHIR in gzip, roughly
_PROBES = 9  # lines of a file that are compared with their rows; each line that is selected is compared too


@dataclass
class TypedScan:
    """What the typed reading found. `tables` hold index rows."""

    tables: list[str] = field(default_factory=list)
    maps: dict[int, LineMap | None] = field(default_factory=dict)  # by file; None: to be read from its start
    odd: dict[int, list[int]] = field(default_factory=dict)  # their numbers among those lines, by file
    out_of_scope: dict[str, int] = field(default_factory=dict)
    updated: int | None = None  # latest meta.lastUpdated, microseconds since 1970
    refused: list[int] = field(default_factory=list)  # files for the exact reading: too long a line, damaged

    def add(self, other: TypedScan) -> None:
        """Take in what was found in other files."""
        self.tables += other.tables
        self.maps |= other.maps
        self.odd |= other.odd
        self.refused += other.refused
        for kind, rows in other.out_of_scope.items():
            self.out_of_scope[kind] = self.out_of_scope.get(kind, 0) + rows
        self.updated = max((one for one in (self.updated, other.updated) if one is not None), default=None)


def is_large(file: InputFile, limit: int) -> bool:
    """Whether a file is worth the typed reading."""
    return not file.document and file.path.stat().st_size * (_COMPRESSION if file.compressed else 1) >= limit


def scan(engine: DuckDB, files: Sequence[tuple[int, InputFile]], patterns: Patterns) -> TypedScan:
    """Read the files, each into a table of its own."""
    scanned = TypedScan()
    if not files:
        return scanned
    engine.ask(f"CREATE TYPE fhir_type AS ENUM ({_listed(sorted(RESOURCE_TYPES))})")
    # With several threads, or several files in one query, DuckDB 2.0.0 now and then gives blocks of lines in another
    # order than the file's. So each file has a query of its own, of one thread; the largest go first, side by side.
    tasks = sorted(files, key=lambda task: (-task[1].path.stat().st_size, task[0]))
    cores = os.cpu_count() or 1
    engine.set_threads(1)
    with ThreadPoolExecutor(cores) as pool:
        for part in pool.map(lambda task: _scan_file(engine.cursor(), task[0], task[1], patterns), tasks):
            scanned.add(part)
    engine.set_threads(cores)
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


def _scan_file(engine: DuckDB, number: int, file: InputFile, patterns: Patterns) -> TypedScan:
    kind, table = _first_type(file), f"typed_{number}"
    refused = TypedScan(refused=[number])
    if kind in ODD_TYPES:
        return refused
    try:
        found = _parse(engine, table, kind, file, patterns)
        if kind and found.others > found.rows // 20:
            # The columns were chosen for another type: read the file as what it is.
            found = _parse(engine, table, "", file, patterns)
    except duckdb.Error:
        # A line too long for DuckDB's buffers, a damaged gzip file: the exact reading takes it, or says what is wrong.
        return refused
    line_map = LineMap(file)
    if line_map.lines_in_all == found.rows and (file.compressed or _in_order(engine, table, line_map, found.rows)):
        return _account(engine, table, number, found, None if file.compressed else line_map)
    if line_map.lines_in_all - blank_lines(file, line_map) == found.rows:
        return _account(engine, table, number, found, None)
    return refused  # DuckDB leaves out a last line that is cut short


def _in_order(engine: DuckDB, table: str, line_map: LineMap, rows: int) -> bool:
    """Whether rows all over the table are what the lines of the same number say."""
    numbers = sorted({1 + position * (rows - 1) // (_PROBES - 1) for position in range(_PROBES)}) if rows else []
    wanted = ", ".join(str(number - 1) for number in numbers) or "-1"
    found = engine.ask(f"SELECT rowid + 1, id FROM {table} WHERE rowid IN ({wanted}) AND mark >= 0")  # noqa: S608
    ids = dict(found)
    for line in line_map.lines(sorted(ids)):
        body = parse(line.content)
        # What DuckDB takes for JSON and the exact reading does not says nothing of the order.
        if not isinstance(body, Fault) and body.get("id") != orjson.loads(ids[line.number]):
            return False
    return True


class _Parsed(NamedTuple):
    """What a table of parsed lines holds: rows, rows of another type than the file's first, and by mark and type.

    `kind` is the type that the columns were chosen for, "" for any.
    """

    kind: str
    rows: int
    others: int
    counts: list[tuple[int, str | None, int, int | None]]  # mark, type, rows, latest update


def _parse(engine: DuckDB, table: str, kind: str, file: InputFile, patterns: Patterns) -> _Parsed:
    """Parse the file into a table, one row a line that isn't blank, in order."""
    columns = ", ".join(f"{_quoted(name)}: {_quoted(_type_of(name, what))}" for name, what in parsed(kind).items())
    of_type = (
        f", resourceType IN ({_listed(IN_SCOPE_TYPES)}) AS in_scope"
        f", resourceType IN ({_listed(ONE_OWNER)}) AS one_owner"
        f", try_cast(resourceType AS fhir_type) IS NULL OR resourceType IN ({_listed(ODD_TYPES)}) AS odd_type"
    )
    raw = (
        f"SELECT * EXCLUDE (resourceType) REPLACE (id::VARCHAR AS id), resourceType AS type{'' if kind else of_type} "  # noqa: S608
        f"FROM read_json({_quoted(str(file.path))}, format='newline_delimited', records=true, ignore_errors=true, "
        f"columns={{{columns}}})"
    )
    engine.ask(
        f"CREATE OR REPLACE TABLE {table} AS WITH raw AS ({raw}) "  # noqa: S608 - made by Ibis
        f"SELECT * REPLACE (try_cast(type AS fhir_type) AS type) FROM ({_flat(kind, patterns)})"
    )
    counts = engine.ask(f"SELECT mark, type::VARCHAR, count(*), epoch_us(max(updated)) FROM {table} GROUP BY ALL")  # noqa: S608
    return _Parsed(
        kind=kind,
        rows=sum(rows for _, _, rows, _ in counts),
        others=sum(rows for _, type_, rows, _ in counts if type_ is not None and type_ != kind),
        counts=counts,
    )


@cache
def _flat(kind: str, patterns: Patterns) -> str:
    """The SQL of `index_columns` over a relation called `raw`."""
    return str(ibis.to_sql(index_columns(raw_lines(kind), kind, patterns), dialect="duckdb"))


def _type_of(name: str, ibis_type: str) -> str:
    """A column's type as DuckDB names it; an id as JSON, which tells a string from a number."""
    if name == "id":
        return "JSON"
    for ours, theirs in (("string", "VARCHAR"), ("struct<", "STRUCT("), (">", ")"), (": ", " ")):
        ibis_type = ibis_type.replace(ours, theirs)
    return ibis_type


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _account(engine: DuckDB, table: str, number: int, found: _Parsed, line_map: LineMap | None) -> TypedScan:
    """Gather the odd lines, count what is out of scope."""
    # Of a file of one type, what the index keeps is of that type: told as a constant, so that questions about other
    # types pass it over.
    kind = _quoted(found.kind) if found.kind else "type::VARCHAR"
    engine.ask(
        f"CREATE VIEW {table}_lines AS SELECT {number}::INTEGER AS file, (rowid + 1)::INTEGER AS line, "  # noqa: S608
        f"(-1)::INTEGER AS part, 0::SMALLINT AS nth, {kind} AS type, id, owner, mark, "
        f"epoch_us(updated) AS updated FROM {table}"
    )
    odd: list[tuple[int]] = []
    if any(mark == ODD for mark, *_ in found.counts):
        odd = engine.ask(f"SELECT line FROM {table}_lines WHERE mark = {ODD} ORDER BY 1")  # noqa: S608
    return TypedScan(
        tables=[f"{table}_lines"],
        maps={number: line_map},
        odd={number: [line for (line,) in odd]} if odd else {},
        out_of_scope={str(kind): rows for mark, kind, rows, _ in found.counts if mark == OUT_OF_SCOPE},
        updated=max((last for mark, _, _, last in found.counts if mark != ODD and last is not None), default=None),
    )
