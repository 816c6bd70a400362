"""The registry of measures: complete, versioned, and what each version means fixed by its hash."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from surveillance.errors import MeasuresUnreadable
from surveillance.measures.definitions import measures, read_measures
from surveillance.measures.dimensions import DIMENSIONS, DIMENSIONS_BY_NAME, PAIRS

#: First digits of the hash of each version's meaning. A change of meaning is a new version, and a new line here.
MEANING = {
    "I1.v1": "b928f2abfbe6",
    "I2.v1": "c8df401e734d",
    "I2a.v1": "7e75f2aa7e37",
    "I2b.v1": "922c4a76b6ca",
    "I3.v1": "e0a6b2f98b05",
    "I4.v1": "36c3a29478a4",
    "I5.v1": "96df2c5670a6",
    "I6.v1": "bf5540c23570",
    "I7.v1": "764b9508dd02",
    "I8.v1": "9c7f0ad21711",
    "standard_first.v1": "48b229961e4f",
    "ed_route.v1": "08b5dd346b1e",
    "no_referral_record.v1": "d5046fec5de2",
    "referred_7d.v1": "2caa23b4d4b3",
    "seen_7d.v1": "f23fdd82422f",
    "eeg_7d.v1": "747c23ea0acd",
    "aan.v1": "0f47a5d7d81b",
}


def test_no_version_changes_its_meaning() -> None:
    assert {measure.key: measure.sha256[:12] for measure in measures().values()} == MEANING


def test_wording_is_no_meaning_and_the_threshold_is() -> None:
    measure = measures()["I2"]
    assert replace(measure, title="other words").sha256 == measure.sha256
    assert replace(measure, threshold_days=14).sha256 != measure.sha256


def test_every_measure_says_all_that_a_registry_must() -> None:
    for measure in measures().values():
        assert measure.title
        assert measure.numerator
        assert measure.denominator
        assert measure.clock_start
        assert measure.clock_stop or measure.kind == "share"
        assert measure.competing_events
        assert measure.direction == "higher is adverse"
        assert "recording lag" in measure.maturity
        assert measure.valid_from >= date(2015, 10, 1)


def test_the_measures_that_were_asked_for() -> None:
    waits = {"I1", "I2", "I2a", "I2b", "I3", "I4", "I5", "I6", "I7", "I8"}
    shares = {"referred_7d", "seen_7d", "eeg_7d", "aan", "standard_first", "ed_route", "no_referral_record"}
    assert set(measures()) == waits | shares


@pytest.mark.parametrize(
    "change",
    [
        'exclude_values = { shoe_size = ["40"] }',
        "age_days_at_diagnosis = [14]",
        'interval = "birth_to_school"',
        'colour = "red"',
        "valid_from = 2015-13-01",
    ],
)
def test_a_malformed_measure_is_refused(change: str) -> None:
    whole = (
        "[[measure]]\nid='X'\nversion=1\nvalid_from=2020-01-01\ntitle=''\nlate_title=''\nkind='within'\n"
        "numerator=''\ndenominator=''\n"
    )
    read_measures(f"{whole}interval='provider_to_eeg'\n")
    kept = "" if change.startswith("interval") else "interval='provider_to_eeg'\n"
    without = whole.replace("valid_from=2020-01-01\n", "") if change.startswith("valid") else whole
    with pytest.raises(MeasuresUnreadable):
        read_measures(f"{without}{kept}{change}\n")


def test_references_are_no_unknown_groups_and_pairs_join_charted_dimensions() -> None:
    assert DIMENSIONS[-1] == "source"
    for pair in PAIRS:
        parts = DIMENSIONS_BY_NAME[pair].parts
        assert set(parts) <= set(DIMENSIONS)
        assert DIMENSIONS_BY_NAME[pair].reference == "+".join(str(DIMENSIONS_BY_NAME[part].reference) for part in parts)
