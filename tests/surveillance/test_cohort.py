"""Who counts in a measure, as of which day: maturity, censoring, threshold, competing events, the work list."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest

from surveillance.cohort import as_known, last_complete_week, measured
from surveillance.measures.registry import measures
from surveillance.settings import SurveillanceSettings
from surveillance.worklist import NO_NEUROLOGY, NO_TREATMENT, waiting_infants
from tests.surveillance.timelines import START, row

SETTINGS = SurveillanceSettings(maturity_lag_days=14)


def day(n: int) -> date:
    return START + timedelta(days=n)


def outcome(as_of: date, measure: str = "I2", *, through: date | None = None, **columns: Any) -> dict[str, Any] | None:
    rows = pd.DataFrame([row(**columns)])
    reach = {"site0": through or as_of}
    infants = measured(as_known(rows, as_of), measures()[measure], as_of=as_of, settings=SETTINGS, through=reach)
    return None if infants.empty else {str(k): v for k, v in infants.iloc[0].items()}


@pytest.mark.parametrize(("waited", "late"), [(0, "no"), (7, "no"), (8, "yes")])
def test_eight_days_are_late_and_seven_are_not(waited: int, late: str) -> None:
    found = outcome(day(60), neurology=day(waited), diagnosis=day(waited))
    assert found is not None
    assert (found["late"], found["days"], found["kind"], found["matured"]) == (late, waited, 1, True)


@pytest.mark.parametrize(
    ("neurology", "diagnosis", "as_of", "matured"),
    [(1, 1, 20, False), (1, 1, 21, True), (30, 31, 44, False), (30, 31, 45, True)],
)
def test_matured_when_diagnosed_past_the_threshold_and_past_the_lag(
    neurology: int, diagnosis: int, as_of: int, matured: bool
) -> None:
    found = outcome(day(as_of), neurology=day(neurology), diagnosis=day(diagnosis))
    assert found is not None
    assert bool(found["matured"]) is matured


def test_a_source_that_has_not_reported_matures_nobody() -> None:
    found = outcome(day(90), through=day(15), neurology=day(1), diagnosis=day(1))
    assert found is not None
    assert not found["matured"]


def test_not_in_the_cohort_before_the_diagnosis_is_known() -> None:
    assert outcome(day(20), neurology=day(3), diagnosis=day(30)) is None


def test_an_event_after_the_as_of_day_is_not_yet_known() -> None:
    found = outcome(day(12), neurology=day(20), diagnosis=day(5))
    assert found is not None
    assert (found["kind"], found["days"], found["late"]) == (0, 12, "yes")
    found = outcome(day(6), neurology=day(20), diagnosis=day(5))
    assert found is not None
    assert (found["kind"], found["days"], found["late"]) == (0, 6, "pending")


def test_waiting_no_longer_than_the_censor_date() -> None:
    found = outcome(day(300), diagnosis=day(2), data_end=day(4))
    assert found is not None
    assert (found["days"], found["late"]) == (4, "pending")


@pytest.mark.parametrize(("died_on", "late"), [(3, "not_applicable"), (12, "yes")])
def test_a_competing_event_within_the_threshold_is_neither_late_nor_in_time(died_on: int, late: str) -> None:
    columns = {"status_provider_to_neurology": "competing"}
    rows = pd.DataFrame([row(diagnosis=day(1), data_end=day(died_on)) | columns])
    infants = measured(as_known(rows, day(60)), measures()["I2"], as_of=day(60), settings=SETTINGS)
    assert (infants["late"].iloc[0], infants["kind"].iloc[0]) == (late, 2)


def test_partial_dates_decide_only_what_they_decide() -> None:
    wide = {"days_onset_to_provider_low": 3, "days_onset_to_provider_high": 20, "status_onset_to_provider": "event"}
    rows = pd.DataFrame([row(diagnosis=day(1), onset_low=day(-20), onset_high=day(-3)) | wide])
    infants = measured(as_known(rows, day(90)), measures()["I1"], as_of=day(90), settings=SETTINGS)
    assert infants["late"].iloc[0] == "indeterminate"
    assert infants["days"].isna().all()


@pytest.mark.parametrize(
    ("column", "value"), [("pathway", "pre_existing_neurology"), ("cohort", "possible"), ("cohort", "text_only")]
)
def test_left_out_of_the_primary_measure(column: str, value: str) -> None:
    changed: dict[str, Any] = {column: value}
    assert outcome(day(60), neurology=day(3), diagnosis=day(3), **changed) is None


def test_under_neurology_before_is_a_stratum_of_treatment() -> None:
    found = outcome(day(60), "I6", diagnosis=day(3), first_line=day(5), pathway="pre_existing_neurology")
    assert found is not None
    assert (found["prior_neurology"], found["late"]) == ("yes", "no")


def test_a_share_counts_those_who_have_a_value() -> None:
    treated = outcome(
        day(90), "standard_first", diagnosis=day(1), first_line=day(5), first_treatment_drug="levetiracetam"
    )
    assert treated is not None
    assert treated["late"] == "yes"
    untreated = outcome(day(90), "standard_first", diagnosis=day(1))
    assert untreated is not None
    assert untreated["late"] == "missing"


def test_the_last_week_that_is_over() -> None:
    monday = date(2026, 11, 23)
    assert last_complete_week(monday) == date(2026, 11, 16)
    assert last_complete_week(monday + timedelta(days=5)) == date(2026, 11, 16)
    assert last_complete_week(monday + timedelta(days=6)) == monday  # a Sunday closes its week


def test_the_work_list_holds_those_who_wait_now() -> None:
    now = day(40)
    rows = pd.DataFrame(
        [
            row(infant="seen", neurology=day(3), diagnosis=day(3), first_line=day(4), data_end=now),
            row(infant="four-days", first_provider=day(36), cohort="possible", data_end=now),
            row(infant="three-days", first_provider=day(37), data_end=now),
            row(infant="untreated", neurology=day(20), diagnosis=day(30), data_end=now),
            row(infant="left", first_provider=day(1), data_end=day(20)),
            row(infant="years-ago", first_provider=day(-300), data_end=now),
        ]
    )
    through = {"site0": now}
    listed = waiting_infants(as_known(rows, now), as_of=now, settings=SETTINGS, through=through)
    found = {row.infant: (row.reason, row.days_waiting, row.long_past) for row in listed.itertuples()}
    assert found == {
        "untreated": (NO_TREATMENT, 10, False),
        "four-days": (NO_NEUROLOGY, 4, False),
        "years-ago": (NO_NEUROLOGY, 340, True),
    }
    assert listed["infant"].iloc[-1] == "years-ago"


def test_who_was_transferred_in_saw_the_first_provider_elsewhere() -> None:
    # Counted from the transfer the wait would be 0 days, and in time.
    columns: dict[str, Any] = {
        "flags": "left_truncated",
        "neurology": day(0),
        "diagnosis": day(1),
        "first_line": day(2),
    }
    found = outcome(day(90), **columns)
    assert found is not None
    assert (found["late"], math.isnan(found["days"])) == ("indeterminate", True)
    found = outcome(day(90), "I6", **columns)
    assert found is not None
    assert (found["late"], found["days"], found["entry"]) == ("no", 1, -1)


@pytest.mark.parametrize(
    ("columns", "late"),
    [
        ({"neurology": day(0)}, "indeterminate"),  # the neurologist's visit, with the diagnosis, is the first on record
        ({"neurology": day(0), "pathway": "ed_inpatient"}, "no"),  # an emergency department may well be the first
        ({"neurology": day(3)}, "no"),
    ],
)
def test_a_first_visit_at_the_neurologist_is_no_first_provider(columns: dict[str, Any], late: str) -> None:
    found = outcome(day(90), flags="no_prodromal_visit", diagnosis=day(3), **columns)
    assert found is not None
    assert found["late"] == late


def test_a_clock_that_started_before_the_transfer_is_watched_from_it() -> None:
    onset = {"onset_low": day(-10), "onset_high": day(-10)}
    found = outcome(day(90), "I7", flags="left_truncated", diagnosis=day(1), first_line=day(5), **onset)
    assert found is not None
    assert (found["days"], found["entry"], found["late"]) == (15, 10, "yes")
    found = outcome(day(90), "I7", diagnosis=day(1), first_line=day(5), **onset)
    assert found is not None
    assert (found["days"], found["entry"]) == (15, -1)


@pytest.mark.parametrize(
    ("columns", "late"),
    [
        ({"first_line": 4}, "no"),
        ({"first_line": 9}, "yes"),
        ({"first_line": -3}, "no"),  # treated before the diagnosis
        ({}, "yes"),
        (
            {"first_treatment": 2, "first_treatment_drug": "levetiracetam", "first_line": 5},
            "yes",
        ),  # not the initial one
        (
            {"first_treatment": -20, "first_treatment_drug": "levetiracetam", "first_line": 5},
            "no",
        ),  # for something else
        ({"first_line": 5, "aan_exclusions": "caregiver_refused"}, "excluded"),
        ({"first_line": 5, "etiology": "down+metabolic"}, "excluded"),
        ({"first_line": 5, "etiology": "down"}, "no"),
        ({"first_line": 5, "birth_date": -731}, "excluded"),
        ({"first_line": 5, "birth_date": -730}, "no"),
        ({"first_line": 5, "birth_date": -13}, "excluded"),
        ({"first_line": 5, "birth_date": -14}, "no"),
    ],
)
def test_the_aan_measure_with_its_exclusions(columns: dict[str, Any], late: str) -> None:
    dates = {name: day(value) if isinstance(value, int) else value for name, value in columns.items()}
    found = outcome(day(60), "aan", diagnosis=day(0), neurology=day(0), **dates)
    assert found is not None
    assert found["late"] == late


def test_the_worked_example_of_the_aan() -> None:
    # aan.com: five patients, one refusal left out, one of the other four treated within a week: 25%.
    treated = [day(3), day(9), None, day(30), day(2)]
    refused = [None, None, None, None, "caregiver_refused"]
    rows = pd.DataFrame(
        [
            row(infant=f"i{i}", diagnosis=day(0), first_line=on, aan_exclusions=why)
            for i, (on, why) in enumerate(zip(treated, refused, strict=True))
        ]
    )
    infants = measured(as_known(rows, day(90)), measures()["aan"], as_of=day(90), settings=SETTINGS)
    counted = infants[infants["late"].isin(["yes", "no"])]
    assert (len(counted), (counted["late"] == "no").mean()) == (4, 0.25)


def test_a_bypass_of_the_referral_competes_with_it() -> None:
    found = outcome(day(90), "referred_7d", pathway="ed_inpatient", neurology=day(3), diagnosis=day(3))
    assert found is not None
    assert (found["late"], found["kind"], found["days"]) == ("not_applicable", 2, 3)
    assert outcome(day(90), "I2a", pathway="ed_inpatient", neurology=day(3), diagnosis=day(3)) is None


@pytest.mark.parametrize(
    ("weeks", "group"),
    [
        (27, "extremely_preterm"),
        (31, "very_preterm"),
        (36, "moderate_to_late_preterm"),
        (39, "no_preterm_code"),
        (None, "no_preterm_code"),
    ],
)
def test_prematurity_is_of_the_code(weeks: int | None, group: str) -> None:
    found = outcome(day(60), diagnosis=day(0), neurology=day(0), gestational_weeks=weeks)
    assert found is not None
    assert found["prematurity"] == group
