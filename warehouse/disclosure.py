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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Literal

from warehouse.attack import ANY, Attack, Cell, Figure, Knowledge, Range, RowKey, Target
from warehouse.errors import ReleaseRefused
from warehouse.rates import Rate, possible, rate_of, size_band

#: No count from 1 to this may be shown.
THRESHOLD = 10

State = Literal["shown", "suppressed", "missing"]
Level = Literal["counts", "total", "rate", "nothing", "missing"]
Levels = dict[RowKey, Level]
FIGURES: tuple[Figure, ...] = ("n", "late", "in_time")
#: Levels in the order in which they are tried, on all rows of a measure each.
_NEVER_TOLD = 0.05
_TRIED: tuple[Level, ...] = ("counts", "total", "rate")


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

    def parts(self) -> list[Tables]:
        """The sets of rows that sums and nesting link, each as tables of its own, without what links them otherwise.

        Those without a row to publish come first, the others in the order of their most important rows.
        """
        together = _Together()
        for whole, parts in self.sums:
            for part in parts:
                together.join(whole, part)
        for (one, _), (other, _) in self.held:
            together.join(one, other)
        members: dict[RowKey, list[RowKey]] = {}
        for key in (*self.rows, *self.earlier):
            members.setdefault(together.of(key), []).append(key)
        found = [self._only(frozenset(keys)) for keys in members.values()]
        return sorted(found, key=lambda part: bool(part.rows))

    def _only(self, keys: frozenset[RowKey]) -> Tables:
        return Tables(
            {key: row for key, row in self.rows.items() if key in keys},
            [(whole, parts) for whole, parts in self.sums if whole in keys],
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


def suppress(tables: Tables) -> Levels:
    """The level at which each row may be published. The result withstands `exposures`. Same tables, same result.

    Raises ReleaseRefused when the releases before give a small count away by themselves.
    """
    levels: Levels = {key: "counts" if row.n == 0 else "nothing" for key, row in tables.rows.items()}
    levels.update(dict.fromkeys(tables.missing, "missing"))
    for part in _attacked(tables, levels):
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


def _take(part: _Part, levels: Levels, wanted: Sequence[RowKey], level: Level) -> None:
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
    return [target for part in _attacked(tables, levels) for target in part.exposed(levels)]


def protected(tables: Tables) -> Iterator[Target]:
    """Every count of 1 to 10, and every difference of 1 to 10 between two cells that are linked."""
    for row in (*tables.rows, *tables.earlier):
        for figure in FIGURES:
            if small(tables[row, figure]):
                yield ((row, figure),)
    yield from tables.near_counts


class _Part:
    """Rows that constraints link, and the pairs of near counts that they have a part in: `across` with other parts.

    `elsewhere` says what the counts of these can be.
    """

    def __init__(
        self, tables: Tables, across: Sequence[tuple[Cell, Cell]], elsewhere: Callable[[Cell, bool], Range]
    ) -> None:
        self.tables = tables
        self._elsewhere = elsewhere
        self._targets = [*protected(tables), *across]
        keys = [*tables.rows, *tables.earlier]
        counts = {(key, figure): tables[key, figure] for key in keys for figure in FIGURES}
        self._attack = Attack(counts, tables.sums, tables.held, _costs(tables))

    def exposed(self, levels: Mapping[RowKey, Level]) -> Iterator[Target]:
        return self._attack.exposed(knowledge(self.tables, levels), self._targets, THRESHOLD, self._elsewhere)

    def withstands(self, levels: Mapping[RowKey, Level]) -> bool:
        return next(self.exposed(levels), None) is None

    def range(self, levels: Mapping[RowKey, Level], cell: Cell, every: bool) -> Range:
        return self._attack.range(knowledge(self.tables, levels), cell, every)


def _costs(tables: Tables) -> dict[RowKey, float]:
    """A witness had better differ from the truth in rows that aren't told, and in the less important of the others."""
    costs = dict.fromkeys(tables.earlier, _NEVER_TOLD)
    for place, (key, row) in enumerate(tables.rows.items()):
        costs[key] = 2.0 - place / len(tables.rows) if "rate" in row.allows else _NEVER_TOLD
    return costs


def _attacked(tables: Tables, levels: Mapping[RowKey, Level]) -> Iterator[_Part]:
    """The parts, each with the near counts of those before it. The levels of a part may be set between two steps."""
    only = tables.parts()
    home = {key: number for number, part in enumerate(only) for key in (*part.rows, *part.earlier)}
    crossing = [(a, b) for a, b in tables.near_counts if home[a[0]] != home[b[0]]]
    parts: list[_Part] = []

    @cache
    def elsewhere(cell: Cell, every: bool) -> Range:
        return parts[home[cell[0]]].range(levels, cell, every)

    for number, part in enumerate(only):
        across = [pair for pair in crossing if max(home[row] for row, _ in pair) == number]
        parts.append(_Part(part, across, elsewhere))
        yield parts[-1]


def knowledge(tables: Tables, levels: Mapping[RowKey, Level]) -> Knowledge:
    """What a reader of the release, and of all before it, knows: our own attacker knows which cells are 0, too."""
    published = {**{key: (row, levels[key]) for key, row in tables.rows.items()}, **tables.earlier}
    ranges: dict[Cell, Range] = {}
    shares: dict[RowKey, tuple[float, float]] = {}
    for key, (row, level) in published.items():
        for figure in FIGURES:
            ranges[key, figure] = _told(row, level, figure)
        if level == "rate" and row.rate is not None:
            found = possible(row.rate, row.n)
            low, high = ranges[key, "n"]
            ranges[key, "n"] = max(low, found.least), min(high, found.most)
            shares[key] = found.low, found.high
    return Knowledge(ranges, shares)


def _told(row: Row, level: Level, figure: Figure) -> Range:
    """The least and the most that a count can be by what its own row says."""
    count = row[figure]
    if level == "counts" or (level == "total" and figure == "n"):
        return count, count
    if count == 0:
        # That it is hidden doesn't say so: small counts are hidden by their tables, too.
        return 0, ANY
    if level != "rate":
        # Zeros are always shown, so that what is suppressed is 1 at least.
        return 1, ANY
    return size_band(count) if figure == "n" else (THRESHOLD + 1, ANY)
