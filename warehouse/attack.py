"""The attack on a release: how large could each protected count be, given everything that is shown?

All that a reader knows is written as linear constraints on the withheld counts: rows add up, a share in whole percent
bounds one count by another, nested groups bound each other. A protected count is safe when some solution makes it more
than 10: the true one, which is a solution too, is another value then, so that neither the number nor its smallness can
be told. A small difference of two counts is safe when they could as well be equal, or differ by more than 10. Solved by
linear programming (HiGHS), which allows fractions: what it finds is the outer bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack
from scipy.sparse.csgraph import connected_components

from warehouse.errors import ReleaseRefused
from warehouse.rates import Possible

Figure = Literal["n", "late", "in_time"]
#: Names of a row: release, measure, dimension, group.
RowKey = tuple[str, ...]
Cell = tuple[RowKey, Figure]
#: A count, or the difference of two: the second less the first.
Target = tuple[Cell, ...]
#: Weights of withheld cells, and a constant.
Terms = tuple[dict[int, float], float]
_OUTCOMES: tuple[Figure, ...] = ("late", "in_time")
_SLACK = 1e-6
#: More infants than any network has: without it, a count that nothing bounds would have no best solution.
_MANY = 1e6
#: How often many targets are tried at once before those that are left are tried one by one.
_ROUNDS = 4


@dataclass(frozen=True)
class Knowledge:
    """What a reader knows of the rows. `least` has a lower bound for every cell that is not `shown`."""

    rows: tuple[RowKey, ...]
    shown: Mapping[Cell, int]
    least: Mapping[Cell, int]
    rates: Mapping[RowKey, Possible]
    sums: tuple[tuple[RowKey, Sequence[RowKey]], ...]
    nested: tuple[tuple[Cell, Cell], ...]


def exposed(
    known: Knowledge, counts: Sequence[Cell], differences: Sequence[tuple[Cell, Cell]], threshold: int
) -> list[Target]:
    """Those of the counts that can't be more than `threshold`, and of the differences that must be 1 to `threshold`."""
    system = _System(known)
    more = threshold + 1
    found = [
        target
        for target in _not_together(system, [(cell,) for cell in counts], more)
        if system.most(target) < more - _SLACK
    ]
    # The other way round, a difference that reaches 0 is one that may be nothing.
    backwards = _not_together(system, [(greater, smaller) for smaller, greater in differences], 0)
    narrow = [back[::-1] for back in backwards if system.most(back) < -_SLACK]
    return [*found, *(target for target in narrow if system.most(target) < more - _SLACK)]


def _not_together(system: _System, targets: Sequence[Target], floor: float) -> list[Target]:
    """Targets that no solution for many at once brings to `floor`. Most are settled so, and none wrongly."""
    open_ = list(targets)
    for _ in range(_ROUNDS):
        if open_:
            reached = system.raised(open_, floor)
            open_ = [target for target, value in zip(open_, reached, strict=True) if value < floor - _SLACK]
    return open_


@dataclass(frozen=True)
class _Programme:
    """Linear constraints on some of the variables, `columns`, and the bounds of each."""

    columns: np.ndarray
    equal: csr_array
    values: np.ndarray
    upper: csr_array
    limits: np.ndarray
    bounds: np.ndarray

    def best(self, goal: np.ndarray) -> np.ndarray:
        """A solution for which `goal` is least."""
        found = linprog(
            goal,
            A_ub=self.upper if self.upper.shape[0] else None,
            b_ub=self.limits if self.upper.shape[0] else None,
            A_eq=self.equal if self.equal.shape[0] else None,
            b_eq=self.values if self.equal.shape[0] else None,
            bounds=self.bounds,
            method="highs",
        )
        # The true counts are a solution, so that this is a fault in the tables and no property of the release.
        if found.x is None:
            raise ReleaseRefused(
                "The release could not be attacked: its tables contradict each other",
                kept="the releases published before",
                next_step="report this, with the run's id",
            )
        return np.asarray(found.x)

    def part(self, columns: np.ndarray) -> _Programme:
        """The constraints on `columns` only, which must share none with the others."""
        equal, upper = self.equal[:, columns], self.upper[:, columns]
        mine, theirs = np.diff(equal.indptr) > 0, np.diff(upper.indptr) > 0
        return _Programme(
            columns, equal[mine], self.values[mine], upper[theirs], self.limits[theirs], self.bounds[columns]
        )


