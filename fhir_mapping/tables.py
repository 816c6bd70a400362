"""Writes tables as CSV or Parquet, whole or not at all, with the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from fhir_mapping.contract import COLUMNS, Column, TimelineRow, record_of
from fhir_source.errors import SettingsError

_ARROW_TYPES = {"text": pa.string(), "date": pa.date32(), "int": pa.int32(), "json": pa.string()}
ENDINGS = (".csv", ".parquet")


def check_ending(out: Path) -> None:
    """Raises SettingsError unless the file's ending says which table format is wanted."""
    if out.suffix.lower() not in ENDINGS:
        raise SettingsError("The output file must end in .csv or .parquet", file=out.name)


def write_timelines(out: Path, rows: Iterable[TimelineRow]) -> None:
    """The rows of the contract, in the order given, as CSV or Parquet by the ending of `out`."""
    records = [_flat(record_of(row)) for row in rows]
    if out.suffix.lower() == ".parquet":
        fields = [pa.field(column.name, _ARROW_TYPES[column.type], metadata=_described(column)) for column in COLUMNS]
        table = pa.Table.from_pylist(records, pa.schema(fields))
        write_atomically(out, lambda stream: pq.write_table(table, stream, compression="zstd"))
    else:
        write_csv(out, [column.name for column in COLUMNS], (record.values() for record in records))


def write_csv(out: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """A CSV file: UTF-8, RFC 4180 quoting, LF; nothing is written for None."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_safe(value) for value in row] for row in rows)
    write_atomically(out, lambda stream: stream.write(text.getvalue().encode("utf-8")))


def write_atomically(out: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write beside the target and rename: a reader finds the old file or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o640)
        temporary.replace(out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _described(column: Column) -> dict[str, str]:
    return {"description": column.meaning}


def _flat(record: dict[str, object]) -> dict[str, object]:
    return {
        name: json.dumps(value, sort_keys=True, separators=(",", ":")) if isinstance(value, dict) else value
        for name, value in record.items()
    }


def _safe(value: object) -> object:
    # A lone surrogate can't be written as UTF-8; ids and names from damaged records may hold one.
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
