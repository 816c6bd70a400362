"""Disclosure control of what is published: counts of infants, and of those late, by group.

The rule (CMS cell-size policy, resdac.org/node/1506): no count of 1 to 10 infants is shown, nor can one be worked out
from what is shown, by subtraction, percentages, totals, other tables and measures of the release, or any release before
it. 0 may be shown. A published figure is in one of three states, which never stand for each other: `shown` (0 too),
`suppressed`, and `missing` (nothing is known: a source that has fallen silent).

A *row* is one group of one measure of one release. It is published at one of four levels: all its counts, its number of
infants alone, its share alone in whole percent, or nothing. Rows are linked: groups add up to the total; the infants of
one row may all be in another (a measure with a wider denominator, the same group a quarter later), so that the
difference of two large counts is a count of infants too, and protected when it is small.

Small counts are withheld first (primary), then one of every pair that differs by 1 to 10, then their partners in every
sum (complementary). Last, `warehouse.attack` works out the greatest value that each protected count could have; what
can't be more than 10 costs one row a level, until there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from warehouse.attack import Cell, Figure, Knowledge, RowKey, Target, exposed
from warehouse.errors import ReleaseRefused
from warehouse.rates import Rate, possible, rate_of

#: No count from 1 to this may be shown.
THRESHOLD = 10

State = Literal["shown", "suppressed", "missing"]
Level = Literal["counts", "total", "rate", "nothing", "missing"]
FIGURES: tuple[Figure, ...] = ("n", "late", "in_time")
_TELLS: Mapping[Level, frozenset[Figure]] = {
    "counts": frozenset(FIGURES),
    "total": frozenset({"n"}),
    "rate": frozenset(),
    "nothing": frozenset(),
    "missing": frozenset(),
}


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


@dataclass(frozen=True)
class Tables:
    """Everything that a reader of a release can put together.

    `rows` are those to publish, the most important first: what must give way is taken from the end. `earlier` are
    those of all releases before, with the level that they were published at. `sums` are a whole and its parts. `nested`
    are two cells, of which all infants of the first are in the second; `alike` two of mostly the same infants, of which
    neither is certain to hold the other. `missing` are rows of which nothing is known.
    """

    rows: Mapping[RowKey, Row]
    sums: Sequence[tuple[RowKey, Sequence[RowKey]]] = ()
    nested: Sequence[tuple[Cell, Cell]] = ()
    alike: Sequence[tuple[Cell, Cell]] = ()
    earlier: Mapping[RowKey, tuple[Row, Level]] = field(default_factory=dict)
    missing: frozenset[RowKey] = frozenset()

    def __getitem__(self, cell: Cell) -> int:
        row, figure = cell
        return (self.rows[row] if row in self.rows else self.earlier[row][0])[figure]

    @cached_property
    def near_counts(self) -> list[tuple[Cell, Cell]]:
        """Pairs of `nested` and `alike` that differ by 1 to 10, the smaller first."""
        pairs = [(a, b) if self[a] <= self[b] else (b, a) for a, b in (*self.nested, *self.alike)]
        return [(a, b) for a, b in pairs if small(self[b] - self[a])]

    @cached_property
    def beside(self) -> Mapping[RowKey, tuple[RowKey, ...]]:
        """Rows to publish that add up to something with a row, or to the row. Totals, which every sum needs, aren't."""
        found: dict[RowKey, dict[RowKey, None]] = {}
        for whole, parts in self.sums:
            own = [part for part in parts if part in self.rows]
            for term in (whole, *parts):
                found.setdefault(term, {}).update(dict.fromkeys(own))
        return {row: tuple(other for other in others if other != row) for row, others in found.items()}

    @cached_property
    def linked(self) -> Mapping[RowKey, tuple[RowKey, ...]]:
        """Rows to publish that a row is nested with."""
        found: dict[RowKey, dict[RowKey, None]] = {}
        for (a, _), (b, _) in (*self.nested, *self.alike):
            for one, other in ((a, b), (b, a)):
                if other in self.rows and other != one:
                    found.setdefault(one, {})[other] = None
        return {row: tuple(others) for row, others in found.items()}


Levels = dict[RowKey, Level]


def suppress(tables: Tables) -> Levels:
    """The level at which each row may be published. The result withstands `exposures`. Same tables, same result.

    Raises ReleaseRefused when the releases before give a small count away by themselves.
    """
    levels: Levels = {key: _first(row) for key, row in tables.rows.items()}
    levels.update(dict.fromkeys(tables.missing, "missing"))
    _part_near_counts(tables, levels)
    _complement(tables, levels)
    # Who is told less knows less: a count that is safe stays so, and only the exposed are looked at again.
    found = exposures(tables, levels)
    while found:
        changed: set[RowKey] = set()
        for target in found:
            # What gave way for another target may have hidden this one too: the next attack tells.
            if not changed.intersection(_beside(tables, target) or _around(tables, target)):
                changed.update(_give_way(tables, levels, target))
        if not changed:
            raise ReleaseRefused(
                "A small count can be worked out from the releases before, whatever is withheld now",
                kept="the releases published before",
                next_step="withdraw them, and publish again",
            )
        _complement(tables, levels)
        found = exposures(tables, levels, found)
    return levels


def refuse_exposed(tables: Tables, levels: Mapping[RowKey, Level]) -> None:
    """Raises ReleaseRefused when a protected count can be worked out from what is shown."""
    found = exposures(tables, levels)
    if found:
        raise ReleaseRefused(
            f"{len(found)} protected counts could be worked out from the release",
            kept="the releases published before",
            next_step="publish at the levels that `warehouse.disclosure.suppress` returns",
        )


