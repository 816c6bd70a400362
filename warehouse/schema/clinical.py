"""Schema `clinical`: the cohort's FHIR state, milestones and timelines. PHI."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, DateTime, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base, pull_key, source_key
from warehouse.schema.contract import beside_columns, contract_columns

TYPE = "FHIR resource type"
ID = "FHIR resource id, unique within source and type"
INFANT = "Patient id that the resource belongs to, before merges; empty when shared, or known by identifier only"
REFERENCES = "what the resource refers to or is known by: Type/id, or Patient?system|value"


class Resource(Base):
    """The cohort's current FHIR state."""

    __tablename__ = "resource"
    __table_args__ = (
        CheckConstraint("deleted = (body IS NULL)", name="deleted_has_no_body"),
        Index("ix_resource_infant", "source", "infant", postgresql_where=text("infant IS NOT NULL")),
        Index("ix_resource_references", "reference_keys", postgresql_using="gin"),
        {
            "schema": "clinical",
            "comment": "Newest known version of each resource of the cohort. Grain: source, type, id.",
        },
    )
    source: Mapped[str] = source_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment=TYPE)
    resource_id: Mapped[str] = mapped_column(primary_key=True, comment=ID)
    version_id: Mapped[str] = mapped_column(comment="meta.versionId, empty when the server gave none")
    last_updated: Mapped[str] = mapped_column(comment="meta.lastUpdated as the server wrote it; may be empty")
    updated_at: Mapped[datetime | None] = mapped_column(
        comment="the same as an instant, by which versions are ordered; for a deletion, when it was known"
    )
    version_number: Mapped[int] = mapped_column(BigInteger, comment="versionId as a number where it is one, else -1")
    seen_at: Mapped[datetime] = mapped_column(comment="transaction time of the pull that brought this version")
    sha256: Mapped[str] = mapped_column(comment="SHA-256 of the line as received, hex; empty for a deletion")
    pull_id: Mapped[str] = mapped_column(comment="id of the pull that brought this version")
    deleted: Mapped[bool] = mapped_column(comment="true when the server said that the resource was deleted")
    quarantined: Mapped[bool] = mapped_column(
        comment="true when the mapping could not read what it needs; counted as quarantined in the ledger"
    )
    infant: Mapped[str | None] = mapped_column(comment=INFANT)
    reference_keys: Mapped[list[str]] = mapped_column(ARRAY(Text), comment=REFERENCES)
    nonconformant_paths: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), comment="FHIR paths that break the specification; {} conforms, empty was not judged"
    )
    body: Mapped[dict[str, Any] | None] = mapped_column(JSON, comment="the resource as JSON text; empty when deleted")


class MilestoneEvent(Base):
    """Evidence for the milestones of the current timelines."""

    __tablename__ = "milestone_event"
    __table_args__ = (
        CheckConstraint("low <= high", name="low_before_high"),
        Index("ix_milestone_event_resource", "source", "resource_type", "resource_id"),
        {
            "schema": "clinical",
            "comment": "Evidence for milestones, current state. Grain: infant, milestone, rule, resource.",
        },
    )
    source: Mapped[str] = source_key()
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    n: Mapped[int] = mapped_column(primary_key=True, comment="ordinal within the infant, from 1")
    milestone: Mapped[str] = mapped_column(comment="onset, first_provider, suspected, referral, booked, neurology ...")
    low: Mapped[date] = mapped_column(comment="first day that it can have been; local date of the site")
    high: Mapped[date] = mapped_column(comment="last day that it can have been; local date of the site")
    precision: Mapped[str] = mapped_column(comment="day, month, year or interval")
    rule: Mapped[str] = mapped_column(comment="id of the rule in docs/timeline.md")
    certainty: Mapped[str] = mapped_column(comment="how sure the rule is: coded, specialty, text, status ...")
    resource_type: Mapped[str] = mapped_column(comment=TYPE)
    resource_id: Mapped[str] = mapped_column(comment=ID)
    version_id: Mapped[str] = mapped_column(comment="version of the resource that was read")
    detail: Mapped[str] = mapped_column(comment="drug or class, one of our codes; never text of the record")
    pull_id: Mapped[str] = mapped_column(comment="id of the pull that led to this row")


