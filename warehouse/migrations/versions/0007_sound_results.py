"""Results hold no NaN and no infinity, bounds in order, and a reason where a value is missing; definitions their hash.

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NO_NUMBER = "('NaN'::float8, 'Infinity'::float8, '-Infinity'::float8)"
_NUMBERS = ("estimate", "ci_low", "ci_high", "se", "p_value", "null_expectation")
_CHECKS = {
    "finite": " AND ".join(f"{name} NOT IN {_NO_NUMBER}" for name in _NUMBERS),
    "bounds": "ci_low <= ci_high AND se >= 0 AND p_value BETWEEN 0 AND 1",
    "reason": "num_nulls(estimate, ci_low, ci_high) = 0 OR not_estimable_reason IS NOT NULL",
    "counts": "n_late <= n_matured AND n_eligible = n_matured + n_pending + n_indeterminate",
}
_COLUMNS = {"maturity": "when an outcome counts, in words", "sha256": "of all that gives the version its meaning"}


_SE = "standard error; of a ratio, that of its logarithm"


def upgrade() -> None:
    # Not for the rows of before: results are append-only, and what was written stays.
    for name, check in _CHECKS.items():
        op.create_check_constraint(
            op.f(f"ck_metric_result_{name}"), "metric_result", check, schema="analytics", postgresql_not_valid=True
        )
    op.alter_column("metric_result", "se", comment=_SE, schema="analytics")
    op.alter_column("metric_result", "se", comment=_SE, schema="published")
    for name, comment in _COLUMNS.items():
        column = sa.Column(name, sa.Text(), nullable=True, comment=f"{comment}; empty in rows of before")
        op.add_column("metric_definition", column, schema="analytics")


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_column("metric_definition", name, schema="analytics")
    for name in reversed(_CHECKS):
        op.drop_constraint(op.f(f"ck_metric_result_{name}"), "metric_result", schema="analytics")
