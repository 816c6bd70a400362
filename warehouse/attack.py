"""The attack on a release: how large could each protected count be, given everything that is shown?

All that a reader knows is written as linear constraints on the counts: rows add up, a share in whole percent bounds one
count by another, nested groups bound each other. A protected count is safe when some solution in
whole numbers makes it more than 10: the true one, which is a solution too, is another value then, so that neither the
number nor its smallness can be told. A small difference of two counts is safe when they could as well be equal, or
differ by more than 10.

Each such solution is a witness. HiGHS finds the one that lies nearest to the true counts, so that it still fits when
more rows are told, and it is kept: most of the next attacks are settled by looking at the witnesses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack

from warehouse.errors import ReleaseRefused

Figure = Literal["n", "late", "in_time"]
#: Names of a row: release, measure, dimension, group.
RowKey = tuple[str, ...]
Cell = tuple[RowKey, Figure]
#: A count, or the difference of two: the second less the first.
Target = tuple[Cell, ...]
#: The least and the most that a count can be.
Range = tuple[float, float]
#: Weights of counts, and the least and the most that their sum can be.
Constraint = tuple[Mapping[int, float], float, float]
ANY = inf
_OUTCOMES: tuple[Figure, ...] = ("late", "in_time")
_SLACK = 1e-6
#: Less than a share in half percents times a whole number can be off another whole number.
_HALFWAY = 0.002
#: More infants than any network has: without it, a count that nothing bounds would have no greatest value.
_MANY = 1e5
#: Steps of a search before it is given up, and the count taken for exposed. A number of steps, unlike a time, is the
#: same on any machine.
_NODES = 2000
#: How many witnesses are kept.
_KEPT = 512


@dataclass(frozen=True)
class Knowledge:
    """What a reader knows of single rows: the `ranges` of every cell, and the `shares` late of some rows."""

    ranges: Mapping[Cell, Range]
    shares: Mapping[RowKey, tuple[float, float]]


class Attack:
    """The counts of linked rows, as whole numbers.

    `counts` are the true ones of every cell, `cost` what it costs a witness to differ by 1 from that of a row.
    """

    def __init__(
        self,
        counts: Mapping[Cell, int],
        sums: Iterable[tuple[RowKey, Sequence[RowKey]]],
        nested: Iterable[tuple[Cell, Cell]],
        cost: Mapping[RowKey, float],
    ) -> None:
        self._place = {cell: number for number, cell in enumerate(counts)}
        self._counts = np.array(list(counts.values()), dtype=float)
        self._cost = np.array([cost[row] for row, _ in counts])
        links: list[Constraint] = [
            (self._weights([(row, "n")], [(row, outcome) for outcome in _OUTCOMES]), 0, 0)
            for row in dict.fromkeys(row for row, _ in counts)
        ]
        links += [
            (self._weights([(whole, outcome)], [(part, outcome) for part in parts]), 0, 0)
            for whole, parts in sums
            for outcome in _OUTCOMES
        ]
        links += [(self._weights([part], [whole]), -inf, 0) for part, whole in nested]
        self._links = self._rules(links)
        self._steps = _in_steps(self._links, self._counts)
        if not _fits(self._links, self._counts[None, :]).all():
            raise ReleaseRefused(
                "The release could not be attacked: its tables contradict each other",
                kept="the releases published before",
                next_step="report this, with the run's id",
            )
        self._witnesses = self._counts[None, :]

    def exposed(
        self, known: Knowledge, targets: Sequence[Target], threshold: int, elsewhere: Callable[[Cell, bool], Range]
    ) -> Iterator[Target]:
        """Those counts that can't be more than `threshold`, and differences that must be 1 to `threshold`.

        `elsewhere` says what the counts of other tables can be, that differences are taken from: by the witnesses
        there, and, asked for all, by a search.
        """
        search = _Search(self, known)
        for target in targets:
            own = [cell for cell in target if cell in self._place]
            others = [cell for cell in target if cell not in self._place]
            weights = {self._place[cell]: 1.0 if cell == target[-1] else -1.0 for cell in own}
            for every in (False, True) if others else (True,):
                low, high = _span(target, {cell: elsewhere(cell, every) for cell in others})
                if search.shows(weights, threshold + 1 - high, inf):
                    break
                if len(target) == 2 and search.shows(weights, -inf, -low):
                    break
            else:
                yield target

    def range(self, known: Knowledge, cell: Cell, every: bool) -> Range:
        """The least and the most that one count can be, by the witnesses, or by a search for `every` solution."""
        low, high = known.ranges[cell]
        return (low, high) if low == high else _Search(self, known).ends(self._place[cell], every)

    def _weights(self, more: Iterable[Cell], less: Iterable[Cell]) -> dict[int, float]:
        return {self._place[cell]: 1.0 for cell in more} | {self._place[cell]: -1.0 for cell in less}

    def _rules(self, rules: Sequence[Constraint]) -> LinearConstraint:
        starts = np.cumsum([0, *(len(weights) for weights, _, _ in rules)])
        columns = np.fromiter((at for weights, _, _ in rules for at in weights), dtype=np.int64, count=starts[-1])
        values = np.fromiter((w for weights, _, _ in rules for w in weights.values()), dtype=float, count=starts[-1])
        matrix = csr_array((values, columns, starts), shape=(len(rules), len(self._place)))
        return LinearConstraint(
            matrix, np.array([low for _, low, _ in rules]), np.array([high for _, _, high in rules])
        )


def _span(target: Target, others: Mapping[Cell, Range]) -> Range:
    """What the cells of other tables add to a target, at least and at most."""
    low = high = 0.0
    for cell, (least, most) in others.items():
        low, high = (low + least, high + most) if cell == target[-1] else (low - most, high - least)
    return low, high


def _fits(rules: LinearConstraint, solutions: np.ndarray) -> np.ndarray:
    sums = rules.A @ solutions.T
    fit: np.ndarray = np.all((sums >= rules.lb[:, None] - _SLACK) & (sums <= rules.ub[:, None] + _SLACK), axis=0)
    return fit


def _in_steps(rules: LinearConstraint, counts: np.ndarray) -> LinearConstraint:
    """The rules in steps up and down from the counts."""
    at_counts = rules.A @ counts
    return LinearConstraint(hstack([rules.A, -rules.A], format="csr"), rules.lb - at_counts, rules.ub - at_counts)


class _Search:
    """Solutions that fit what is known."""

    def __init__(self, attack: Attack, known: Knowledge) -> None:
        self._attack = attack
        place = attack._place
        self._low, self._high = np.zeros(len(place)), np.full(len(place), _MANY)
        for cell, (low, high) in known.ranges.items():
            self._low[place[cell]], self._high[place[cell]] = low, min(_MANY, high)
        shares: list[Constraint] = []
        for row, (least, most) in known.shares.items():
            # Halves are rounded up, so that the upper end belongs to the next percent.
            late, n = place[row, "late"], place[row, "n"]
            shares.append(({late: 1, n: -least}, -_HALFWAY, inf))
            shares.append(({late: 1, n: -most}, -inf, -_HALFWAY if most < 1 else 0))
        self._shares = attack._rules(shares)
        self._rules = [attack._steps, *([_in_steps(self._shares, attack._counts)] if shares else [])]
        held = attack._witnesses
        held = held[np.all((held >= self._low) & (held <= self._high), axis=1)]
        self._witnesses = held[_fits(self._shares, held)]

    def shows(self, weights: Mapping[int, float], low: float, high: float) -> bool:
        """Whether some witness, held or new, has a weighted sum from `low` to `high`."""
        at, signs = list(weights), np.array(list(weights.values()))
        values = self._witnesses[:, at] @ signs
        if ((values >= low) & (values <= high)).any():
            return True
        least, most = np.minimum(signs * self._low[at], signs * self._high[at]), signs * self._low[at]
        most = np.maximum(most, signs * self._high[at])
        if most.sum() < low or least.sum() > high:
            return False
        new = self._solve(np.concatenate([self._attack._cost, self._attack._cost]), [(weights, low, high)])
        if new is not None:
            self._witnesses = np.vstack([self._witnesses, new])
            self._attack._witnesses = np.vstack([self._attack._witnesses, new])[-_KEPT:]
        return new is not None

    def ends(self, at: int, every: bool) -> Range:
        """The least and the most of one count. A search that is given up leaves the true count for the end."""
        found = [float(self._witnesses[:, at].min()), float(self._witnesses[:, at].max())]
        for sign in (1.0, -1.0) if every else ():
            goal = np.zeros(2 * len(self._low))
            goal[at], goal[at + len(self._low)] = sign, -sign
            solution = self._solve(goal, [])
            if solution is not None:
                found.append(float(solution[at]))
        return min(found), max(found)

    def _solve(self, goal: np.ndarray, rules: Sequence[Constraint]) -> np.ndarray | None:
        """The best solution, in steps up (the first half of the columns) and down from the true counts; or None."""
        counts = self._attack._counts
        room = np.concatenate([self._high - counts, counts - self._low])
        constraints = [*self._rules, *([_in_steps(self._attack._rules(rules), counts)] if rules else [])]
        # With fractions first: this is faster, and finds whole numbers mostly, or that there can be none.
        for whole in (0, 1):
            found = milp(
                goal,
                integrality=np.full(len(goal), whole),
                bounds=Bounds(0, room),
                constraints=constraints,
                options={"node_limit": _NODES, "mip_rel_gap": 1.0},
            )
            if found.x is None:
                return None
            steps = np.round(found.x)
            if np.abs(found.x - steps).max() < _SLACK:
                solution: np.ndarray = counts + steps[: len(counts)] - steps[len(counts) :]
                return solution
        return None
