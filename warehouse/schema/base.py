"""The declarative base that all tables share, and the columns that several of them have.

Every table and column carries a comment: what it is, its unit, and for a table its grain. The comments go into
PostgreSQL and into `docs/data-dictionary.md`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import Date, DateTime, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

#: What each PostgreSQL schema holds: the rooms of the house, most private first.
SCHEMAS: dict[str, str] = {
    "clinical": "PHI: FHIR resources, exact dates, resource ids, infants.",
    "analytics": "Infants without identifiers (durations, age in months, year, groups), and measures over them.",
    "published": "Aggregates after disclosure control.",
    "ops": "Pulls, ledger, watermarks, gate results, chart state, alerts. No PHI.",
}

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table. Text without a length, instants with a time zone, whole days as integers.

    `info={"wall_clock": True}` on a column keeps it out of `warehouse.fingerprint`; the same on a table, all of it.
    """

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        int: Integer,
        date: Date,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSON,
    }


def source_key() -> Mapped[str]:
    """First part of a primary key: the source."""
    return mapped_column(primary_key=True, comment="name of the source: one FHIR server or folder, one site")


def pull_key() -> Mapped[str]:
    """Part of a primary key: the pull."""
    return mapped_column(primary_key=True, comment="id of the pull, a sortable instant: 20261123T070000Z")


def tables(schema: str | None = None) -> list[Table]:
    """All tables of the models, or those of one PostgreSQL schema, parents first."""
    # Tables register themselves with the metadata when their module is imported.
    from warehouse import schema as package

    package.load_all()
    return [table for table in Base.metadata.sorted_tables if schema in (None, table.schema)]
