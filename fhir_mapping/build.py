"""Builds the index of lines: large files through typed columns, all others and every odd line by the exact reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from fhir_mapping import spark_scan, typed_scan
from fhir_mapping.cohort import Patterns
from fhir_mapping.engines import DuckDB
from fhir_mapping.fetch import LineReader
from fhir_mapping.files import InputFile
from fhir_mapping.index import SCHEMA, LineIndex
from fhir_mapping.scan import Row, Scan, batch_of, index_lines, rows_of
from fhir_mapping.spark import Spark


def build_index(
    engine: DuckDB | Spark, files: Sequence[InputFile], patterns: Patterns, scan: Scan, typed_from: int
) -> tuple[LineReader, LineIndex]:
    """The index of all lines of the files, and the reader that finds them again; counts and faults go to `scan`."""
    if isinstance(engine, Spark):
        reader, typed = spark_scan.scan(engine, files, patterns)
    else:
        large = [(number, file) for number, file in enumerate(files) if typed_scan.is_large(file, typed_from)]
        typed = typed_scan.scan(engine, large, patterns)
        reader = LineReader(files, typed.maps)
    exact = [(number, file) for number, file in enumerate(files) if number not in typed.maps]
    batches = [*index_lines(exact, patterns, scan), *_odd_lines(reader, typed.odd, patterns, scan)]
    engine.create_table("exact_lines", pa.Table.from_batches(batches, SCHEMA))
    scan.tally.never_in_scope.update(typed.out_of_scope)
    scan.note_updated(typed.updated)
    columns = ", ".join(SCHEMA.names)
    tables = (f"SELECT {columns} FROM {table} WHERE mark >= 0" for table in ("exact_lines", *typed.tables))  # noqa: S608
    engine.ask(f"CREATE OR REPLACE TEMPORARY VIEW lines AS {' UNION ALL '.join(tables)}")
    return reader, LineIndex(engine, "lines")


def _odd_lines(
    reader: LineReader, odd: dict[int, list[int]], patterns: Patterns, scan: Scan
) -> Iterator[pa.RecordBatch]:
    rows: list[Row] = []
    for file, found in reader.lines(odd):
        rows += rows_of(found.content, file, found.number, patterns, scan, reader.name(file), found.shown)
    if rows:
        yield batch_of(rows)
