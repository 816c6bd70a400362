"""How long records take to arrive, by source and group: what maturity has to wait for.

A lag is the time from an event to the last load that still missed it: for so long an outcome would have been judged
without the record. A source's first load brings years of history at once and says nothing of lags; later loads do. Lags
are right-truncated - of last week's events only the fast records are here - so their distribution is estimated in
reverse time. Maturity is the 95th percentile of the slowest group: a lag that differs between groups would else make a
difference out of nothing. It is learned once a quarter, as a new version; past weeks keep theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sqlalchemy import insert, select, text

from surveillance.cohort import language_group
from surveillance.measures.registry import UNKNOWN
from warehouse.schema.charts import Maturity

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sqlalchemy import Connection

    from surveillance.settings import SurveillanceSettings

#: Share of the records that must have arrived.
SHARE = 0.95
#: A group with fewer records has no percentile of its own.
MIN_RECORDS = 30
#: Days between versions.
REVIEW_DAYS = 91
#: No maturity is shorter or longer than this, whatever was learned.
BOUNDS = (7, 90)
DIMENSIONS = ("race_ethnicity", "payer", "language_group")
_COLUMNS = ["source", "infant", "happened_on", "recorded_on", "race_ethnicity", "payer", "language"]
# A milestone counts as recorded on the day after the last load that didn't know its day: a load of once a month says
# nothing of records that came with the first load after the event, and they were judged no sooner either. Before the
# diagnosis an infant has no timeline, so that the lag of an earlier milestone counts from the diagnosis: it is from
# then on that an outcome could be judged.
_RECORDED = text(
    """
    WITH known AS (
        SELECT t.source, t.infant, m.milestone, m.day, min(t.valid_from) AS since
        FROM clinical.referral_timeline t
        CROSS JOIN LATERAL (VALUES ('neurology', t.neurology), ('diagnosis', t.diagnosis), ('first_line', t.first_line))
             AS m (milestone, day)
        WHERE m.day IS NOT NULL
        GROUP BY t.source, t.infant, m.milestone, m.day
    ), load AS MATERIALIZED (
        SELECT source, instant, lag(instant) OVER (PARTITION BY source ORDER BY instant) AS before,
               min(instant) OVER (PARTITION BY source) AS first
        FROM (SELECT source, known_at AS instant FROM ops.pull
              UNION SELECT source, valid_from FROM clinical.referral_timeline) AS loads
    ), now AS (
        SELECT source, infant, diagnosis, neurology, first_line, race_ethnicity, payer, language
        FROM clinical.referral_timeline WHERE valid_to IS NULL AND diagnosis IS NOT NULL
    ), recorded AS (
        SELECT now.source, now.infant, greatest(known.day, now.diagnosis) AS happened_on,
               (load.before AT TIME ZONE 'UTC')::date + 1 AS not_before, (load.first AT TIME ZONE 'UTC')::date AS first,
               now.race_ethnicity, now.payer, now.language
        FROM now JOIN known USING (source, infant)
        JOIN load ON load.source = known.source AND load.instant = known.since AND load.before IS NOT NULL
        WHERE known.day = CASE known.milestone WHEN 'neurology' THEN now.neurology
                                               WHEN 'diagnosis' THEN now.diagnosis ELSE now.first_line END
    )
    SELECT source, infant, happened_on, greatest(happened_on, not_before) AS recorded_on,
           race_ethnicity, payer, language
    FROM recorded WHERE happened_on > first AND greatest(happened_on, not_before) <= :as_of
    ORDER BY 1, 2, 3, 4
    """
)
_SOURCES = text("SELECT DISTINCT source FROM clinical.referral_timeline ORDER BY source")


def arrival_percentile(lags: ArrayLike, ages: ArrayLike, share: float = SHARE) -> float | None:
    """Days within which `share` of the records arrive, corrected for records that are still on their way.

    `lags` are days from event to record, `ages` days from event to now (lag <= age). Reverse-time product limit
    (Kalbfleisch and Lawless 1989): P(lag <= l) = product over j > l of 1 - d_j / n_j, where n_j counts those with
    lag <= j <= age. Conditional on arriving within the largest age seen. None without records.
    """
    lag, age = np.asarray(lags, dtype=float), np.asarray(ages, dtype=float)
    if not len(lag):
        return None
    distinct = np.unique(lag)
    at_risk = np.array([np.count_nonzero((lag <= j) & (age >= j)) for j in distinct], dtype=float)
    arrived = np.array([np.count_nonzero(lag == j) for j in distinct], dtype=float)
    # Cumulative probability at each lag: the factors of all larger ones.
    factors = 1 - arrived / at_risk
    below = np.append(np.cumprod(factors[::-1])[::-1][1:], 1.0)
    return float(distinct[np.flatnonzero(below >= share - 1e-12)[0]])


def recorded(connection: Connection, as_of: date) -> pd.DataFrame:
    """Events that happened and were recorded while the source was being pulled, with their lag and age in days."""
    rows = pd.DataFrame(connection.execute(_RECORDED, {"as_of": as_of}).mappings().all(), columns=_COLUMNS)
    rows["language_group"] = rows["language"].map(language_group)
    rows["lag"] = [(b - a).days for a, b in zip(rows["happened_on"], rows["recorded_on"], strict=True)]
    rows["age"] = [(as_of - a).days for a in rows["happened_on"]]
    return rows


def by_group(rows: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """`dimension:group` -> 95th percentile of the lag in days, and the records that it rests on."""
    found = {}
    for dimension in DIMENSIONS:
        for value, members in rows[~rows[dimension].isin(UNKNOWN)].groupby(dimension, sort=True):
            percentile = arrival_percentile(members["lag"], members["age"])
            if len(members) >= MIN_RECORDS and percentile is not None:
                found[f"{dimension}:{value}"] = (percentile, len(members))
    return found


def _versions(connection: Connection, as_of: date) -> dict[str, tuple[int, date, int]]:
    """Source -> newest version that applies on `as_of`, since when, and its days."""
    query = select(Maturity.__table__).where(Maturity.valid_from <= as_of).order_by(Maturity.version)
    return {row.source: (row.version, row.valid_from, row.lag_days) for row in connection.execute(query)}


def current(connection: Connection, as_of: date) -> dict[str, int]:
    """Learned maturity by source, days."""
    return {source: days for source, (_, _, days) in _versions(connection, as_of).items()}


def learn(connection: Connection, as_of: date, run_id: str, settings: SurveillanceSettings) -> dict[str, int]:
    """Write a new version of maturity for sources whose last is a quarter old; returns what applies now, by source."""
    held = _versions(connection, as_of)
    sources = connection.execute(_SOURCES).scalars()
    due = [name for name in sources if name not in held or as_of - held[name][1] >= timedelta(days=REVIEW_DAYS)]
    rows = recorded(connection, as_of) if due else pd.DataFrame(columns=["source"])
    for source in due:
        mine = rows[rows["source"] == source]
        groups = by_group(mine)
        if not groups:
            continue
        slowest = ceil(max(percentile for percentile, _ in groups.values()))
        days = min(max(slowest, shortest(groups, int(mine["age"].max()), settings)), BOUNDS[1])
        new = {
            "source": source,
            "version": held[source][0] + 1 if source in held else 1,
            "lag_days": days,
            "valid_from": as_of,
            "run_id": run_id,
        }
        connection.execute(insert(Maturity), [{**new, "groups": {name: list(both) for name, both in groups.items()}}])
    return current(connection, as_of)


def shortest(groups: Mapping[str, tuple[float, int]], watched: int, settings: SurveillanceSettings) -> int:
    """The shortest maturity that may be learned: less than the settings' only when the slowest records can be known.

    That is when every group that a chart compares has a percentile of its own - a smaller group may be the slower one -
    and events have been watched for (`watched` days) as long as the slowest records may take.
    """
    compared = {
        f"{chart.dimension}:{value}"
        for chart in settings.charts
        for value in (chart.group, chart.reference)
        if chart.dimension in DIMENSIONS
    }
    return BOUNDS[0] if compared <= groups.keys() and watched >= BOUNDS[1] else settings.maturity_lag_days


def with_learned(settings: SurveillanceSettings, learned: Mapping[str, int]) -> SurveillanceSettings:
    """The settings with learned maturities; one that was set for a source by hand wins."""
    return replace(settings, lag_days_by_source={**learned, **settings.lag_days_by_source})


def group_lags(rows: pd.DataFrame, dimension: str) -> dict[str, tuple[float, int]]:
    """Lags of one dimension's groups over all sources: value -> percentile, records."""
    prefix = f"{dimension}:"
    return {name.removeprefix(prefix): both for name, both in by_group(rows).items() if name.startswith(prefix)}
