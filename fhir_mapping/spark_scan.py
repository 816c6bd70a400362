"""Indexes NDJSON files on Spark: the same columns as `typed_scan`, by the same Ibis expression.

The executors read each file once, keep its lines on their disks, and parse them; the index rows stay with them, too.
What comes here are counts, the places of the cohort's resources, and then those lines alone. What Spark can't say for
certain is *odd*, and read exactly, as with DuckDB.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from fhir_mapping.cohort import Patterns
from fhir_mapping.fetch import LineReader
from fhir_mapping.fhir_types import RESOURCE_TYPES
from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.flatten import ODD, ODD_TYPES, ONE_OWNER, OUT_OF_SCOPE, index_columns, parsed, raw_lines
from fhir_mapping.line_map import BOM, Line
from fhir_mapping.spark import EngineFailed, Spark
from fhir_mapping.typed_scan import TypedScan
from fhir_source.source import IN_SCOPE_TYPES

#: `FOLDER=URL`: where the executors find what the driver sees in a folder, such as a bucket that it has mounted.
FOLDER = "IESS_SPARK_FOLDER"
#: Spark passes over files whose name begins with `_` or `.`, and takes these signs in a path for a pattern.
_NOT_FOR_SPARK = re.compile(r"[*?\[\]{}\\,:%#]")
_LINES_AT_ONCE = 10_000
#: Lines with the number of their file and their number in it.
_NUMBERED = """
SELECT /*+ BROADCAST(b) */ b.file, CAST(l.n - b.shift AS INT) AS line, l.value
FROM lines_of_files l JOIN blocks b USING (path, start)
"""
#: Parsed lines as `flatten.raw_lines` has them. The id is null when it is more than a plain string, or stands in a line
#: that Spark may read otherwise than the exact reading. Spark's parser does not look at what follows an object; so each
#: line is parsed as one element of an array, which must have one more, and end there. It takes a lone surrogate and a
#: number beyond a double, turns a number into a string, and takes other years and offsets than Python does.
_RAW = r"""
WITH texts AS (
  SELECT file, line, CASE WHEN is_valid_utf8(value) THEN value END AS text
  FROM numbered_lines WHERE value RLIKE r'[^ \t\r\x0b\x0c]'
), parsed AS (
  SELECT file, line,
    contains(text, r'\ud') OR contains(text, r'\uD')
      OR text RLIKE r'"id"\s*:\s*[^"\s]|[0-9][eE][+]?[0-9]{3}|[0-9]{300}' AS unsure,
    from_json(concat('[', text, ',{"id":"end"}]'), 'array<struct<%(columns)s>>',
      map('mode', 'PERMISSIVE', 'allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false')) AS both
  FROM texts
), first AS (
  SELECT file, line, get(both, 0) AS j,
    NOT unsure AND size(both) = 2 AND get(both, 1).id = 'end' AND coalesce(get(both, 0).meta.lastUpdated
      RLIKE r'^(?!9999|000[01])\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d([.]\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d))?\z', true) AS sure
  FROM parsed
)
SELECT file, line, j.resourceType AS type, %(others)s, j.meta,
  CASE WHEN sure AND j.id RLIKE r'^[^"\\\x00-\x1f]*\z' THEN concat('"', j.id, '"') END AS id,
  coalesce(j.resourceType IN (%(in_scope)s), false) AS in_scope,
  coalesce(j.resourceType IN (%(one_owner)s), false) AS one_owner,
  coalesce(j.resourceType NOT IN (%(types)s) OR j.resourceType IN (%(odd_types)s), true) AS odd_type
