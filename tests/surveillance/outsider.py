"""A reader from outside with a solver for whole numbers: knows the published rows, and what the documents say.

Shares nothing with the project's own attack: counts are written as infants late and in time only, all measures and
releases together, and a share with its interval is inverted by trying every pair of counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

#: As-of day, measure, dimension, group, figure: `n`, `late` or `in_time`.
Cell = tuple[Any, ...]
Terms = dict[int, float]
_MOST = 3000
_BIPOC = {"no": ("nh_white",), "unknown": ("unknown", "declined")}
#: docs/decisions/013-what-a-release-tells.md: where the size bands of shares without counts begin.
_BANDS = (11, 22, 44, 55, 110, 150, 220, 320, 550, 800, 1100, 1600, _MOST + 1)


class Outsider:
    """Everything that can be said in whole numbers from `rows`, the proportions of `published.metric_result`."""

    def __init__(self, rows: pd.DataFrame) -> None:
        records = rows.to_dict("records")
        self._rows = [(r["as_of"], r["metric_id"], r["stratum_dimension"], r["stratum_value"]) for r in records]
        self._at = {row: 2 * place for place, row in enumerate(self._rows)}
        self._rules: list[tuple[Terms, float, float]] = []
        for row, record in zip(self._rows, records, strict=True):
            self._read(row, record)
        self._add_up()
        self._nest()

    def range(self, target: Sequence[Cell]) -> tuple[int, int]:
        """The least and the most that a count can be; or a difference, of the second less the first."""
        terms: Terms = {}
        for cell, sign in zip(target, (1,) if len(target) == 1 else (-1, 1), strict=True):
            for at, weight in self._terms(cell).items():
                terms[at] = terms.get(at, 0.0) + sign * weight
        columns, rules = self._around(terms)
        goal = np.array([terms.get(at, 0.0) for at in columns])
        place = {at: number for number, at in enumerate(columns)}
        matrix = csr_array(
            (
                [weight for rule, _, _ in rules for weight in rule.values()],
                (
                    [line for line, (rule, _, _) in enumerate(rules) for _ in rule],
                    [place[at] for rule, _, _ in rules for at in rule],
                ),
            ),
            shape=(len(rules), len(columns)),
        )
        limits = LinearConstraint(matrix, [low for _, low, _ in rules], [high for _, _, high in rules])
        ends = []
        for sign in (1, -1):
            found = milp(
                sign * goal,
                integrality=np.ones(len(goal)),
                bounds=Bounds(0, _MOST),
                constraints=limits,
                options={"mip_rel_gap": 0.0},
            )
            assert found.status == 0, "the published rows contradict each other, or what the data dictionary says"
            ends.append(round(sign * found.fun))
        return ends[0], ends[1]

    def _terms(self, cell: Cell) -> Terms:
        late = self._at[cell[:4]]
        return {"n": {late: 1.0, late + 1: 1.0}, "late": {late: 1.0}, "in_time": {late + 1: 1.0}}[cell[4]]

    def _read(self, row: tuple[Any, ...], record: dict[Any, Any]) -> None:
        n, late, in_time = (self._terms((*row, figure)) for figure in ("n", "late", "in_time"))
        if record["n_matured_state"] == "shown":
            self._rules.append((n, record["n_matured"], record["n_matured"]))
        elif record["n_matured_state"] == "suppressed":
            self._rules.append((n, 1, _MOST))
        if record["n_late_state"] == "shown":
            self._rules.append((late, record["n_late"], record["n_late"]))
        elif record["estimate_state"] == "shown":
            share, low, high = (round(100 * record[name]) for name in ("estimate", "ci_low", "ci_high"))
            sizes = inverted(share, low, high)
            self._rules.append((n, min(sizes), max(sizes)))
            at = self._at[row]
            self._rules.append(({at: 200 - (2 * share - 1), at + 1: -(2 * share - 1)}, 0, np.inf))
            self._rules.append(
                ({at: 200 - (2 * share + 1), at + 1: -(2 * share + 1)}, -np.inf, -1 if share < 100 else 0)
            )
            # No share is told of a group with 1 to 10 late, or in time.
            for terms, none in ((late, share == 0), (in_time, share == 100)):
                self._rules.append((terms, 0 if none else 11, _MOST))

    def _add_up(self) -> None:
        for as_of, metric, dimension, value in self._rows:
            if dimension != "all":
                continue
            tables: dict[str, list[str]] = {}
            for day, other, name, group in self._rows:
                if (day, other) == (as_of, metric) and name != "all":
                    tables.setdefault(name, []).append(group)
            for name, groups in tables.items():
                self._sum((as_of, metric, dimension, value), [(as_of, metric, name, group) for group in groups])
            for whole in tables.get("bipoc", ()):
                others = {race for races in _BIPOC.values() for race in races}
                races = [
                    race
                    for race in tables.get("race_ethnicity", ())
                    if (race in _BIPOC[whole] if whole in _BIPOC else race not in others)
                ]
                self._sum((as_of, metric, "bipoc", whole), [(as_of, metric, "race_ethnicity", r) for r in races])

    def _sum(self, whole: tuple[Any, ...], parts: Iterable[tuple[Any, ...]]) -> None:
        for figure in ("late", "in_time"):
            terms = self._terms((*whole, figure)) | {at: -1.0 for part in parts for at in self._terms((*part, figure))}
            self._rules.append((terms, 0, 0))

    def _nest(self) -> None:
        days = sorted({row[0] for row in self._rows})
        for row in self._rows:
            later = (days[min(days.index(row[0]) + 1, len(days) - 1)], *row[1:])
            wider = [later] if row[0] != days[-1] else []
            wider += [(*row[:2], "language_group", "not_en")] if row[2:] == ("interpreter", "yes") else []
            for other in (other for other in wider if other in self._at):
                for figure in ("late", "in_time"):
                    small, large = self._terms((*row, figure)), self._terms((*other, figure))
                    self._rules.append((large | dict.fromkeys(small, -1.0), 0, np.inf))

    def _around(self, terms: Terms) -> tuple[list[int], list[tuple[Terms, float, float]]]:
        """The counts that have anything to do with some, and the rules about them."""
        reached, grown = set(terms), True
        while grown:
            grown = False
            for rule, _, _ in self._rules:
                if not reached.isdisjoint(rule) and not reached.issuperset(rule):
                    reached |= set(rule)
                    grown = True
        return sorted(reached), [rule for rule in self._rules if not reached.isdisjoint(rule[0])]


@lru_cache
def inverted(share: int, low: int, high: int) -> list[int]:
    """Numbers of infants that would be shown so: the interval is Wilson's for the smallest group of the size band."""
    z = 1.959963984540054
    found = []
    for first, after in pairwise(_BANDS):
        ends = []
        for sign, p in ((-1, max(0.0, share / 100 - 0.005)), (1, min(1.0, share / 100 + 0.005))):
            middle, spread = p + z * z / 2 / first, z * sqrt(p * (1 - p) / first + (z / 2 / first) ** 2)
            ends.append(20 * min(1.0, max(0.0, (middle + sign * spread) / (1 + z * z / first))))
        if (5 * floor(ends[0] + 1e-9), 5 * ceil(ends[1] - 1e-9)) == (low, high):
            found += [n for n in range(first, after) if ceil((2 * share - 1) * n / 200) <= (2 * share + 1) * n / 200]
    return found
