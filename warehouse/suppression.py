"""Disclosure control of what is published: counts of infants by group.

The rule (CMS cell-size policy, resdac.org/node/1506): no cell of 1 to 10 infants is shown, nor can one be worked out
from what is shown, by subtraction, percentages, totals, other tables of the release, or the release before it. 0 may be
shown. A published count is in one of three states, which never stand for each other: `shown` (0 too), `suppressed`,
and `missing` (a source that sent nothing).

All tables of a release are views of one cube of counts, so that a cell that two of them share is decided once. First
small cells are suppressed (primary), then their partners in every sum (complementary), then what a release before it
would reveal (differencing). Last, `exposures` attacks the result: for each protected count it finds the least and the
greatest value that agrees with all that is shown, by linear programming; what is too narrow costs one cell more,
until nothing is. Published rows must not tell the reason of a suppression: `primary` alone says 1 to 10.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from math import ceil, floor
from typing import Literal

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

from warehouse.errors import ReleaseRefused

#: No count from 1 to this may be shown.
THRESHOLD = 10

#: A cell: the categories that it is about, sorted by dimension; () is the total.
Key = tuple[tuple[str, str], ...]
State = Literal["shown", "suppressed", "missing"]
Reason = Literal["primary", "complementary", "differencing"]


def key(**categories: str) -> Key:
    """`key(payer="public", late="yes")`; `key()` is the total."""
    return tuple(sorted(categories.items()))


@dataclass(frozen=True)
class Cube:
    """Counts of one population of infants by all dimensions of a release, and the views of it to publish.

    `counts` holds the finest cells, by category in the order of `categories`; those left out are 0. `views` are the
    sets of dimensions that are tabulated, each with all its margins; by default the one of all dimensions. `missing`
    are the categories of which nothing is known, such as a silent source.
    """

    categories: Mapping[str, tuple[str, ...]]
    counts: Mapping[tuple[str, ...], int]
    views: tuple[tuple[str, ...], ...] = ()
    missing: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, str]],
        categories: Mapping[str, Sequence[str]],
        views: Iterable[Sequence[str]] = (),
        missing: Iterable[tuple[str, str]] = (),
    ) -> Cube:
        """The cube of rows, one an infant, each with a category for every dimension."""
        counts = Counter(tuple(row[name] for name in categories) for row in rows)
        for found in counts:
            for name, category in zip(categories, found, strict=True):
                if category not in categories[name]:
                    raise ValueError(f"{category!r} is no category of {name}")
        return cls(
            {name: tuple(known) for name, known in categories.items()},
            counts,
            tuple(tuple(view) for view in views),
            frozenset(missing),
        )

    @cached_property
    def atoms(self) -> list[Key]:
        """The finest cells that are not missing."""
        found = (tuple(sorted(zip(self.categories, cell, strict=True))) for cell in product(*self.categories.values()))
        return [atom for atom in found if not self.missing.intersection(atom)]

    @cached_property
    def cells(self) -> dict[Key, frozenset[int]]:
        """Every cell to publish, with the positions of its atoms; cells of missing categories have none."""
        keys: dict[Key, None] = {}
        for view in self.views or (tuple(self.categories),):
            for size in range(len(view) + 1):
                for names in combinations(sorted(view), size):
                    for categories in product(*(self.categories[name] for name in names)):
                        keys[tuple(zip(names, categories, strict=True))] = None
        return {cell: frozenset(n for n, atom in enumerate(self.atoms) if set(cell) <= set(atom)) for cell in keys}

    @cached_property
    def values(self) -> dict[Key, int]:
        """The true count of every cell that is not missing."""
        order = list(self.categories)
        atoms = [self.counts.get(tuple(dict(atom)[name] for name in order), 0) for atom in self.atoms]
        return {
            cell: sum(atoms[n] for n in members)
            for cell, members in self.cells.items()
            if not self.missing.intersection(cell)
        }

    @cached_property
    def sums(self) -> list[tuple[Key, ...]]:
        """Every sum that a reader can make: a cell, then the cells that it is the sum of along one dimension."""
        made = []
        for cell in self.values:
            held = {name for name, _ in cell}
            for name, categories in self.categories.items():
                parts = [tuple(sorted((*cell, (name, category)))) for category in categories if name not in held]
                parts = [part for part in parts if part in self.values]
                if parts:
                    made.append((cell, *parts))
        return made


@dataclass(frozen=True)
class Cell:
    """One published count. `value` is None unless shown. `reason` is for the record of those who publish only."""

    value: int | None
    state: State
    reason: Reason | None = None


@dataclass(frozen=True)
class Exposure:
    """A protected count that what is shown narrows too far: between `low` and `high`, both inclusive."""

    cell: Key
    low: int
    high: float
    since: bool = False  # of the infants added since the release before


@dataclass(frozen=True)
class Published:
    """A cube after disclosure control."""

    cube: Cube = field(repr=False)
    cells: Mapping[Key, Cell] = field(repr=False)

    def __getitem__(self, cell: Key) -> Cell:
        return self.cells[cell]

    @property
    def shown(self) -> dict[Key, int]:
        return {name: cell.value for name, cell in self.cells.items() if cell.value is not None}

    @property
    def hidden(self) -> list[Key]:
        return [name for name, cell in self.cells.items() if cell.state == "suppressed"]

    def may_show(self, cell: Key, dimension: str) -> bool:
        """Whether percentages, medians and intervals over `dimension` within the cell may be shown.

        They may when the cell and all that it splits into are: a percentage gives away its numerator, a median who is
        on either side of it.
        """
        parts = [tuple(sorted((*cell, (dimension, category)))) for category in self.cube.categories[dimension]]
        return all(self.cells[part].state == "shown" for part in (cell, *parts))

    def share(self, part: Key, whole: Key) -> float | None:
        """`part` of `whole`, 0 to 1; None when either, or what is left, may not be shown, or the whole is 0."""
        dimension = next(name for name, _ in set(part) - set(whole))
        top, bottom = self.cells[part].value, self.cells[whole].value
        if top is None or not bottom or not self.may_show(whole, dimension):
            return None
        return top / bottom


def suppress(cube: Cube, previous: Sequence[Published] = ()) -> Published:
    """The cube with every small cell, and all that would give one away, suppressed.

    `previous` are the releases before it, of the same population: a count that changed by 1 to 10 since one of them is
    not shown again. So release when at least 11 infants are new in most groups, or little is left to show. The
    result withstands `exposures`. Same cube, same result.
    """
    reasons: dict[Key, Reason] = {cell: "primary" for cell, value in cube.values.items() if 1 <= value <= THRESHOLD}
    for release in previous:
        for cell, before in release.shown.items():
            if cell in cube.values and 1 <= abs(cube.values[cell] - before) <= THRESHOLD:
                reasons.setdefault(cell, "differencing")
    while True:
        _complement(cube, reasons)
        published = _published(cube, reasons)
        found = exposures(published, previous)
        if not found:
            return published
        for exposure in found:
            partner = _partner(cube, reasons, exposure.cell)
            if partner is not None:
                reasons[partner] = "complementary"


def refuse_exposed(published: Published, previous: Sequence[Published] = ()) -> None:
    """Raises ReleaseRefused when a protected count can be worked out from what is shown."""
    found = exposures(published, previous)
    if found:
        raise ReleaseRefused(
            f"{len(found)} protected counts could be worked out from the release",
            kept="the releases published before",
            next_step="publish what `warehouse.suppression.suppress` returns, with the earlier releases as `previous`",
        )


def exposures(published: Published, previous: Sequence[Published] = ()) -> list[Exposure]:
    """The attack: bounds of every protected count, given all that is shown, and those that are too narrow.

    The attacker knows the rules: all counts are whole and not negative, zeros are always shown, so that a suppressed
    cell is 1 at least, and infants once counted stay. A count of 1 to 10 is safe when it could be more than 10 and
    more than one value is possible. Small numbers of infants added since `previous` are protected like small cells.
    """
    found: list[Exposure] = []
    for release in previous or (None,):
        system = _System(published, release)
        for cell, value in published.cube.values.items():
            if 1 <= value <= THRESHOLD:
                found += _too_narrow(cell, *system.bounds(cell), since=False)
            grown = value - release.cube.values.get(cell, value) if release is not None and system.grows else 0
            if 1 <= grown <= THRESHOLD:
                found += _too_narrow(cell, *system.bounds(cell, since=True), since=True)
    return found


def _too_narrow(cell: Key, low: float, high: float, *, since: bool) -> Iterator[Exposure]:
    least, most = ceil(low - 1e-6), high if high == np.inf else floor(high + 1e-6)
    if most <= THRESHOLD or least >= most:
        yield Exposure(cell, least, most, since)


class _System:
    """What the attacker knows, as linear constraints on the atoms (and on how they grew since the release before)."""

    def __init__(self, published: Published, previous: Published | None) -> None:
        self._cube = published.cube
        self._size = len(self._cube.atoms)
        same = previous is not None and previous.cube.categories == self._cube.categories
        same = same and previous is not None and previous.cube.missing == self._cube.missing
        self.grows = same and previous is not None and self._feasible(published, previous)
        self._constrain(published, previous if self.grows else None)

    def _feasible(self, published: Published, previous: Published) -> bool:
        """Whether no count shrank; after a correction the two releases don't hang together."""
        self._constrain(published, previous)
        return bool(self._solve(np.zeros(self._width)).status == 0)

    def _constrain(self, published: Published, previous: Published | None) -> None:
        self._width = self._size * (2 if previous is not None else 1)
        now = [(cell, cell_value) for cell, cell_value in published.shown.items()]
        equal = [self._row(cell, before=True, since=True) for cell, _ in now]
        values = [value for _, value in now]
        least = [self._row(cell, before=True, since=True) for cell in published.hidden]
        if previous is not None:
            equal += [self._row(cell, before=True, since=False) for cell in previous.shown if cell in self._cube.cells]
            values += [value for cell, value in previous.shown.items() if cell in self._cube.cells]
            least += [self._row(cell, before=True, since=False) for cell in previous.hidden if cell in self._cube.cells]
        self._equal = vstack(equal, format="csr") if equal else None
        self._values = np.array(values, dtype=float) if equal else None
        # A suppressed cell is 1 or more, written as -sum <= -1.
        self._least = -vstack(least, format="csr") if least else None
        self._ones = -np.ones(len(least)) if least else None

    def _row(self, cell: Key, *, before: bool, since: bool) -> csr_array:
        """Indicator of the cell's atoms; the second half of the columns is what came since the release before."""
        members = np.fromiter(self._cube.cells[cell], dtype=np.int64)
        columns = members if before else members[:0]
        if since and self._width > self._size:
            columns = np.concatenate([columns, members + self._size])
        return csr_array((np.ones(len(columns)), (np.zeros(len(columns), int), columns)), shape=(1, self._width))

    def bounds(self, cell: Key, *, since: bool = False) -> tuple[float, float]:
        """Least and greatest value of the cell, or of its growth since the release before."""
        target = self._row(cell, before=not since, since=True).toarray()[0]
        low, high = self._solve(target), self._solve(-target)
        return (low.fun if low.status == 0 else 0.0), (-high.fun if high.status == 0 else np.inf)

    def _solve(self, target: np.ndarray[tuple[int], np.dtype[np.float64]]):  # type: ignore[no-untyped-def]
        return linprog(
            target,
            A_ub=self._least,
            b_ub=self._ones,
            A_eq=self._equal,
            b_eq=self._values,
            bounds=(0, None),
            method="highs",
        )


