"""Disclosure control, checked by attacks of other kinds than its own: whole numbers, enumeration, and subtraction."""

from __future__ import annotations

from itertools import combinations, product
from math import ceil, floor, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from warehouse.attack import Cell, Figure, RowKey
from warehouse.disclosure import exposures, refuse_exposed, suppress
from warehouse.errors import ReleaseRefused
from warehouse.linked import FIGURES, THRESHOLD, Level, Levels, Row, Tables, protected
from warehouse.rates import Rate, coarse, rate_of, size_band

Table = dict[str, tuple[int, int]]
ALL = "all"


def key(group: str, measure: str = "m", release: str = "r1", dimension: str = "d") -> RowKey:
    return (release, measure, ALL if group == ALL else dimension, group)


def tables(measures: dict[str, Table], before: dict[str, Table] | None = None, levels: Levels | None = None) -> Tables:
    """Measures of one release by the groups of one dimension, with their totals; `before` was released at `levels`."""

    def rows(of: dict[str, Table], release: str) -> dict[RowKey, Row]:
        made = {}
        for measure, table in of.items():
            totals = [sum(column) for column in zip(*table.values(), strict=True)]
            made[key(ALL, measure, release)] = Row(totals[0], totals[1])
            made.update({key(group, measure, release): Row(*counts) for group, counts in table.items()})
        return made

    def sums(of: dict[str, Table], release: str) -> list[tuple[RowKey, list[RowKey]]]:
        return [(key(ALL, m, release), [key(group, m, release) for group in table]) for m, table in of.items()]

    now, past = rows(measures, "r2"), rows(before or {}, "r1")
    alike: list[tuple[Cell, Cell]] = [
        ((one, "n"), (other, "n")) for one, other in combinations(now, 2) if one[2:] == other[2:]
    ]
    grown: list[tuple[Cell, Cell]] = [
        ((old, figure), (new, figure)) for old, new in product(past, now) if old[1:] == new[1:] for figure in FIGURES
    ]
    earlier = {row: (past[row], (levels or {})[row]) for row in past}
    return Tables(now, [*sums(measures, "r2"), *sums(before or {}, "r1")], grown, alike, earlier)


class WholeNumbers:
    """What a reader with a solver for whole numbers can say, from what is shown."""

    def __init__(self, published: Tables, levels: Levels) -> None:
        everything = {row: (counts, levels[row]) for row, counts in published.rows.items()} | dict(published.earlier)
        self.place = {(row, figure): n for n, (row, figure) in enumerate(product(everything, ("n", "late")))}
        low, high = np.zeros(len(self.place)), np.full(len(self.place), 5000.0)
        rules: list[tuple[dict[int, float], float, float]] = []
        for row, (counts, level) in everything.items():
            n, late = self.place[row, "n"], self.place[row, "late"]
            rules.append(({n: 1, late: -1}, 0, np.inf))
            if level in ("counts", "total"):
                low[n] = high[n] = counts.n
            if level == "counts":
                low[late] = high[late] = counts.late
            # Zeros are always shown: what is withheld is 1 at least.
            low[n] = max(low[n], min(1, counts.n))
            low[late] = max(low[late], min(1, counts.late))
            rules.append(({n: 1, late: -1}, min(1, counts.in_time), np.inf))
            if level == "rate":
                share = rate_of(counts.late, counts.n)
                rules.append(({late: 100, n: -(share.share + 0.5)}, -np.inf, 0))
                rules.append(({late: 100, n: -(share.share - 0.5)}, 0, np.inf))
                fits = [size for size in range(1, 8 * counts.n + 100) if could_be(share, size)]
                low[n], high[n] = max(low[n], fits[0]), min(high[n], fits[-1])
        rules += [
            ({self.place[whole, figure]: 1, **{self.place[part, figure]: -1 for part in parts}}, 0, 0)
            for (whole, parts), figure in product(published.sums, ("n", "late"))
        ]
        self.bounds, self.rules = Bounds(low, high), rules

    def most(self, target: tuple[Cell, ...]) -> float:
        """The greatest whole number that the target can be; the second less the first for a difference."""
        goal = np.zeros(len(self.place))
        for (row, figure), sign in zip(target, (1,) if len(target) == 1 else (-1, 1), strict=True):
            goal[self.place[row, "n" if figure == "in_time" else figure]] -= sign
            if figure == "in_time":
                goal[self.place[row, "late"]] += sign
        weights = np.zeros((len(self.rules), len(self.place)))
        for line, (rule, _, _) in enumerate(self.rules):
            for at, weight in rule.items():
                weights[line, at] += weight
        found = milp(
            goal,
            integrality=np.ones(len(goal)),
            bounds=self.bounds,
            constraints=LinearConstraint(weights, [r[1] for r in self.rules], [r[2] for r in self.rules]),
        )
        assert found.status == 0
        return float(round(-found.fun))


