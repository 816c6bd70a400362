"""Practitioners, places and medicines that are referred to by identifier alone, through `map_folder`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from fhir_mapping.codes import load
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_mapping.select import find_files, select
from tests.fhir_mapping_input.input_folders import Json, concept, infant, of, resource, write

NPI = "http://hl7.org/fhir/sid/us-npi"
NUCC = "http://nucc.org/provider-taxonomy"
NEUROLOGY = concept("2084N0402X", NUCC)
SETTINGS = MappingSettings("site")


def forms(kind: str, value: str) -> list[Json]:
    """The ways to refer to the resource of a type that has the identifier."""
    identifier = {"system": NPI, "value": value}
    encoded = f"http%3A%2F%2Fhl7.org%2Ffhir%2Fsid%2Fus-npi%7C{value}"
    return [
        {"type": kind, "identifier": identifier},
        {"type": f"http://hl7.org/fhir/StructureDefinition/{kind}", "identifier": identifier},
        {"identifier": identifier, "display": "somebody"},
        {"reference": f"{kind}?identifier={NPI}|{value}"},
        {"reference": f"https://ehr.example.org/fhir/{kind}?identifier={encoded}"},
    ]


def known_as(kind: str, value: str, **elements: Any) -> Json:
    identifiers = [{"system": "urn:other", "value": value}, {"system": NPI, "value": value}]
    return resource(kind, f"{kind}-{value}", identifier=identifiers, **elements)


def neurology(kind: str, form: int) -> tuple[Json, list[Json]]:
    """A reference of that form, and the resources that make what it points to neurology."""
    value = str(form)
    shared = {
        "PractitionerRole": [known_as("PractitionerRole", value, specialty=[NEUROLOGY])],
        "Practitioner": [
            known_as("Practitioner", value),
            resource("PractitionerRole", value, practitioner=forms("Practitioner", value)[form], specialty=[NEUROLOGY]),
        ],
        "Organization": [
            known_as("PractitionerRole", value, organization=forms("Organization", value)[form]),
            known_as("Organization", value, name="Child Neurology"),
        ],
        "HealthcareService": [known_as("HealthcareService", value, specialty=[NEUROLOGY])],
        "Location": [known_as("Location", value, name="Pediatric Neurology Clinic")],
    }
    return forms("PractitionerRole" if kind == "Organization" else kind, value)[form], shared[kind]


def order(patient: str, **more: Any) -> Json:
    consultation = concept("3457005", "http://snomed.info/sct")
    told = {"status": "active", "intent": "order", "authoredOn": "2024-06-20", "code": consultation}
    return resource("ServiceRequest", f"sr-{patient}", subject=of(patient), **told, **more)


def mapped(folder: Path, column: str) -> list[str]:
    files = find_files(folder)
    selection = select(files, SETTINGS, load())
    assert select(files, SETTINGS, load(), typed_from=1) == selection
    assert "stranger" not in {one.id for one in selection.resources}
    map_folder(folder, folder / "out" / "rows.csv", SETTINGS)
    with (folder / "out" / "rows.csv").open(encoding="utf-8", newline="") as stream:
        return [row[column] for row in csv.DictReader(stream)]


@pytest.mark.parametrize("kind", ["PractitionerRole", "Practitioner", "Organization", "HealthcareService", "Location"])
def test_who_is_asked_by_identifier_makes_it_a_referral_to_neurology(tmp_path: Path, kind: str) -> None:
    lines = [resource(kind, "stranger", identifier=[{"system": NPI, "value": "77"}])]
    for form in range(5):
        named, shared = neurology(kind, form)
        where = {"locationReference": [named]} if kind == "Location" else {"performer": [named]}
        lines += [*infant(f"p{form}"), order(f"p{form}", **where), *shared]
    write(tmp_path, "a.ndjson", lines)
    assert mapped(tmp_path, "referral") == ["2024-06-20"] * 5


def test_a_medicine_by_identifier_is_the_first_line(tmp_path: Path) -> None:
    vigabatrin = concept("14851", "http://www.nlm.nih.gov/research/umls/rxnorm")
    lines = [known_as("Medication", "1", code=vigabatrin)]
    told = {"status": "active", "intent": "order", "authoredOn": "2024-07-01"}
    for form, named in enumerate(forms("Medication", "1")):
        lines += infant(f"p{form}")
        lines.append(
            resource("MedicationRequest", str(form), subject=of(f"p{form}"), medicationReference=named, **told)
        )
    write(tmp_path, "a.ndjson", lines)
    assert mapped(tmp_path, "first_line_drug") == ["vigabatrin"] * 5


def test_what_an_identifier_does_not_point_to(tmp_path: Path) -> None:
    """Nobody has it; two have it; only a superseded version had it; it is another type's, or another system's."""
    roles = [
        known_as("PractitionerRole", "two", specialty=[NEUROLOGY]),
        known_as("PractitionerRole", "two", specialty=[concept("207RC0000X", NUCC)]) | {"id": "second"},
        resource("PractitionerRole", "renumbered", specialty=[NEUROLOGY], version="2"),
        known_as("PractitionerRole", "old", specialty=[NEUROLOGY], version="1") | {"id": "renumbered"},
        known_as("PractitionerRole", "role", specialty=[NEUROLOGY]),
    ]
    other_system = {"type": "PractitionerRole", "identifier": {"system": "urn:third", "value": "role"}}
    named = [
        *(forms("PractitionerRole", value)[0] for value in ("nobody", "two", "old")),
        forms("Practitioner", "role")[0],
        other_system,
    ]
    orders = [line for n, one in enumerate(named) for line in (*infant(f"p{n}"), order(f"p{n}", performer=[one]))]
    write(tmp_path, "a.ndjson", [*orders, *roles])
    assert mapped(tmp_path, "referral") == [""] * 5
