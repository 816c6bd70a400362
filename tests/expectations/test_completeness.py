"""Completeness by source and week: silence is missing, never zero."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from expectations import completeness

FIRST = date(2026, 1, 5)  # a Monday
NO_EVENTS = pd.DataFrame({"source": [], "happened_on": [], "recorded_on": []})
NO_TIMELINES = pd.DataFrame({"source": [], "first_provider": [], "race_ethnicity": [], "payer": []})


def week(number: int) -> date:
    return FIRST + timedelta(weeks=number)


def pulls(*rows: tuple[str, date, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["source", "pulled_on", "received"])


def table(
    arrived: pd.DataFrame, *, last: int, sources: tuple[str, ...] = ("a",), **frames: pd.DataFrame
) -> pd.DataFrame:
    return completeness.weekly(
        arrived,
        frames.get("events", NO_EVENTS),
        frames.get("timelines", NO_TIMELINES),
        sources=sources,
        first_week=FIRST,
        last_week=week(last),
    )


def test_a_silent_week_is_missing_and_not_zero() -> None:
    found = table(pulls(("a", week(0), 10), ("a", week(2), 12)), last=2)
    assert list(found["state"]) == ["new", "missing", "new"]
    assert found["received"].tolist() == [10, pd.NA, 12]
    assert found["infants"].tolist() == [0, pd.NA, 0]
    assert found["lag_n"].tolist() == [0, pd.NA, 0]


def test_a_source_that_never_sent_anything_is_there_and_missing() -> None:
    found = table(pulls(("a", week(0), 10)), last=1, sources=("b", "a"))
    assert list(zip(found["source"], found["state"], strict=True)) == [
        ("a", "new"),
        ("a", "missing"),
        ("b", "missing"),
        ("b", "missing"),
    ]


def test_low_is_under_half_of_the_median_of_earlier_weeks_with_a_pull() -> None:
    found = table(
        pulls(*(("a", week(n), received) for n, received in ((0, 100), (1, 80), (3, 120), (4, 49), (5, 45)))), last=5
    )
    assert list(found["state"]) == ["new", "new", "missing", "new", "low", "usual"]
    assert found["expected"].tolist()[4] == 100
    # The median of 100, 80, 120 and 49 is 90: 45 is half of it, and not less.
    assert found["expected"].tolist()[5] == 90


def test_pulls_of_one_week_are_added_up() -> None:
    found = table(pulls(("a", week(0), 10), ("a", week(0) + timedelta(days=6), 5), ("a", week(1), 1)), last=1)
    assert found["received"].tolist() == [15, 1]


def test_lag_is_in_days_by_week_of_arrival_and_leaves_out_what_was_recorded_beforehand() -> None:
    rows = [("a", week(0) - timedelta(days=lag), week(0)) for lag in (0, 2, 4, 20)]
    rows.append(("a", week(2), week(0)))
    events = pd.DataFrame(rows, columns=["source", "happened_on", "recorded_on"])
    first = table(pulls(("a", week(0), 1)), last=0, events=events).iloc[0]
    assert (first["lag_n"], first["lag_median"]) == (4, 3)
    assert 4 < first["lag_p95"] <= 20


def test_shares_of_unknown_race_and_payer_are_of_the_infants_first_seen_that_week() -> None:
    timelines = pd.DataFrame(
        [
            ("a", week(0), "unknown", "public"),
            ("a", week(0) + timedelta(days=3), "nh_white", "unknown"),
            ("a", week(0), "declined", "unknown"),
            ("a", week(0), "nh_black", "undetermined"),
            ("a", None, "unknown", "unknown"),
        ],
        columns=["source", "first_provider", "race_ethnicity", "payer"],
    )
    found = table(pulls(("a", week(0), 1), ("a", week(1), 1)), last=1, timelines=timelines)
    assert found["infants"].tolist() == [4, 0]
    assert found["unknown_race"].tolist()[0] == 0.25
    assert found["unknown_payer"].tolist()[0] == 0.5
    assert found["unknown_race"].isna().tolist() == [False, True]


def test_silent_sources_are_those_whose_last_weeks_are_all_missing() -> None:
    found = table(pulls(("a", week(0), 1), ("b", week(3), 1), ("c", week(2), 1)), last=3, sources=("a", "b", "c"))
    assert completeness.silent(found) == ["a"]
    assert completeness.silent(found, weeks=1) == ["a", "c"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 90), st.integers(0, 10_000)),
        max_size=40,
    )
)
def test_every_line_is_counted_once_and_only_silence_is_missing(rows: list[tuple[str, int, int]]) -> None:
    arrived = pulls(*((source, FIRST + timedelta(days=day), n) for source, day, n in rows))
    found = table(arrived, last=13, sources=("a", "b"))
    assert len(found) == 2 * 14
    assert int(found["received"].sum()) == sum(n for _, _, n in rows)
    covered = {(source, FIRST + timedelta(days=day - day % 7)) for source, day, _ in rows}
    missing = found[found["state"] == "missing"]
    assert set(zip(missing["source"], missing["week"], strict=True)).isdisjoint(covered)
    assert len(missing) == len(found) - len(covered)
    assert found["received"].isna().equals(found["state"].eq("missing"))
