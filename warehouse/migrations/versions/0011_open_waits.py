"""Days of open waits up to 90 in `analytics`: counted back from today, more of them would be the date they began.

The rows are written again in the order of the keys, for those that changed would else lie last.

Revision: 0011, after 0010.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_STATUS = {
    "0010": "event, censored (still waiting: days so far), competing, not_applicable or missing",
    "0011": "event, censored (still waiting: days so far, at most 90), competing, not_applicable or missing",
}
_INTERVALS = (
    "onset_to_provider",
    "provider_to_neurology",
    "provider_to_referral",
    "referral_to_neurology",
    "neurology_to_first_line",
    "provider_to_eeg",
    "eeg_to_first_line",
    "diagnosis_to_first_line",
    "onset_to_first_line",
    "provider_to_first_line",
)
_WAITS = ", ".join(f"('{name}', t.days_{name}_low, t.days_{name}_high)" for name in _INTERVALS)
_WHOLE = f"""
    UPDATE analytics.infant_interval i SET days_low = w.low, days_high = w.high
      FROM clinical.referral_timeline t JOIN clinical.infant_key k USING (source, infant)
     CROSS JOIN LATERAL (VALUES {_WAITS}) AS w (interval_name, low, high)
     WHERE t.valid_to IS NULL AND i.status = 'censored' AND i.days_high = 90
       AND (i.source, i.infant_key, i.interval_name) = (t.source, k.infant_key, w.interval_name)
"""  # noqa: S608 - our own names


def upgrade() -> None:
    op.execute(
        "UPDATE analytics.infant_interval SET days_low = least(days_low, 90), days_high = least(days_high, 90) "
        "WHERE status = 'censored' AND days_high > 90"
    )
    op.execute("CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM analytics.infant_interval")
    op.execute("TRUNCATE analytics.infant_interval")
    op.execute("INSERT INTO analytics.infant_interval SELECT * FROM pg_temp.kept ORDER BY infant_key, interval_name")
    op.execute("DROP TABLE pg_temp.kept")
    op.alter_column("infant_interval", "status", comment=_STATUS["0011"], schema="analytics")


def downgrade() -> None:
    op.execute(_WHOLE)
    op.alter_column("infant_interval", "status", comment=_STATUS["0010"], schema="analytics")
