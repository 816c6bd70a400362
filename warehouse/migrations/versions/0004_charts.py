"""Charts of days waited, the dated acts of the registry, and which chart of a family gave a signal.

Revision: 0004, after 0003.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS: list[tuple[str, str, sa.Column[Any]]] = [
    (
        "clinical",
        "frozen_outcome",
        sa.Column(
            "days",
            sa.Integer(),
            comment="days waited, as far as they could be relied on at the freeze; empty when no single day is known",
        ),
    ),
    (
        "clinical",
        "frozen_outcome",
        sa.Column(
            "event",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="whether those days ended in the event; otherwise the infant was still waiting",
        ),
    ),
    (
        "ops",
        "chart_registry",
        sa.Column(
            "version",
            sa.Text(),
            server_default="binary",
            nullable=False,
            comment="binary (late or not) or time-to-event (days waited)",
        ),
    ),
    (
        "ops",
        "chart_registry",
        sa.Column(
            "margin",
            sa.Float(),
            server_default="1",
            nullable=False,
            comment="odds ratio (at least 1) or hazard ratio (at most 1) that isn't material yet",
        ),
    ),
    (
        "ops",
        "chart_registry",
        sa.Column(
            "min_reference",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="infants of the reference that a block waits for",
        ),
    ),
    (
        "ops",
        "chart_registry",
        sa.Column(
            "registered_by",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="who added it; empty: came with the version",
        ),
    ),
    ("ops", "chart_registry", sa.Column("retired_by", sa.Text(), comment="who retired it")),
    ("ops", "alert_event", sa.Column("chart_id", sa.Text(), comment="the chart that gave the signal, if any")),
]
#: Table and column -> its comment before and after.
_COMMENTS = {
    ("chart_registry", "chart_id"): (
        "measure:dimension:group:reference:scope",
        "measure:dimension:group:reference:scope, with :time-to-event where it is that version",
    ),
    ("chart_week", "rows"): (
        "the week's counts: [site, prior_neurology, x, n_group, y, n_reference]",
        "the week's counts: [site, prior_neurology, x, n_group, y, n_reference]; of a time-to-event chart "
        "[site, prior_neurology, day, events and censored of the group, events and censored of the reference]",
    ),
    ("chart_week", "blocks"): (
        "complete blocks evaluated: [x, n_group, y, n_reference]",
        "complete blocks, or cells of a day, that were evaluated: [x, n_group, y, n_reference]",
    ),
    ("chart_week", "log_e"): ("log e-value for each odds ratio", "log e-value for each odds or hazard ratio"),
    ("chart_week", "cs_low"): (
        "anytime-valid 95% bound of the odds ratio; empty: none",
        "anytime-valid 95% bound of the odds or hazard ratio; empty: none",
    ),
    ("alert", "dedupe_key"): (
        "measure:dimension:group:reference:scope",
        "chart family: measure:dimension:group:reference:scope",
    ),
    ("outbox", "kind"): ("alert, worklist or test", "alert, escalation, worklist or test"),
}
#: Written once: a chart is retired and never taken back, a maturity is replaced by a newer version.
_APPEND_ONLY = {"ops.maturity": "UPDATE OR DELETE", "ops.chart_registry": "DELETE"}


def upgrade() -> None:
    for schema, table, column in _COLUMNS:
        op.add_column(table, column, schema=schema)
    for (table, name), (_, comment) in _COMMENTS.items():
        op.alter_column(table, name, comment=comment, schema="ops")
    op.execute("ALTER TABLE ops.alert_event DISABLE TRIGGER append_only")
    op.execute(
        "UPDATE ops.alert_event e SET chart_id = a.chart_id FROM ops.alert a "
        "WHERE a.alert_id = e.alert_id AND e.signal_week IS NOT NULL"
    )
    op.execute("ALTER TABLE ops.alert_event ENABLE TRIGGER append_only")
    for table, changes in _APPEND_ONLY.items():
        op.execute(f"CREATE TRIGGER append_only BEFORE {changes} ON {table} EXECUTE FUNCTION ops.refuse_change()")


def downgrade() -> None:
    for table in _APPEND_ONLY:
        op.execute(f"DROP TRIGGER append_only ON {table}")
    for (table, name), (comment, _) in _COMMENTS.items():
        op.alter_column(table, name, comment=comment, schema="ops")
    for schema, table, column in reversed(_COLUMNS):
        op.drop_column(table, str(column.name), schema=schema)
