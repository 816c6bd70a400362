"""Disclosure control, checked by attacks of other kinds than its own: enumeration, and a random walk over tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.errors import ReleaseRefused
from warehouse.suppression import THRESHOLD, Cell, Cube, Published, exposures, key, refuse_exposed, suppress

LATE = ("yes", "no")
counts = st.one_of(st.integers(0, 14), st.integers(0, 60))


def two_way(table: list[list[int]]) -> Cube:
    groups = tuple(f"g{n}" for n in range(len(table)))
    outcomes = tuple(f"o{n}" for n in range(len(table[0])))
    return Cube(
        {"group": groups, "outcome": outcomes},
        {(groups[i], outcomes[j]): table[i][j] for i, j in product(range(len(groups)), range(len(outcomes)))},
    )


@st.composite
def tables(draw: st.DrawFn) -> Cube:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    return two_way(draw(st.lists(st.lists(counts, min_size=columns, max_size=columns), min_size=rows, max_size=rows)))


@settings(max_examples=40, deadline=None)
@given(tables())
def test_what_is_shown_is_true_and_never_small(cube: Cube) -> None:
    published = suppress(cube)
    for cell, shown in published.cells.items():
        if shown.state == "shown":
            assert shown.value == cube.values[cell]
            assert not 1 <= shown.value <= THRESHOLD
        else:
            assert shown.value is None
            assert cube.values[cell] > 0, "a zero is always shown"


@settings(max_examples=20, deadline=None)
@given(tables())
def test_nothing_is_exposed_and_the_choice_is_the_same_again(cube: Cube) -> None:
    published = suppress(cube)
    assert exposures(published) == []
    assert suppress(cube).cells == published.cells


def walk(published: Published, steps: int, seed: int) -> dict[tuple[tuple[str, str], ...], set[int]]:
    """Values of each suppressed cell over whole-number tables that agree with all that is shown.

    Another kind of attack than the code's: from the true table it moves by +1 and -1 on atoms, and keeps to what is
    shown. What it visits is possible, so it can prove safety and never danger.
    """
    cube, random = published.cube, np.random.default_rng(seed)
    order = list(cube.categories)
    atoms = np.array([cube.counts.get(tuple(dict(atom)[name] for name in order), 0) for atom in cube.atoms])
    members = {cell: sorted(found) for cell, found in cube.cells.items()}
    seen: dict[tuple[tuple[str, str], ...], set[int]] = {cell: {cube.values[cell]} for cell in published.hidden}
    for _ in range(steps):
        size = int(random.integers(1, min(4, len(atoms)) + 1))
        where = random.choice(len(atoms), size=size, replace=False)
        move = np.zeros(len(atoms), int)
        move[where] = random.integers(-12, 13) * np.array([(-1) ** n for n in range(size)])
        tried = atoms + move
        fits = tried.min() >= 0
        fits = fits and all(tried[members[cell]].sum() == value for cell, value in published.shown.items())
        fits = fits and all(tried[members[cell]].sum() >= 1 for cell in published.hidden)
        if fits:
            atoms = tried
            for cell in seen:
                seen[cell].add(int(atoms[members[cell]].sum()))
    return seen


@pytest.mark.parametrize(
    "table",
    [
        [[9, 79], [40, 48], [14, 97]],
        [[11, 1], [30, 40]],
        [[5, 6], [30, 40], [25, 31]],
        [[3, 20, 40], [25, 4, 33], [18, 27, 50]],
        [[1, 0], [0, 200]],
        [[8, 0], [0, 0]],
    ],
)
def test_a_walk_over_tables_finds_other_values_for_each_small_cell(table: list[list[int]]) -> None:
    published = suppress(two_way(table))
    seen = walk(published, 6000, seed=7)
    for cell, values in seen.items():
        if 1 <= published.cube.values[cell] <= THRESHOLD:
            assert len(values) > 1, cell
            assert max(values) > THRESHOLD, cell


def test_the_small_cell_of_g40_costs_another_cell_and_its_percentage() -> None:
    """clinical.md G40: White 88, Black 9, Other 14, total 111."""
    cube = Cube({"race": ("black", "other", "white")}, {("black",): 9, ("other",): 14, ("white",): 88})
    published = suppress(cube)
    assert published[key(race="black")] == Cell(None, "suppressed", "primary")
    assert published[key(race="other")] == Cell(None, "suppressed", "complementary")
    assert published[key(race="white")].value == 88
    assert published[key()].value == 111


def test_a_small_complement_hides_the_percentage() -> None:
    published = suppress(two_way([[90, 4], [60, 80]]))
    assert published.share(key(group="g0", outcome="o0"), key(group="g0")) is None
    assert not published.may_show(key(group="g0"), "outcome")


def test_large_cells_are_all_shown_with_their_shares() -> None:
    published = suppress(two_way([[30, 70], [60, 80]]))
    assert published.hidden == []
    assert published.share(key(group="g0", outcome="o0"), key(group="g0")) == 0.3


def test_suppressed_missing_and_zero_are_three_things() -> None:
    cube = Cube(
        {"source": ("a", "b", "c", "d", "silent")},
        {("a",): 3, ("b",): 0, ("c",): 40, ("d",): 50},
        missing=frozenset({("source", "silent")}),
    )
    published = suppress(cube)
    assert published[key(source="a")].state == "suppressed"
    assert published[key(source="b")] == Cell(0, "shown")
    assert published[key(source="silent")] == Cell(None, "missing")


def test_two_tables_of_a_release_do_not_give_each_other_away() -> None:
    """A group that is small in one table is hidden wherever it stands, and sums across tables don't reveal it."""
    rows = (
        [{"race": "black", "payer": "public", "late": "yes"}] * 6
        + [{"race": "black", "payer": "private", "late": "no"}] * 30
        + [{"race": "white", "payer": "public", "late": "yes"}] * 25
        + [{"race": "white", "payer": "private", "late": "no"}] * 41
    )
    categories = {"race": ("black", "white"), "payer": ("public", "private"), "late": LATE}
    views = [("race", "late"), ("payer", "late"), ("race", "payer")]
    published = suppress(Cube.of(rows, categories, views))
    assert key(race="black", payer="public", late="yes") not in published.cells
    assert published[key(race="black", late="yes")].state == "suppressed"
    assert published[key(race="black", payer="public")].state == "suppressed"
    assert exposures(published) == []


