"""Witnesses made by moving infants between two groups of a dimension: every total stays, and the numbers stay whole.

A group that could have some infants more, if another could have as many fewer, has a count that can't be told. Most
protected counts are shown to be safe so, at next to no cost, before `warehouse.attack` searches for a witness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from warehouse.attack import Cell, Figure, Knowledge, Range, RowKey, Target
from warehouse.linked import FIGURES, THRESHOLD, Level, Row, Tables, protected

#: Infants late, and infants in time, that are moved: up to so many.
_MOST = 24
_SIDE = np.arange(-_MOST, _MOST + 1)
#: All moves. The last is the first backwards, so that reversing a mask of moves turns each into the opposite one.
_MOVES: dict[Figure, np.ndarray] = {
    "late": np.repeat(_SIDE, len(_SIDE)),
    "in_time": np.tile(_SIDE, len(_SIDE)),
}
_MOVES["n"] = _MOVES["late"] + _MOVES["in_time"]
_SLACK = 1e-6

#: Which of all moves are possible.
Mask = np.ndarray
#: What a reader knows of a row of true counts at a level.
Told = Callable[[RowKey, Row, Level], Knowledge]
#: What moves add to counts, at least and at most.
Changes = dict[Cell, Range]


class Found(NamedTuple):
    """The targets that some move shows to be safe, and the least and the most that any gives to each count."""

    safe: frozenset[Target]
    ranges: Mapping[Cell, Range]


class Moves:
    """Moves between the rows of one block (`Tables.blocks`), whose `totals` stay as they are.

    Over several releases, the same move is made in one of them or in some that follow each other.
    """

    def __init__(self, tables: Tables, totals: frozenset[RowKey], told: Told) -> None:
        self._tables = tables
        self._told = told
        self.keys = [key for key in (*tables.rows, *tables.earlier) if key not in totals]
        self._targets = [target for target in protected(tables) if not any(row in totals for row, _ in target)]
        #: Rows that are groups of groups, as `bipoc` is of `race_ethnicity`.
        self._above = {part: whole for whole, parts in tables.sums if whole not in totals for part in parts}
        self._groups: dict[tuple[str, str], dict[str, RowKey]] = {}
        for key in self.keys:
            if key not in self._above.values():
                self._groups.setdefault((key[0], key[2]), {})[key[3]] = key
        self._masks: dict[tuple[RowKey, Level, tuple[str, ...]], Mask] = {}
        self._found: dict[tuple[Level, ...], Found] = {}

    def found(self, levels: Mapping[RowKey, Level]) -> Found:
        """What moves show when each row is told at its level."""
        state = tuple(levels[key] for key in self.keys)
        if state not in self._found:
            self._found[state] = self._find(levels)
        return self._found[state]

    def _find(self, levels: Mapping[RowKey, Level]) -> Found:
        counts = {(key, figure): self._tables[key, figure] for key in self.keys for figure in FIGURES}
        ranges: dict[Cell, Range] = {cell: (count, count) for cell, count in counts.items()}
        safe: set[Target] = set()
        for run in self._runs():
            changes: Changes = {}
            for dimension in dict.fromkeys(dimension for _, dimension in self._groups):
                self._move(run, dimension, levels, changes)
            for cell, (low, high) in changes.items():
                ranges[cell] = min(ranges[cell][0], counts[cell] + low), max(ranges[cell][1], counts[cell] + high)
            safe |= {target for target in self._targets if _safe(target, counts, changes)}
        return Found(frozenset(safe), ranges)

    def _runs(self) -> Iterator[tuple[str, ...]]:
        releases = list(dict.fromkeys(key[0] for key in self.keys))
        for start in range(len(releases)):
            for end in range(start + 1, len(releases) + 1):
                yield tuple(releases[start:end])

    def _move(self, run: tuple[str, ...], dimension: str, levels: Mapping[RowKey, Level], changes: Changes) -> None:
        """Move between every two groups of a dimension, alike in all releases of a run."""
        groups = [self._groups.get((release, dimension), {}) for release in run]
        rows = {name: [group[name] for group in groups] for name in groups[0] if all(name in g for g in groups)}
        above = {name: [self._above[row] for row in own if row in self._above] for name, own in rows.items()}
        own_masks = {name: self._mask(own, levels, run) for name, own in rows.items()}
        free = [name for name, mask in own_masks.items() if mask.sum() > 1]
        masks = {name: own_masks[name] & self._mask(above[name], levels, run) for name in free}
        for name in free:
            inner, outer = np.zeros((2, len(_MOVES["n"])), dtype=bool)
            for other in free:
                if other == name:
                    continue
                # Within one group of groups, that one doesn't change.
                if above[other] == above[name]:
                    inner |= own_masks[other][::-1]
                else:
                    outer |= masks[other][::-1]
            outer &= masks[name]
            _note(rows[name], (inner & own_masks[name]) | outer, changes)
            _note(above[name], outer, changes)

    def _mask(self, rows: Iterable[RowKey], levels: Mapping[RowKey, Level], run: tuple[str, ...]) -> Mask:
        """Moves that every row allows, if what is outside the run stays."""
        mask = np.ones(len(_MOVES["n"]), dtype=bool)
        for row in rows:
            if (row, levels[row], run) not in self._masks:
                self._masks[row, levels[row], run] = self._allowed(row, levels[row], run)
            mask &= self._masks[row, levels[row], run]
        return mask

    def _allowed(self, row: RowKey, level: Level, run: tuple[str, ...]) -> Mask:
        known = self._told(row, self._tables.row(row), level)
        counts = {figure: self._tables[row, figure] + _MOVES[figure] for figure in FIGURES}
        mask = np.ones(len(_MOVES["n"]), dtype=bool)
        for figure in FIGURES:
            low, high = known.ranges[row, figure]
            for part, whole in self._tables.held:
                if whole == (row, figure) and not _along(part[0], row, run):
                    low = max(low, self._tables[part])
                if part == (row, figure) and not _along(whole[0], row, run):
                    high = min(high, self._tables[whole])
            mask &= (counts[figure] >= low) & (counts[figure] <= high)
        if row in known.shares:
            least, most = known.shares[row]
            mask &= counts["late"] >= least * counts["n"] - _SLACK
            if most < 1:
                mask &= counts["late"] < most * counts["n"] - _SLACK
        return mask


def _along(other: RowKey, row: RowKey, run: tuple[str, ...]) -> bool:
    """Whether another row is the same group in a release of the run, and so moves along."""
    return other[0] in run and other[1:] == row[1:]


def _note(rows: Sequence[RowKey], mask: Mask, changes: Changes) -> None:
    """Widen what moves add to the counts of rows by the moves of a mask."""
    if not mask.any():
        return
    for figure in FIGURES:
        added = _MOVES[figure][mask]
        for row in rows:
            low, high = changes.get((row, figure), (0, 0))
            changes[row, figure] = min(low, int(added.min())), max(high, int(added.max()))


def _safe(target: Target, counts: Mapping[Cell, int], changes: Changes) -> bool:
    """Whether some move makes a count more than the threshold; or a difference so great, or none."""
    part, cell = target[0], target[-1]
    if len(target) == 1:
        return counts[cell] + changes.get(cell, (0, 0))[1] > THRESHOLD
    if part in changes and cell in changes and part[0][2] == cell[0][2]:
        # The same move on both leaves the difference as it is.
        return False
    difference = counts[cell] - counts[part]
    (least, most), (low, high) = (changes.get(c, (0, 0)) for c in target)
    return difference + max(high, -least) > THRESHOLD or difference + min(low, -most) <= 0