def wilson(p: float, n: int) -> tuple[float, float]:
    """The 95% interval from its textbook form."""
    z = 1.959963984540054
    centre, spread = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def could_be(rate: Rate, n: int) -> bool:
    """Whether some of `n` infants would be published as this rate: by trying all."""
    around = range(max(0, floor((rate.share - 1) * n / 100)), min(n, ceil((rate.share + 1) * n / 100)) + 1)
    return any(rate_of(late, n) == rate for late in around)


def told(published: Tables, levels: Levels, figure: Figure) -> dict[RowKey, int]:
    """What can be read off: the counts that are shown, of this release and of those before."""
    shows: dict[Level, set[Figure]] = {"counts": {"n", "late", "in_time"}, "total": {"n"}}
    everything = {row: (counts, levels[row]) for row, counts in published.rows.items()} | dict(published.earlier)
    return {row: counts[figure] for row, (counts, level) in everything.items() if figure in shows.get(level, set())}


def withstands(published: Tables, levels: Levels) -> None:
    """No attack of ours finds a small count, or a small difference."""
    attack = WholeNumbers(published, levels)
    for target in protected(published):
        most = attack.most(target)
        if len(target) == 1:
            assert most > THRESHOLD, (target, most)
        else:
            assert most > THRESHOLD or attack.most(target[::-1]) >= 0, (target, most)
    for figure in FIGURES:
        shown = told(published, levels, figure)
        assert not [row for row, count in shown.items() if 1 <= count <= THRESHOLD]
        pairs = [(a, b) for (a, x), (b, y) in (*published.nested, *published.alike) if x == y == figure]
        assert not [
            pair for pair in pairs if set(pair) <= shown.keys() and 1 <= abs(shown[pair[0]] - shown[pair[1]]) <= 10
        ]


counts = st.integers(0, 14) | st.integers(0, 60)


@st.composite
def measure_tables(draw: st.DrawFn, groups: int) -> Table:
    found: Table = {}
    for number in range(groups):
        late, in_time = draw(counts), draw(counts)
        found[f"g{number}"] = (late + in_time, late)
    return found


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_release_of_two_measures_withstands_whole_numbers(data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, 4))
    release = tables({name: data.draw(measure_tables(groups)) for name in ("m1", "m2")})
    levels = suppress(release)
    assert exposures(release, levels) == []
    withstands(release, levels)
    assert suppress(release) == levels
    for row, count in release.rows.items():
        assert count.n or levels[row] == "counts", "nobody is shown as 0"


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_a_second_release_withstands_the_first(data: st.DataObject) -> None:
    groups = data.draw(st.integers(1, 3))
    first = tables({"m": data.draw(measure_tables(groups))})
    shown = {("r1", *row[1:]): level for row, level in suppress(first).items()}
    before = {
        group: (first.rows[key(group, "m", "r2")].n, first.rows[key(group, "m", "r2")].late)
        for group in (f"g{n}" for n in range(groups))
    }
    more = data.draw(measure_tables(groups))
    now = {group: (before[group][0] + more[group][0], before[group][1] + more[group][1]) for group in before}
    release = tables({"m": now}, {"m": before}, shown)
    levels = suppress(release)
    assert exposures(release, levels) == []
    withstands(release, levels)


def test_the_small_cell_of_g40_costs_another_cell() -> None:
    """As clinical.md G40, with numbers late: White 88, Black 9, Other 34."""
    release = tables({"m": {"white": (88, 30), "other": (34, 14), "black": (9, 4)}})
    levels = suppress(release)
    assert levels[key("black", release="r2")] == "nothing"
    assert levels[key("other", release="r2")] in ("rate", "nothing")
    assert levels[key("white", release="r2")] == "counts", "the first ones are told before the last"
    assert levels[key(ALL, release="r2")] == "counts"
    withstands(release, levels)


def test_two_measures_that_differ_by_one_infant_are_not_both_counted() -> None:
    release = tables({"I6": {"a": (230, 100), "b": (230, 105)}, "I8": {"a": (230, 170), "b": (231, 174)}})
    levels = suppress(release)
    assert {levels[key(ALL, "I6", "r2")], levels[key(ALL, "I8", "r2")]} == {"counts", "rate"}
    withstands(release, levels)


