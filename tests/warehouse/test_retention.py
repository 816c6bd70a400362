"""Erasure everywhere and for good, purges with a record, rotation of the key, replay lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from fhir_mapping.model import Quarantined
from pipeline.erasure import without
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, resource, stage, visit
from warehouse import keys, quarantine, state
from warehouse.errors import HashKeyChanged, InfantUnknown, StagingStale
from warehouse.fingerprint import warehouse_hash
from warehouse.keys import infant_key
from warehouse.load import LoadReport, load
from warehouse.retention import Erasure, erase, person, purge, record_purge
from warehouse.schema.base import tables

pytestmark = pytest.mark.integration
Run = Callable[..., LoadReport]
AT = datetime(2026, 2, 1, tzinfo=UTC)
MRN = [{"system": "urn:mrn", "value": "erasable-mrn"}]


def cohort(pull_id: str = "20260105T000000Z") -> Pull:
    return Pull(
        pull_id,
        [
            patient("erasable", identifier=MRN),
            condition("erasable"),
            visit("erasable", "2026-01-04"),
            resource("Procedure", "erasable-eeg", subject={"identifier": MRN[0]}, code={"text": "EEG"}),
            *(patient("kept"), condition("kept"), visit("kept", "2026-01-05")),
        ],
        quarantined=[
            Quarantined("f", 1, "Condition", "c-erasable", "unreadable_element", "Condition.onset", "unreadable"),
            Quarantined("f", 2, "Condition", "", "not_json", "", "no JSON"),
        ],
    )


def samples(engine: Engine, needle: str) -> list[str]:
    """Columns of which the planner remembers a value that says `needle`."""
    with engine.connect() as connection:
        return list(
            connection.execute(
                text(
                    "SELECT concat_ws('.', schemaname, tablename, attname) FROM pg_stats WHERE concat("
                    "most_common_vals, histogram_bounds, most_common_elems) LIKE :needle ORDER BY 1"
                ),
                {"needle": f"%{needle}%"},
            ).scalars()
        )


def places(engine: Engine, needle: str) -> list[str]:
    """Tables with a row that says `needle` anywhere."""
    with engine.connect() as connection:
        return [
            table.fullname
            for table in tables()
            if connection.execute(
                text(f"SELECT EXISTS (SELECT FROM {table.fullname} t WHERE t::text LIKE :needle)"),
                {"needle": f"%{needle}%"},
            ).scalar_one()
        ]


def test_an_erased_infant_is_nowhere_and_does_not_come_back(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    before = state.ledgers(warehouse_engine)
    assert len(places(warehouse_engine, "erasable")) >= 5
    assert places(warehouse_engine, infant_key(HASH_KEY, "north", "erasable")) != []
    erased = erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked by a parent")
    assert erased.rows["clinical.resource"] == 4
    assert places(warehouse_engine, "erasable") == []
    assert places(warehouse_engine, infant_key(HASH_KEY, "north", "erasable")) == []
    pd.testing.assert_frame_equal(state.ledgers(warehouse_engine), before)

    report = run(replace(cohort("20260106T000000Z"), quarantined=[]))
    assert places(warehouse_engine, "erasable") == []
    assert {row["resource_type"]: row["out_of_scope"] for row in report.ledger} == {
        "Condition": 1,
        "Encounter": 1,
        "Patient": 1,
        "Procedure": 1,
    }
    with warehouse_engine.connect() as connection:
        assert list(state.timelines(connection)["infant"]) == ["kept"]


def test_who_was_erased_can_be_taken_out_of_what_later_pulls_land(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked")
    run(replace(cohort("20260106T000000Z"), quarantined=[]))
    before = warehouse_hash(warehouse_engine)
    change = without(person(warehouse_engine, "north", "erasable"))
    landed = [item for item in cohort().resources if item.id != "erasable-eeg"]  # which names an identifier alone
    gone = [item.id for item in landed if change(orjson.dumps(item.body) + b"\n") is None]
    assert gone == ["erasable", "c-erasable", "e-erasable"]
    assert erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked") == Erasure(0, {})
    assert warehouse_hash(warehouse_engine) == before
    with pytest.raises(InfantUnknown):
        person(warehouse_engine, "south", "erasable")


def test_the_planner_forgets_who_was_erased_and_what_was_purged(
    run: Run, logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    run(cohort())
    later = cohort("20260106T000000Z")
    stage(warehouse_engine, later)  # samples of what is staged stay when staging is empty again
    with warehouse_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    key = infant_key(HASH_KEY, "north", "erasable")
    assert len(samples(warehouse_engine, "erasable")) > 15
    assert len(samples(warehouse_engine, key)) > 1
    purge(logins["iess_loader"], before=AT, at=AT, reason="30 days")
    assert [column for column in samples(warehouse_engine, "erasable") if "quarantine" in column] == []
    erase(logins["iess_loader"], "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked")
    assert samples(warehouse_engine, "erasable") == []
    assert samples(warehouse_engine, key) == []
    assert "clinical.resource.resource_id" in samples(warehouse_engine, "kept")


def test_not_even_the_deletion_of_an_erased_infants_records_names_them(run: Run, warehouse_engine: Engine) -> None:
    """Who asks for erasure here asks the hospital too: then its server tells of deletions, and of records cut short."""
    run(cohort())
    erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked")
    deleted = [("Patient", "erasable"), ("Encounter", "e-erasable"), ("Procedure", "erasable-eeg"), ("Device", "other")]
    finding = Quarantined("f", 1, "Condition", "c-erasable", "unreadable_element", "Condition.onset", "unreadable")
    report = run(Pull("20260106T000000Z", deleted=deleted, quarantined=[finding]))
    assert places(warehouse_engine, "erasable") == []
    assert places(warehouse_engine, "other") == ["clinical.resource"]
    assert {row["resource_type"]: (row["received"], row["deleted"], row["quarantined"]) for row in report.ledger} == {
        "Condition": (1, 0, 1),
        "Device": (1, 1, 0),
        "Encounter": (1, 1, 0),
        "Patient": (1, 1, 0),
        "Procedure": (1, 1, 0),
    }


def test_an_infant_erased_between_staging_and_load_is_not_loaded(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    later = replace(cohort("20260106T000000Z"), quarantined=[])
    again = [visit("erasable", "2026-01-03", version=2, updated="2026-01-06T00:00:00Z"), *later.resources]
    later = replace(later, resources=again)
    stage(warehouse_engine, later)
    erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked")
    assert places(warehouse_engine, "erasable") == []
    with pytest.raises(StagingStale):
        load(warehouse_engine, later.manifest(), hash_key=HASH_KEY)
    assert run(later).infants == 0
    assert places(warehouse_engine, "erasable") == []


def test_an_infant_is_erased_with_the_records_merged_into_them(run: Run, warehouse_engine: Engine) -> None:
    link = [{"type": "replaces", "other": {"reference": "Patient/erasable-old"}}]
    run(
        Pull(
            "20260105T000000Z", [patient("erasable-old"), condition("erasable-old"), patient("erasable-new", link=link)]
        )
    )
    assert erase(warehouse_engine, "north", "erasable-new", hash_key=HASH_KEY, at=AT, reason="asked").patients == 2
    assert places(warehouse_engine, "erasable") == []


def test_erasure_survives_a_change_of_the_key(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    erase(warehouse_engine, "north", "erasable", hash_key=HASH_KEY, at=AT, reason="asked")
    other = b"another key of thirty-two bytes."
    assert keys.rotate(warehouse_engine, HASH_KEY, other) == 1
    assert places(warehouse_engine, infant_key(HASH_KEY, "north", "kept")) == []
    assert places(warehouse_engine, infant_key(other, "north", "kept")) == [
        "analytics.infant_interval",
        "clinical.infant_key",
    ]
    with pytest.raises(HashKeyChanged):
        erase(warehouse_engine, "north", "kept", hash_key=HASH_KEY, at=AT, reason="asked")


def test_who_is_unknown_can_not_be_erased(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    with pytest.raises(InfantUnknown):
        erase(warehouse_engine, "south", "kept", hash_key=HASH_KEY, at=AT, reason="asked")


def test_a_purge_takes_findings_and_leaves_a_record_and_the_ledger(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    run(replace(cohort("20260301T000000Z")))
    stage(warehouse_engine, Pull("20260110T000000Z", [patient("abandoned")]))
    before = state.ledgers(warehouse_engine)
    removed = purge(warehouse_engine, before=AT, at=AT, reason="30 days")
    assert removed == {
        "clinical.quarantine": 2,
        "clinical.stg_conformance": 1,
        "clinical.stg_infant": 1,
        "clinical.stg_resource": 1,
        "ops.stg_ledger": 1,
        "ops.stg_pull": 1,
    }
    record_purge(warehouse_engine, what="landing", before=AT, at=AT, reason="30 days", count=3)
    with warehouse_engine.connect() as connection:
        recorded = connection.execute(text("SELECT what, rows_deleted FROM ops.purge ORDER BY what")).all()
    assert {row.what: row.rows_deleted for row in recorded} == {**removed, "landing": 3}
    pd.testing.assert_frame_equal(state.ledgers(warehouse_engine), before)


def test_open_findings_are_listed_until_a_replay_takes_them(run: Run, warehouse_engine: Engine) -> None:
    run(cohort())
    assert [(item.reason, item.findings) for item in quarantine.counts(warehouse_engine)] == [
        ("not_json", 1),
        ("unreadable_element", 1),
    ]
    found = quarantine.findings(warehouse_engine, "north", reason="not_json")
    assert [(item.file, item.line, item.message) for item in found] == [("f", 2, "no JSON")]
    assert quarantine.pulls_to_replay(warehouse_engine, "north", reasons=["unreadable_element"]) == ["20260105T000000Z"]
    assert quarantine.pulls_to_replay(warehouse_engine, "north", reasons=["no_id"]) == []

    mended = [*cohort().resources, condition("kept", identity="mended")]
    report = run(replace(cohort(), resources=mended, quarantined=cohort().quarantined[1:]), replay=True)
    assert {row["resource_type"]: (row["loaded"], row["unchanged"], row["quarantined"]) for row in report.ledger}[
        "Condition"
    ] == (1, 2, 1)
    assert [item.reason for item in quarantine.findings(warehouse_engine)] == ["not_json"]
