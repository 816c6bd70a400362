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
#: What nearness to the true counts weighs against showing one more count to be safe.
_NEAR = 0.3
#: More infants than any network has: without it, a count that nothing bounds would have no greatest value.
_MANY = 1e5
#: Steps of a search before it is given up, and the count taken for exposed. A number of steps, unlike a time, is the
#: same on any machine.
_NODES = 2000
#: Numbers of infants about one that is a fraction.
_AROUND = np.array([0.0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6])
#: How many witnesses are kept.
_KEPT = 512


@dataclass(frozen=True)
class _Aim:
    """A weighted sum that some witness should make at least, or at most, so great."""

    weights: Mapping[int, float]
    least: float
    most: float


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
        aims = [self._aim(target, threshold, elsewhere, every=False) for target in targets]
        search.show_many(aims)
        for target, aim in zip(targets, aims, strict=True):
            crosses = any(cell not in self._place for cell in target)
            if not search.shows(aim) and not (
                crosses and search.shows(self._aim(target, threshold, elsewhere, every=True))
            ):
                yield target

    def _aim(self, target: Target, threshold: int, elsewhere: Callable[[Cell, bool], Range], *, every: bool) -> _Aim:
        """What a witness must show for a target to be safe."""
        weights = {self._place[cell]: 1.0 if cell == target[-1] else -1.0 for cell in target if cell in self._place}
        low, high = span(target, {cell: elsewhere(cell, every) for cell in target if cell not in self._place})
        return _Aim(weights, threshold + 1 - high, -low if len(target) == 2 else -inf)

    def range(self, known: Knowledge, cell: Cell) -> Range:
        """The least and the most that one count can be."""
        low, high = known.ranges[cell]
        return (low, high) if low == high else _Search(self, known).ends(self._place[cell])

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


