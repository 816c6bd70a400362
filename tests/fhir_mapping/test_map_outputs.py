"""What `iess map` leaves: the columns of the contract, referrals and visits counted, coded types narrowed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from fhir_mapping import codes
from fhir_mapping.model import LedgerLine, MappingSettings
from fhir_mapping.observations import searches
from fhir_mapping.run import map_folder

Json = dict[str, Any]
SETTINGS = MappingSettings(source="site", timezone="America/New_York", as_of=date(2024, 12, 31))
INTERVALS = (
    "onset_to_provider",
    "provider_to_neurology",
    "provider_to_referral",
    "referral_to_neurology",
    "neurology_to_first_line",
    "provider_to_eeg",
    "eeg_to_first_line",
    "diagnosis_to_first_line",
    "onset_to_first_line",
    "provider_to_first_line",
)
FIRST = (
    "source,infant,cohort,birth_date,sex,onset_low,onset_high,first_provider,suspected,referral,booked,neurology,eeg,"
    "diagnosis,first_line,first_line_drug,first_treatment,first_treatment_drug,censored_on,pathway,referral_evidence,age_days,race_ethnicity,bipoc,payer,language,interpreter"
)
SUBJECT = {"subject": {"reference": "Patient/a"}}


def infant(*more: Json) -> list[Json]:
    return [
        {"resourceType": "Patient", "id": "a", "birthDate": "2023-10-15"},
        {
            "resourceType": "Condition",
            "id": "spasms",
            **SUBJECT,
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "28055006"}]},
            "recordedDate": "2024-03-05",
        },
        *more,
    ]


def written(folder: Path, resources: list[Json]) -> Path:
    folder.mkdir()
    lines = [json.dumps(resource) for resource in resources]
    (folder / "all.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_columns_are_those_of_the_contract_in_its_order(tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    map_folder(written(tmp_path / "in", infant()), out, SETTINGS)
    header = out.read_text(encoding="utf-8").splitlines()[0].split(",")
    first = FIRST.split(",")
    waits = [
        column
        for name in INTERVALS
        for column in (f"days_{name}_low", f"days_{name}_high", f"status_{name}", f"delayed_{name}")
    ]
    assert header[: len(first)] == first
    assert sorted(header[len(first) :]) == sorted([*waits, "flags", "evidence"])
    assert header[-2:] == ["flags", "evidence"]


def test_referrals_and_visits_are_paired_and_what_is_left_is_counted(tmp_path: Path) -> None:
    service = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/service-type", "code": "202"}]}
    visit = {"resourceType": "Encounter", "status": "finished", **SUBJECT, "class": {"code": "AMB"}}
    order = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        **SUBJECT,
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "306263000"}]},
    }
    resources = infant(
        {**visit, "id": "before", "serviceType": service, "period": {"start": "2024-03-02"}},
        {**order, "id": "kept", "authoredOn": "2024-03-06"},
        {
            **visit,
            "id": "visit",
            "serviceType": service,
            "period": {"start": "2024-03-20"},
            "basedOn": [{"reference": "ServiceRequest/kept"}],
        },
        {**order, "id": "not-kept", "authoredOn": "2024-04-01"},
    )
    report = map_folder(written(tmp_path / "in", resources), tmp_path / "rows.csv", SETTINGS)
    assert report.links == {
        "linked_by_reference": 1,
        "linked_by_time": 0,
        "orphan_referrals": 1,
        "orphan_visits": 1,
    }
    assert [list(row.values()) for row in rows_of(tmp_path / "rows.csv.referrals.csv")] == [
        ["a", "", "Encounter/before/-", "L4", "none"],
        ["a", "ServiceRequest/kept/-", "Encounter/visit/-", "L1", "linked"],
        ["a", "ServiceRequest/not-kept/-", "", "L3", "none"],
    ]


def test_of_observations_only_those_that_a_rule_reads_are_selected(tmp_path: Path) -> None:
    def told(name: str, code: str, value: Json) -> Json:
        body = {"resourceType": "Observation", "id": name, "status": "final", **SUBJECT, **value}
        return {**body, "code": {"coding": [{"system": "http://loinc.org", "code": code}]}}

    yes = {"valueCodeableConcept": {"coding": [{"system": "http://loinc.org", "code": "LA33-6"}]}}
    resources = infant(
        told("weight", "29463-7", {"valueQuantity": {"value": 7, "unit": "kg"}}), told("words", "54588-9", yes)
    )
    report = map_folder(written(tmp_path / "in", resources), tmp_path / "rows.csv", SETTINGS)
    assert report.ledger["Observation"] == LedgerLine(received=2, in_scope=1, out_of_scope=1)
    assert rows_of(tmp_path / "rows.csv")[0]["interpreter"] == "yes"


def test_a_sites_own_codes_find_infants_whom_the_shipped_ones_do_not(tmp_path: Path) -> None:
    """Selection too goes by the site's file, not only the rules."""
    resources = infant()
    resources[1]["code"] = {"coding": [{"system": "https://ehr.hospital.example/problems", "code": "IS"}]}
    folder = written(tmp_path / "in", resources)
    assert map_folder(folder, tmp_path / "without.csv", SETTINGS).rows == 0
    own = replace(SETTINGS, local_codes=Path(__file__).parents[1] / "data" / "site_codes.csv")
    assert map_folder(folder, tmp_path / "with.csv", own).rows == 1
    assert rows_of(tmp_path / "with.csv")[0]["cohort"] == "definite"


def test_servers_are_asked_for_what_is_read_and_no_more() -> None:
    shipped = searches(codes.load())
    assert set(shipped) == {"Observation", "DocumentReference"}
    assert {code for _, code in shipped["DocumentReference"]} == {"11488-4"}
    assert ("http://loinc.org", "54588-9") in shipped["Observation"]
    assert all(code in {"54588-9", "11368-8"} for _, code in shipped["Observation"])
    own = searches(codes.load(Path(__file__).parents[1] / "data" / "site_codes.csv"))
    assert own["Observation"] == shipped["Observation"]
    assert own["QuestionnaireResponse"] == [("", "https://forms.hospital.example/Questionnaire/spasms")]