FROM first
"""


class SparkLines(LineReader):
    """Finds lines again: those that Spark read in what the executors kept of them, all others in their files."""

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
        # Gathered first: Spark streams one partition after the other, and of those that were read there are many.
        query = (
            f"SELECT /*+ REPARTITION({1 + len(wanted) // _LINES_AT_ONCE}) */ * FROM ("  # noqa: S608 - a number
            "SELECT /*+ BROADCAST(w) */ l.file, l.line, CAST(l.value AS BINARY) FROM numbered_lines l "
            "LEFT SEMI JOIN wanted_lines w ON l.file = w.file AND l.line = w.line)"
        )
        for file, number, value in self._engine.stream(query):
            content = bytes(value)
            content = (content.removeprefix(BOM) if number == 1 else content).strip()
            if content:
                yield file, Line(number, number, content)


def can_read(file: InputFile) -> bool:
    """Whether Spark takes the file for what it is; all others are read here."""
    path = file.path.absolute()
    compressed = path.name.endswith(".gz")
    plain = not path.name.startswith(("_", ".")) and not _NOT_FOR_SPARK.search(str(path))
    return not file.document and plain and compressed == file.compressed


def scan(engine: Spark, files: Sequence[InputFile], patterns: Patterns) -> tuple[LineReader, TypedScan]:
    """Index the lines of the files that Spark can read. Raises UnreadableInput for a file that can't be read."""
    read = {_place(file): number for number, file in enumerate(files) if can_read(file)}
    reader = SparkLines(files, engine, tuple(read.values()))
    if not read:
        return reader, TypedScan()
    try:
        _number(engine, read)
    except EngineFailed:
        for number in read.values():
            for _ in lines_of(files[number]):  # says which file is damaged, if one is
                pass
        raise
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


def _place(file: InputFile) -> str:
    """Where the executors find a file."""
    path = str(file.path.absolute())
    folder, _, url = os.environ.get(FOLDER, "").partition("=")
    inside = url and path.startswith(f"{folder.rstrip('/')}/")
    return f"{url.rstrip('/')}{path[len(folder.rstrip('/')) :]}" if inside else f"file://{path}"


def _number(engine: Spark, read: dict[str, int]) -> None:
    """Every line, with its file and its number in it, as the view `numbered_lines`.

    Spark cuts files into blocks, and numbers the rows of a partition in the order of the lines. Blocks are counted
    first; a line's number is its place in its block behind all lines of the blocks before. Where Spark cuts depends
    on how many executors there are: what is counted and what is numbered must be the same reading, the one it holds.
    """
    lines = engine.lines(
        list(read),
        "value",
        "_metadata.file_path AS path",
        "_metadata.file_block_start AS start",
        "monotonically_increasing_id() AS n",
    )
    engine.hold("lines_of_files", lines, in_memory=False)
    counted = engine.ask(
        "SELECT path, start, min(n), count(*) FROM lines_of_files GROUP BY path, start ORDER BY path, start"
    )
    numbers = {_plain(place): number for place, number in read.items()}
    blocks: list[tuple[str, int, int, int]] = []
    before, last = 0, ""
    for path, start, first, lines_in_block in counted:
        before = before if path == last else 0
        blocks.append((path, start, numbers[_plain(path)], first - before - 1))
        before, last = before + lines_in_block, path
    columns = zip(*blocks, strict=True) if blocks else ((), (), (), ())
    names = (("path", pa.string()), ("start", pa.int64()), ("file", pa.int32()), ("shift", pa.int64()))
    engine.create_table(
        "blocks", pa.table({name: pa.array(values, kind) for (name, kind), values in zip(names, columns, strict=True)})
    )
    engine.ask(f"CREATE OR REPLACE TEMPORARY VIEW numbered_lines AS {_NUMBERED}")


def _plain(url: str) -> str:
    """A URL as we and Spark both write it."""
    scheme, place, path, *_ = urlsplit(url)
    return f"{scheme}://{place}{unquote(path)}"


def _parse(engine: Spark, patterns: Patterns) -> None:
    """The index row of each line that isn't blank, as the view `parsed_lines`."""
    elements = parsed("")
    told = {
        "columns": ", ".join(f"`{name}`: {what}" for name, what in elements.items()),
        "others": ", ".join(f"j.`{name}`" for name in elements if name not in ("resourceType", "id", "meta")),
        "in_scope": _listed(IN_SCOPE_TYPES),
        "one_owner": _listed(ONE_OWNER),
        "types": _listed(sorted(RESOURCE_TYPES)),
        "odd_types": _listed(ODD_TYPES),
    }
    engine.ask(f"CREATE OR REPLACE TEMPORARY VIEW raw_lines AS {_RAW % told}")
    flat = index_columns(raw_lines("", "raw_lines", file="int32", line="int32"), "", patterns, beside=("file", "line"))
    engine.hold("parsed_lines", engine.session.sql(engine.sql(flat)), in_memory=True)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