def span(target: Target, others: Mapping[Cell, Range]) -> Range:
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
        self._told_shares = known.shares
        self._shares = attack._rules(shares)
        self._rules = [attack._steps, *([_in_steps(self._shares, attack._counts)] if shares else [])]
        held = attack._witnesses
        held = held[np.all((held >= self._low) & (held <= self._high), axis=1)]
        self.witnesses = held[_fits(self._shares, held)]

    def show_many(self, aims: Sequence[_Aim]) -> None:
        """Find witnesses that show many aims each, as long as each new one shows some."""
        rules = self._attack._rules([(aim.weights, aim.most, aim.least) for aim in aims])
        left = np.arange(len(aims))
        left = left[~_shown(rules, left, self.witnesses)]
        for sign in (1.0, -1.0):
            some = left if sign > 0 else left[rules.lb[left] > -inf]
            while len(some):
                pull = sign * rules.A[some].sum(axis=0)
                # Nothing is gained by going further than asked.
                low, high = (-inf, rules.ub[some]) if sign > 0 else (rules.lb[some], inf)
                cost = _NEAR * self._attack._cost
                new = self._solve(
                    np.concatenate([cost - pull, cost + pull]), LinearConstraint(rules.A[some], low, high)
                )
                shown = _shown(rules, some, new)
                left, some = left[~_shown(rules, left, new)], some[~shown]
                if not shown.any():
                    break

    def shows(self, aim: _Aim) -> bool:
        """Whether some witness, held or new, shows the aim."""
        at, signs = list(aim.weights), np.array(list(aim.weights.values()))
        values = self.witnesses[:, at] @ signs
        if ((values >= aim.least) | (values <= aim.most)).any():
            return True
        ends = np.sort(np.stack([signs * self._low[at], signs * self._high[at]]), axis=0).sum(axis=1)
        goal = np.concatenate([self._attack._cost, self._attack._cost])
        for low, high in ((aim.least, inf), (-inf, aim.most)):
            if ends[0] <= high and ends[1] >= low and low < inf and high > -inf:
                rule = self._attack._rules([(aim.weights, low, high)])
                if len(self._solve(goal, rule, 0 * goal)):
                    return True
        return False

    def ends(self, at: int) -> Range:
        """The least and the most of one count. A search that is given up leaves the true count for the end."""
        for sign in (1.0, -1.0):
            goal = np.zeros(2 * len(self._low))
            goal[at], goal[at + len(self._low)] = sign, -sign
            self._solve(goal, None, goal)
        return float(self.witnesses[:, at].min()), float(self.witnesses[:, at].max())

    def _solve(
        self, goal: np.ndarray, rules: LinearConstraint | None = None, in_whole_numbers: np.ndarray | None = None
    ) -> np.ndarray:
        """The best witness, one row, by a goal for steps up (the first half) and down from the true counts; or none.

        `in_whole_numbers` is the goal of a last search, when the fractions of an easier one can't be rounded; None for
        no such search.
        """
        constraints = [*self._rules, *([_in_steps(rules, self._attack._counts)] if rules else [])]
        # With fractions first: this is faster, and finds whole numbers mostly, or that there can be none.
        found = self._best(goal, constraints, self._low, self._high)
        if found is not None and not _whole(found):
            # What stands in fractions are mostly groups of which a share is told: with these rounded, the rest isn't.
            found = self._best(goal, constraints, *self._with_shares_rounded(found))
            if not _whole(found) and in_whole_numbers is not None:
                found = self._best(in_whole_numbers, constraints, self._low, self._high, whole=True)
        new: np.ndarray = self.witnesses[:0] if found is None or not _whole(found) else np.round(found)[None, :]
        self.witnesses = np.vstack([self.witnesses, new])
        self._attack._witnesses = np.vstack([self._attack._witnesses, new])[-_KEPT:]
        return new

    def _best(
        self,
        goal: np.ndarray,
        constraints: Sequence[LinearConstraint],
        low: np.ndarray,
        high: np.ndarray,
        *,
        whole: bool = False,
    ) -> np.ndarray | None:
        counts = self._attack._counts
        up, down = high - counts, counts - low
        found = milp(
            goal,
            integrality=np.full(len(goal), int(whole)),
            bounds=Bounds(np.maximum(np.concatenate([-down, -up]), 0), np.maximum(np.concatenate([up, down]), 0)),
            constraints=constraints,
            options={"node_limit": _NODES, "mip_rel_gap": 1.0},
        )
        if found.x is None:
            return None
        solution: np.ndarray = counts + found.x[: len(counts)] - found.x[len(counts) :]
        return solution

    def _with_shares_rounded(self, solution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The least and the most of every count, with those rows of which a share is told held near a solution."""
        low, high = self._low.copy(), self._high.copy()
        for row, (least, most) in self._told_shares.items():
            n, late = self._attack._place[row, "n"], self._attack._place[row, "late"]
            sizes = np.round(solution[n]) + _AROUND
            lates = np.stack([np.floor(sizes * solution[late] / solution[n]), np.ceil(sizes * least)])
            fits = lates >= least * sizes - _HALFWAY
            fits &= (lates <= most * sizes - _HALFWAY) | (most == 1)
            fits &= (sizes >= low[n]) & (sizes <= high[n]) & (lates >= low[late]) & (lates <= high[late])
            if fits.any():
                off = np.where(fits, np.abs(sizes - solution[n]) + np.abs(lates - solution[late]), inf)
                which = np.unravel_index(np.argmin(off), off.shape)
                low[n] = high[n] = sizes[which[1]]
                low[late] = high[late] = lates[which]
        return low, high


def _whole(solution: np.ndarray | None) -> bool:
    return solution is not None and bool(np.all(np.abs(solution - np.round(solution)) < _SLACK))


def _shown(aims: LinearConstraint, which: np.ndarray, witnesses: np.ndarray) -> np.ndarray:
    """Whether some witness makes the sums of an aim at least its upper bound, or at most its lower one."""
    sums = aims.A[which] @ witnesses.T
    shown: np.ndarray = ((sums >= aims.ub[which][:, None]) | (sums <= aims.lb[which][:, None])).any(axis=1)
    return shown
