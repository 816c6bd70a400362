"""Who is touched by a pull: by references of every form, across pulls, and by a change of the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from fhir_mapping.model import Resource
from tests.warehouse.conftest import Pull, condition, patient, resource, visit
from warehouse import staging, state
from warehouse.load import LoadReport

pytestmark = pytest.mark.integration
Run = Callable[..., LoadReport]

NPI = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}
URL = "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|1234567893"


def touched(engine: Engine, *resources: Resource, pull_id: str = "20260106T000000Z", version: str | None = None) -> Any:
    pull = Pull(pull_id, list(resources))
    staging.stage_selection(engine, pull.manifest(), pull.selection(), mapping_version=version)
    return staging.touched_infants(engine, "north", pull.pull_id)


def two_seen(*, by: dict[str, Any]) -> list[Resource]:
    """Two infants whose waits have ended; b was seen by whom the reference names."""
    seen = visit("b", "2026-01-04", participant=[{"individual": by}])
    return [patient("a"), condition("a"), visit("a", "2026-01-03"), patient("b"), condition("b"), seen]


@pytest.mark.parametrize(
    "by",
    [
        {"reference": "Practitioner/p"},
        {"reference": "urn:uuid:p"},
        {"reference": URL},
        {"reference": f"https://fhir.example/r4/{URL}"},
        {"type": "Practitioner", "identifier": NPI},
        {"identifier": NPI},
    ],
    ids=["literal", "urn", "conditional", "absolute conditional", "typed identifier", "bare identifier"],
)
def test_a_practitioner_who_changes_touches_who_names_them_in_any_form(
    run: Run, warehouse_engine: Engine, by: dict[str, Any]
) -> None:
    run(Pull("20260105T000000Z", [*two_seen(by=by), resource("Practitioner", "p", identifier=[NPI])]))
    changed = resource("Practitioner", "p", version=2, updated="2026-01-05T12:00:00Z", identifier=[NPI])
    assert touched(warehouse_engine, changed) == {"b"}


@pytest.mark.parametrize("practitioner", [{"reference": "Practitioner/p"}, {"identifier": NPI}, {"reference": URL}])
@pytest.mark.parametrize("by", [{"reference": "Practitioner/p"}, {"identifier": NPI}, {"reference": URL}])
def test_a_role_that_comes_later_touches_who_was_seen_by_its_practitioner(
    run: Run, warehouse_engine: Engine, by: dict[str, Any], practitioner: dict[str, Any]
) -> None:
    run(Pull("20260105T000000Z", [*two_seen(by=by), resource("Practitioner", "p", identifier=[NPI])]))
    assert touched(warehouse_engine, resource("PractitionerRole", "r", practitioner=practitioner)) == {"b"}


def test_a_deleted_practitioner_touches_who_names_them_by_identifier(run: Run, warehouse_engine: Engine) -> None:
    by = {"identifier": NPI}
    run(Pull("20260105T000000Z", [*two_seen(by=by), resource("Practitioner", "p", identifier=[NPI])]))
    pull = Pull("20260106T000000Z", deleted=[("Practitioner", "p")])
    staging.stage_selection(warehouse_engine, pull.manifest(), pull.selection())
    assert staging.touched_infants(warehouse_engine, "north", pull.pull_id) == {"b"}


def test_what_names_a_patient_by_an_identifier_that_comes_later_is_found(run: Run, warehouse_engine: Engine) -> None:
    mrn = {"system": "urn:mrn", "value": "77"}
    eeg = resource("Procedure", "eeg", subject={"type": "Patient", "identifier": mrn})
    run(Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-03"), eeg]))
    later = patient("a", version=2, updated="2026-01-05T12:00:00Z", identifier=[mrn])
    assert touched(warehouse_engine, later) == {"a"}
    held = state.current_resources(warehouse_engine, "north", {"a"})
    assert "Procedure/eeg" in {item.reference for item in held}


def test_patients_linked_by_a_bare_urn_are_brought_together(run: Run, warehouse_engine: Engine) -> None:
    run(Pull("20260105T000000Z", [patient("old"), condition("old"), visit("old", "2026-01-04")]))
    link = [{"type": "replaces", "other": {"reference": "urn:uuid:old"}}]
    assert touched(warehouse_engine, patient("new", link=link)) == {"old", "new"}


def test_an_unchanged_pull_touches_nobody_until_the_rules_change(run: Run, warehouse_engine: Engine) -> None:
    first = Pull("20260105T000000Z", two_seen(by={"reference": "Practitioner/p"}), mapping_version="1")
    run(first)
    assert touched(warehouse_engine, *first.resources, version="1") == frozenset()
    assert touched(warehouse_engine, *first.resources, version="2") == {"a", "b"}
    assert touched(warehouse_engine, version="2") == {"a", "b"}, "also those of whom nothing came"
    run(replace(first, pull_id="20260107T000000Z", mapping_version="2"))
    assert touched(warehouse_engine, pull_id="20260108T000000Z", version="2") == frozenset()