def _complement(cube: Cube, reasons: dict[Key, Reason]) -> None:
    """Until no sum has one suppressed term alone, suppress the smallest other one that is not 0."""
    changed = True
    while changed:
        changed = False
        for terms in cube.sums:
            hidden = [term for term in terms if term in reasons]
            if len(hidden) != 1:
                continue
            partner = _smallest(cube, [term for term in terms[1:] if term not in reasons] or [terms[0]])
            partner = partner or _smallest(cube, [term for term in terms if term not in reasons])
            if partner is not None:
                reasons[partner] = "complementary"
                changed = True


def _partner(cube: Cube, reasons: dict[Key, Reason], exposed: Key) -> Key | None:
    """One more cell to suppress for an exposed one: from a sum that it is in, else from any with a suppressed term."""
    near = [term for terms in cube.sums if exposed in terms for term in terms]
    wider = [term for terms in cube.sums if reasons.keys() & set(terms) for term in terms]
    for candidates in (near, wider, list(cube.values)):
        partner = _smallest(cube, [term for term in candidates if term not in reasons])
        if partner is not None:
            return partner
    return None


def _smallest(cube: Cube, cells: Iterable[Key]) -> Key | None:
    """The smallest count that is not 0; of equal ones the first by name, so that the choice is the same each time."""
    positive = [cell for cell in cells if cube.values[cell] > 0]
    return min(positive, key=lambda cell: (cube.values[cell], cell)) if positive else None


def _published(cube: Cube, reasons: Mapping[Key, Reason]) -> Published:
    cells = {}
    for cell in cube.cells:
        if cell not in cube.values:
            cells[cell] = Cell(None, "missing")
        elif cell in reasons:
            cells[cell] = Cell(None, "suppressed", reasons[cell])
        else:
            cells[cell] = Cell(cube.values[cell], "shown")
    return Published(cube, cells)
