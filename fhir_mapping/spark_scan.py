"""Indexes NDJSON files on Spark: the same columns as `typed_scan`, by the same Ibis expression.

Every line is read and parsed on the executors, and kept on their disks with its index row, so that the lines of the
cohort are found again without another parsing. What Spark can't say for certain is *odd*, and read exactly, as with
DuckDB. Spark's parser takes what follows a whole object on the same line for nothing; a line that ends otherwise than
with a brace, or in which one object follows another, is odd.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from fhir_mapping.cohort import Patterns
from fhir_mapping.fetch import LineReader
from fhir_mapping.fhir_types import RESOURCE_TYPES
from fhir_mapping.files import InputFile
from fhir_mapping.flatten import ODD, ODD_TYPES, ONE_OWNER, OUT_OF_SCOPE, index_columns, parsed, raw_lines
from fhir_mapping.line_map import BOM, Line
from fhir_mapping.spark import Spark
from fhir_mapping.typed_scan import TypedScan
from fhir_source.source import IN_SCOPE_TYPES

#: Spark passes over files whose name begins with `_` or `.`, and takes these signs in a path for a pattern.
_NOT_FOR_SPARK = re.compile(r"[*?\[\]{}\\,:%#]")
#: Lines with the number of their file and their number in it.
_NUMBERED = r"""
SELECT /*+ BROADCAST(b) */ b.file, CAST(l.n - b.shift AS INT) AS line, CAST(l.value AS BINARY) AS value
FROM lines_of_files l JOIN blocks b USING (path, start)
WHERE NOT l.value RLIKE r'^[ \t\r\x0b\x0c]*$'
"""
#: Parsed lines as `flatten.raw_lines` has them. An id that is more than a plain string, or stands in a line that Spark
#: may have misread, is null; so is an instant that Spark alone would take for one.
_RAW = r"""
WITH texts AS (
  SELECT file, line, value, CASE WHEN is_valid_utf8(CAST(value AS STRING)) THEN CAST(value AS STRING) END AS text
  FROM numbered_lines
), parsed AS (
  SELECT file, line, value,
    text RLIKE r'[}]\s*$' AND NOT text RLIKE r'[}]\s*[{]' AND NOT text RLIKE r'"id"\s*:\s*[^"\s]' AS whole,
    from_json(text, '%(columns)s, corrupt STRING', map('mode', 'PERMISSIVE', 'columnNameOfCorruptRecord', 'corrupt',
      'allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false')) AS j
  FROM texts
)
SELECT file, line, value, j.resourceType AS type, %(others)s,
  CASE WHEN whole AND j.corrupt IS NULL AND j.id RLIKE r'^[^"\\\x00-\x1f]*$' THEN concat('"', j.id, '"') END AS id,
  named_struct('lastUpdated', CASE WHEN j.meta.lastUpdated
    RLIKE r'^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d([.]\d+)?)?(Z|[+-]\d\d:\d\d)?)?$' THEN j.meta.lastUpdated END) AS meta,
  coalesce(j.resourceType IN (%(in_scope)s), false) AS in_scope,
  coalesce(j.resourceType IN (%(one_owner)s), false) AS one_owner,
  coalesce(j.resourceType NOT IN (%(types)s) OR j.resourceType IN (%(odd_types)s), true) AS odd_type
