"""The rows of a release, the levels that they can be told at, and what links them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from warehouse.attack import Cell, Figure, RowKey, Target
from warehouse.rates import Rate, rate_of

#: No count from 1 to this may be shown.
THRESHOLD = 10

State = Literal["shown", "suppressed", "missing"]
Level = Literal["counts", "total", "rate", "nothing", "missing"]
Levels = dict[RowKey, Level]
FIGURES: tuple[Figure, ...] = ("n", "late", "in_time")


def small(count: int) -> bool:
    """Whether a count is protected: 1 to 10."""
    return 1 <= count <= THRESHOLD


@dataclass(frozen=True)
class Row:
    """True counts of one group: `n` infants, `late` of them."""

    n: int
    late: int

    @property
    def in_time(self) -> int:
        return self.n - self.late

    def __getitem__(self, figure: Figure) -> int:
        return {"n": self.n, "late": self.late, "in_time": self.in_time}[figure]

    @property
    def rate(self) -> Rate | None:
        """The share in whole percent; None for nobody, or where it would tell of a small count."""
        if self.n == 0 or any(small(self[figure]) for figure in FIGURES):
            return None
        return rate_of(self.late, self.n)

    @property
    def allows(self) -> frozenset[Level]:
        """The levels that the row's own counts allow, besides `nothing`."""
        if self.n == 0:
            return frozenset({"counts"})
        if small(self.n):
            return frozenset()
        return frozenset({"total"} if self.rate is None else {"counts", "rate"})


@dataclass(frozen=True)
class Tables:
    """Everything that a reader of a release can put together.

    `rows` are those to publish, the most important first: those at the end give way to those before. `earlier` are
    those of all releases before, with the level that they were published at. `sums` are a whole and its parts. `nested`
    are two cells, of which all infants of the first are in the second; `alike` two of mostly the same infants, of which
    neither is certain to hold the other. `missing` are rows of which nothing is known, `shares_only` those of which no
    count is told, but 0.
    """

    rows: Mapping[RowKey, Row]
    sums: Sequence[tuple[RowKey, Sequence[RowKey]]] = ()
    nested: Sequence[tuple[Cell, Cell]] = ()
    alike: Sequence[tuple[Cell, Cell]] = ()
    earlier: Mapping[RowKey, tuple[Row, Level]] = field(default_factory=dict)
    missing: frozenset[RowKey] = frozenset()
    shares_only: frozenset[RowKey] = frozenset()

    def row(self, key: RowKey) -> Row:
        return self.rows[key] if key in self.rows else self.earlier[key][0]

    def __getitem__(self, cell: Cell) -> int:
        return self.row(cell[0])[cell[1]]

    def may_tell(self, key: RowKey, level: Level) -> bool:
        """Whether a level is one that the row may have."""
        return level in self.rows[key].allows and (level == "rate" or key not in self.shares_only)

    @cached_property
    def near_counts(self) -> list[tuple[Cell, Cell]]:
        """Pairs of `nested` and `alike` that differ by 1 to 10, the smaller first."""
        pairs = [(a, b) if self[a] <= self[b] else (b, a) for a, b in (*self.nested, *self.alike)]
        return [(a, b) for a, b in pairs if small(self[b] - self[a])]

    @cached_property
    def held(self) -> list[tuple[Cell, Cell]]:
        """Pairs of `nested` that are so by the true counts: after a correction a reader knows better than to suppose
        it."""
        return [(part, whole) for part, whole in self.nested if self[part] <= self[whole]]

    @cached_property
    def totals(self) -> frozenset[RowKey]:
        """Rows that others add up to, and that are no part of another."""
        return frozenset(whole for whole, _ in self.sums) - {part for _, parts in self.sums for part in parts}

    def parts(self) -> list[Tables]:
        """The sets of rows that sums and nesting link, each as tables of its own, without what links them otherwise.

        Those without a row to publish come first, the others in the order of their most important rows.
        """
        found = [self._only(keys) for keys in self._linked(frozenset())]
        return sorted(found, key=lambda part: bool(part.rows))

    def blocks(self) -> list[Tables]:
        """What is left of the links when the totals are held as they are: mostly one dimension each, with totals."""
        return [
            self._only(keys | {whole for whole, parts in self.sums if whole in self.totals and keys.issuperset(parts)})
            for keys in self._linked(self.totals)
        ]

    def _linked(self, without: frozenset[RowKey]) -> list[frozenset[RowKey]]:
        """Sets of rows that links join, other than by the rows `without`."""
        together = _Together()
        links = [(whole, *parts) for whole, parts in self.sums] + [(one[0], other[0]) for one, other in self.held]
        for link in links:
            first, *rest = [row for row in link if row not in without] or [link[0]]
            for row in rest:
                together.join(first, row)
        members: dict[RowKey, list[RowKey]] = {}
        for key in (*self.rows, *self.earlier):
            if key not in without:
                members.setdefault(together.of(key), []).append(key)
        return [frozenset(keys) for keys in members.values()]

    def _only(self, keys: frozenset[RowKey]) -> Tables:
        return Tables(
            {key: row for key, row in self.rows.items() if key in keys},
            [(whole, parts) for whole, parts in self.sums if whole in keys and keys.issuperset(parts)],
            [(part, whole) for part, whole in self.nested if part[0] in keys and whole[0] in keys],
            [(one, other) for one, other in self.alike if one[0] in keys and other[0] in keys],
            {key: row for key, row in self.earlier.items() if key in keys},
            self.missing & keys,
            self.shares_only & keys,
        )


class _Together:
    """Sets of rows that are joined step by step."""

    def __init__(self) -> None:
        self._parent: dict[RowKey, RowKey] = {}

    def of(self, key: RowKey) -> RowKey:
        """One row that stands for all of the set."""
        while (parent := self._parent.get(key, key)) != key:
            key = parent
        return key

    def join(self, one: RowKey, other: RowKey) -> None:
        self._parent[self.of(one)] = self.of(other)


def protected(tables: Tables) -> Iterator[Target]:
    """Every count of 1 to 10, and every difference of 1 to 10 between two cells that are linked."""
    for row in (*tables.rows, *tables.earlier):
        for figure in FIGURES:
            if small(tables[row, figure]):
                yield ((row, figure),)
    yield from tables.near_counts