class ReferralTimeline(Base):
    """Timelines with their history (type 2)."""

    __table__ = Table(
        "referral_timeline",
        Base.metadata,
        Column("source", Text, primary_key=True, comment="name of the source, one site"),
        Column("infant", Text, primary_key=True, comment="the surviving Patient id after Patient.link merges"),
        Column(
            "valid_from",
            DateTime(timezone=True),
            primary_key=True,
            comment="instant from which this was what was known: the pull's transaction time",
        ),
        Column(
            "valid_to",
            DateTime(timezone=True),
            comment="instant from which it no longer was, exclusive; empty for the current row",
        ),
        Column("pull_id", Text, nullable=False, comment="id of the pull that opened the row"),
        Column("closed_by", Text, comment="id of the pull that closed the row; empty for the current row"),
        Column("content_sha256", Text, nullable=False, comment="SHA-256 of what is known but censored_on, hex"),
        *contract_columns(),
        *beside_columns(),
        CheckConstraint("valid_from < valid_to", name="valid_from_before_valid_to"),
        CheckConstraint("(valid_to IS NULL) = (closed_by IS NULL)", name="closed_by_a_pull"),
        Index(
            "uq_referral_timeline_current",
            "source",
            "infant",
            unique=True,
            postgresql_where=text("valid_to IS NULL"),
        ),
        schema="clinical",
        comment=(
            "The referral timeline (docs/timeline.md) and its history. Grain: source, infant, span of knowledge. "
            "An infant has one row without valid_to at most; who left the cohort has none."
        ),
    )


class AreaDeprivation(Base):
    """Deprivation by postal code, from a table that the operator supplies."""

    __tablename__ = "area_deprivation"
    __table_args__ = (
        CheckConstraint("quintile BETWEEN 1 AND 5", name="quintile"),
        {
            "schema": "clinical",
            "comment": "Deprivation of areas, loaded by `iess db deprivation`; none is shipped. Grain: postal code.",
        },
    )
    postal_code: Mapped[str] = mapped_column(
        primary_key=True, comment="letters and digits only, upper case; a ZIP code of 5, or of 9 digits, or another"
    )
    quintile: Mapped[int] = mapped_column(comment="1 (least deprived) to 5 (most deprived)")
    edition: Mapped[str] = mapped_column(comment="name of the index and its edition, as the operator gave it")


class InfantKey(Base):
    """The only bridge between an infant and the key under which analysts see it."""

    __tablename__ = "infant_key"
    __table_args__ = (
        Index("uq_infant_key_infant_key", "infant_key", unique=True),
        {"schema": "clinical", "comment": "Which keyed hash stands for which infant. Grain: source, infant."},
    )
    source: Mapped[str] = source_key()
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    infant_key: Mapped[str] = mapped_column(
        comment="HMAC-SHA256 of source and infant, hex; the key is not in the database"
    )


class Quarantine(Base):
    """What could not be used, and why."""

    __tablename__ = "quarantine"
    __table_args__ = (
        {
            "schema": "clinical",
            "comment": (
                "Lines and elements that could not be used, without their values. Grain: pull, attempt and finding. "
                "`iess quarantine` lists and replays them."
            ),
        },
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    attempt: Mapped[int] = mapped_column(primary_key=True, comment="1 for the first load of the pull, more for replays")
    n: Mapped[int] = mapped_column(primary_key=True, comment="ordinal within pull and attempt, from 1")
    stage: Mapped[str] = mapped_column(
        comment="select (a line that was not taken) or map (the resource is stored, and may be replayed)"
    )
    file: Mapped[str] = mapped_column(comment="name of the landed file")
    line: Mapped[int] = mapped_column(comment="line in the file, from 1; 0 when not known")
    resource_type: Mapped[str] = mapped_column(comment=f"{TYPE}; empty when not known")
    resource_id: Mapped[str] = mapped_column(comment=f"{ID}; empty when not known")
    infant: Mapped[str | None] = mapped_column(comment="surviving Patient id, for stage map; else empty")
    reason: Mapped[str] = mapped_column(comment="code: not_json, no_id, unknown_type, unreadable_element ...")
    path: Mapped[str] = mapped_column(comment="FHIR path of the element; empty for the whole line")
    message: Mapped[str] = mapped_column(comment="what is wrong, without the value")


class GateFailure(Base):
    """Keys of the rows that an expectation found."""

    __tablename__ = "gate_failure"
    __table_args__ = (
        {"schema": "clinical", "comment": "Keys of rows that failed a rule. Grain: pull, layer, rule and row."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    layer: Mapped[str] = mapped_column(primary_key=True, comment="staged, timeline, metrics or freshness")
    rule_id: Mapped[str] = mapped_column(primary_key=True, comment="id of the rule in expectations/catalogue.csv")
    n: Mapped[int] = mapped_column(primary_key=True, comment="ordinal of the failing row, from 1")
    key: Mapped[list[str]] = mapped_column(ARRAY(Text), comment="key of the failing row, in the rule's key columns")


class SiteAccess(Base):
    """Who may read which sites in `clinical`."""

    __tablename__ = "site_access"
    __table_args__ = (
        {"schema": "clinical", "comment": "Row-level security: which role reads which sites. Grain: role, source."},
    )
    role_name: Mapped[str] = mapped_column(primary_key=True, comment="PostgreSQL role, a login or a group")
    source: Mapped[str] = mapped_column(primary_key=True, comment="name of the source, or * for all of them")
