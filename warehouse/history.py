"""Timelines and their history: a row is closed, and a new one opened, only when its content has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from warehouse import keys
from warehouse.schema.contract import content_names
from warehouse.views import INTERVAL_COLUMNS

if TYPE_CHECKING:
    from datetime import datetime

_CONTENT = ", ".join(content_names())
_INTERVAL = ", ".join(INTERVAL_COLUMNS)


def replace(
    connection: Connection, source: str, pull_id: str, touched: frozenset[str], known_at: datetime, hash_key: bytes
) -> tuple[int, int]:
    """Replace events, timelines and intervals of the touched infants by the staged ones; rows (opened, closed).

    A touched infant without a staged timeline has left the cohort: the row is closed.
    """
    key: dict[str, Any] = {"source": source, "pull_id": pull_id, "known_at": known_at, "infants": sorted(touched)}
    _replace_events(connection, key)
    closed = _close(connection, key)
    # Not by NOT EXISTS: before the tables' first ANALYZE it would be worked out by reading all rows for each.
    opened = connection.execute(
        text(
            f"""
            INSERT INTO clinical.referral_timeline
                   (source, infant, valid_from, pull_id, content_sha256, {_CONTENT})
            SELECT s.source, s.infant, :known_at, s.pull_id, s.content_sha256, {_CONTENT}
              FROM clinical.stg_timeline s
             WHERE s.source = :source AND s.pull_id = :pull_id
            ON CONFLICT (source, infant) WHERE valid_to IS NULL DO NOTHING
            """  # noqa: S608 - our own names
        ),
        key,
    ).rowcount
    _replace_intervals(connection, key, hash_key)
    return opened, closed


def extend(connection: Connection, source: str, pull_id: str) -> None:
    """Move the censor date of those who were not mapped again to the day that the source's data now reach.

    They wait for nothing, so that it is no news of theirs, and opens no row: it is what mapping them again would say.
    Death and a transfer out stand in the evidence, and hold; so does the second birthday.
    """
    connection.execute(
        text(
            """
            UPDATE clinical.referral_timeline t
               SET censored_on = least(p.as_of, (t.birth_date + interval '24 months')::date)
              FROM ops.stg_pull p
             WHERE p.source = :source AND p.pull_id = :pull_id AND t.source = :source AND t.valid_to IS NULL
               AND t.evidence -> 'censored' IS NULL AND t.censored_on < p.as_of
               AND t.censored_on < (t.birth_date + interval '24 months')::date
            """
        ),
        {"source": source, "pull_id": pull_id},
    )


def _replace_events(connection: Connection, key: dict[str, Any]) -> None:
    connection.execute(
        text("DELETE FROM clinical.milestone_event WHERE source = :source AND infant = ANY(:infants)"), key
    )
    connection.execute(
        text(
            "INSERT INTO clinical.milestone_event (source, infant, n, milestone, low, high, precision, rule, "
            "certainty, resource_type, resource_id, version_id, detail, pull_id) "
            "SELECT source, infant, n, milestone, low, high, precision, rule, certainty, resource_type, resource_id, "
            "version_id, detail, pull_id FROM clinical.stg_event WHERE source = :source AND pull_id = :pull_id"
        ),
        key,
    )


def _close(connection: Connection, key: dict[str, Any]) -> int:
    """Close the current rows whose content is no longer so. One that was opened at this very instant is replaced."""
    changed = """
        t.source = :source AND t.infant = ANY(:infants) AND t.valid_to IS NULL AND NOT EXISTS (
            SELECT FROM clinical.stg_timeline s
             WHERE s.source = t.source AND s.pull_id = :pull_id AND s.infant = t.infant
               AND s.content_sha256 = t.content_sha256)
        """
    replaced = connection.execute(
        text(f"DELETE FROM clinical.referral_timeline t WHERE {changed} AND t.valid_from = :known_at"),  # noqa: S608
        key,
    ).rowcount
    closed = connection.execute(
        text(
            "UPDATE clinical.referral_timeline t SET valid_to = :known_at, closed_by = :pull_id "  # noqa: S608
            f"WHERE {changed}"
        ),
        key,
    ).rowcount
    return replaced + closed


def _replace_intervals(connection: Connection, key: dict[str, Any], hash_key: bytes) -> None:
    """`analytics.infant_interval` of the touched infants, made from their current timelines."""
    current = connection.execute(
        text(
            "SELECT infant FROM clinical.referral_timeline "
            "WHERE source = :source AND infant = ANY(:infants) AND valid_to IS NULL"
        ),
        key,
    ).scalars()
    keys.add_infants(connection, hash_key, key["source"], current)
    connection.execute(
        text(
            "DELETE FROM analytics.infant_interval WHERE source = :source AND infant_key IN "
            "(SELECT infant_key FROM clinical.infant_key WHERE source = :source AND infant = ANY(:infants))"
        ),
        key,
    )
    connection.execute(
        text(
            # In the order of the keys: that of ids, or of arrival, would tell analysts who came first.
            f"INSERT INTO analytics.infant_interval ({_INTERVAL}) SELECT {_INTERVAL} FROM clinical.v_interval "  # noqa: S608
            "WHERE source = :source AND infant = ANY(:infants) ORDER BY infant_key, interval_name"
        ),
        key,
    )
