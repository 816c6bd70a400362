"""Erased infants are known by their resources too: a later pull may tell that these were deleted.

Revision: 0009, after 0008.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLE = {
    "0008": "Infants erased on request, so that a later pull does not bring them back. Grain: owner key.",
    "0009": "Infants erased on request, so that later pulls do not bring them back. Grain: key or resource.",
}
_HASH = {
    "0008": "SHA-256 of the salt and the erased Patient id or identifier, hex",
    "0009": "SHA-256 of the salt and an erased Patient's id or identifier, or type/id of a resource, hex",
}
_SALT = {
    "0008": "salt of this row, hex; outlives a change of the hash key",
    "0009": "salt of the person, hex; outlives a change of the hash key",
}


def upgrade() -> None:
    _comments("0009")


def downgrade() -> None:
    _comments("0008")


def _comments(wanted: str) -> None:
    op.create_table_comment("erasure", _TABLE[wanted], schema="ops")
    op.alter_column("erasure", "owner_hash", comment=_HASH[wanted], schema="ops")
    op.alter_column("erasure", "salt", comment=_SALT[wanted], schema="ops")
