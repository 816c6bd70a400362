"""The rows of `metric_result`: every measure, scope, window and stratum, on whole cohorts and on odd ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from surveillance.cohort import as_known, data_through
from surveillance.comparisons import NEED
from surveillance.measures.definitions import measures
from surveillance.results import result_rows
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, row, timelines

KEY = [
    *("metric_id", "scope", "stratum_dimension", "stratum_value", "reference_value", "window_kind", "estimand"),
    *("method", "adjustment_set"),
]
NUMBERS = ("estimate", "ci_low", "ci_high", "se", "p_value", "null_expectation")
AS_OF = START + timedelta(weeks=110)


def rows_of(cohort: pd.DataFrame, *ids: str, as_of: date = AS_OF, **settings: Any) -> pd.DataFrame:
    chosen = {name: one for name, one in measures().items() if not ids or name in ids}
    found = result_rows(
        as_known(cohort, as_of),
        chosen,
        as_of=as_of,
        settings=SurveillanceSettings(**settings),
        through=data_through(cohort),
    )
    return pd.DataFrame(found)


def sound(rows: pd.DataFrame) -> None:
    """What holds of every table of results."""
    if rows.empty:
        return
    assert not rows.duplicated(KEY).any()
    for name in NUMBERS:
        assert all(
            value is None or math.isfinite(value) for value in rows[name].astype(object).where(rows[name].notna(), None)
        )
    missing = rows["estimate"].isna() | rows["ci_low"].isna() | rows["ci_high"].isna()
    assert rows.loc[missing, "not_estimable_reason"].notna().all()
    both = rows[rows["ci_low"].notna() & rows["ci_high"].notna()]
    assert (both["ci_low"] <= both["ci_high"] + 1e-12).all()
    assert (rows["n_eligible"] == rows["n_matured"] + rows["n_pending"] + rows["n_indeterminate"]).all()
    assert (rows["n_late"] <= rows["n_matured"]).all()


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    found = timelines(240, weeks=104, sites=3, odds_ratio=4)
    found["gestational_weeks"] = [27 if i % 10 == 0 else None for i in range(len(found))]
    found["deprivation_quintile"] = [i % 5 + 1 for i in range(len(found))]
    found["etiology"] = ["tsc+down" if i % 9 == 0 else None for i in range(len(found))]
    return found


@pytest.fixture(scope="module")
def rows(cohort: pd.DataFrame) -> pd.DataFrame:
    return rows_of(cohort)


def test_every_measure_has_every_scope_and_window(rows: pd.DataFrame) -> None:
    sound(rows)
    have = set(zip(rows["metric_id"], rows["scope"], rows["window_kind"], strict=True))
    for metric_id in measures():
        for scope in ("network", "site:site0", "site:site2", "within-site", "between-site"):
            for window in ("cumulative", "rolling"):
                assert (metric_id, scope, window) in have


def test_the_network_is_the_sites_and_the_rest_between_them(rows: pd.DataFrame) -> None:
    shares = rows[(rows["metric_id"] == "I2") & (rows["estimand"] == "prop") & (rows["window_kind"] == "cumulative")]
    everyone = shares[shares["stratum_dimension"] == "all"].set_index("scope")["n_matured"]
    assert everyone["network"] == everyone.drop("network").sum()
    differences = rows[
        (rows["metric_id"] == "I2")
        & (rows["estimand"] == "rd")
        & (rows["stratum_value"] == "nh_black")
        & (rows["stratum_dimension"] == "race_ethnicity")
        & (rows["window_kind"] == "cumulative")
    ].set_index("scope")["estimate"]
    assert differences["network"] == pytest.approx(differences["within-site"] + differences["between-site"])
    assert differences["network"] > 0.1  # odds ratio 4 was planted


def test_pairs_need_eleven_in_a_cell(rows: pd.DataFrame) -> None:
    pairs = rows[rows["stratum_dimension"].str.contains("+", regex=False) & (rows["estimand"] == "prop")]
    assert set(pairs["stratum_dimension"]) == {
        "race_ethnicity+payer",
        "race_ethnicity+language_group",
        "payer+language_group",
    }
    small = pairs["n_matured"] < 11
    assert small.any()
    assert pairs.loc[small, "estimate"].isna().all()
    assert pairs.loc[~small, "estimate"].notna().all()


def test_prematurity_and_deprivation_are_strata_and_ordered_indices_are_of_deprivation_only(rows: pd.DataFrame) -> None:
    assert {"extremely_preterm", "no_preterm_code"} == set(
        rows.loc[rows["stratum_dimension"] == "prematurity", "stratum_value"]
    ) - {"all"}
    ordered = rows[rows["estimand"].isin(["sii", "rci", "sii_linear"])]
    assert set(ordered["stratum_dimension"]) == {"deprivation_quintile"}
    assert (ordered["null_expectation"].notna() == ordered["estimate"].notna()).all()


def test_bipoc_never_comes_without_the_groups(rows: pd.DataFrame) -> None:
    frame = ["metric_id", "scope", "window_kind"]
    derived, groups = (
        set(map(tuple, rows.loc[rows["stratum_dimension"] == name, frame].to_numpy()))
        for name in ("bipoc", "race_ethnicity")
    )
    assert derived <= groups


def test_adjustment_is_for_need_and_a_second_model_says_mechanism(rows: pd.DataFrame) -> None:
    hazards = rows[(rows["estimand"] == "hr") & (rows["metric_id"] == "I2") & (rows["stratum_value"] == "nh_black")]
    assert {"site", f"site,{NEED}", f"site,{NEED},mechanism:payer+language_group"} == set(hazards["adjustment_set"])
    plain = hazards[hazards["adjustment_set"] == "site"].iloc[0]
    assert plain["estimate"] < 1  # slower, as planted
    standardised = rows[(rows["estimand"] == "rd_standardised") & (rows["metric_id"] == "I2")]
    assert standardised["estimate"].notna().any()


def _vanished(cohort: pd.DataFrame, value: str) -> pd.DataFrame:
    return cohort[cohort["race_ethnicity"] != value].reset_index(drop=True)


def _all(count: int, **columns: Any) -> pd.DataFrame:
    days = {"first_provider": START, "diagnosis": START}
    return pd.DataFrame(
        [
            row(infant=f"i{i}", **{**days, **columns}, race_ethnicity=("nh_black", "nh_white")[i % 2])
            for i in range(count)
        ]
    )


ODD: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "nobody": lambda cohort: cohort.iloc[:0],
    "one infant": lambda cohort: cohort.iloc[:1],
    "one site": lambda cohort: cohort.assign(source="site0"),
    "a group vanished": lambda cohort: _vanished(cohort, "nh_black"),
    "the reference vanished": lambda cohort: _vanished(cohort, "nh_white"),
    "all censored": lambda _: _all(24),
    "all on day 0": lambda _: _all(24, neurology=START, first_line=START),
    "all tied": lambda _: _all(24, neurology=START + timedelta(days=9), first_line=START + timedelta(days=9)),
    "nothing but unknown groups": lambda cohort: cohort.assign(race_ethnicity="unknown", payer=None, language=None),
    "all transferred in": lambda cohort: cohort.assign(flags="left_truncated"),
    "all died": lambda cohort: cohort.assign(status_provider_to_neurology="competing"),
}


@pytest.mark.parametrize("name", list(ODD))
def test_odd_cohorts_have_values_or_reasons(name: str, cohort: pd.DataFrame) -> None:
    sound(rows_of(ODD[name](cohort.iloc[:90]), "I2", "I7", "referred_7d", "aan"))


days = st.none() | st.integers(0, 40)


@example_settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["nh_black", "nh_white", "unknown"]),
            st.sampled_from(["site0", "site1"]),
            days,
            days,
            days,
            st.sampled_from(["", "left_truncated"]),
            st.sampled_from(["referred", "ed_inpatient", "pre_existing_neurology"]),
        ),
        max_size=14,
    ),
    st.integers(0, 60),
    st.sampled_from(["I2", "I7", "aan", "referred_7d"]),
)
def test_tiny_cohorts_have_values_or_reasons(
    infants: list[tuple[str, str, int | None, int | None, int | None, str, str]], after: int, measure: str
) -> None:
    def day(n: int | None) -> date | None:
        return None if n is None else START + timedelta(days=n)

    cohort = pd.DataFrame(
        [
            row(
                infant=f"i{i}",
                source=source,
                race_ethnicity=race,
                neurology=day(neurology),
                diagnosis=day(diagnosis),
                first_line=day(treated),
                onset_low=START - timedelta(days=5),
                onset_high=START - timedelta(days=5),
                flags=flags,
                pathway=pathway,
                data_end=START + timedelta(days=60),
            )
            for i, (race, source, neurology, diagnosis, treated, flags, pathway) in enumerate(infants)
        ],
        columns=list(row()),
    )
    sound(rows_of(cohort, measure, as_of=START + timedelta(days=after), min_n=1))


def test_a_measure_that_is_not_in_force_has_no_rows(cohort: pd.DataFrame) -> None:
    assert rows_of(cohort, "aan", as_of=date(2016, 12, 31)).empty
