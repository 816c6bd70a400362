"""Alembic's entry: runs inside the transaction of `warehouse.migrate`, on its connection."""

from __future__ import annotations

from alembic import context

from warehouse.schema import load_all
from warehouse.schema.base import SCHEMAS, Base

load_all()


def in_our_schemas(name: str | None, kind: str, parents: object) -> bool:
    """Comparison looks at our schemas only."""
    return name in SCHEMAS if kind == "schema" else True


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema="ops",
    include_schemas=True,
    include_name=in_our_schemas,
)
with context.begin_transaction():
    context.run_migrations()
