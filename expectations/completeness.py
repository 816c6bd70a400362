"""What arrived against what was to be expected, by source and week: volume, lag, and shares of unknown groups.

Pure functions on frames. A source that sent nothing in a week is *missing* there: its counts are NA and never zero, so
that no figure takes silence for the absence of infants. Weeks are named by their Monday.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

#: Expected volume is the median of so many earlier weeks in which the source sent anything.
PAST_WEEKS = 8
#: Fewer earlier weeks than this say nothing of what is usual.
FEWEST_WEEKS = 3
#: Less than this share of the expected volume is low.
LOW_SHARE = 0.5

COLUMNS = (
    "source",
    "week",
    "state",
    "received",
    "expected",
    "lag_n",
    "lag_median",
    "lag_p95",
    "infants",
    "unknown_race",
    "unknown_payer",
)


def weekly(
    pulls: pd.DataFrame,
    events: pd.DataFrame,
    timelines: pd.DataFrame,
    *,
    sources: Sequence[str],
    first_week: date,
    last_week: date,
) -> pd.DataFrame:
    """One row for each source and week from `first_week` to `last_week` (Mondays), with the columns of `COLUMNS`.

    `pulls` (source, pulled_on, received): loaded pulls and the lines that they brought. `events` (source, happened_on,
    recorded_on): milestones, and the day that the record of each first reached the warehouse. `timelines` (source,
    first_provider, race_ethnicity, payer): one row an infant, dated by first contact. All days are dates.

    `state` is `missing` (no pull that week), `low` (under half of what is expected), `usual`, or `new` (too few earlier
    weeks to expect anything). `lag_*` are days from event to record, of records that arrived in the week. `unknown_*`
    are shares of the infants first seen in the week; NA without infants.
    """
    grid = pd.MultiIndex.from_product(
        [sorted(sources), pd.date_range(_monday(first_week), _monday(last_week), freq="7D")], names=["source", "week"]
    )
    volume = _volume(pulls, grid)
    table = volume.join(_lag(events)).join(_unknown(timelines)).reset_index()
    for column in ("lag_n", "infants"):
        # A week that was covered and brought none is a true zero; a week that was not covered stays NA.
        table[column] = table[column].astype("Int64").mask(table["state"] != "missing", table[column].fillna(0))
    table["week"] = table["week"].dt.date
    return table[list(COLUMNS)]


def silent(table: pd.DataFrame, *, weeks: int = 2) -> list[str]:
    """Sources of a `weekly` table whose last `weeks` weeks are all missing, in order of name."""
    last = table.sort_values("week").groupby("source").tail(weeks)
    quiet = last.groupby("source")["state"].agg(lambda states: bool((states == "missing").all()))
    return sorted(str(source) for source in quiet.index[quiet])


def _monday(day: date) -> pd.Timestamp:
    stamp = pd.Timestamp(day)
    return stamp - pd.Timedelta(days=stamp.weekday())


def _weeks(days: pd.Series) -> pd.Series:
    stamps = pd.to_datetime(days)
    return stamps - pd.to_timedelta(stamps.dt.day_of_week, unit="D")


def _volume(pulls: pd.DataFrame, grid: pd.MultiIndex) -> pd.DataFrame:
    arrived = pulls.assign(week=_weeks(pulls["pulled_on"])).groupby(["source", "week"])["received"].sum()
    received = arrived.astype("Int64").reindex(grid)
    # Median of the weeks before this one, those without a pull left out.
    usual = received.astype("Float64").groupby(level="source").transform(_usual)
    expected = usual.astype("Float64").set_axis(grid)  # pandas loses the index of an empty frame
    state = pd.Series("usual", index=grid)
    state[(received < LOW_SHARE * expected).fillna(False).astype(bool)] = "low"
    state[expected.isna()] = "new"
    state[received.isna()] = "missing"
    return pd.DataFrame({"state": state, "received": received, "expected": expected})


def _usual(received: pd.Series) -> pd.Series:
    before = received.shift(1).astype("float64")
    return before.rolling(PAST_WEEKS, min_periods=FEWEST_WEEKS).median().astype("Float64")


def _lag(events: pd.DataFrame) -> pd.DataFrame:
    days = (pd.to_datetime(events["recorded_on"]) - pd.to_datetime(events["happened_on"])).dt.days
    # An event recorded beforehand (an appointment) has no lag.
    known = events.assign(week=_weeks(events["recorded_on"]), days=days)[days >= 0]
    by_week = known.groupby(["source", "week"])["days"]
    return pd.DataFrame({"lag_n": by_week.size(), "lag_median": by_week.median(), "lag_p95": by_week.quantile(0.95)})


def _unknown(timelines: pd.DataFrame) -> pd.DataFrame:
    dated = timelines[timelines["first_provider"].notna()]
    by_week = dated.assign(
        week=_weeks(dated["first_provider"]),
        unknown_race=dated["race_ethnicity"].eq("unknown"),
        unknown_payer=dated["payer"].eq("unknown"),
    ).groupby(["source", "week"])
    shares = by_week[["unknown_race", "unknown_payer"]].mean()
    return shares.assign(infants=by_week.size())
