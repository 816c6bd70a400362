"""Files for those without a database: a table or view of `published` or `analytics` as CSV or Parquet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import Engine, inspect, text

from fhir_source.errors import SettingsError
from warehouse.errors import translated

if TYPE_CHECKING:
    from pathlib import Path

#: Schemas whose rows may leave the database.
EXPORTABLE = ("published", "analytics")


def export(engine: Engine, relation: str, file: Path) -> int:
    """Write all rows of `schema.relation`, sorted by all columns, to a .csv or .parquet file; gives their number.

    The file appears whole or not at all. Raises SettingsError for another schema, relation or ending.
    """
    schema, _, name = relation.partition(".")
    if schema not in EXPORTABLE or not re.fullmatch(r"\w+", name):
        raise SettingsError(f"Only tables of {' and '.join(EXPORTABLE)} may be exported, as schema.table")
    if file.suffix not in (".csv", ".parquet"):
        raise SettingsError("An export ends in .csv or .parquet", file=str(file))
    with translated(), engine.connect() as connection:
        inspector = inspect(connection)
        if name not in (*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)):
            raise SettingsError(f"There is no table or view {relation}")
        columns = len(inspector.get_columns(name, schema=schema))
        order = ", ".join(str(n) for n in range(1, columns + 1))
        rows = connection.execute(text(f"SELECT * FROM {relation} ORDER BY {order}"))  # noqa: S608 - checked above
        frame = pd.DataFrame(rows.all(), columns=list(rows.keys())).convert_dtypes()
    draft = file.with_name(f".{file.name}.part")
    if file.suffix == ".csv":
        frame.to_csv(draft, index=False)
    else:
        frame.to_parquet(draft, index=False)
    draft.replace(file)
    return len(frame)
