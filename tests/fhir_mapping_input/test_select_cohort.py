"""Who is selected, and what comes with them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from fhir_mapping.assemble import infant_records
from fhir_mapping.codes import load
from fhir_mapping.conditions import ASSERTED_DATE
from fhir_mapping.ledger import balances
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_mapping.select import Selection, find_files, select
from tests.fhir_mapping_input.input_folders import concept, condition, infant, of, resource, write

SNOMED = "http://snomed.info/sct"


def selected(folder: Path, **options: Any) -> Selection:
    selection = select(find_files(folder), MappingSettings("site"), load(), **options)
    # Every case is read both ways: line by line, and through DuckDB's typed columns.
    assert select(find_files(folder), MappingSettings("site"), load(), typed_from=1, **options) == selection
    assert all(balances(line) for line in selection.ledger.values()), selection.ledger
    return selection


def names(selection: Selection) -> list[str]:
    return [resource.reference for resource in selection.resources]


def test_an_infant_brings_all_of_their_resources_and_others_stay_out(tmp_path: Path) -> None:
    other = [resource("Patient", "p2"), condition("c2", "p2", "J05.0"), resource("Observation", "o1", subject=of("p1"))]
    write(tmp_path, "all.ndjson", [*infant(), *other])
    selection = selected(tmp_path)
    assert names(selection) == ["Condition/c-p1", "Encounter/e-p1", "Patient/p1"]
    assert selection.infants == {"p1"}
    assert selection.ledger["Patient"].out_of_scope == 1
    assert selection.ledger["Observation"].out_of_scope == 1
    assert selection.ledger["Condition"].in_scope == 1


@pytest.mark.parametrize("code", ["G40.822", "g40822", "G40822", "G40.822 ", "G40.82", "G40.823"])
def test_every_spelling_of_a_definite_code_selects(tmp_path: Path, code: str) -> None:
    write(tmp_path, "all.ndjson", [resource("Patient", "p1"), condition("c1", "p1", code)])
    assert selected(tmp_path).infants == {"p1"}


@pytest.mark.parametrize(
    "code",
    [
        concept("28055006", "http://loinc.org"),  # a SNOMED code in another system
        concept("R25.2"),
        concept("G40.42"),
        {"text": "muscle spasm"},
        concept("J98.01", text="bronchospasm"),
    ],
)
def test_what_is_not_iess_does_not_select(tmp_path: Path, code: dict[str, Any]) -> None:
    write(tmp_path, "a.ndjson", [resource("Patient", "p1"), resource("Condition", "c", subject=of("p1"), code=code)])
    assert selected(tmp_path).infants == frozenset()


@pytest.mark.parametrize(
    "code",
    [
        {
            "coding": [
                {"system": "https://fhir.cerner.com/x/codeSet/72", "code": "99"},
                concept("28055006", SNOMED)["coding"][0],
            ]
        },
        {"text": "Infantile spasms"},
        concept("345.60", "http://hl7.org/fhir/sid/icd-9-cm"),
        concept("0018097", "http://purl.obolibrary.org/obo/mondo.owl"),
        concept("778063003", SNOMED),
    ],
)
def test_other_ways_to_say_iess_select(tmp_path: Path, code: dict[str, Any]) -> None:
    write(tmp_path, "a.ndjson", [resource("Patient", "p1"), resource("Condition", "c", subject=of("p1"), code=code)])
    assert selected(tmp_path).infants == {"p1"}


AMBIGUOUS = {
    "G40.409": concept("G40.409"),
    "G40.909": concept("G40.909"),
    "R56.9": concept("R56.9"),
    "R94.01": concept("R94.01"),
    "G93.45": concept("G93.45"),
    "SNOMED CT": concept("723125008", SNOMED),
    "ICD-10 of the WHO": concept("G40.4", "http://hl7.org/fhir/sid/icd-10"),
}


@pytest.mark.parametrize("code", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_lone_ambiguous_code_makes_a_possible_case_of_an_infant(tmp_path: Path, code: dict[str, Any]) -> None:
    infants = [resource("Patient", "b", birthDate="2024-01-01"), resource("Patient", "old", birthDate="2020-01-01")]
    found = [resource("Condition", f"c-{p}", subject=of(p), code=code, recordedDate="2024-06-01") for p in ("b", "old")]
    write(tmp_path / "in", "a.ndjson", [*infants, *found])
    assert selected(tmp_path / "in").infants == {"b"}
    report = map_folder(tmp_path / "in", tmp_path / "rows.csv", MappingSettings("site"))
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as stream:
        assert [(row["infant"], row["cohort"]) for row in csv.DictReader(stream)] == [("b", "possible")]
    assert report.excluded == {"age_outside_window": 1}


@pytest.mark.parametrize(
    ("birth", "more"),
    [
        (None, {"recordedDate": "2024-06-01"}),  # no birth date
        ("2020-01", {}),  # no date of the Condition
        ("2022", {"recordedDate": "2024-06-01"}),  # born at the end of 2022
        ("2020-01-01", {"recordedDate": "2024-06-01", "onsetDateTime": "2020-06"}),
        ("2020-01-01", {"recordedDate": "2024-06-01", "encounter": {"reference": "Encounter/v"}}),
        ("2020-01-01", {"recordedDate": "2024-06-01", "extension": [{"url": ASSERTED_DATE, "valueDateTime": "2021"}]}),
    ],
    ids=str,
)
def test_who_may_have_been_an_infant_at_an_ambiguous_code_is_selected(
    tmp_path: Path, birth: str | None, more: dict[str, Any]
) -> None:
    patient = resource("Patient", "p", **({"birthDate": birth} if birth else {}))
    visit = resource("Encounter", "v", subject=of("p"), period={"start": "2020-06-01"})
    write(tmp_path, "a.ndjson", [patient, visit, condition("c", "p", "G40.409", **more)])
    selection = selected(tmp_path)
    assert selection.infants == {"p"}
    assert selection.past_infancy == 0


def test_who_was_no_infant_is_counted_once_a_person(tmp_path: Path) -> None:
    adult = [
        resource("Patient", "a", birthDate="1980", link=[{"type": "replaced-by", "other": of("b")}]),
        resource("Patient", "b", birthDate="1980"),
        resource("Encounter", "v", subject=of("b"), period={"start": "2024-06-01"}),
        condition("c1", "a", "R56.9", recordedDate="2024-06-01"),
        condition("c2", "b", "R94.01", recordedDate="2024-06-01", encounter={"reference": "Encounter/v"}),
    ]
    definite = [resource("Patient", "d", birthDate="1980"), condition("c3", "d"), condition("c4", "d", "R56.9")]
    write(tmp_path, "a.ndjson", [*adult, *definite])
    selection = selected(tmp_path)
    assert selection.infants == {"d"}
    assert selection.past_infancy == 1
    assert selected(tmp_path, only_known=True).past_infancy == 0


REFERENCES = [
    {"reference": "Patient/p1"},
    {"reference": "https://ehr.example.org/fhir/R4/Patient/p1"},
    {"reference": "Patient/p1/_history/7"},
    {"reference": "https://ehr.example.org/fhir/Patient/p1/_history/7"},
    {"reference": "urn:uuid:p1"},
    {"reference": "Patient?identifier=urn:mrn|77"},
    {"identifier": {"system": "urn:mrn", "value": "77"}},
    {"type": "Patient", "identifier": {"system": "urn:mrn", "value": "77"}},
]


@pytest.mark.parametrize("reference", REFERENCES, ids=str)
def test_every_form_of_reference_finds_its_patient(tmp_path: Path, reference: dict[str, Any]) -> None:
    patient = resource("Patient", "p1", identifier=[{"system": "urn:mrn", "value": "77"}])
    diagnosis = resource("Condition", "c1", subject=reference, code=concept("G40.822"))
    visit = resource("Encounter", "e1", subject=reference)
    write(tmp_path, "a.ndjson", [diagnosis, visit, patient, resource("Patient", "p2")])
    selection = selected(tmp_path)
    assert names(selection) == ["Condition/c1", "Encounter/e1", "Patient/p1"]
    (record,) = infant_records(selection.resources)
    assert record.infant == "p1"
    assert set(record.resources) == {"Condition", "Encounter"}


def test_types_with_their_own_name_for_the_patient(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.ndjson",
        [
            *infant(),
            resource("Coverage", "v", beneficiary=of("p1")),
            resource("RelatedPerson", "m", patient=of("p1")),
            resource("Task", "t", for_=of("p1")),
            resource("Appointment", "a", participant=[{"actor": {"reference": "Practitioner/d"}}, {"actor": of("p1")}]),
            resource("Appointment", "b", participant=[{"actor": of("p9")}]),
        ],
    )
    chosen = set(names(selected(tmp_path)))
    assert chosen >= {"Coverage/v", "RelatedPerson/m", "Task/t", "Appointment/a"}
    assert "Appointment/b" not in chosen


def test_practitioners_and_places_come_when_referred_to(tmp_path: Path) -> None:
    visit = resource(
        "Encounter",
        "v",
        subject=of("p1"),
        participant=[{"individual": {"reference": "Practitioner/n"}}],
        location=[{"location": {"reference": "Location/l"}}],
        serviceProvider={"reference": "urn:uuid:org"},
    )
    shared = [
        resource("Practitioner", "n"),
        resource("Practitioner", "stranger"),
        resource(
            "PractitionerRole",
            "r",
            practitioner={"reference": "Practitioner/n"},
            organization={"reference": "Organization/dept"},
        ),
        resource("PractitionerRole", "r2", practitioner={"reference": "Practitioner/stranger"}),
        resource("Organization", "dept", partOf={"reference": "Organization/org"}),
        resource("Organization", "org"),
        resource("Location", "l"),
        resource("Location", "n"),  # the id of a Practitioner
        resource("Medication", "m"),
    ]
    request = resource("MedicationRequest", "mr", subject=of("p1"), medicationReference={"reference": "Medication/m"})
    write(tmp_path, "a.ndjson", [*infant(), visit, request, *shared])
    selection = selected(tmp_path)
    chosen = set(names(selection))
    wanted = {
        "Practitioner/n",
        "PractitionerRole/r",
        "Organization/dept",
        "Organization/org",
        "Location/l",
        "Medication/m",
    }
    assert wanted <= chosen
    assert not {"Practitioner/stranger", "PractitionerRole/r2", "Location/n"} & chosen
    assert selection.ledger["Practitioner"].out_of_scope == 1
    (record,) = infant_records(selection.resources)
    assert set(record.references) == wanted


@pytest.mark.parametrize(
    "links",
    [
        {"old": ("replaced-by", "new")},
        {"new": ("replaces", "old")},
        {"old": ("replaced-by", "new"), "new": ("replaces", "old")},
        {"old": ("refer", "new")},
    ],
    ids=str,
)
def test_linked_patients_become_one_infant(tmp_path: Path, links: dict[str, tuple[str, str]]) -> None:
    patients = [
        resource(
            "Patient",
            name,
            **({"link": [{"type": links[name][0], "other": of(links[name][1])}]} if name in links else {}),
        )
        for name in ("old", "new")
    ]
    visit = resource("Encounter", "e", subject=of("new"))
    write(tmp_path, "a.ndjson", [*patients, condition("c", "old"), visit, resource("Patient", "x")])
    selection = selected(tmp_path)
    assert selection.infants == {"old", "new"}
    (record,) = infant_records(selection.resources)
    assert record.infant == "new"
    assert [patient.id for patient in record.merged] == ["old"]
    assert set(record.resources) == {"Condition", "Encounter"}


def test_seealso_does_not_merge_and_loops_end(tmp_path: Path) -> None:
    loop = [
        resource("Patient", "b", link=[{"type": "replaced-by", "other": of("a")}]),
        resource(
            "Patient", "a", link=[{"type": "replaced-by", "other": of("b")}, {"type": "seealso", "other": of("z")}]
        ),
        resource("Patient", "z"),
    ]
    write(tmp_path, "a.ndjson", [*loop, condition("c", "b")])
    selection = selected(tmp_path)
    assert selection.infants == {"a", "b"}
    assert [record.infant for record in infant_records(selection.resources)] == ["a"]


def test_known_infants_belong_whatever_the_files_say(tmp_path: Path) -> None:
    write(tmp_path, "a.ndjson", [*infant("new"), resource("Encounter", "late", subject=of("old"))])
    assert selected(tmp_path, known_infants=frozenset({"old", "gone"})).infants == {"new", "old"}
    only = selected(tmp_path, known_infants=frozenset({"old"}), only_known=True)
    assert names(only) == ["Encounter/late"]


def test_data_through_is_the_local_date_of_the_latest_update(tmp_path: Path) -> None:
    late = resource("Observation", "o", updated="2024-09-01T02:30:00Z")
    write(tmp_path, "a.ndjson", [*infant(), late, resource("Encounter", "e", updated="2024-08-31T23:00:00-05:00")])
    files = find_files(tmp_path)
    assert str(select(files, MappingSettings("s", timezone="America/Chicago"), load()).data_through) == "2024-08-31"
    assert str(select(files, MappingSettings("s"), load()).data_through) == "2024-09-01"
