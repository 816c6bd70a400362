"""Tables of the weekly detector: frozen outcomes, charts, alerts and the outbox.

Frozen outcomes, chart weeks and alert events are append-only: a trigger refuses to change or delete them.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, false
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base


class FrozenOutcome(Base):
    """One infant's outcome as it entered the charts of a measure. Grain: measure, source, infant."""

    __tablename__ = "frozen_outcome"
    __table_args__ = (
        {
            "schema": "clinical",
            "comment": "Outcomes as they entered the charts, never rewritten. Grain: measure, source, infant.",
        },
    )

    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="the measure")
    source: Mapped[str] = mapped_column(primary_key=True, comment="the site")
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    definition_version: Mapped[int] = mapped_column(comment="version of the measure at the freeze")
    week: Mapped[date] = mapped_column(comment="Monday of the week whose block the infant is in", index=True)
    matured_on: Mapped[date] = mapped_column(comment="day on which the outcome could be relied on")
    late: Mapped[str] = mapped_column(comment="yes or no")
    prior_neurology: Mapped[str] = mapped_column(comment="yes or no: under neurology before the spasms")
    days: Mapped[int | None] = mapped_column(
        comment="days waited, as far as they could be relied on at the freeze; empty when no single day is known"
    )
    event: Mapped[bool] = mapped_column(
        server_default=false(), comment="whether those days ended in the event; otherwise the infant was still waiting"
    )
    strata: Mapped[dict[str, Any]] = mapped_column(comment="dimension -> group at the freeze")
    run_id: Mapped[str] = mapped_column(comment="the run that froze it")


class OutcomeRevision(Base):
    """A correction that arrived after the freeze. Grain: measure, source, infant, run."""

    __tablename__ = "outcome_revision"
    __table_args__ = (
        {
            "schema": "clinical",
            "comment": "Corrections after the freeze. Grain: measure, source, infant, field, run.",
        },
    )

    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="the measure")
    source: Mapped[str] = mapped_column(primary_key=True, comment="the site")
    infant: Mapped[str] = mapped_column(primary_key=True, comment="surviving Patient id")
    field: Mapped[str] = mapped_column(primary_key=True, comment="late, or a dimension")
    run_id: Mapped[str] = mapped_column(primary_key=True, comment="the run that saw it")
    known_on: Mapped[date] = mapped_column(comment="as-of day of that run")
    old: Mapped[str] = mapped_column(comment="value as frozen, or as last revised")
    new: Mapped[str] = mapped_column(comment="value now")


class ChartRegistry(Base):
    """One pre-registered comparison. Grain: chart."""

    __tablename__ = "chart_registry"
    __table_args__ = ({"schema": "ops", "comment": "Pre-registered weekly comparisons. Grain: chart."},)

    chart_id: Mapped[str] = mapped_column(
        primary_key=True,
        comment="measure:dimension:group:reference:scope, with :time-to-event where it is that version",
    )
    metric_id: Mapped[str] = mapped_column(comment="the measure")
    dimension: Mapped[str] = mapped_column(comment="dimension of the groups")
    group_value: Mapped[str] = mapped_column(comment="the group")
    reference_value: Mapped[str] = mapped_column(comment="the reference")
    scope: Mapped[str] = mapped_column(comment="within-site (stratified) or total (pooled)")
    version: Mapped[str] = mapped_column(
        server_default="binary", comment="binary (late or not) or time-to-event (days waited)"
    )
    role: Mapped[str] = mapped_column(comment="alert (counts in the budget) or supporting")
    margin: Mapped[float] = mapped_column(
        server_default="1", comment="odds ratio (at least 1) or hazard ratio (at most 1) that isn't material yet"
    )
    min_reference: Mapped[int] = mapped_column(
        server_default="1", comment="infants of the reference that a block waits for"
    )
    registered_on: Mapped[date | None] = mapped_column(comment="first day; empty: with the first data")
    registered_by: Mapped[str] = mapped_column(server_default="", comment="who added it; empty: came with the version")
    retired_on: Mapped[date | None] = mapped_column(comment="last day")
    retired_by: Mapped[str | None] = mapped_column(comment="who retired it")
    rationale: Mapped[str] = mapped_column(comment="why this comparison")
    first_run_id: Mapped[str] = mapped_column(comment="the run that first saw it")


class ChartWeek(Base):
    """One week of one chart; each row holds the hash of the one before. Grain: chart and week."""

    __tablename__ = "chart_week"
    __table_args__ = (
        {"schema": "ops", "comment": "Weeks of the charts, hash-chained and replayable. Grain: chart and week."},
    )

    chart_id: Mapped[str] = mapped_column(primary_key=True, comment="the chart")
    week: Mapped[date] = mapped_column(primary_key=True, comment="Monday")
    run_id: Mapped[str] = mapped_column(comment="the run that wrote it")
    rows: Mapped[list[Any]] = mapped_column(
        JSON,
        comment="the week's counts: [site, prior_neurology, x, n_group, y, n_reference]; of a time-to-event chart "
        "[site, prior_neurology, day, events and censored of the group, events and censored of the reference]",
    )
    blocks: Mapped[list[Any]] = mapped_column(
        JSON, comment="complete blocks, or cells of a day, that were evaluated: [x, n_group, y, n_reference]"
    )
    carried: Mapped[list[Any]] = mapped_column(JSON, comment="counts carried into the next week, as in rows")
    log_e: Mapped[list[Any]] = mapped_column(JSON, comment="log e-value for each odds or hazard ratio")
    log_r: Mapped[list[Any]] = mapped_column(
        JSON, comment="log of the statistic after the week; null is minus infinity"
    )
    m: Mapped[float] = mapped_column(comment="mean of the statistic before a reset")
    limit_a: Mapped[float] = mapped_column(comment="A = 52 K / B")
    charts: Mapped[int] = mapped_column(comment="K, alerting charts registered in that week")
    budget: Mapped[float] = mapped_column(comment="B, false alerts a year over all alerting charts")
    signal: Mapped[bool] = mapped_column(comment="whether m reached the limit")
    cs_low: Mapped[float | None] = mapped_column(
        comment="anytime-valid 95% bound of the odds or hazard ratio; empty: none"
    )
    cs_high: Mapped[float | None] = mapped_column(comment="the upper one; empty: none")
    previous_hash: Mapped[str] = mapped_column(comment="hash of the chart's row before")
    hash: Mapped[str] = mapped_column(comment="sha256 of this row's content and previous_hash")