def test_all_large_and_unlike_is_all_shown() -> None:
    release = tables({"m": {"a": (100, 30), "b": (140, 60)}})
    assert set(suppress(release).values()) == {"counts"}


def test_few_late_infants_hide_the_share_of_their_group_and_of_one_other() -> None:
    release = tables({"m": {"a": (100, 4), "b": (140, 60), "c": (90, 40)}})
    levels = suppress(release)
    assert levels[key("a", release="r2")] in ("total", "nothing")
    assert levels[key("b", release="r2")] == "counts"
    assert levels[key("c", release="r2")] != "counts", "or b and the total would give a's away"
    withstands(release, levels)


def test_a_silent_source_is_missing_and_its_small_count_stays_protected() -> None:
    release = tables({"m": {"a": (100, 40), "b": (140, 60), "silent": (7, 3)}})
    release = Tables(release.rows, release.sums, missing=frozenset({key("silent", release="r2")}))
    levels = suppress(release)
    assert levels[key("silent", release="r2")] == "missing"
    assert sorted(levels.values()).count("counts") < 3
    withstands(release, levels)


def test_a_quarter_that_adds_three_infants_is_not_counted_again() -> None:
    before = {"a": (100, 40), "b": (140, 60)}
    release = tables(
        {"m": {"a": (103, 41), "b": (180, 80)}}, {"m": before}, dict.fromkeys((key("a"), key("b"), key(ALL)), "counts")
    )
    levels = suppress(release)
    assert levels[key("a", release="r2")] == "rate"
    withstands(release, levels)


def test_a_correction_that_takes_infants_away_is_protected_like_growth() -> None:
    release = tables(
        {"m": {"a": (97, 40), "b": (180, 80)}},
        {"m": {"a": (100, 40), "b": (140, 60)}},
        dict.fromkeys((key("a"), key("b"), key(ALL)), "counts"),
    )
    levels = suppress(release)
    assert levels[key("a", release="r2")] == "rate"


def test_a_leaking_release_is_refused() -> None:
    """Primary suppression alone: the total gives the small group away."""
    release = tables({"m": {"black": (9, 4), "white": (88, 30)}})
    levels: Levels = dict.fromkeys(release.rows, "counts")
    levels[key("black", release="r2")] = "nothing"
    assert ((key("black", release="r2"), "n"),) in exposures(release, levels)
    with pytest.raises(ReleaseRefused, match="could be worked out"):
        refuse_exposed(release, levels)


def test_earlier_releases_that_leak_by_themselves_are_no_reason_to_add_to_them() -> None:
    leaked: Levels = {key("a"): "nothing", key("b"): "counts", key(ALL): "counts"}
    release = tables({"m": {"a": (12, 0), "b": (60, 20)}}, {"m": {"a": (7, 0), "b": (40, 20)}}, leaked)
    with pytest.raises(ReleaseRefused, match="releases before"):
        suppress(release)


def test_tables_that_contradict_each_other_are_refused() -> None:
    release = tables({"m": {"a": (12, 4), "b": (60, 20)}})
    wrong = Tables({**release.rows, key(ALL, release="r2"): Row(50, 24)}, release.sums)
    levels: Levels = dict.fromkeys(wrong.rows, "counts")
    levels[key("a", release="r2")] = "nothing"
    with pytest.raises(ReleaseRefused, match="contradict"):
        refuse_exposed(wrong, levels)


@settings(max_examples=60, deadline=None)
@given(st.integers(11, 2500), st.data())
def test_a_rate_is_that_of_its_size_band_and_its_interval_holds_the_groups_own(n: int, data: st.DataObject) -> None:
    late = data.draw(st.integers(0, n))
    rate = rate_of(late, n)
    assert abs(rate.share - 100 * late / n) <= 0.5
    low, high = wilson(late / n, n)
    assert rate.low <= max(0.0, 100 * low) + 1e-9
    assert rate.high >= min(100.0, 100 * high) - 1e-9
    least, most = size_band(n)
    for size in {int(least), n, int(min(most, 3 * n))}:
        alike = [other for other in range(size + 1) if floor(100 * other / size + 0.5) == rate.share]
        assert all(rate_of(other, size) == rate for other in alike), "the band and the share are all that is told"


@pytest.mark.parametrize(
    ("share", "n", "shown"), [(0.373, 2000, 0.37), (0.373, 421, 0.35), (0.373, 60, 0.4), (0.373, 11, 0.0)]
)
def test_a_coarse_share_moves_in_steps_of_eleven_infants(share: float, n: int, shown: float) -> None:
    assert coarse(share, n) == shown
