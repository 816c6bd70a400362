"""Disclosure control of what is published: counts of infants, and of those late, by group.

The rule (CMS cell-size policy, resdac.org/node/1506): no count of 1 to 10 infants is shown, nor can one be worked out
from what is shown, by subtraction, percentages, totals, other tables and measures of the release, or any release before
it. 0 may be shown. A published figure is in one of three states, which never stand for each other: `shown` (0 too),
`suppressed`, and `missing` (nothing is known: a source that has fallen silent).

A *row* is one group of one measure of one release. It is published at one of four levels: all its counts, its number of
infants alone, its share alone in whole percent, or nothing. Rows are linked: groups add up to the total; the infants of
one row may all be in another (a measure with a wider denominator, the same group a quarter later), so that the
difference of two large counts is a count of infants too, and protected when it is small.

A release is built up from nothing. Row by row, the most important first, a level is taken when `warehouse.attack` can
still not work out any protected count, and the next lower one is tried when it can. Telling more never makes a count
safer, so that a level once refused need not be tried again: in the end no row could say more than it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warehouse.attack import RowKey, Target
from warehouse.errors import ReleaseRefused
from warehouse.linked import Level, Levels, Tables
from warehouse.reader import Part, attacked

#: Levels in the order in which they are tried, on all rows of a measure each.
_TRIED: tuple[Level, ...] = ("counts", "total", "rate")


def suppress(tables: Tables) -> Levels:
    """The level at which each row may be published. The result withstands `exposures`. Same tables, same result.

    Raises ReleaseRefused when the releases before give a small count away by themselves.
    """
    levels: Levels = {key: "counts" if row.n == 0 else "nothing" for key, row in tables.rows.items()}
    levels.update(dict.fromkeys(tables.missing, "missing"))
    for part in attacked(tables, levels):
        if not part.withstands(levels):
            raise ReleaseRefused(
                "A small count can be worked out from the releases before, whatever is withheld now",
                kept="the releases published before",
                next_step="withdraw them, and publish again",
            )
        for level in _TRIED:
            wanted = [key for key in part.tables.rows if levels[key] == "nothing" and part.tables.may_tell(key, level)]
            _take(part, levels, wanted, level)
    return levels


def _take(part: Part, levels: Levels, wanted: Sequence[RowKey], level: Level) -> None:
    """Raise the wanted rows, the first ones before the last, as far as the attack allows: all at once, or by halves."""
    levels.update(dict.fromkeys(wanted, level))
    if not wanted or part.withstands(levels):
        return
    levels.update(dict.fromkeys(wanted, "nothing"))
    if len(wanted) > 1:
        half = len(wanted) // 2
        _take(part, levels, wanted[:half], level)
        _take(part, levels, wanted[half:], level)


def refuse_exposed(tables: Tables, levels: Mapping[RowKey, Level]) -> None:
    """Raises ReleaseRefused when a protected count can be worked out from what is shown."""
    found = exposures(tables, levels)
    if found:
        raise ReleaseRefused(
            f"{len(found)} protected counts could be worked out from the release",
            kept="the releases published before",
            next_step="publish at the levels that `warehouse.disclosure.suppress` returns",
        )


def exposures(tables: Tables, levels: Mapping[RowKey, Level]) -> list[Target]:
    """The attack: counts of 1 to 10 that can't be more than 10, and differences of 1 to 10 that can be nothing else."""
    return [target for part in attacked(tables, levels) for target in part.exposed(levels)]
