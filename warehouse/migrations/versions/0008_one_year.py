"""One year an infant in `analytics`, and not one an interval: two of them would date who crossed a New Year.

The rows are written again in the order of the keys, for the order of arrival would tell who came first.

Revision: 0008, after 0007.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COMMENT = (
    "calendar year of the infant's first provider visit, else of the first milestone after it: one year an infant; "
    "empty when not known"
)
_BEFORE = "calendar year of the interval's first milestone; empty when not known"
_ONE = "coalesce(t.first_provider, least(t.suspected, t.referral, t.neurology, t.eeg, t.diagnosis, t.first_line))"
_EACH = """CASE split_part(i.interval_name, '_to_', 1)
    WHEN 'onset' THEN t.onset_high WHEN 'provider' THEN t.first_provider WHEN 'referral' THEN t.referral
    WHEN 'neurology' THEN t.neurology WHEN 'eeg' THEN t.eeg WHEN 'diagnosis' THEN t.diagnosis END"""
_SET = """
    UPDATE analytics.infant_interval i SET year = extract(year FROM {year})::integer
      FROM clinical.referral_timeline t JOIN clinical.infant_key k USING (source, infant)
     WHERE t.valid_to IS NULL AND (i.source, i.infant_key) = (t.source, k.infant_key)
       AND i.year IS DISTINCT FROM extract(year FROM {year})::integer
"""


def upgrade() -> None:
    op.execute(_SET.format(year=_ONE))
    op.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM analytics.infant_interval")
    op.execute("TRUNCATE analytics.infant_interval")
    op.execute("INSERT INTO analytics.infant_interval SELECT * FROM pg_temp.kept ORDER BY infant_key, interval_name")
    op.execute("DROP TABLE pg_temp.kept")
    op.alter_column("infant_interval", "year", comment=_COMMENT, schema="analytics")


def downgrade() -> None:
    op.execute(_SET.format(year=_EACH))
    op.alter_column("infant_interval", "year", comment=_BEFORE, schema="analytics")
