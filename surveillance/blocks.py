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

from surveillance.detector import EMPTY, Block, Row, Stratum
from surveillance.hazards import Waits, merged, wait
from surveillance.measures.registry import DIMENSIONS
from surveillance.weeks import week_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from surveillance.measures.registry import Chart

WeekRows = list[Row]
#: Stands for the site in a chart over all sites together.
ALL_SITES = "*"
#: `days` and `event`: how long the infant waited, as far as could be relied on in that week.
FROZEN_COLUMNS = [
    *("source", "infant", "week", "matured_on", "late", "prior_neurology", "days", "event"),
    *DIMENSIONS[:-1],
]


def newly_frozen(
    measured: pd.DataFrame,
    frozen: pd.DataFrame,
    *,
    next_week: date | None,
    last_week: date,
    lag: Callable[[str], int],
) -> pd.DataFrame:
    """Infants of `measured` that enter a block now, with their `week`; columns of `FROZEN_COLUMNS`.

    `frozen` are those already in. `next_week` is the first week not yet worked through (None: none has been),
    `last_week` the last one that is over, `lag` the days that a source's records take.
    """
    before = set(zip(frozen["source"], frozen["infant"], strict=True))
    fresh = [key not in before for key in zip(measured["source"], measured["infant"], strict=True)]
    ready = measured[measured["matured"] & measured["late"].isin(["yes", "no"]) & pd.Series(fresh, dtype=bool)]
    weeks = [max(week_of(day.date()), next_week or date.min) for day in ready["matured_on"]]
    # What happened in a source's last `lag` days may be on its way: a wait is followed up to before them, no further.
    through = [week + timedelta(days=6 - lag(source)) for week, source in zip(weeks, ready["source"], strict=True)]
    followed = (
        pd.Series(pd.to_datetime(through), index=ready.index, dtype="datetime64[s]") - ready["index_on"]
    ).dt.days
    ready = ready.assign(
        week=weeks, days=ready["days"].clip(upper=followed), event=(ready["kind"] == 1) & (ready["days"] <= followed)
    )
    return ready.loc[[week <= last_week for week in weeks], FROZEN_COLUMNS].reset_index(drop=True)


def revisions(measured: pd.DataFrame, frozen: pd.DataFrame) -> pd.DataFrame:
    """What differs now from what was frozen: columns `source, infant, field, old, new`.

    A dimension that did not exist yet at the freeze is no revision.
    """
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
        )[both[f"{name}_old"].notna() & (both[f"{name}_old"] != both[f"{name}_new"])]
        for name in fields
    ]
    return pd.concat(rows, ignore_index=True)


def chart_rows(frozen: pd.DataFrame, chart: Chart) -> dict[date, WeekRows]:
    """Each week's counts by site and earlier neurology care, for the two groups of one chart. Others don't count."""
    compared = frozen[frozen[chart.dimension].isin([chart.group, chart.reference])]
    if chart.version == "time-to-event":
        compared = compared[compared["days"].notna()]
    weeks: dict[date, dict[Stratum, list[tuple[int, ...]]]] = {}
    columns = ("week", "source", "prior_neurology", "late", "days", "event", chart.dimension)
    for week, source, prior, late, days, event, group in zip(*(compared[name] for name in columns), strict=True):
        stratum = (source if chart.scope == "within-site" else ALL_SITES, prior)
        of_group = group == chart.group
        one = (
            _one(late == "yes", of_group)
            if chart.version == "binary"
            else wait(max(0, int(days)), event=bool(event), group=of_group)
        )
        weeks.setdefault(week, {}).setdefault(stratum, []).append(one)
    gathered = _blocks if chart.version == "binary" else _waits
    return {
        week: [row for s, ones in sorted(held.items()) for row in gathered(s, ones)] for week, held in weeks.items()
    }


def _one(late: bool, of_group: bool) -> Block:
    return Block(int(late), 1, 0, 0) if of_group else Block(0, 0, int(late), 1)


def _blocks(stratum: Stratum, ones: list[tuple[int, ...]]) -> WeekRows:
    total = EMPTY
    for one in ones:
        total = total.plus(Block(*one))
    return [(stratum, total)]


def _waits(stratum: Stratum, ones: list[tuple[int, ...]]) -> WeekRows:
    return [(stratum, day) for day in merged(Waits(*one) for one in ones)]


def consecutive(rows: Mapping[date, WeekRows], first: date, last: date) -> dict[date, WeekRows]:
    """Every week from `first` to `last`, with an empty list where nothing matured."""
    count = (last - first).days // 7 + 1
    return {week: rows.get(week, []) for week in (first + timedelta(weeks=i) for i in range(count))}
