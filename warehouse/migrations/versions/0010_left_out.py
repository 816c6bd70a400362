"""A pull says which resource types its server did not offer: none of them in the data is then no finding.

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "pull",
        sa.Column(
            "left_out",
            sa.ARRAY(sa.Text()),
            server_default="{}",
            nullable=False,
            comment="resource types that the server does not offer, and were not asked for",
        ),
        schema="ops",
    )


def downgrade() -> None:
    op.drop_column("pull", "left_out", schema="ops")
