"""The time-to-event version of the detector: days waited instead of late or not. Pure.

A cell is one follow-up day of one block: of those still waiting on that day, how many of the group and of the reference
had the event. Given the cell's margins, that number is Fisher's noncentral hypergeometric with the hazard ratio as its
only parameter (below 1: the group waits longer), so cells give e-values as blocks do, and multiply. A block holds the
infants who matured in consecutive weeks until it has `MIN_ENTRIES` of the group and one of the reference, within site
and earlier neurology care; every infant is in one block, which keeps the e-values valid with staggered entry (a
log-rank test computed anew each week is not). The rule looks at who entered, never at how long they waited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from surveillance.detector import Block, Row, Stratum

#: Hazard ratios over which the detector is averaged; below 1, since slower is adverse (statistics.md 1.5, 6).
HAZARD_RATIOS = (0.8, 0.65, 0.5, 0.35)
#: Entries of the group that a block waits for.
MIN_ENTRIES = 3
#: Follow-up after this many days says more about who is lost than about a wait. Shorter horizons lose power: with one
#: of 28 days a hazard ratio of 0.70 takes 16 weeks at 2,000 cases a year, and 14 with this one.
HORIZON_DAYS = 90


class Waits(NamedTuple):
    """Infants whose follow-up ended on one day of waiting: with the event, or still waiting (censored)."""

    day: int
    events_group: int
    censored_group: int
    events_reference: int
    censored_reference: int


def wait(day: int, *, event: bool, group: bool) -> Waits:
    """One infant."""
    return Waits(
        day, int(event and group), int(group and not event), int(event and not group), int(not event and not group)
    )


def merged(waits: Iterable[Waits]) -> list[Waits]:
    """The same infants with one entry a day, by day."""
    days: dict[int, np.ndarray[tuple[int], np.dtype[np.int64]]] = {}
    for day, *counts in waits:
        days[day] = days.get(day, np.zeros(4, dtype=np.int64)) + counts
    return [Waits(day, *(int(count) for count in counts)) for day, counts in sorted(days.items())]


def cells(waits: Sequence[Waits], horizon: int = HORIZON_DAYS) -> list[Block]:
    """Events and numbers at risk by follow-up day, for days on which anyone had the event.

    `x` of `n_group` and `y` of `n_reference` had the event. Events come before censorings of the same day.
    """
    days = merged(waits)
    at_risk = [sum(d.events_group + d.censored_group for d in days), 0]
    at_risk[1] = sum(d.events_reference + d.censored_reference for d in days)
    found = []
    for d in days:
        if d.day > horizon:
            break
        if d.events_group or d.events_reference:
            found.append(Block(d.events_group, at_risk[0], d.events_reference, at_risk[1]))
        at_risk[0] -= d.events_group + d.censored_group
        at_risk[1] -= d.events_reference + d.censored_reference
    return found


def complete_cells(rows: Iterable[Row], *, min_entries: int = MIN_ENTRIES) -> tuple[list[Block], list[Row]]:
    """Cells of the blocks that are complete, and the infants that wait. `rows` hold the counts of `Waits`."""
    held: dict[Stratum, list[Waits]] = {}
    for stratum, counts in rows:
        held.setdefault(stratum, []).append(Waits(*counts))
    done: list[Block] = []
    carried: list[Row] = []
    for stratum in sorted(held):
        waits = merged(held[stratum])
        group = sum(d.events_group + d.censored_group for d in waits)
        reference = sum(d.events_reference + d.censored_reference for d in waits)
        if group >= min_entries and reference:
            done += cells(waits)
        else:
            carried += [(stratum, one) for one in waits]
    return done, carried
