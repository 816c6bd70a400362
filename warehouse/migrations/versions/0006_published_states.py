"""What is published says of each figure whether it is shown, suppressed, missing or not estimable.

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATES = {
    "n_matured_state": "shown (0 too), suppressed, or missing (a silent source): of n_matured",
    "n_late_state": "the same of n_late",
    "estimate_state": "the same of estimate and its interval, or not_estimable",
}
#: What rows of before said without the columns; a source's row that was neither shown nor suppressed was missing.
_KNOWN = """
UPDATE published.metric_result SET
  n_matured_state = CASE WHEN n_matured IS NOT NULL THEN 'shown' WHEN suppressed THEN 'suppressed' ELSE 'missing' END,
  n_late_state = CASE WHEN n_late IS NOT NULL THEN 'shown' WHEN suppressed THEN 'suppressed' ELSE 'missing' END,
  estimate_state = CASE WHEN estimate IS NOT NULL THEN 'shown'
                        WHEN not_estimable_reason IS NOT NULL THEN 'not_estimable'
                        WHEN suppressed THEN 'suppressed' ELSE 'missing' END
"""
_CHECKS = {
    "n_matured_state": "n_matured_state IN ('shown', 'suppressed', 'missing') "
    "AND (n_matured_state = 'shown') = (n_matured IS NOT NULL)",
    "n_late_state": "n_late_state IN ('shown', 'suppressed', 'missing') "
    "AND (n_late_state = 'shown') = (n_late IS NOT NULL)",
    "estimate_state": "estimate_state IN ('shown', 'suppressed', 'missing', 'not_estimable') "
    "AND (estimate_state = 'shown') = (estimate IS NOT NULL)",
}


def upgrade() -> None:
    for column, comment in _STATES.items():
        op.add_column("metric_result", sa.Column(column, sa.Text(), nullable=True, comment=comment), schema="published")
    op.execute(_KNOWN)
    for column, check in _CHECKS.items():
        op.alter_column("metric_result", column, nullable=False, schema="published")
        op.create_check_constraint(op.f(f"ck_metric_result_{column}"), "metric_result", check, schema="published")


def downgrade() -> None:
    for column in reversed(_STATES):
        op.drop_constraint(op.f(f"ck_metric_result_{column}"), "metric_result", schema="published")
        op.drop_column("metric_result", column, schema="published")
