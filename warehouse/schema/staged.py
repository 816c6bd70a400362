"""What is staged of a pull between selection and load, in the schema `clinical`: PHI, for the loader only."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base, pull_key, source_key
from warehouse.schema.clinical import ID, INFANT, REFERENCES, TYPE
from warehouse.schema.contract import beside_columns, contract_columns


class StagedResource(Base):
    """Staging of `resource`."""

    __tablename__ = "stg_resource"
    __table_args__ = ({"schema": "clinical", "comment": "Resources of a pull before its load. Grain: pull, type, id."},)
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment=TYPE)
    resource_id: Mapped[str] = mapped_column(primary_key=True, comment=ID)
    version_id: Mapped[str] = mapped_column(comment="meta.versionId, empty when the server gave none")
    last_updated: Mapped[str] = mapped_column(comment="meta.lastUpdated as the server wrote it; may be empty")
    updated_at: Mapped[datetime | None] = mapped_column(comment="the same as an instant")
    version_number: Mapped[int] = mapped_column(BigInteger, comment="versionId as a number where it is one, else -1")
    sha256: Mapped[str] = mapped_column(comment="SHA-256 of the line as received, hex")
    infant: Mapped[str | None] = mapped_column(comment=INFANT)
    reference_keys: Mapped[list[str]] = mapped_column(ARRAY(Text), comment=REFERENCES)
    file: Mapped[str] = mapped_column(comment="name of the landed file")
    line: Mapped[int] = mapped_column(comment="line in the file, from 1")
    body: Mapped[dict[str, Any]] = mapped_column(JSON, comment="the resource as JSON text")


class StagedUnchanged(Base):
    """Staging of what is held already."""

    __tablename__ = "stg_unchanged"
    __table_args__ = (
        {
            "schema": "clinical",
            "comment": "Resources of a pull that the warehouse holds just so. Grain: pull, type, id.",
        },
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment=TYPE)
    resource_id: Mapped[str] = mapped_column(primary_key=True, comment=ID)
    sha256: Mapped[str] = mapped_column(comment="SHA-256 of the line as received, hex")
    infant: Mapped[str | None] = mapped_column(comment=INFANT)


class StagedDeletion(Base):
    """Staging of deletions."""

    __tablename__ = "stg_deletion"
    __table_args__ = (
        {"schema": "clinical", "comment": "Resources that a pull says were deleted. Grain: pull, type, id."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment=TYPE)
    resource_id: Mapped[str] = mapped_column(primary_key=True, comment=ID)


class StagedConformance(Base):
    """Staging of verdicts."""

    __tablename__ = "stg_conformance"
    __table_args__ = (
        {"schema": "clinical", "comment": "Verdict of the FHIR models on a staged resource. Grain: pull, type, id."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment=TYPE)
    resource_id: Mapped[str] = mapped_column(primary_key=True, comment=ID)
    paths: Mapped[list[str]] = mapped_column(
        ARRAY(Text), comment="FHIR paths that break the specification; {} conforms"
    )


class StagedEvent(Base):
    """Staging of `milestone_event`."""

    __tablename__ = "stg_event"
    __table_args__ = (
        {
            "schema": "clinical",
            "comment": "Milestone evidence of the infants that a pull touched. Grain: pull, infant, n.",
        },
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    n: Mapped[int] = mapped_column(primary_key=True, comment="ordinal within the infant, from 1")
    milestone: Mapped[str] = mapped_column(comment="onset, first_provider, suspected, referral, booked, neurology ...")
    low: Mapped[date] = mapped_column(comment="first day that it can have been; local date of the site")
    high: Mapped[date] = mapped_column(comment="last day that it can have been; local date of the site")
    precision: Mapped[str] = mapped_column(comment="day, month, year or interval")
    rule: Mapped[str] = mapped_column(comment="id of the rule in docs/timeline.md")
    certainty: Mapped[str] = mapped_column(comment="how sure the rule is")
    resource_type: Mapped[str] = mapped_column(comment=TYPE)
    resource_id: Mapped[str] = mapped_column(comment=ID)
    version_id: Mapped[str] = mapped_column(comment="version of the resource that was read")
    detail: Mapped[str] = mapped_column(comment="drug or class, one of our codes")


class StagedTimeline(Base):
    """Staging of `referral_timeline`."""

    __table__ = Table(
        "stg_timeline",
        Base.metadata,
        Column("source", Text, primary_key=True, comment="name of the source, one site"),
        Column("pull_id", Text, primary_key=True, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        Column("infant", Text, primary_key=True, comment="the surviving Patient id after Patient.link merges"),
        Column("content_sha256", Text, nullable=False, comment="SHA-256 of what is known but censored_on, hex"),
        *contract_columns(),
        *beside_columns(),
        schema="clinical",
        comment="Timelines of the infants that a pull touched, before its load. Grain: pull, infant.",
    )


class StagedInfant(Base):
    """Which infants were mapped, and why some have no timeline."""

    __tablename__ = "stg_infant"
    __table_args__ = ({"schema": "clinical", "comment": "Infants that were mapped for a pull. Grain: pull, infant."},)
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    excluded: Mapped[str | None] = mapped_column(comment="why the infant has no timeline; empty for those with one")


class StagedQuarantine(Base):
    """Staging of `quarantine`."""

    __tablename__ = "stg_quarantine"
    __table_args__ = (
        {"schema": "clinical", "comment": "What could not be used of a pull. Grain: pull, stage and finding."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    stage: Mapped[str] = mapped_column(primary_key=True, comment="select or map")
    n: Mapped[int] = mapped_column(Integer, primary_key=True, comment="ordinal within pull and stage, from 1")
    file: Mapped[str] = mapped_column(comment="name of the landed file")
    line: Mapped[int] = mapped_column(comment="line in the file, from 1; 0 when not known")
    resource_type: Mapped[str] = mapped_column(comment=f"{TYPE}; empty when not known")
    resource_id: Mapped[str] = mapped_column(comment=f"{ID}; empty when not known")
    infant: Mapped[str | None] = mapped_column(comment="surviving Patient id, for stage map; else empty")
    reason: Mapped[str] = mapped_column(comment="code: not_json, no_id, unknown_type, unreadable_element ...")
    path: Mapped[str] = mapped_column(comment="FHIR path of the element; empty for the whole line")
    message: Mapped[str] = mapped_column(comment="what is wrong, without the value")
