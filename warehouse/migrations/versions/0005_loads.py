"""What a load was made by, and staging without a log: it is made anew after a crash.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AS_OF = "local date up to which open waits were counted"
_VERSION = {
    "pull": "which rules, value sets and settings the timelines were made by; a change maps every infant again",
    "stg_pull": "which rules, value sets and settings it is mapped by",
}
_SET = """DO $$ DECLARE made record; BEGIN
    FOR made IN SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
        WHERE schemaname IN ('clinical', 'ops') AND starts_with(tablename, 'stg_') ORDER BY 1
    LOOP EXECUTE 'ALTER TABLE ' || made.name || ' SET {}LOGGED'; END LOOP; END $$"""


def upgrade() -> None:
    for table, comment in _VERSION.items():
        op.add_column(table, sa.Column("as_of", sa.Date(), nullable=True, comment=_AS_OF), schema="ops")
        op.add_column(table, sa.Column("mapping_version", sa.Text(), nullable=True, comment=comment), schema="ops")
    op.alter_column("purge", "what", comment="table, or landing:<source>/<pull> for raw files", schema="ops")
    op.execute(_SET.format("UN"))


def downgrade() -> None:
    op.execute(_SET.format(""))
    op.alter_column("purge", "what", comment="table, or landing for raw files", schema="ops")
    for table in _VERSION:
        op.drop_column(table, "mapping_version", schema="ops")
        op.drop_column(table, "as_of", schema="ops")