def exposures(tables: Tables, levels: Mapping[RowKey, Level], among: Iterable[Target] | None = None) -> list[Target]:
    """The attack: counts of 1 to 10 that can't be more than 10, and differences of 1 to 10 that can be nothing else.

    `among` are the targets to try; by default all: every count and every difference of two linked counts from 1 to 10.
    """
    targets = list(protected(tables) if among is None else among)
    counts = [target[0] for target in targets if len(target) == 1]
    differences = [(target[0], target[1]) for target in targets if len(target) == 2]
    return exposed(knowledge(tables, levels), counts, differences, THRESHOLD)


def protected(tables: Tables) -> Iterator[Target]:
    """Every count of 1 to 10, and every difference of 1 to 10 between two cells that are linked."""
    for row in (*tables.rows, *tables.earlier):
        for figure in FIGURES:
            if small(tables[row, figure]):
                yield ((row, figure),)
    yield from tables.near_counts


def knowledge(tables: Tables, levels: Mapping[RowKey, Level]) -> Knowledge:
    """What a reader of the release, and of all before it, knows: our own attacker knows which cells are 0, too."""
    published = {**{key: (row, levels[key]) for key, row in tables.rows.items()}, **tables.earlier}
    shown: dict[Cell, int] = {}
    least: dict[Cell, int] = {}
    rates = {}
    for key, (row, level) in published.items():
        for figure in FIGURES:
            if figure in _TELLS[level]:
                shown[key, figure] = row[figure]
            else:
                # Zeros are always shown, so that what is suppressed is 1 at least.
                least[key, figure] = min(1, row[figure])
        rate = row.rate if level == "rate" else None
        if rate is not None:
            rates[key] = possible(rate, row.n)
    return Knowledge(tuple(published), shown, least, rates, tuple(tables.sums), _held(tables))


def _held(tables: Tables) -> tuple[tuple[Cell, Cell], ...]:
    """Pairs of `nested` that are so by the true counts: after a correction a reader knows better than to suppose it."""
    return tuple((part, whole) for part, whole in tables.nested if tables[part] <= tables[whole])


def _first(row: Row) -> Level:
    if small(row.n):
        return "nothing"
    return "total" if small(row.late) or small(row.in_time) else "counts"


def _lower(row: Row, level: Level) -> Level:
    """The next level down: counts, then the share where it may be shown, then nothing."""
    return "rate" if level == "counts" and row.rate is not None else "nothing"


def _tells(tables: Tables, levels: Mapping[RowKey, Level], cell: Cell) -> bool:
    row, figure = cell
    level = levels[row] if row in levels else tables.earlier[row][1]
    return figure in _TELLS[level]


def _part_near_counts(tables: Tables, levels: Levels) -> None:
    """Of two shown counts that differ by 1 to 10, the less important one goes."""
    place = {key: number for number, key in enumerate(tables.rows)}
    for one, other in tables.near_counts:
        if all(_tells(tables, levels, cell) for cell in (one, other)):
            gives_way = max((one[0], other[0]), key=lambda key: place.get(key, -1))
            if gives_way in levels:
                levels[gives_way] = _lower(tables.rows[gives_way], levels[gives_way])


def _complement(tables: Tables, levels: Levels) -> None:
    """Until no sum has one withheld term alone, withhold the smallest other one that is not 0."""
    changed = True
    while changed:
        changed = False
        for whole, parts in tables.sums:
            for figure in FIGURES:
                terms = [(term, figure) for term in (whole, *parts) if term in levels]
                hidden = [cell for cell in terms if not _tells(tables, levels, cell)]
                if len(hidden) != 1 or len(terms) < 2:
                    continue
                partner = _smallest(tables, [row for row, _ in terms[1:]], levels, figure) or _smallest(
                    tables, [row for row, _ in terms], levels, figure
                )
                if partner is not None:
                    levels[partner] = _lower(tables.rows[partner], levels[partner])
                    changed = True


def _smallest(tables: Tables, rows: Iterable[RowKey], levels: Levels, figure: Figure) -> RowKey | None:
    """The smallest row that shows the figure, and not as 0; of equal ones the first by name."""
    showing = [row for row in rows if _tells(tables, levels, (row, figure)) and tables.rows[row][figure] > 0]
    return min(showing, key=lambda row: (tables.rows[row][figure], row)) if showing else None


def _give_way(tables: Tables, levels: Levels, target: Target) -> list[RowKey]:
    """Take one row a level down for an exposed count, and name it; none when there is none left."""
    place = {key: number for number, key in enumerate(tables.rows)}
    own = {row for row, _ in target}
    for rows in (_beside(tables, target), _around(tables, target), list(tables.rows)):
        for tells_counts in (True, False):
            open_ = [row for row in rows if levels[row] not in ("nothing", "missing")]
            open_ = [row for row in open_ if bool(_TELLS[levels[row]]) is tells_counts and tables.rows[row].n > 0]
            if open_:
                chosen = min(open_, key=lambda row: (row in own, tables.rows[row].n, -place[row]))
                levels[chosen] = _lower(tables.rows[chosen], levels[chosen])
                return [chosen]
    return []


def _beside(tables: Tables, target: Target) -> list[RowKey]:
    """The target's own rows, and those beside them."""
    own = [row for row, _ in target]
    beside = [other for row in own for other in tables.beside.get(row, ())]
    return [*(row for row in own if row in tables.rows), *beside]


def _around(tables: Tables, target: Target) -> list[RowKey]:
    """Those, and the rows that they are linked with, beside which others stand, too."""
    beside = _beside(tables, target)
    linked = [other for row in [*(row for row, _ in target), *beside] for other in tables.linked.get(row, ())]
    return [*beside, *linked, *(other for row in linked for other in tables.beside.get(row, ()))]
