"""The time-to-event version of the detector: days waited instead of late or not. Pure.

A cell is one follow-up day of one block: of those still waiting on that day, how many of the group and of the reference
had the event. Given the cell's margins, that number is Fisher's noncentral hypergeometric with the hazard ratio as its
only parameter (below 1: the group waits longer), so cells give e-values as blocks do, and multiply. A block holds the
infants who matured in consecutive weeks until it has `MIN_ENTRIES` of the group and one of the reference; every infant
is in one block, which keeps the e-values valid with staggered entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from surveillance.detector import HAZARD_RATIOS, Block, log_e_values, shiryaev_roberts

if TYPE_CHECKING:
    import pandas as pd

#: Entries of the group that a block waits for.
MIN_ENTRIES = 3
#: Follow-up after this many days says little about a delay of a week, and much about who is lost.
HORIZON_DAYS = 28


class Wait(NamedTuple):
    """One infant: days waited, whether the event ended the wait, and whether of the group (else of the reference)."""

    days: int
    event: bool
    group: bool


@dataclass(frozen=True)
class HazardWeek:
    """One week of the time-to-event chart. `m` is the mean of the statistic before a reset."""

    week: date
    log_e: tuple[float, ...]
    m: float
    signal: bool


def cells(waits: Sequence[Wait], horizon: int = HORIZON_DAYS) -> list[Block]:
    """Events and numbers at risk by follow-up day, for days on which anyone had the event.

    `x` of `n_group` and `y` of `n_reference` had the event. Events come before censorings of the same day.
    """
    days = np.array([wait.days for wait in waits])
    event = np.array([wait.event for wait in waits], dtype=bool)
    group = np.array([wait.group for wait in waits], dtype=bool)
    found = []
    for day in np.unique(days[event]) if len(waits) else ():
        if day > horizon:
            break
        at_risk, now = days >= day, event & (days == day)
        counts = (now & group, at_risk & group, now & ~group, at_risk & ~group)
        found.append(Block(*(int(chosen.sum()) for chosen in counts)))
    return found


def log_e_of(waits: Sequence[Wait]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Log e-values of one block for each of `HAZARD_RATIOS`."""
    total = np.zeros(len(HAZARD_RATIOS))
    for cell in cells(waits):
        total = total + log_e_values(cell, HAZARD_RATIOS)
    return total


def run(weekly: Sequence[tuple[date, Sequence[tuple[str, Wait]]]], limit: float) -> list[HazardWeek]:
    """Run over consecutive weeks of (stratum, wait); strata (site and earlier neurology care) are never mixed."""
    held: dict[str, list[Wait]] = {}
    log_r: list[float] = [-np.inf] * len(HAZARD_RATIOS)
    steps = []
    for week, entries in weekly:
        for stratum, wait in entries:
            held.setdefault(stratum, []).append(wait)
        log_e = np.zeros(len(HAZARD_RATIOS))
        for stratum in sorted(held):
            members = sum(wait.group for wait in held[stratum])
            if members >= MIN_ENTRIES and members < len(held[stratum]):
                log_e = log_e + log_e_of(held.pop(stratum))
        log_r, m, signal = shiryaev_roberts(list(log_e), log_r, limit)
        steps.append(HazardWeek(week, tuple(float(value) for value in log_e), m, signal))
    return steps


def weekly_waits(
    frozen: pd.DataFrame, measured: pd.DataFrame, dimension: str, group: str, reference: str
) -> list[tuple[date, list[tuple[str, Wait]]]]:
    """The infants of a chart by week of freezing, with their waits as measured; weeks without any are filled."""
    pair = frozen[frozen[dimension].isin([group, reference])]
    keys = ["source", "infant"]
    joined = pair[[*keys, "week", "prior_neurology", dimension]].merge(measured[[*keys, "days", "kind"]], on=keys)
    joined = joined[joined["days"].notna()].sort_values(["week", *keys])
    by_week: dict[date, list[tuple[str, Wait]]] = {}
    columns = ("week", "source", "prior_neurology", dimension, "days", "kind")
    for week, source, prior, value, days, kind in zip(*(joined[name] for name in columns), strict=True):
        wait = Wait(int(days), kind == 1, value == group)
        by_week.setdefault(week, []).append((f"{source}/{prior}", wait))
    if not by_week:
        return []
    first, last = min(by_week), max(by_week)
    weeks = [first + timedelta(weeks=i) for i in range((last - first).days // 7 + 1)]
    return [(week, by_week.get(week, [])) for week in weeks]