class _System:
    """The withheld cells as variables, under all constraints. Shown ones are numbers."""

    def __init__(self, known: Knowledge) -> None:
        self._known = known
        self._place = {cell: number for number, cell in enumerate(known.least)}
        self._parts: dict[int, _Programme] = {}

    def _terms(self, weighted: Iterable[tuple[Cell, float]]) -> Terms:
        weights: dict[int, float] = {}
        constant = 0.0
        for cell, weight in weighted:
            if cell in self._place:
                weights[self._place[cell]] = weights.get(self._place[cell], 0.0) + weight
            else:
                constant += weight * self._known.shown[cell]
        return weights, constant

    @cached_property
    def _all(self) -> _Programme:
        known = self._known
        equal = [self._terms([((row, "n"), 1), ((row, "late"), -1), ((row, "in_time"), -1)]) for row in known.rows]
        for whole, parts in known.sums:
            equal += [
                self._terms([((whole, figure), 1.0), *(((part, figure), -1.0) for part in parts)])
                for figure in _OUTCOMES
            ]
        upper = [self._terms([(part, 1), (whole, -1)]) for part, whole in known.nested]
        bounds = np.array([(low, _MANY) for low in known.least.values()], dtype=float).reshape(-1, 2)
        for row, found in known.rates.items():
            upper.append(self._terms([((row, "late"), 1), ((row, "n"), -found.high)]))
            upper.append(self._terms([((row, "late"), -1), ((row, "n"), found.low)]))
            if (row, "n") in self._place:
                place = self._place[row, "n"]
                bounds[place] = max(bounds[place][0], found.least), min(_MANY, found.most)
        width = len(bounds)
        return _Programme(np.arange(width), *_matrix(equal, width), *_matrix(upper, width), bounds)

    @cached_property
    def _component(self) -> np.ndarray:
        """To which set of linked variables each belongs."""
        together = vstack([self._all.equal, self._all.upper])
        labels: np.ndarray = connected_components(abs(together.T) @ abs(together), directed=False)[1]
        return labels

    def _part(self, component: int) -> _Programme:
        if component not in self._parts:
            self._parts[component] = self._all.part(np.flatnonzero(self._component == component))
        return self._parts[component]

    def _target(self, target: Target) -> Terms:
        signs = (1.0,) if len(target) == 1 else (-1.0, 1.0)
        return self._terms(zip(target, signs, strict=True))

    def raised(self, targets: Sequence[Target], floor: float) -> list[float]:
        """Values of the targets in one solution that raises them all, each counted up to `floor`."""
        expressions = [self._target(target) for target in targets]
        every, width = self._all, len(self._all.bounds)
        # One variable more a target: no greater than it, nor than the floor.
        extra = len(targets)
        below = [({at: -w for at, w in found.items()}, -constant) for found, constant in expressions]
        weights, constants = _matrix(below, width, keep=True)
        programme = _Programme(
            np.arange(width + extra),
            hstack([every.equal, csr_array((every.equal.shape[0], extra))], format="csr"),
            every.values,
            vstack(
                [
                    hstack([every.upper, csr_array((every.upper.shape[0], extra))]),
                    hstack([weights, csr_array(np.eye(extra))]),
                ],
                format="csr",
            ),
            np.concatenate([every.limits, constants]),
            np.vstack([every.bounds, np.tile([-np.inf, floor], (extra, 1))]),
        )
        solution = programme.best(np.concatenate([np.zeros(width), -np.ones(extra)]))
        return [constant + sum(w * solution[at] for at, w in found.items()) for found, constant in expressions]

    def most(self, target: Target) -> float:
        """The greatest value of one target."""
        weights, most = self._target(target)
        for component in sorted({int(self._component[at]) for at in weights}):
            part = self._part(component)
            goal = np.array([-weights.get(int(at), 0.0) for at in part.columns])
            most -= float(goal @ part.best(goal))
        return most


def _matrix(rows: Sequence[Terms], width: int, *, keep: bool = False) -> tuple[csr_array, np.ndarray]:
    """Weights and right-hand sides of `weights + constant = 0` (or `<= 0`); those without variables are left out."""
    kept = [row for row in rows if keep or row[0]]
    starts = np.cumsum([0, *(len(weights) for weights, _ in kept)])
    columns = np.fromiter((at for weights, _ in kept for at in weights), dtype=np.int64, count=starts[-1])
    values = np.fromiter((w for weights, _ in kept for w in weights.values()), dtype=float, count=starts[-1])
    return csr_array((values, columns, starts), shape=(len(kept), width)), np.array([-c for _, c in kept], dtype=float)
