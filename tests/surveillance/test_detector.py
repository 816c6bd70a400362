"""The e-SR detector against statistics.md's worked example, scipy, quadrature, and its own theorems."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import hypergeom, nchypergeom_fisher, norm

from surveillance.detector import (
    ODDS_RATIOS,
    Block,
    detect_frame,
    e_values,
    limit_of,
    log_e_values,
)
from surveillance.errors import BlocksUnreadable
from surveillance.sequence import confidence_sequence

#: statistics.md section 3, "e-SR worked example": x, nB, y, nR.
WORKED = [
    (2, 3, 3, 8), (1, 2, 2, 6), (3, 4, 2, 9), (0, 1, 4, 7), (2, 2, 1, 5), (4, 5, 3, 10), (3, 4, 2, 8), (2, 3, 1, 9),
]  # fmt: skip
WORKED_E2 = [1.346939, 1.076923, 2.315789, 0.666667, 2.000000, 2.565022, 2.123324, 2.115385]
WORKED_M = [1.324623, 2.351301, 9.404687, 5.529813, 15.995128, 58.946515, 171.495742, 558.462863]
COLUMNS = ["week", "e_1.5", "e_2", "e_3", "e_5", "m", "limit", "signal", "cs_low", "cs_high"]

counts = st.builds(
    lambda n, m, p, q: Block(round(n * p), n, round(m * q), m),
    st.integers(0, 40),
    st.integers(0, 60),
    st.floats(0, 1),
    st.floats(0, 1),
)


def frame(blocks: list[tuple[int, int, int, int]], weeks: list[object] | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"week": week, "site": "a", "prior_neurology": "no", "x": x, "n_group": nb, "y": y, "n_reference": nr}
            for week, (x, nb, y, nr) in zip(weeks or range(1, len(blocks) + 1), blocks, strict=True)
        ]
    )


def test_worked_example() -> None:
    detected = detect_frame(frame(WORKED), charts=9, budget=1)
    assert list(detected.columns) == COLUMNS
    np.testing.assert_allclose(detected["e_2"], WORKED_E2, atol=1e-6)
    np.testing.assert_allclose(detected["m"], WORKED_M, atol=1e-6)
    assert detected["limit"].tolist() == [468.0] * 8
    assert detected["signal"].tolist() == [False] * 7 + [True]
    # Printed as 1.156 from a grid; 1.15496 by quadrature (below).
    assert detected["cs_low"].iloc[-1] == pytest.approx(1.156, abs=0.002)


@given(counts)
def test_e_values_are_scipys_likelihood_ratios(block: Block) -> None:
    x, nb, y, nr = block
    assume(nb + nr > 0)  # scipy has no hypergeometric of nobody
    central = hypergeom.pmf(x, nb + nr, nb, x + y)
    expected = [nchypergeom_fisher.pmf(x, nb + nr, nb, x + y, ratio) for ratio in ODDS_RATIOS]
    # scipy's noncentral pmf is exact in absolute, not in relative terms.
    np.testing.assert_allclose(e_values(block) * central, expected, rtol=1e-7, atol=1e-11)


@given(counts, st.sampled_from([1.0, 1.1]))
def test_mean_of_e_under_no_disparity_is_one(block: Block, margin: float) -> None:
    _, nb, _, nr = block
    late = block.x + block.y
    support = range(max(0, late - nr), min(nb, late) + 1)
    mean = sum(
        nchypergeom_fisher.pmf(x, nb + nr, nb, late, margin) * e_values(Block(x, nb, late - x, nr), margin=margin)
        for x in support
    )
    np.testing.assert_allclose(mean, 1.0, atol=1e-9 if margin > 1 else 1e-12, rtol=0)


def test_an_empty_block_says_nothing() -> None:
    np.testing.assert_array_equal(e_values(Block(0, 0, 0, 0)), np.ones(4))
    np.testing.assert_array_equal(e_values(Block(0, 5, 0, 9)), np.ones(4))
    np.testing.assert_allclose(e_values(Block(5, 5, 9, 9)), np.ones(4))


def test_thousands_of_infants_in_a_block_neither_under_nor_overflow() -> None:
    assert np.isfinite(log_e_values(Block(4000, 5000, 1000, 5000))).all()
    assert np.isfinite(log_e_values(Block(0, 5000, 5000, 5000))).all()
    detected = detect_frame(frame([(4000, 5000, 1000, 5000), (0, 5000, 5000, 5000)]))
    assert np.isfinite(detected[["e_2", "m", "cs_low"]].to_numpy()).all()


@given(st.lists(counts, min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_order_of_rows_and_of_infants_within_a_week_changes_nothing(blocks: list[Block], random: object) -> None:
    rows = frame([(b.x, b.n_group, b.y, b.n_reference) for b in blocks], [i // 3 for i in range(len(blocks))])
    split = pd.concat([_one_infant_a_row(rows.iloc[[i]]) for i in range(len(rows))]) if len(rows) else rows
    shuffled = split.sample(frac=1, random_state=7)
    pd.testing.assert_frame_equal(detect_frame(shuffled), detect_frame(rows))


def _one_infant_a_row(row: pd.DataFrame) -> pd.DataFrame:
    week, site, prior, x, nb, y, nr = row.iloc[0]
    infants = [(1 if i < x else 0, 1, 0, 0) for i in range(nb)] + [(0, 0, 1 if i < y else 0, 1) for i in range(nr)]
    return pd.DataFrame([(week, site, prior, *i) for i in infants or [(0, 0, 0, 0)]], columns=row.columns)


def test_counts_are_carried_within_site_and_prior_neurology() -> None:
    rows = pd.DataFrame(
        [
            (1, "a", "no", 1, 1, 0, 0),
            (1, "b", "no", 0, 0, 1, 3),
            (1, "a", "yes", 0, 0, 1, 2),
            (3, "a", "no", 0, 0, 1, 4),
            (4, "b", "no", 2, 2, 0, 1),
        ],
        columns=["week", "site", "prior_neurology", "x", "n_group", "y", "n_reference"],
    )
    detected = detect_frame(rows)
    assert detected["week"].tolist() == [1, 2, 3, 4]
    assert detected["e_2"].iloc[:2].tolist() == [1.0, 1.0]
    assert detected["m"].iloc[:2].tolist() == pytest.approx([1.0, 2.0])  # R grows in a week without a block
    np.testing.assert_allclose(detected["e_2"].iloc[2], e_values(Block(1, 1, 1, 4))[1])
    np.testing.assert_allclose(detected["e_2"].iloc[3], e_values(Block(2, 2, 1, 4))[1])


def test_complete_blocks_of_a_week_multiply_and_a_signal_resets() -> None:
    two = pd.concat([frame([(2, 2, 0, 3)]), frame([(3, 3, 0, 4)]).assign(site="b")])
    detected = detect_frame(two)
    product = e_values(Block(2, 2, 0, 3)) * e_values(Block(3, 3, 0, 4))
    np.testing.assert_allclose(detected.iloc[0, 1:5].astype(float), product)
    strong = detect_frame(frame([(9, 9, 0, 9), (0, 0, 0, 0), (0, 0, 0, 0)]), charts=1, budget=1)
    assert strong["signal"].tolist() == [True, False, False]
    assert strong["m"].iloc[0] > 52
    assert strong["m"].iloc[1:].tolist() == pytest.approx([1.0, 2.0])  # started again from nothing


def test_a_chart_that_learns_nothing_signals_in_the_week_of_its_limit() -> None:
    # R grows by 1 a week, so that M is the week's number: a reference that vanished, and a limit of 52.
    weeks: list[object] = list(range(1, 107))
    detected = detect_frame(frame([(1, 1, 1, 1)] + [(1, 1, 0, 0)] * 105, weeks), charts=1, budget=1)
    assert detected["m"].tolist() == [float(1 + i % 52) for i in range(106)]
    assert detected.loc[detected["signal"], "week"].tolist() == [52, 104]


def test_evidence_beyond_all_numbers_stays_a_number() -> None:
    detected = detect_frame(frame([(3000, 3000, 0, 3000)] * 2), charts=10**6, budget=1e-6)
    assert np.isfinite(detected["m"]).all()


def test_confidence_sequence_by_quadrature() -> None:
    blocks = [Block(*block) for block in WORKED]
    low, high = confidence_sequence([[block] for block in blocks])
    for week in (0, 3, 7):
        seen = blocks[: week + 1]

        def log_likelihood(beta: float, seen: list[Block] = seen) -> float:
            return sum(
                float(nchypergeom_fisher.logpmf(b.x, b.n_group + b.n_reference, b.n_group, b.x + b.y, np.exp(beta)))
                for b in seen
            )

        mixture = np.log(quad(lambda b: np.exp(log_likelihood(b)) * norm.pdf(b), -8, 8, epsabs=0, limit=300)[0])
        top = float(np.log(low[week] * high[week]) / 2)
        expected = [
            np.exp(brentq(lambda b: log_likelihood(b) - mixture + np.log(20), *ends))  # noqa: B023
            for ends in ((-7, top), (top, 7))
        ]
        np.testing.assert_allclose([low[week], high[week]], expected, rtol=1e-5)


def test_confidence_sequence_without_information_has_no_bound() -> None:
    low, high = confidence_sequence([[], [Block(1, 1, 1, 1)], [Block(3, 3, 0, 4)] * 6])
    assert low[:2].tolist() == [0.0, 0.0]
    assert np.isinf(high[:2]).all()
    assert low[2] > 1
    assert np.isinf(high[2])  # everyone late in the group and nobody in the reference sets no upper bound


@pytest.mark.parametrize(
    ("weeks", "labels"),
    [
        ([3, 5], [3, 4, 5]),
        (["2024-12-23", "2025-01-06"], ["2024-12-23", "2024-12-30", "2025-01-06"]),
        (["2024-W52", "2025-W02"], ["2024-W52", "2025-W01", "2025-W02"]),
        ([202452, 202502], [202452, 202501, 202502]),  # numbers, but of ISO weeks: 50 weeks apart they are not
        ([202452, 202499], list(range(202452, 202500))),
    ],
)
def test_weeks_between_are_filled(weeks: list[object], labels: list[object]) -> None:
    assert detect_frame(frame([(1, 2, 0, 2), (1, 2, 1, 3)], weeks))["week"].tolist() == labels


def test_no_blocks_at_all() -> None:
    empty = detect_frame(
        frame([]).reindex(columns=["week", "site", "prior_neurology", "x", "n_group", "y", "n_reference"])
    )
    assert list(empty.columns) == COLUMNS
    assert empty.empty


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": 4}, "more late than there are"),
        ({"x": -1}, "no whole number"),
        ({"n_group": 2.5}, "no whole number"),
        ({"y": "many"}, "no whole number"),
        ({"n_group": float("nan")}, "no whole number"),
        ({"week": "soon"}, "a week that can't be read"),
        ({"week": "2024-02-30"}, "a week that can't be read"),
        ({"n_group": float("inf")}, "no whole number"),
        ({"n_group": 10_000_000}, "more than 1,000,000"),
        ({"site": " "}, "no site"),
        ({"prior_neurology": None}, "no prior_neurology"),
    ],
)
def test_what_no_count_can_be_is_a_typed_error(change: dict[str, object], says: str) -> None:
    row: dict[str, object] = {
        "week": 1,
        "site": "a",
        "prior_neurology": "no",
        "x": 1,
        "n_group": 2,
        "y": 0,
        "n_reference": 2,
    }
    with pytest.raises(BlocksUnreadable, match=says):
        detect_frame(pd.DataFrame([row | change]))


def test_weeks_that_do_not_belong_together_are_refused() -> None:
    apart: list[list[object]] = [[1, "2024-W05"], ["2024-01-01", "2024-01-03"], [1, 10**9]]
    for weeks in apart:
        with pytest.raises(BlocksUnreadable, match="week"):
            detect_frame(frame([(1, 2, 0, 2), (1, 2, 1, 3)], weeks))


def test_a_million_infants_in_a_block_have_a_narrow_interval() -> None:
    # The conditional likelihood is normal here, around log 2 with v units of information (reciprocal of the summed
    # reciprocals of the cells); mixture / likelihood < 20 then solves to this half width.
    block = Block(400_000, 600_000, 250_000, 500_000)
    low, high = confidence_sequence([[block]])
    information = 1 / sum(1 / cell for cell in (400_000, 200_000, 250_000, 250_000))
    half = np.sqrt((np.log(information) + 2 * np.log(20) + np.log(2) ** 2) / information)
    np.testing.assert_allclose(np.log([low[0], high[0]]), np.log(2) + np.array([-half, half]), rtol=1e-3)


def test_the_sequence_is_the_same_on_its_two_grids() -> None:
    steady = [[Block(60, 100, 100, 200)]] * 40  # information grows past the point where the finer grid takes over
    low, high = confidence_sequence(steady)
    widths = np.log(high) - np.log(low)
    assert (np.diff(widths) < 0).all()
    assert (np.diff(widths, 2) > -1e-6).all()  # no step where the grids meet


def test_missing_column_is_named() -> None:
    with pytest.raises(BlocksUnreadable, match="prior_neurology"):
        detect_frame(frame(WORKED).drop(columns="prior_neurology"))


def test_limit_of_a_family() -> None:
    assert limit_of(36, 1) == 1872
    assert limit_of(1, 0.05) == 1040
