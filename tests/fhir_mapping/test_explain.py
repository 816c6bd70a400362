"""`explain`: an infant's timeline as a person reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_mapping.assemble import infant_records
from fhir_mapping.explain import explain
from fhir_mapping.explain_words import PAYERS, RACES
from tests.fhir_mapping.case_files import Scene, as_resource, run, scenes

BY_LABEL = {scene.label: scene for scene in scenes()}


def _told(scene: Scene) -> str:
    records = infant_records(as_resource(body) for body in scene.resources)
    record = next(record for record in records if record.infant == scene.infant)
    return explain(record, run(scene))


def test_a_referred_infant() -> None:
    told = _told(BY_LABEL["g20_seen_before_referral:in order:R4"])
    assert "2024-04-01  Referral to neurology (age 5 months 17 days)" in told
    assert "ServiceRequest/r/-, rule M3.1" in told
    assert "I2   first provider to neurologist (primary): 33 days; over 7 days: yes" in told
    assert "Way to neurology: by a referral." in told
    assert "ServiceRequest/r/- led to Encounter/n/- (by specialty and time)" in told
    assert told.index("First provider") < told.index("Referral to neurology") < told.index("Seen by neurology")


def test_the_record_is_quoted_as_it_names_things() -> None:
    told = _told(
        BY_LABEL["r40_where_rules_meet:the concern at one visit, the diagnosis at neurology eleven days later:R4"]
    )
    assert "ambulatory visit; coded there: Other abnormal involuntary movements (R25.8)" in told  # our own label
    assert "ambulatory visit, Child neurology (202); coded there: Epileptic spasms" in told
    assert "Encounter/clinic/-, the first contact: no referral on record led to it" in told
    assert "Definite case: one confirmed code of the syndrome is enough." in told


def test_why_the_measure_of_treatment_leaves_an_infant_out() -> None:
    assert "left out of the AAN measure for: the family refused all three medicines" in _told(
        BY_LABEL["r77_refused_or_contraindicated:'Parent refused':R4"]
    )


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    scene = BY_LABEL["r29_reasons_in_words:a brother's spasms:R4"]
    spoilt = tuple(
        {**body, "code": {"text": "Neurology\x1b[2J\nreferral"}} if body["resourceType"] == "ServiceRequest" else body
        for body in scene.resources
    )
    told = _told(replace(scene, resources=spoilt))
    assert "Neurology [2J referral" in told
    assert "\x1b" not in told


def test_every_code_has_its_word() -> None:
    for scene in BY_LABEL.values():
        row = run(scene).row
        if row is not None:
            assert row.race_ethnicity in RACES
            assert row.payer in PAYERS


def test_a_waiting_infant() -> None:
    told = _told(BY_LABEL["g46_still_waiting:ten days so far:R4"])
    assert "first provider to neurologist (primary): 10 days so far; over 7 days: yes" in told
    assert "2024-03-11  Observation ends" in told


def test_an_onset_known_to_the_month_has_a_range_of_ages() -> None:
    told = _told(BY_LABEL["g30_onset:a month:R4"])
    assert "(age 2 months 17 days to 3 months 16 days)" in told


def test_a_wait_without_days_says_why() -> None:
    waiting = _told(BY_LABEL["g46_still_waiting:ten days so far:R4"])
    assert "Not on record: onset of symptoms, referral to neurology, neurology contact, EEG" in waiting
    assert "spasm onset to first provider: not known, no onset of symptoms on record" in waiting
    assert "neurologist to first-line treatment: not known, no neurology contact on record" in waiting
    known = _told(next(scene for label, scene in BY_LABEL.items() if label.startswith("g26_known_to_neurology")))
    assert "(primary): does not apply, known to neurology before" in known
    stay = _told(next(scene for label, scene in BY_LABEL.items() if label.startswith("g21_emergency_path")))
    assert "first provider to referral: does not apply, seen in an emergency or admission without a referral" in stay


def test_an_infant_without_a_timeline_and_what_could_not_be_read() -> None:
    told = _told(BY_LABEL["g50_preterm:unreadable birth date: quarantine:R4"])
    assert "No timeline: there is no birth date that can be read." in told
    assert "Patient/infant: Patient.birthDate is needed and can't be read" in told
    assert "15/10/2023" not in told


@pytest.mark.parametrize("scene", list(BY_LABEL.values())[::7], ids=lambda scene: scene.label)
def test_every_case_can_be_told(scene: Scene) -> None:
    told = _told(scene)
    assert told.endswith("\n")
    assert "None" not in told
