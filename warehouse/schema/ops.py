"""Schema `ops`: what ran, what it brought, and how it was judged. No PHI."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ARRAY, CheckConstraint, Index, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base, pull_key, source_key

_LAW = "received = loaded + unchanged + superseded + deleted + out_of_scope + quarantined"


class Pull(Base):
    """Loaded pulls."""

    __tablename__ = "pull"
    __table_args__ = (
        Index("uq_pull_sequence", "source", "sequence", unique=True),
        {"schema": "ops", "comment": "Loads of pulls. Grain: source, pull, attempt; a replay is a further attempt."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    attempt: Mapped[int] = mapped_column(primary_key=True, comment="1 for the first load of the pull, more for replays")
    sequence: Mapped[int] = mapped_column(comment="ordinal of the load within the source, from 1")
    kind: Mapped[str] = mapped_column(comment="search, bulk or files")
    since: Mapped[str | None] = mapped_column(comment="instant since which changes were asked for; empty: all")
    transaction_time: Mapped[str] = mapped_column(comment="server's own time up to which the pull is whole, as written")
    known_at: Mapped[datetime] = mapped_column(
        comment="instant from which the warehouse knew it: the transaction time, but never before an earlier load's"
    )
    fhir_version: Mapped[str] = mapped_column(comment="R4 or R5")
    timezone: Mapped[str | None] = mapped_column(
        comment="IANA zone of the site's local dates at the time; empty when not told"
    )
    complete: Mapped[bool] = mapped_column(comment="false when the server said that the pull is not whole")
    left_out: Mapped[list[str]] = mapped_column(
        ARRAY(Text),
        server_default="{}",
        comment="resource types that the server does not offer, and were not asked for",
    )
    data_through: Mapped[date | None] = mapped_column(comment="last local date that the pull has data for")
    as_of: Mapped[date | None] = mapped_column(comment="local date up to which open waits were counted")
    mapping_version: Mapped[str | None] = mapped_column(
        comment="which rules, value sets and settings the timelines were made by; a change maps every infant again"
    )
    infants: Mapped[int] = mapped_column(comment="infants that the pull touched, count")
    timelines_opened: Mapped[int] = mapped_column(comment="timeline rows that the load opened, count")
    timelines_closed: Mapped[int] = mapped_column(comment="timeline rows that the load closed, count")
    loaded_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), info={"wall_clock": True}, comment="instant of the load, the database's clock"
    )


class Ledger(Base):
    """The conservation law, as rows."""

    __tablename__ = "ledger"
    __table_args__ = (
        CheckConstraint(_LAW, name="conservation"),
        CheckConstraint(
            "least(received, loaded, unchanged, superseded, deleted, out_of_scope, quarantined) >= 0", name="counts"
        ),
        {"schema": "ops", "comment": f"What became of each received line: {_LAW}. Grain: pull, attempt, type."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    attempt: Mapped[int] = mapped_column(primary_key=True, comment="1 for the first load of the pull, more for replays")
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment="FHIR resource type; empty when not known")
    received: Mapped[int] = mapped_column(comment="lines received, count")
    loaded: Mapped[int] = mapped_column(comment="lines that became the current version of a resource, count")
    unchanged: Mapped[int] = mapped_column(comment="lines that say what is already held, count")
    superseded: Mapped[int] = mapped_column(comment="lines older than what is held or came with them, count")
    deleted: Mapped[int] = mapped_column(comment="deletions, count")
    out_of_scope: Mapped[int] = mapped_column(comment="lines of other types, or of patients outside the cohort, count")
    quarantined: Mapped[int] = mapped_column(comment="lines that could not be used, count; why: clinical.quarantine")


class Watermark(Base):
    """Up to which instant a source was loaded."""

    __tablename__ = "watermark"
    __table_args__ = ({"schema": "ops", "comment": "Up to when each source is loaded. Grain: source."},)
    source: Mapped[str] = source_key()
    transaction_time: Mapped[str] = mapped_column(comment="server's instant from which to ask next, as it wrote it")
    instant: Mapped[datetime] = mapped_column(comment="the same as an instant; never goes back")
    pull_id: Mapped[str] = mapped_column(comment="id of the pull that moved it")


class GateResult(Base):
    """What the expectations said of a pull."""

    __tablename__ = "gate_result"
    __table_args__ = (
        {"schema": "ops", "comment": "Results of the expectations, counts only. Grain: pull, layer, rule."},
    )
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    layer: Mapped[str] = mapped_column(primary_key=True, comment="staged, timeline, metrics or freshness")
    rule_id: Mapped[str] = mapped_column(primary_key=True, comment="id of the rule in expectations/catalogue.csv")
    severity: Mapped[str] = mapped_column(comment="critical, warning or info")
    status: Mapped[str] = mapped_column(comment="pass, fail, or error when the rule could not be run")
    judged_rows: Mapped[int | None] = mapped_column(comment="rows that the rule judged, count")
    failing_rows: Mapped[int] = mapped_column(comment="rows that failed it, count")
    threshold: Mapped[float | None] = mapped_column(comment="share of judged rows that may fail, 0 to 1")
    error: Mapped[str | None] = mapped_column(
        comment="SQLSTATE and class of what went wrong; empty unless status is error"
    )
    catalogue_version: Mapped[str | None] = mapped_column(comment="hash of the catalogue that was run")


class HashKey(Base):
    """Which key the infant keys were made with."""

    __tablename__ = "hash_key"
    __table_args__ = (
        {"schema": "ops", "comment": "Fingerprint of the key that infant keys are made with. Grain: one row."},
    )
    singleton: Mapped[bool] = mapped_column(primary_key=True, comment="always true: there is one row")
    fingerprint: Mapped[str] = mapped_column(comment="first 16 hex digits of an HMAC under the key; tells keys apart")


class Erasure(Base):
    """Infants who were erased."""

    __tablename__ = "erasure"
    __table_args__ = (
        {
            "schema": "ops",
            "comment": "Infants erased on request, so that later pulls do not bring them back. Grain: key or resource.",
        },
    )
    source: Mapped[str] = source_key()
    owner_hash: Mapped[str] = mapped_column(
        primary_key=True,
        comment="SHA-256 of the salt and an erased Patient's id or identifier, or type/id of a resource, hex",
    )
    salt: Mapped[str] = mapped_column(comment="salt of the person, hex; outlives a change of the hash key")
    erased_at: Mapped[datetime] = mapped_column(comment="instant of the erasure, as passed in")
    reason: Mapped[str] = mapped_column(comment="why, in words without PHI")
    rows_deleted: Mapped[int] = mapped_column(comment="rows deleted with it, over all tables, count")


class Purge(Base):
    """What retention removed."""

    __tablename__ = "purge"
    __table_args__ = ({"schema": "ops", "comment": "What retention removed. Grain: purge and table."},)
    purged_at: Mapped[datetime] = mapped_column(primary_key=True, comment="instant of the purge, as passed in")
    what: Mapped[str] = mapped_column(primary_key=True, comment="table, or landing:<source>/<pull> for raw files")
    before: Mapped[datetime] = mapped_column(comment="what was older than this instant was removed")
    rows_deleted: Mapped[int] = mapped_column(comment="rows or files removed, count")
    reason: Mapped[str] = mapped_column(comment="the policy that asked for it")


class SchemaState(Base):
    """Which views, grants and policies are in place."""

    __tablename__ = "schema_state"
    __table_args__ = (
        {
            "schema": "ops",
            "comment": "Version of the views, grants and policies in place. Grain: one row.",
            "info": {"wall_clock": True},
        },
    )
    singleton: Mapped[bool] = mapped_column(primary_key=True, comment="always true: there is one row")
    sha256: Mapped[str] = mapped_column(comment="SHA-256 of the SQL that made them, hex")


class StagedPull(Base):
    """Staging of `pull`."""

    __tablename__ = "stg_pull"
    __table_args__ = ({"schema": "ops", "comment": "Pulls that are staged. Grain: source, pull."},)
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    transaction_time: Mapped[datetime] = mapped_column(comment="server's instant up to which the pull is whole")
    data_through: Mapped[date | None] = mapped_column(comment="last local date that the pull has data for")
    timezone: Mapped[str | None] = mapped_column(comment="IANA zone that local dates were counted in")
    as_of: Mapped[date | None] = mapped_column(comment="local date up to which open waits were counted")
    mapping_version: Mapped[str | None] = mapped_column(comment="which rules, value sets and settings it is mapped by")
    mapped_after: Mapped[int | None] = mapped_column(
        comment="sequence of the source's last load when its infants were mapped; empty when not mapped yet"
    )


class StagedLedger(Base):
    """Staging of `ledger`."""

    __tablename__ = "stg_ledger"
    __table_args__ = ({"schema": "ops", "comment": "What selection made of each received line. Grain: pull, type."},)
    source: Mapped[str] = source_key()
    pull_id: Mapped[str] = pull_key()
    resource_type: Mapped[str] = mapped_column(primary_key=True, comment="FHIR resource type; empty when not known")
    received: Mapped[int] = mapped_column(comment="lines received, count")
    in_scope: Mapped[int] = mapped_column(comment="newest versions of the cohort's resources, count")
    out_of_scope: Mapped[int] = mapped_column(comment="lines of other types or patients, count")
    superseded: Mapped[int] = mapped_column(comment="older or repeated versions within the pull, count")
    deleted: Mapped[int] = mapped_column(comment="deletions, count")
    quarantined: Mapped[int] = mapped_column(comment="lines that could not be used, count")
