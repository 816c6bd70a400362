"""Tables of the weekly run: measures and their results, frozen outcomes, charts, alerts and the outbox.

Results, chart weeks and alert events are append-only: a trigger refuses to change or delete them.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, false
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base


class MeasureRun(Base):
    """One weekly run. Grain: run."""

    __tablename__ = "measure_run"
    __table_args__ = ({"schema": "ops", "comment": "One weekly run of measures, detection and alerts. Grain: run."},)

    run_id: Mapped[str] = mapped_column(
        primary_key=True, comment="id given by the caller, for example weekly-2026-11-23"
    )
    as_of: Mapped[date] = mapped_column(comment="last day that the run looks at")
    code_version: Mapped[str] = mapped_column(comment="version of this project")
    settings_hash: Mapped[str] = mapped_column(comment="hash of all surveillance settings")
    data_through: Mapped[dict[str, Any]] = mapped_column(comment="source -> last day that its data reach")
    infants: Mapped[int] = mapped_column(comment="timelines read")


class MetricDefinition(Base):
    """One version of one measure. Grain: measure and version."""

    __tablename__ = "metric_definition"
    __table_args__ = ({"schema": "analytics", "comment": "Definitions of the measures. Grain: measure and version."},)

    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="short name: I2, I6, standard_first")
    version: Mapped[int] = mapped_column(primary_key=True, comment="rises with every change of meaning")
    name: Mapped[str] = mapped_column(comment="title")
    numerator: Mapped[str] = mapped_column(comment="the adverse outcome, in words")
    denominator: Mapped[str] = mapped_column(comment="who is counted, in words")
    clock_start: Mapped[str] = mapped_column(comment="timeline column that starts the clock")
    clock_stop: Mapped[str | None] = mapped_column(comment="timeline column that stops it; empty for a share")
    threshold_days: Mapped[int | None] = mapped_column(comment="a wait of more days is late; empty for a share")
    competing_events: Mapped[str] = mapped_column(comment="events that end a wait otherwise, comma between")
    direction: Mapped[str] = mapped_column(comment="which way is adverse")
    maturity_days: Mapped[int] = mapped_column(comment="days after threshold or diagnosis until an outcome counts")
    min_n: Mapped[int] = mapped_column(comment="fewer infants have counts and no estimate")
    valid_from: Mapped[date] = mapped_column(comment="first day of validity")
    valid_to: Mapped[date | None] = mapped_column(comment="last day of validity")


class _Result:
    """Columns of a result, in the analysts' table and in the published one."""

    run_id: Mapped[str] = mapped_column(primary_key=True, comment="the run")
    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="the measure")
    scope: Mapped[str] = mapped_column(
        primary_key=True, comment="network, site:<source>, within-site (stratified by site) or between-site"
    )
    stratum_dimension: Mapped[str] = mapped_column(primary_key=True, comment="all, race_ethnicity, payer ...")
    stratum_value: Mapped[str] = mapped_column(primary_key=True, comment="the group; all for everyone")
    reference_value: Mapped[str] = mapped_column(primary_key=True, comment="the reference of a comparison, or empty")
    window_kind: Mapped[str] = mapped_column(primary_key=True, comment="cumulative or rolling (by week of maturity)")
    estimand: Mapped[str] = mapped_column(
        primary_key=True, comment="prop, median, surv_7, rmst_28, rd, rr, or, rmst_diff_28, hr ..."
    )
    method: Mapped[str] = mapped_column(primary_key=True, comment="the estimator")
    definition_version: Mapped[int] = mapped_column(comment="version of the measure")
    population: Mapped[str] = mapped_column(comment="who is counted: confirmed, by week of diagnosis")
    window_start: Mapped[date | None] = mapped_column(comment="first Monday of the window; empty when cumulative")
    window_end: Mapped[date] = mapped_column(comment="last day of the window")
    as_of: Mapped[date] = mapped_column(comment="last day that the run looks at")
    data_through: Mapped[date | None] = mapped_column(comment="earliest day that the sources' data reach")
    n_eligible: Mapped[int | None] = mapped_column(comment="infants in the denominator, matured or not")
    n_matured: Mapped[int | None] = mapped_column(comment="of those, matured and decided")
    n_late: Mapped[int | None] = mapped_column(comment="of the matured, with the adverse outcome")
    n_pending: Mapped[int | None] = mapped_column(comment="not yet matured, or waiting 7 days or less")
    n_indeterminate: Mapped[int | None] = mapped_column(comment="matured, but partial dates leave it undecided")
    n_events: Mapped[int | None] = mapped_column(comment="waits that ended in the event")
    n_censored: Mapped[int | None] = mapped_column(comment="waits censored")
    n_competing: Mapped[int | None] = mapped_column(comment="waits ended by a competing event")
    n_unknown_stratum: Mapped[int | None] = mapped_column(comment="matured infants whose group isn't known")
    n_reference: Mapped[int | None] = mapped_column(comment="matured infants of the reference")
    n_late_reference: Mapped[int | None] = mapped_column(comment="of those, with the adverse outcome")
    person_days: Mapped[int | None] = mapped_column(comment="days waited, summed")
    estimate: Mapped[float | None] = mapped_column(comment="the estimate; shares from 0 to 1, times in days")
    ci_low: Mapped[float | None] = mapped_column(comment="lower bound; empty when the data set none")
    ci_high: Mapped[float | None] = mapped_column(comment="upper bound; empty when the data set none")
    ci_level: Mapped[float | None] = mapped_column(comment="0.95")
    ci_kind: Mapped[str | None] = mapped_column(comment="fixed:<name> or anytime:<name>")
    se: Mapped[float | None] = mapped_column(comment="standard error")
    p_value: Mapped[float | None] = mapped_column(comment="where the method has one")
    adjustment_set: Mapped[str] = mapped_column(
        primary_key=True, comment="what was adjusted for: none, site, clinical_need:age ..."
    )
    null_expectation: Mapped[float | None] = mapped_column(comment="expected value of an index without any disparity")
    quality_flags: Mapped[str] = mapped_column(comment="semicolon between")
    not_estimable_reason: Mapped[str | None] = mapped_column(comment="why a value or a bound is missing")


class MetricResult(_Result, Base):
    """One estimate, on true counts. Grain: run, measure, scope, stratum, reference, window, estimand, method."""

    __tablename__ = "metric_result"
    __table_args__ = (
        {
            "schema": "analytics",
            "comment": "Estimates on true counts. Grain: run, measure, scope, stratum, window, estimand, method.",
        },
    )


class PublishedResult(_Result, Base):
    """The same after disclosure control. Grain: as `analytics.metric_result`."""

    __tablename__ = "metric_result"
    __table_args__ = (
        {"schema": "published", "comment": "Estimates after disclosure control. Grain: as analytics.metric_result."},
    )

    suppressed: Mapped[bool] = mapped_column(comment="whether counts and estimates were withheld")
    audience: Mapped[str] = mapped_column(comment="for whom the suppression was done")


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