class Alert(Base):
    """One alert of one chart family, updated and not repeated. Grain: alert."""

    __tablename__ = "alert"
    __table_args__ = (
        {"schema": "ops", "comment": "Alerts, updated and not repeated. Grain: alert, which is a chart family."},
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True, comment="hash of the dedupe key, 12 digits")
    dedupe_key: Mapped[str] = mapped_column(
        unique=True, comment="chart family: measure:dimension:group:reference:scope"
    )
    chart_id: Mapped[str] = mapped_column(comment="the chart that signalled")
    status: Mapped[str] = mapped_column(
        comment="candidate, held, open, acknowledged, investigating, confirmed, refuted, action, monitoring, resolved"
    )
    opened_week: Mapped[date] = mapped_column(comment="Monday of the week of the first signal")
    last_signal_week: Mapped[date] = mapped_column(comment="Monday of the week of the last signal")
    signals: Mapped[int] = mapped_column(comment="how often the chart has signalled while this alert lived")
    opened_run_id: Mapped[str] = mapped_column(comment="the run that raised it")
    run_id: Mapped[str] = mapped_column(comment="the run that last updated it")
    facts: Mapped[dict[str, Any]] = mapped_column(comment="counts, days, M, limit, intervals, gates: no PHI")
    assignee: Mapped[str | None] = mapped_column(comment="who has acknowledged it")
    due_on: Mapped[date | None] = mapped_column(comment="by when it is to be acknowledged")
    closed_on: Mapped[date | None] = mapped_column(comment="day of resolution")
    resolution: Mapped[str | None] = mapped_column(comment="kind of resolution")


class AlertEvent(Base):
    """What happened to an alert. Grain: alert and number."""

    __tablename__ = "alert_event"
    __table_args__ = (
        ForeignKeyConstraint(["alert_id"], ["ops.alert.alert_id"]),
        {"schema": "ops", "comment": "The alerts' log, append-only. Grain: alert and number."},
    )

    alert_id: Mapped[str] = mapped_column(primary_key=True, comment="the alert")
    number: Mapped[int] = mapped_column(primary_key=True, comment="1 upwards")
    kind: Mapped[str] = mapped_column(comment="signal, held, opened, stronger, weaker, present, acknowledged, note ...")
    status: Mapped[str] = mapped_column(comment="status after it")
    signal_week: Mapped[date | None] = mapped_column(comment="Monday of the signal that it is about, if any")
    chart_id: Mapped[str | None] = mapped_column(comment="the chart that gave the signal, if any")
    by_whom: Mapped[str] = mapped_column(comment="person or run")
    happened_on: Mapped[date] = mapped_column(comment="day")
    note: Mapped[str] = mapped_column(comment="free text without PHI")
    facts: Mapped[dict[str, Any]] = mapped_column(comment="figures at that time")


class Outbox(Base):
    """A message to be delivered once. Grain: message."""

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint("attempts >= 0", name="attempts"),
        {"schema": "ops", "comment": "Messages to deliver once each. Grain: message."},
    )

    message_id: Mapped[str] = mapped_column(primary_key=True, comment="stable id, lets a receiver drop a repeat")
    run_id: Mapped[str] = mapped_column(comment="the run that wrote it")
    kind: Mapped[str] = mapped_column(comment="alert, escalation, worklist or test")
    subject: Mapped[str] = mapped_column(comment="subject line")
    body: Mapped[str] = mapped_column(comment="plain text, no PHI")
    alert_ids: Mapped[list[Any]] = mapped_column(JSON, comment="the alerts that it is about")
    attempts: Mapped[int] = mapped_column(comment="how often delivery was tried")
    delivered_at: Mapped[datetime | None] = mapped_column(
        comment="when it was delivered; empty: not yet", info={"wall_clock": True}
    )
    last_error: Mapped[str | None] = mapped_column(comment="type of the last failure, without its text")


class Maturity(Base):
    """How long a source's records take, as learned. Grain: source and version."""

    __tablename__ = "maturity"
    __table_args__ = (
        {
            "schema": "ops",
            "comment": "Days until a source's outcomes can be judged, as learned. Grain: source, version.",
        },
    )

    source: Mapped[str] = mapped_column(primary_key=True, comment="the site")
    version: Mapped[int] = mapped_column(primary_key=True, comment="1 upwards; a change is a new version")
    lag_days: Mapped[int] = mapped_column(comment="95th percentile of the slowest group's recording lag, days")
    groups: Mapped[dict[str, Any]] = mapped_column(comment="dimension:group -> [95th percentile in days, records]")
    valid_from: Mapped[date] = mapped_column(comment="first as-of day to which it applies")
    run_id: Mapped[str] = mapped_column(comment="the run that learned it")
