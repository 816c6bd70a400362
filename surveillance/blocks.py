"""Frozen outcomes and the weekly blocks made of them.

An infant enters a measure's charts once, in the week in which the outcome matured, with the outcome and the groups as
known then. A correction that comes later is written down as a revision and changes no past week. An infant who becomes
known only after that week has been worked through (a source was silent, a record came late) enters in the next open
week.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from surveillance.detector import EMPTY, Block, Stratum
from surveillance.measures.registry import DIMENSIONS
from surveillance.weeks import week_of

if TYPE_CHECKING:
    from surveillance.measures.registry import Chart

WeekRows = list[tuple[Stratum, Block]]
#: Stands for the site in a chart over all sites together.
ALL_SITES = "*"
FROZEN_COLUMNS = ["source", "infant", "week", "matured_on", "late", "prior_neurology", *DIMENSIONS[:-1]]


def newly_frozen(
    measured: pd.DataFrame, frozen: pd.DataFrame, *, next_week: date | None, last_week: date
) -> pd.DataFrame:
    """Infants of `measured` that enter a block now, with their `week`; columns of `FROZEN_COLUMNS`.

    `frozen` are those already in. `next_week` is the first week not yet worked through (None: none has been),
    `last_week` the last one that is over.
    """
    before = set(zip(frozen["source"], frozen["infant"], strict=True))
    fresh = [key not in before for key in zip(measured["source"], measured["infant"], strict=True)]
    ready = measured[measured["matured"] & measured["late"].isin(["yes", "no"]) & pd.Series(fresh, dtype=bool)]
    weeks = [max(week_of(day.date()), next_week or date.min) for day in ready["matured_on"]]
    ready = ready.assign(week=weeks)
    return ready.loc[[week <= last_week for week in weeks], FROZEN_COLUMNS].reset_index(drop=True)


def revisions(measured: pd.DataFrame, frozen: pd.DataFrame) -> pd.DataFrame:
    """What differs now from what was frozen: columns `source, infant, field, old, new`."""
    fields = ["late", *DIMENSIONS[:-1]]
    now = measured[["source", "infant", *fields]]
    both = frozen[["source", "infant", *fields]].merge(now, on=["source", "infant"], suffixes=("_old", "_new"))
    rows = [
        pd.DataFrame(
            {
                "source": both["source"],
                "infant": both["infant"],
                "field": name,
                "old": both[f"{name}_old"],
                "new": both[f"{name}_new"],
            }
        )[both[f"{name}_old"] != both[f"{name}_new"]]
        for name in fields
    ]
    return pd.concat(rows, ignore_index=True)


def chart_blocks(frozen: pd.DataFrame, chart: Chart) -> dict[date, WeekRows]:
    """Each week's counts by site and earlier neurology care, for the two groups of one chart. Others don't count."""
    compared = frozen[frozen[chart.dimension].isin([chart.group, chart.reference])]
    weeks: dict[date, dict[Stratum, Block]] = {}
    columns = ("week", "source", "prior_neurology", "late", chart.dimension)
    for week, source, prior, late, group in zip(*(compared[name] for name in columns), strict=True):
        stratum = (source if chart.scope == "within-site" else ALL_SITES, prior)
        adverse = int(late == "yes")
        one = Block(adverse, 1, 0, 0) if group == chart.group else Block(0, 0, adverse, 1)
        held = weeks.setdefault(week, {})
        held[stratum] = held.get(stratum, EMPTY).plus(one)
    return {week: sorted(rows.items()) for week, rows in weeks.items()}


def consecutive(rows: Mapping[date, WeekRows], first: date, last: date) -> dict[date, WeekRows]:
    """Every week from `first` to `last`, with an empty list where nothing matured."""
    count = (last - first).days // 7 + 1
    return {week: rows.get(week, []) for week in (first + timedelta(weeks=i) for i in range(count))}