def test_a_release_that_grew_by_a_few_is_not_shown_again() -> None:
    before = suppress(two_way([[30, 70], [60, 80]]))
    after = suppress(two_way([[33, 75], [80, 120]]), [before])
    assert after[key(group="g0", outcome="o0")].state == "suppressed"
    assert after[key(outcome="o0")].value == 113
    for cell, value in after.shown.items():
        assert not 1 <= value - before.shown.get(cell, value) <= THRESHOLD
    assert exposures(after, [before]) == []


@settings(max_examples=25, deadline=None)
@given(st.lists(counts, min_size=4, max_size=4), st.lists(counts, min_size=4, max_size=4))
def test_no_difference_between_releases_is_exposed(first: list[int], more: list[int]) -> None:
    before = suppress(two_way([first[:2], first[2:]]))
    later = [n + m for n, m in zip(first, more, strict=True)]
    after = suppress(two_way([later[:2], later[2:]]), [before])
    assert exposures(after, [before]) == []
    for cell, value in after.shown.items():
        assert not 1 <= abs(value - before.shown.get(cell, value)) <= THRESHOLD


def test_hiding_a_count_for_one_release_does_not_make_its_growth_public() -> None:
    first = suppress(two_way([[30, 70], [60, 80]]))
    second = suppress(two_way([[33, 90], [80, 120]]), [first])
    third = suppress(two_way([[36, 120], [100, 150]]), [first, second])
    assert first[key(group="g0", outcome="o0")].value == 30
    assert third[key(group="g0", outcome="o0")].state == "suppressed"


def test_a_leaking_release_is_refused() -> None:
    """Primary suppression alone: the total gives the small cell away."""
    cube = Cube({"race": ("black", "white")}, {("black",): 9, ("white",): 88})
    cells = {cell: Cell(value, "shown") for cell, value in cube.values.items()}
    cells[key(race="black")] = Cell(None, "suppressed", "primary")
    leaking = Published(cube, cells)
    assert [(found.low, found.high) for found in exposures(leaking)] == [(9, 9)]
    with pytest.raises(ReleaseRefused):
        refuse_exposed(leaking)


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(ValueError, match="no category of race"):
        Cube.of([{"race": "purple"}], {"race": ("black", "white")})
