"""Tables of measures, charts, alerts and the outbox.

Revision: 0002, after 0001.
"""

# ruff: noqa: E501 - generated column by column from the models

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: Rows of these are written once; those of `clinical` may be deleted, since an infant's data may have to be erased.
APPEND_ONLY = {
    "analytics.metric_result": "UPDATE OR DELETE",
    "clinical.frozen_outcome": "UPDATE",
    "clinical.outcome_revision": "UPDATE",
    "ops.chart_week": "UPDATE OR DELETE",
    "ops.alert_event": "UPDATE OR DELETE",
}
REFUSE = """
CREATE FUNCTION ops.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% refused: its rows are append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "metric_definition",
        sa.Column("metric_id", sa.Text(), nullable=False, comment="short name: I2, I6, standard_first"),
        sa.Column("version", sa.Integer(), nullable=False, comment="rises with every change of meaning"),
        sa.Column("name", sa.Text(), nullable=False, comment="title"),
        sa.Column("numerator", sa.Text(), nullable=False, comment="the adverse outcome, in words"),
        sa.Column("denominator", sa.Text(), nullable=False, comment="who is counted, in words"),
        sa.Column("clock_start", sa.Text(), nullable=False, comment="timeline column that starts the clock"),
        sa.Column("clock_stop", sa.Text(), nullable=True, comment="timeline column that stops it; empty for a share"),
        sa.Column(
            "threshold_days", sa.Integer(), nullable=True, comment="a wait of more days is late; empty for a share"
        ),
        sa.Column(
            "competing_events", sa.Text(), nullable=False, comment="events that end a wait otherwise, comma between"
        ),
        sa.Column("direction", sa.Text(), nullable=False, comment="which way is adverse"),
        sa.Column(
            "maturity_days",
            sa.Integer(),
            nullable=False,
            comment="days after threshold or diagnosis until an outcome counts",
        ),
        sa.Column("min_n", sa.Integer(), nullable=False, comment="fewer infants have counts and no estimate"),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="first day of validity"),
        sa.Column("valid_to", sa.Date(), nullable=True, comment="last day of validity"),
        sa.PrimaryKeyConstraint("metric_id", "version", name=op.f("pk_metric_definition")),
        schema="analytics",
        comment="Definitions of the measures. Grain: measure and version.",
    )
    op.create_table(
        "metric_result",
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run"),
        sa.Column("metric_id", sa.Text(), nullable=False, comment="the measure"),
        sa.Column(
            "scope",
            sa.Text(),
            nullable=False,
            comment="network, site:<source>, within-site (stratified by site) or between-site",
        ),
        sa.Column("stratum_dimension", sa.Text(), nullable=False, comment="all, race_ethnicity, payer ..."),
        sa.Column("stratum_value", sa.Text(), nullable=False, comment="the group; all for everyone"),
        sa.Column("reference_value", sa.Text(), nullable=False, comment="the reference of a comparison, or empty"),
        sa.Column("window_kind", sa.Text(), nullable=False, comment="cumulative or rolling (by week of maturity)"),
        sa.Column(
            "estimand",
            sa.Text(),
            nullable=False,
            comment="prop, median, surv_7, rmst_28, rd, rr, or, rmst_diff_28, hr ...",
        ),
        sa.Column("method", sa.Text(), nullable=False, comment="the estimator"),
        sa.Column("definition_version", sa.Integer(), nullable=False, comment="version of the measure"),
        sa.Column("population", sa.Text(), nullable=False, comment="who is counted: confirmed, by week of diagnosis"),
        sa.Column(
            "window_start", sa.Date(), nullable=True, comment="first Monday of the window; empty when cumulative"
        ),
        sa.Column("window_end", sa.Date(), nullable=False, comment="last day of the window"),
        sa.Column("as_of", sa.Date(), nullable=False, comment="last day that the run looks at"),
        sa.Column("data_through", sa.Date(), nullable=True, comment="earliest day that the sources' data reach"),
        sa.Column("n_eligible", sa.Integer(), nullable=True, comment="infants in the denominator, matured or not"),
        sa.Column("n_matured", sa.Integer(), nullable=True, comment="of those, matured and decided"),
        sa.Column("n_late", sa.Integer(), nullable=True, comment="of the matured, with the adverse outcome"),
        sa.Column("n_pending", sa.Integer(), nullable=True, comment="not yet matured, or waiting 7 days or less"),
        sa.Column(
            "n_indeterminate", sa.Integer(), nullable=True, comment="matured, but partial dates leave it undecided"
        ),
        sa.Column("n_events", sa.Integer(), nullable=True, comment="waits that ended in the event"),
        sa.Column("n_censored", sa.Integer(), nullable=True, comment="waits censored"),
        sa.Column("n_competing", sa.Integer(), nullable=True, comment="waits ended by a competing event"),
        sa.Column("n_unknown_stratum", sa.Integer(), nullable=True, comment="matured infants whose group isn't known"),
        sa.Column("n_reference", sa.Integer(), nullable=True, comment="matured infants of the reference"),
        sa.Column("n_late_reference", sa.Integer(), nullable=True, comment="of those, with the adverse outcome"),
        sa.Column("person_days", sa.Integer(), nullable=True, comment="days waited, summed"),
        sa.Column("estimate", sa.Double(), nullable=True, comment="the estimate; shares from 0 to 1, times in days"),
        sa.Column("ci_low", sa.Double(), nullable=True, comment="lower bound; empty when the data set none"),
        sa.Column("ci_high", sa.Double(), nullable=True, comment="upper bound; empty when the data set none"),
        sa.Column("ci_level", sa.Double(), nullable=True, comment="0.95"),
        sa.Column("ci_kind", sa.Text(), nullable=True, comment="fixed:<name> or anytime:<name>"),
        sa.Column("se", sa.Double(), nullable=True, comment="standard error"),
        sa.Column("p_value", sa.Double(), nullable=True, comment="where the method has one"),
        sa.Column(
            "adjustment_set",
            sa.Text(),
            nullable=False,
            comment="what was adjusted for: none, site, clinical_need:age ...",
        ),
        sa.Column(
            "null_expectation", sa.Double(), nullable=True, comment="expected value of an index without any disparity"
        ),
        sa.Column("quality_flags", sa.Text(), nullable=False, comment="semicolon between"),
        sa.Column("not_estimable_reason", sa.Text(), nullable=True, comment="why a value or a bound is missing"),
        sa.PrimaryKeyConstraint(
            "run_id",
            "metric_id",
            "scope",
            "stratum_dimension",
            "stratum_value",
            "reference_value",
            "window_kind",
            "estimand",
            "method",
            "adjustment_set",
            name=op.f("pk_metric_result"),
        ),
        schema="analytics",
        comment="Estimates on true counts. Grain: run, measure, scope, stratum, window, estimand, method.",
    )
    op.create_table(
        "frozen_outcome",
        sa.Column("metric_id", sa.Text(), nullable=False, comment="the measure"),
        sa.Column("source", sa.Text(), nullable=False, comment="the site"),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column("definition_version", sa.Integer(), nullable=False, comment="version of the measure at the freeze"),
        sa.Column("week", sa.Date(), nullable=False, comment="Monday of the week whose block the infant is in"),
        sa.Column("matured_on", sa.Date(), nullable=False, comment="day on which the outcome could be relied on"),
        sa.Column("late", sa.Text(), nullable=False, comment="yes or no"),
        sa.Column("prior_neurology", sa.Text(), nullable=False, comment="yes or no: under neurology before the spasms"),
        sa.Column(
            "strata", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="dimension -> group at the freeze"
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that froze it"),
        sa.PrimaryKeyConstraint("metric_id", "source", "infant", name=op.f("pk_frozen_outcome")),
        schema="clinical",
        comment="Outcomes as they entered the charts, never rewritten. Grain: measure, source, infant.",
    )
    op.create_index(op.f("ix_frozen_outcome_week"), "frozen_outcome", ["week"], unique=False, schema="clinical")
    op.create_table(
        "outcome_revision",
        sa.Column("metric_id", sa.Text(), nullable=False, comment="the measure"),
        sa.Column("source", sa.Text(), nullable=False, comment="the site"),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column("field", sa.Text(), nullable=False, comment="late, or a dimension"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that saw it"),
        sa.Column("known_on", sa.Date(), nullable=False, comment="as-of day of that run"),
        sa.Column("old", sa.Text(), nullable=False, comment="value as frozen, or as last revised"),
        sa.Column("new", sa.Text(), nullable=False, comment="value now"),
        sa.PrimaryKeyConstraint("metric_id", "source", "infant", "field", "run_id", name=op.f("pk_outcome_revision")),
        schema="clinical",
        comment="Corrections after the freeze. Grain: measure, source, infant, field, run.",
    )
    op.create_table(
        "alert",
        sa.Column("alert_id", sa.Text(), nullable=False, comment="hash of the dedupe key, 12 digits"),
        sa.Column("dedupe_key", sa.Text(), nullable=False, comment="measure:dimension:group:reference:scope"),
        sa.Column("chart_id", sa.Text(), nullable=False, comment="the chart that signalled"),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="candidate, held, open, acknowledged, investigating, confirmed, refuted, action, monitoring, resolved",
        ),
        sa.Column("opened_week", sa.Date(), nullable=False, comment="Monday of the week of the first signal"),
        sa.Column("last_signal_week", sa.Date(), nullable=False, comment="Monday of the week of the last signal"),
        sa.Column(
            "signals", sa.Integer(), nullable=False, comment="how often the chart has signalled while this alert lived"
        ),
        sa.Column("opened_run_id", sa.Text(), nullable=False, comment="the run that raised it"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that last updated it"),
        sa.Column(
            "facts",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="counts, days, M, limit, intervals, gates: no PHI",
        ),
        sa.Column("assignee", sa.Text(), nullable=True, comment="who has acknowledged it"),
        sa.Column("due_on", sa.Date(), nullable=True, comment="by when it is to be acknowledged"),
        sa.Column("closed_on", sa.Date(), nullable=True, comment="day of resolution"),
        sa.Column("resolution", sa.Text(), nullable=True, comment="kind of resolution"),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alert")),
        sa.UniqueConstraint("dedupe_key", name=op.f("uq_alert_dedupe_key")),
        schema="ops",
        comment="Alerts, updated and not repeated. Grain: alert, which is a chart family.",
    )
    op.create_table(
        "chart_registry",
        sa.Column("chart_id", sa.Text(), nullable=False, comment="measure:dimension:group:reference:scope"),
        sa.Column("metric_id", sa.Text(), nullable=False, comment="the measure"),
        sa.Column("dimension", sa.Text(), nullable=False, comment="dimension of the groups"),
        sa.Column("group_value", sa.Text(), nullable=False, comment="the group"),
        sa.Column("reference_value", sa.Text(), nullable=False, comment="the reference"),
        sa.Column("scope", sa.Text(), nullable=False, comment="within-site (stratified) or total (pooled)"),
        sa.Column("role", sa.Text(), nullable=False, comment="alert (counts in the budget) or supporting"),
        sa.Column("registered_on", sa.Date(), nullable=True, comment="first day; empty: with the first data"),
        sa.Column("retired_on", sa.Date(), nullable=True, comment="last day"),
        sa.Column("rationale", sa.Text(), nullable=False, comment="why this comparison"),
        sa.Column("first_run_id", sa.Text(), nullable=False, comment="the run that first saw it"),
        sa.PrimaryKeyConstraint("chart_id", name=op.f("pk_chart_registry")),
        schema="ops",
        comment="Pre-registered weekly comparisons. Grain: chart.",
    )
    op.create_table(
        "chart_week",
        sa.Column("chart_id", sa.Text(), nullable=False, comment="the chart"),
        sa.Column("week", sa.Date(), nullable=False, comment="Monday"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that wrote it"),
        sa.Column(
            "rows",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="the week's counts: [site, prior_neurology, x, n_group, y, n_reference]",
        ),
        sa.Column(
            "blocks",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="complete blocks evaluated: [x, n_group, y, n_reference]",
        ),
        sa.Column(
            "carried",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="counts carried into the next week, as in rows",
        ),
        sa.Column(
            "log_e", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="log e-value for each odds ratio"
        ),
        sa.Column(
            "log_r",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="log of the statistic after the week; null is minus infinity",
        ),
        sa.Column("m", sa.Double(), nullable=False, comment="mean of the statistic before a reset"),
        sa.Column("limit_a", sa.Double(), nullable=False, comment="A = 52 K / B"),
        sa.Column("charts", sa.Integer(), nullable=False, comment="K, alerting charts registered in that week"),
        sa.Column("budget", sa.Double(), nullable=False, comment="B, false alerts a year over all alerting charts"),
        sa.Column("signal", sa.Boolean(), nullable=False, comment="whether m reached the limit"),
        sa.Column(
            "cs_low", sa.Double(), nullable=True, comment="anytime-valid 95% bound of the odds ratio; empty: none"
        ),
        sa.Column("cs_high", sa.Double(), nullable=True, comment="the upper one; empty: none"),
        sa.Column("previous_hash", sa.Text(), nullable=False, comment="hash of the chart's row before"),
        sa.Column("hash", sa.Text(), nullable=False, comment="sha256 of this row's content and previous_hash"),
        sa.PrimaryKeyConstraint("chart_id", "week", name=op.f("pk_chart_week")),
        schema="ops",
        comment="Weeks of the charts, hash-chained and replayable. Grain: chart and week.",
    )
    op.create_table(
        "maturity",
        sa.Column("source", sa.Text(), nullable=False, comment="the site"),
        sa.Column("version", sa.Integer(), nullable=False, comment="1 upwards; a change is a new version"),
        sa.Column(
            "lag_days",
            sa.Integer(),
            nullable=False,
            comment="95th percentile of the slowest group's recording lag, days",
        ),
        sa.Column(
            "groups",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="dimension:group -> [95th percentile in days, records]",
        ),
        sa.Column("valid_from", sa.Date(), nullable=False, comment="first as-of day to which it applies"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that learned it"),
        sa.PrimaryKeyConstraint("source", "version", name=op.f("pk_maturity")),
        schema="ops",
        comment="Days until a source's outcomes can be judged, as learned. Grain: source, version.",
    )
    op.create_table(
        "measure_run",
        sa.Column("run_id", sa.Text(), nullable=False, comment="id given by the caller, for example weekly-2026-11-23"),
        sa.Column("as_of", sa.Date(), nullable=False, comment="last day that the run looks at"),
        sa.Column("code_version", sa.Text(), nullable=False, comment="version of this project"),
        sa.Column("settings_hash", sa.Text(), nullable=False, comment="hash of all surveillance settings"),
        sa.Column(
            "data_through",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=False,
            comment="source -> last day that its data reach",
        ),
        sa.Column("infants", sa.Integer(), nullable=False, comment="timelines read"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_measure_run")),
        schema="ops",
        comment="One weekly run of measures, detection and alerts. Grain: run.",
    )
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.Text(), nullable=False, comment="stable id, lets a receiver drop a repeat"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run that wrote it"),
        sa.Column("kind", sa.Text(), nullable=False, comment="alert, worklist or test"),
        sa.Column("subject", sa.Text(), nullable=False, comment="subject line"),
        sa.Column("body", sa.Text(), nullable=False, comment="plain text, no PHI"),
        sa.Column(
            "alert_ids", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="the alerts that it is about"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="how often delivery was tried"),
        sa.Column(
            "delivered_at", sa.DateTime(timezone=True), nullable=True, comment="when it was delivered; empty: not yet"
        ),
        sa.Column("last_error", sa.Text(), nullable=True, comment="type of the last failure, without its text"),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_outbox")),
        schema="ops",
        comment="Messages to deliver once each. Grain: message.",
    )
    op.create_table(
        "metric_result",
        sa.Column("suppressed", sa.Boolean(), nullable=False, comment="whether counts and estimates were withheld"),
        sa.Column("audience", sa.Text(), nullable=False, comment="for whom the suppression was done"),
        sa.Column("run_id", sa.Text(), nullable=False, comment="the run"),
        sa.Column("metric_id", sa.Text(), nullable=False, comment="the measure"),
        sa.Column(
            "scope",
            sa.Text(),
            nullable=False,
            comment="network, site:<source>, within-site (stratified by site) or between-site",
        ),
        sa.Column("stratum_dimension", sa.Text(), nullable=False, comment="all, race_ethnicity, payer ..."),
        sa.Column("stratum_value", sa.Text(), nullable=False, comment="the group; all for everyone"),
        sa.Column("reference_value", sa.Text(), nullable=False, comment="the reference of a comparison, or empty"),
        sa.Column("window_kind", sa.Text(), nullable=False, comment="cumulative or rolling (by week of maturity)"),
        sa.Column(
            "estimand",
            sa.Text(),
            nullable=False,
            comment="prop, median, surv_7, rmst_28, rd, rr, or, rmst_diff_28, hr ...",
        ),
        sa.Column("method", sa.Text(), nullable=False, comment="the estimator"),
        sa.Column("definition_version", sa.Integer(), nullable=False, comment="version of the measure"),
        sa.Column("population", sa.Text(), nullable=False, comment="who is counted: confirmed, by week of diagnosis"),
        sa.Column(
            "window_start", sa.Date(), nullable=True, comment="first Monday of the window; empty when cumulative"
        ),
        sa.Column("window_end", sa.Date(), nullable=False, comment="last day of the window"),
        sa.Column("as_of", sa.Date(), nullable=False, comment="last day that the run looks at"),
        sa.Column("data_through", sa.Date(), nullable=True, comment="earliest day that the sources' data reach"),
        sa.Column("n_eligible", sa.Integer(), nullable=True, comment="infants in the denominator, matured or not"),
        sa.Column("n_matured", sa.Integer(), nullable=True, comment="of those, matured and decided"),
        sa.Column("n_late", sa.Integer(), nullable=True, comment="of the matured, with the adverse outcome"),
        sa.Column("n_pending", sa.Integer(), nullable=True, comment="not yet matured, or waiting 7 days or less"),
        sa.Column(
            "n_indeterminate", sa.Integer(), nullable=True, comment="matured, but partial dates leave it undecided"
        ),
        sa.Column("n_events", sa.Integer(), nullable=True, comment="waits that ended in the event"),
        sa.Column("n_censored", sa.Integer(), nullable=True, comment="waits censored"),
        sa.Column("n_competing", sa.Integer(), nullable=True, comment="waits ended by a competing event"),
        sa.Column("n_unknown_stratum", sa.Integer(), nullable=True, comment="matured infants whose group isn't known"),
        sa.Column("n_reference", sa.Integer(), nullable=True, comment="matured infants of the reference"),
        sa.Column("n_late_reference", sa.Integer(), nullable=True, comment="of those, with the adverse outcome"),
        sa.Column("person_days", sa.Integer(), nullable=True, comment="days waited, summed"),
        sa.Column("estimate", sa.Double(), nullable=True, comment="the estimate; shares from 0 to 1, times in days"),
        sa.Column("ci_low", sa.Double(), nullable=True, comment="lower bound; empty when the data set none"),
        sa.Column("ci_high", sa.Double(), nullable=True, comment="upper bound; empty when the data set none"),
        sa.Column("ci_level", sa.Double(), nullable=True, comment="0.95"),
        sa.Column("ci_kind", sa.Text(), nullable=True, comment="fixed:<name> or anytime:<name>"),
        sa.Column("se", sa.Double(), nullable=True, comment="standard error"),
        sa.Column("p_value", sa.Double(), nullable=True, comment="where the method has one"),
        sa.Column(
            "adjustment_set",
            sa.Text(),
            nullable=False,
            comment="what was adjusted for: none, site, clinical_need:age ...",
        ),
        sa.Column(
            "null_expectation", sa.Double(), nullable=True, comment="expected value of an index without any disparity"
        ),
        sa.Column("quality_flags", sa.Text(), nullable=False, comment="semicolon between"),
        sa.Column("not_estimable_reason", sa.Text(), nullable=True, comment="why a value or a bound is missing"),
        sa.PrimaryKeyConstraint(
            "run_id",
            "metric_id",
            "scope",
            "stratum_dimension",
            "stratum_value",
            "reference_value",
            "window_kind",
            "estimand",
            "method",
            "adjustment_set",
            name=op.f("pk_metric_result"),
        ),
        schema="published",
        comment="Estimates after disclosure control. Grain: as analytics.metric_result.",
    )
    op.create_table(
        "alert_event",
        sa.Column("alert_id", sa.Text(), nullable=False, comment="the alert"),
        sa.Column("number", sa.Integer(), nullable=False, comment="1 upwards"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="signal, held, opened, stronger, weaker, present, acknowledged, note ...",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="status after it"),
        sa.Column("signal_week", sa.Date(), nullable=True, comment="Monday of the signal that it is about, if any"),
        sa.Column("by_whom", sa.Text(), nullable=False, comment="person or run"),
        sa.Column("happened_on", sa.Date(), nullable=False, comment="day"),
        sa.Column("note", sa.Text(), nullable=False, comment="free text without PHI"),
        sa.Column("facts", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="figures at that time"),
        sa.ForeignKeyConstraint(["alert_id"], ["ops.alert.alert_id"], name=op.f("fk_alert_event_alert_id_alert")),
        sa.PrimaryKeyConstraint("alert_id", "number", name=op.f("pk_alert_event")),
        schema="ops",
        comment="The alerts' log, append-only. Grain: alert and number.",
    )
    op.execute(REFUSE)
    for table, changes in APPEND_ONLY.items():
        op.execute(f"CREATE TRIGGER append_only BEFORE {changes} ON {table} EXECUTE FUNCTION ops.refuse_change()")


def downgrade() -> None:
    op.drop_table("alert_event", schema="ops")
    op.drop_table("metric_result", schema="published")
    op.drop_table("outbox", schema="ops")
    op.drop_table("measure_run", schema="ops")
    op.drop_table("maturity", schema="ops")
    op.drop_table("chart_week", schema="ops")
    op.drop_table("chart_registry", schema="ops")
    op.drop_table("alert", schema="ops")
    op.drop_table("outcome_revision", schema="clinical")
    op.drop_index(op.f("ix_frozen_outcome_week"), table_name="frozen_outcome", schema="clinical")
    op.drop_table("frozen_outcome", schema="clinical")
    op.drop_table("metric_result", schema="analytics")
    op.drop_table("metric_definition", schema="analytics")
    op.execute("DROP FUNCTION ops.refuse_change()")