FROM parsed
"""


class SparkLines(LineReader):
    """Finds lines again: those that Spark read in what it kept of them, all others in their files."""

    def __init__(self, files: Sequence[InputFile], engine: Spark, read: Sequence[int]) -> None:
        super().__init__(files, {})
        self._engine = engine
        self._read = frozenset(read)

    def lines(self, numbers: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, Line]]:
        yield from super().lines({file: lines for file, lines in numbers.items() if file not in self._read})
        wanted = [(file, line) for file in sorted(self._read & numbers.keys()) for line in numbers[file]]
        if not wanted:
            return
        files, lines = zip(*wanted, strict=True)
        self._engine.create_table(
            "wanted_lines", pa.table({"file": pa.array(files, pa.int32()), "line": pa.array(lines, pa.int32())})
        )
        query = "SELECT p.file, p.line, p.value FROM parsed_lines p LEFT SEMI JOIN wanted_lines USING (file, line)"
        for file, number, value in self._engine.stream(query):
            content = bytes(value)
            yield file, Line(number, number, (content.removeprefix(BOM) if number == 1 else content).strip())


def can_read(file: InputFile) -> bool:
    """Whether Spark takes the file for what it is; all others are read here."""
    path = file.path.absolute()
    return not file.document and not path.name.startswith(("_", ".")) and not _NOT_FOR_SPARK.search(str(path))


def scan(engine: Spark, files: Sequence[InputFile], patterns: Patterns) -> tuple[LineReader, TypedScan]:
    """Index the lines of the files that Spark can read."""
    read = {str(file.path.absolute()): number for number, file in enumerate(files) if can_read(file)}
    reader = SparkLines(files, engine, tuple(read.values()))
    if not read:
        return reader, TypedScan()
    engine.view("numbered_lines", engine.hold(_numbered(engine, read)))
    _parse(engine, patterns)
    counts = engine.ask(
        "SELECT mark, type, count(*), unix_micros(max(updated)) FROM parsed_lines GROUP BY mark, type ORDER BY 1, 2"
    )
    odd: dict[int, list[int]] = {}
    for file, line in engine.ask(f"SELECT file, line FROM parsed_lines WHERE mark = {ODD} ORDER BY 1, 2"):  # noqa: S608
        odd.setdefault(file, []).append(line)
    engine.ask(
        "CREATE OR REPLACE TEMPORARY VIEW spark_lines AS SELECT file, line, -1 AS part, CAST(0 AS SMALLINT) AS nth, "
        "type, id, owner, mark, unix_micros(updated) AS updated FROM parsed_lines"
    )
    return reader, TypedScan(
        tables=["spark_lines"],
        maps=dict.fromkeys(read.values()),
        odd=odd,
        out_of_scope={str(kind): rows for mark, kind, rows, _ in counts if mark == OUT_OF_SCOPE},
        updated=max((last for mark, _, _, last in counts if mark != ODD and last is not None), default=None),
    )


def _numbered(engine: Spark, read: dict[str, int]) -> Any:
    """Every line that isn't blank, with its file and its number in it.

    Spark cuts files into blocks, and numbers the rows of a partition in the order of the lines. Blocks are counted
    first; a line's number is its place in its block behind all lines of the blocks before.
    """
    lines = (
        engine.session.read.option("lineSep", "\n")
        .text(list(read))
        .selectExpr(
            "value",
            "_metadata.file_path AS path",
            "_metadata.file_block_start AS start",
            "monotonically_increasing_id() AS n",
        )
    )
    engine.view("lines_of_files", lines)
    counted = engine.ask(
        "SELECT path, start, min(n), count(*) FROM lines_of_files GROUP BY path, start ORDER BY path, start"
    )
    blocks: list[tuple[str, int, int, int]] = []
    before, last = 0, ""
    for path, start, first, lines_in_block in counted:
        before = before if path == last else 0
        blocks.append((path, start, read[unquote(urlsplit(path).path)], first - before - 1))
        before, last = before + lines_in_block, path
    columns = zip(*blocks, strict=True) if blocks else ((), (), (), ())
    names = (("path", pa.string()), ("start", pa.int64()), ("file", pa.int32()), ("shift", pa.int64()))
    engine.create_table(
        "blocks", pa.table({name: pa.array(values, kind) for (name, kind), values in zip(names, columns, strict=True)})
    )
    return engine.session.sql(_NUMBERED)


def _parse(engine: Spark, patterns: Patterns) -> None:
    """The index row of each line beside it, as the view `parsed_lines`."""
    elements = parsed("")
    told = {
        "columns": ", ".join(f"`{name}` {what}" for name, what in elements.items()),
        "others": ", ".join(f"j.`{name}`" for name in elements if name not in ("resourceType", "id", "meta")),
        "in_scope": _listed(IN_SCOPE_TYPES),
        "one_owner": _listed(ONE_OWNER),
        "types": _listed(sorted(RESOURCE_TYPES)),
        "odd_types": _listed(ODD_TYPES),
    }
    engine.view("raw_lines", engine.session.sql(_RAW % told))
    lines = raw_lines("", "raw_lines", file="int32", line="int32", value="binary")
    flat = index_columns(lines, "", patterns, beside=("file", "line", "value"))
    engine.view("parsed_lines", engine.hold(engine.session.sql(engine.sql(flat))))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
