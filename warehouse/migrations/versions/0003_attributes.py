"""What is known of an infant beside the timeline: attributes, links from referral to visit, deprivation of the area.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BESIDE = {
    "attributes": ("{}", "attribute -> value (docs/timeline.md lists them); what is not known has no entry"),
    "referral_links": ("[]", "[referral, visit, rule, certainty] each; clinical.v_referral_link has them as rows"),
}
#: Text columns of `analytics.infant_interval`; nothing is known of infants that were loaded before.
_GROUPS = {
    "spd15": "group by the 2024 standard (SPD-15): as race_ethnicity, with nh_mena; or unknown",
    "caregiver_race_ethnicity": "of the caregivers taken together, as race_ethnicity; unknown when not told",
    "caregiver_bipoc": "of the caregivers: yes when any is, no when none, or unknown",
    "prematurity": (
        "extremely_preterm (under 28 completed weeks), very_preterm (28-31), moderate_to_late_preterm (32-36), "
        "term, or unknown: no code of gestational age, as most infants born at term"
    ),
    "etiology_group": (
        "genetic, tsc, structural_congenital, structural_acquired, metabolic, infectious, other, multiple, or "
        "unknown: no cause on record"
    ),
}
_NUMBERS = {
    "deprivation_quintile": (
        "of the home's area at the first provider visit: 1 (least) to 5 (most deprived); empty when not known"
    ),
    "detour_referrals": ("referrals to other specialties before the one to neurology, count; 3 stands for 3 or more"),
    "orphan_referrals": "neurology referrals that led to no visit, count; 3 stands for 3 or more",
    "no_shows": "missed neurology appointments, count; 3 stands for 3 or more",
}
_HASH = {
    "0002": "SHA-256 of the contract's columns but censored_on, hex",
    "0003": "SHA-256 of what is known but censored_on, hex",
}


def upgrade() -> None:
    for table in ("referral_timeline", "stg_timeline"):
        for name, (empty, comment) in _BESIDE.items():
            column = sa.Column(
                name, postgresql.JSON(), server_default=sa.text(f"'{empty}'"), nullable=False, comment=comment
            )
            op.add_column(table, column, schema="clinical")
        op.alter_column(table, "content_sha256", comment=_HASH["0003"], schema="clinical")
    for name, comment in _GROUPS.items():
        column = sa.Column(name, sa.Text(), server_default="unknown", nullable=False, comment=comment)
        op.add_column("infant_interval", column, schema="analytics")
        op.alter_column("infant_interval", name, server_default=None, schema="analytics")
    for name, comment in _NUMBERS.items():
        column = sa.Column(name, sa.Integer(), nullable=True, comment=comment)
        op.add_column("infant_interval", column, schema="analytics")
    op.create_table(
        "area_deprivation",
        sa.Column(
            "postal_code",
            sa.Text(),
            nullable=False,
            comment="letters and digits only, upper case; a ZIP code of 5, or of 9 digits, or another",
        ),
        sa.Column("quintile", sa.Integer(), nullable=False, comment="1 (least deprived) to 5 (most deprived)"),
        sa.Column(
            "edition", sa.Text(), nullable=False, comment="name of the index and its edition, as the operator gave it"
        ),
        sa.CheckConstraint("quintile BETWEEN 1 AND 5", name=op.f("ck_area_deprivation_quintile")),
        sa.PrimaryKeyConstraint("postal_code", name=op.f("pk_area_deprivation")),
        schema="clinical",
        comment="Deprivation of areas, loaded by `iess db deprivation`; none is shipped. Grain: postal code.",
    )


def downgrade() -> None:
    op.drop_table("area_deprivation", schema="clinical")
    for name in (*_NUMBERS, *_GROUPS):
        op.drop_column("infant_interval", name, schema="analytics")
    for table in ("referral_timeline", "stg_timeline"):
        op.alter_column(table, "content_sha256", comment=_HASH["0002"], schema="clinical")
        for name in _BESIDE:
            op.drop_column(table, name, schema="clinical")
