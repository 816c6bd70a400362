"""Reads from the warehouse what `completeness` and `quality` are fed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from sqlalchemy import text

from expectations import completeness, quality

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from sqlalchemy import Connection

# A pull belongs to the week that it was asked for, which its id names: a server's clock may be off.
_PULLS = """
SELECT p.source, to_date(left(p.pull_id, 8), 'YYYYMMDD') AS pulled_on, sum(l.received)::bigint AS received
FROM ops.pull p JOIN ops.ledger l USING (source, pull_id, attempt)
WHERE p.attempt = 1 GROUP BY p.source, p.pull_id, pulled_on ORDER BY p.source, pulled_on
"""
# Only days: the lag of an event that is known by its month would be a guess. A resource that was updated since counts
# with its newest version, so that lags are what they are at most.
_EVENTS = """
SELECT DISTINCT e.source, e.low AS happened_on, (r.seen_at AT TIME ZONE 'UTC')::date AS recorded_on, r.resource_id
FROM clinical.milestone_event e JOIN clinical.resource r USING (source, resource_type, resource_id)
WHERE e.precision = 'day' ORDER BY 1, 2, 3, 4
"""
_TIMELINES = """
SELECT source, first_provider, race_ethnicity, payer FROM clinical.referral_timeline
WHERE valid_to IS NULL ORDER BY source, infant
"""
_RESULTS = """
SELECT source, pull_id, layer, rule_id, severity, status, judged_rows, failing_rows FROM ops.gate_result
ORDER BY source, pull_id, rule_id
"""


class Arrivals(NamedTuple):
    """Frames as `completeness.weekly` wants them."""

    pulls: pd.DataFrame
    events: pd.DataFrame
    timelines: pd.DataFrame


def read(connection: Connection) -> Arrivals:
    """What was loaded so far. Needs the clinical role, for dates."""
    return Arrivals(*(_frame(connection, query) for query in (_PULLS, _EVENTS, _TIMELINES)))


def quality_page(connection: Connection, *, sources: Sequence[str], first_week: date, as_of: date) -> str:
    """The data-quality page of all that was loaded, from `first_week` to the week of `as_of`."""
    table = completeness.weekly(*read(connection), sources=sources, first_week=first_week, last_week=as_of)
    return quality.page(_frame(connection, _RESULTS), table, as_of=as_of)


def _frame(connection: Connection, query: str) -> pd.DataFrame:
    rows = connection.execute(text(query))
    return pd.DataFrame(rows.all(), columns=list(rows.keys()))
