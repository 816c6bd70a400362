"""The load: conservation, versions, deletions, history, keys, and being asked twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import permutations

import pytest
from sqlalchemy import Engine, text

from fhir_mapping.model import Quarantined
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, resource, stage, visit
from warehouse import staging, state
from warehouse.errors import ClockWentBack, ConservationViolated, HashKeyChanged, SourceChanged, StagingStale
from warehouse.fingerprint import warehouse_hash
from warehouse.keys import infant_key
from warehouse.load import LedgerRow, LoadReport, load

pytestmark = pytest.mark.integration
Run = Callable[..., LoadReport]

FIRST = Pull(
    "20260105T000000Z",
    [
        patient("a"),
        condition("a"),
        patient("b"),
        condition("b"),
        visit("b", "2026-01-04"),
        resource("Practitioner", "p"),
    ],
    out_of_scope=Counter(Patient=7, Observation=20),
    quarantined=[Quarantined("Condition.ndjson", 9, "Condition", "", "no_id", "", "a resource without id")],
)


def line(report: LoadReport, kind: str) -> LedgerRow:
    return next(row for row in report.ledger if row["resource_type"] == kind)


def rows(engine: Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def test_every_received_line_is_accounted_for(run: Run, warehouse_engine: Engine) -> None:
    report = run(FIRST)
    assert line(report, "Patient") == {
        "resource_type": "Patient",
        "received": 9,
        "loaded": 2,
        "unchanged": 0,
        "superseded": 0,
        "deleted": 0,
        "out_of_scope": 7,
        "quarantined": 0,
    }
    assert line(report, "Condition")["quarantined"] == 1
    assert line(report, "Observation")["out_of_scope"] == 20
    assert rows(warehouse_engine, "SELECT stage, file, line, reason, path FROM clinical.quarantine") == [
        ("select", "Condition.ndjson", 9, "no_id", "")
    ]


def test_a_loaded_pull_is_a_no_op_with_the_same_report(run: Run, warehouse_engine: Engine) -> None:
    report = run(FIRST)
    before = warehouse_hash(warehouse_engine)
    assert run(FIRST) == report
    assert warehouse_hash(warehouse_engine) == before
    assert rows(warehouse_engine, "SELECT count(*) FROM clinical.stg_resource") == [(0,)]


def test_the_same_content_in_a_later_pull_is_unchanged(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    report = run(replace(FIRST, pull_id="20260106T000000Z"))
    assert line(report, "Condition")["unchanged"] == 2
    assert line(report, "Condition")["loaded"] == 0
    # b's wait has ended, so only a, who is still waiting, has a new row.
    assert (report.timelines_opened, report.timelines_closed) == (1, 1)


def test_an_older_version_never_overwrites_a_newer_one(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    newer = visit("b", "2026-01-03", version=3, updated="2026-01-06T00:00:00Z")
    older = visit("b", "2026-01-02", version=2, updated="2026-01-05T00:00:00Z")
    run(Pull("20260107T000000Z", [newer]))
    report = run(Pull("20260108T000000Z", [older]))
    assert line(report, "Encounter")["superseded"] == 1
    assert rows(warehouse_engine, "SELECT version_id FROM clinical.resource WHERE resource_type = 'Encounter'") == [
        ("3",)
    ]
    assert rows(warehouse_engine, "SELECT neurology::text FROM clinical.v_timeline WHERE infant = 'b'") == [
        ("2026-01-03",)
    ]


def test_a_version_number_decides_between_versions_of_one_instant(run: Run, warehouse_engine: Engine) -> None:
    same = "2026-01-06T00:00:00Z"
    run(Pull("20260107T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-05", version=10, updated=same)]))
    report = run(Pull("20260108T000000Z", [visit("a", "2026-01-09", version=9, updated=same)]))
    assert line(report, "Encounter")["superseded"] == 1


def test_pulls_in_any_order_give_the_same_state(
    run: Run, warehouse_engine: Engine, request: pytest.FixtureRequest
) -> None:
    pulls = [
        Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-04")]),
        Pull("20260106T000000Z", [visit("a", "2026-01-03", version=2, updated="2026-01-06T00:00:00Z")]),
        Pull("20260107T000000Z", deleted=[("Encounter", "e-a")]),
        Pull("20260108T000000Z", [patient("a", version=2, updated="2026-01-07T12:00:00Z", gender="male")]),
    ]
    states = set()
    for order in [*permutations(pulls)][::2]:
        with warehouse_engine.begin() as connection:
            for table in ("resource", "referral_timeline", "milestone_event", "infant_key"):
                connection.execute(text(f"DELETE FROM clinical.{table}"))
            for table in ("ops.pull", "ops.watermark", "ops.ledger", "analytics.infant_interval"):
                connection.execute(text(f"DELETE FROM {table}"))
        for pull in order:
            run(pull)
        states.add(
            str(
                rows(
                    warehouse_engine,
                    "SELECT resource_type, resource_id, version_id, sha256 FROM clinical.resource ORDER BY 1, 2",
                )
                + rows(
                    warehouse_engine,
                    "SELECT infant, content_sha256 FROM clinical.referral_timeline WHERE valid_to IS NULL",
                )
                + rows(warehouse_engine, "SELECT * FROM analytics.infant_interval ORDER BY 1, 3")
                + rows(warehouse_engine, "SELECT transaction_time FROM ops.watermark")
            )
        )
    assert len(states) == 1


def test_a_deletion_takes_the_infant_out_of_the_cohort(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    report = run(Pull("20260107T000000Z", deleted=[("Condition", "c-b")]))
    assert line(report, "Condition")["deleted"] == 1
    assert rows(warehouse_engine, "SELECT infant FROM clinical.v_timeline") == [("a",)]
    assert rows(warehouse_engine, "SELECT DISTINCT infant_key FROM analytics.infant_interval") == [
        (infant_key(HASH_KEY, "north", "a"),)
    ]
    assert rows(
        warehouse_engine,
        "SELECT valid_to AT TIME ZONE 'UTC' = '2026-01-07', closed_by FROM clinical.referral_timeline "
        "WHERE infant = 'b'",
    ) == [(True, "20260107T000000Z")]


def test_a_refuted_diagnosis_closes_the_row_and_a_renewed_one_opens_another(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    run(
        Pull(
            "20260107T000000Z",
            [condition("b", version=2, updated="2026-01-06T00:00:00Z", verificationStatus="refuted")],
        )
    )
    assert rows(warehouse_engine, "SELECT count(*) FROM clinical.v_timeline WHERE infant = 'b'") == [(0,)]
    run(Pull("20260109T000000Z", [condition("b", version=3, updated="2026-01-08T00:00:00Z")]))
    assert rows(warehouse_engine, "SELECT count(*) FROM clinical.referral_timeline WHERE infant = 'b'") == [(2,)]
    assert "b" in state.known_infants(warehouse_engine, "north")


def test_a_resource_made_again_after_its_deletion_is_back(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    run(Pull("20260107T000000Z", deleted=[("Encounter", "e-b")]))
    run(Pull("20260109T000000Z", [visit("b", "2026-01-04", version=3, updated="2026-01-08T00:00:00Z")]))
    assert rows(warehouse_engine, "SELECT neurology::text FROM clinical.v_timeline WHERE infant = 'b'") == [
        ("2026-01-04",)
    ]


def test_what_was_known_then(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    run(Pull("20260110T000000Z", [visit("a", "2026-01-09")]))
    with warehouse_engine.connect() as connection:
        then = state.timelines(connection, as_known=datetime(2026, 1, 7, tzinfo=UTC)).set_index("infant")
        now = state.timelines(connection).set_index("infant")
        before = state.timelines(connection, as_known=datetime(2026, 1, 1, tzinfo=UTC))
    assert then.loc["a", "status_provider_to_neurology"] == "censored"
    assert now.loc["a", "status_provider_to_neurology"] == "event"
    assert now.loc["a", "days_provider_to_neurology_low"] == 7
    assert len(before) == 0


def test_a_clock_that_goes_back_never_lets_knowledge_run_backwards(run: Run, warehouse_engine: Engine) -> None:
    run(replace(FIRST, pull_id="20260120T000000Z"))
    run(Pull("20260110T000000Z", [visit("a", "2026-01-09")]))
    assert state.watermark(warehouse_engine, "north") == "2026-01-20T00:00:00Z"
    assert rows(warehouse_engine, "SELECT count(*) FROM clinical.referral_timeline WHERE valid_to <= valid_from") == [
        (0,)
    ]


def test_analytics_holds_ages_in_months_and_years_only(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    assert rows(
        warehouse_engine,
        "SELECT year, age_months, status, delayed, days_low FROM analytics.infant_interval "
        "WHERE interval_name = 'provider_to_neurology' ORDER BY status",
    ) == [(2026, 6, "censored", "pending", 3), (2026, 6, "event", "no", 2)]
    assert rows(warehouse_engine, "SELECT count(*) FROM analytics.infant_interval") == [(20,)]


def test_an_element_that_mapping_could_not_read_counts_as_quarantined_until_it_can(
    run: Run, warehouse_engine: Engine
) -> None:
    pull = Pull("20260105T000000Z", [patient("a"), condition("a")])
    finding = Quarantined("Condition.ndjson", 1, "Condition", "c-a", "unreadable_element", "Condition.onset", "no date")
    stage(warehouse_engine, pull)
    with warehouse_engine.begin() as connection:
        staging._stage_quarantine(connection, ("north", pull.pull_id), "map", [(finding, "a")])
    report = load(warehouse_engine, pull.manifest(), hash_key=HASH_KEY)
    assert line(report, "Condition")["quarantined"] == 1
    assert line(report, "Condition")["loaded"] == 0
    replayed = run(pull, replay=True)
    assert replayed.attempt == 2
    assert line(replayed, "Condition")["loaded"] == 1
    assert line(replayed, "Patient")["unchanged"] == 1
    assert rows(warehouse_engine, "SELECT count(*) FROM ops.v_quarantine") == [(0,)]


def test_counts_that_do_not_add_up_stop_the_load(warehouse_engine: Engine) -> None:
    stage(warehouse_engine, FIRST)
    with warehouse_engine.begin() as connection:
        connection.execute(text("DELETE FROM clinical.stg_resource WHERE resource_id = 'e-b'"))
    before = warehouse_hash(warehouse_engine)
    with pytest.raises(ConservationViolated, match="Encounter: 1 received, 1 in scope, 0 staged"):
        load(warehouse_engine, FIRST.manifest(), hash_key=HASH_KEY)
    assert warehouse_hash(warehouse_engine) == before


def test_an_unstaged_pull_is_refused(warehouse_engine: Engine) -> None:
    with pytest.raises(StagingStale):
        load(warehouse_engine, FIRST.manifest(), hash_key=HASH_KEY)


def test_a_mapping_made_before_another_load_of_the_source_is_refused(run: Run, warehouse_engine: Engine) -> None:
    late = Pull("20260108T000000Z", [visit("a", "2026-01-07")])
    stage(warehouse_engine, late)
    run(FIRST)
    with pytest.raises(StagingStale):
        load(warehouse_engine, late.manifest(), hash_key=HASH_KEY)


def test_another_hash_key_is_refused(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    later = replace(FIRST, pull_id="20260106T000000Z")
    stage(warehouse_engine, later)
    with pytest.raises(HashKeyChanged):
        load(warehouse_engine, later.manifest(), hash_key=b"another key of thirty-two bytes.")


def test_a_changed_practitioner_touches_who_refers_to_them(run: Run, warehouse_engine: Engine) -> None:
    seen_by = visit("b", "2026-01-04", participant=[{"individual": {"reference": "Practitioner/p"}}])
    people = [patient("a"), condition("a"), visit("a", "2026-01-03"), patient("b"), condition("b"), seen_by]
    run(Pull("20260105T000000Z", [*people, resource("Practitioner", "p")]))
    pull = Pull("20260106T000000Z", [resource("PractitionerRole", "r", practitioner={"reference": "Practitioner/p"})])
    staging.stage_selection(warehouse_engine, pull.manifest(), pull.selection())
    assert staging.touched_infants(warehouse_engine, "north", pull.pull_id) == {"b"}


def test_merged_patients_are_brought_together(run: Run, warehouse_engine: Engine) -> None:
    run(Pull("20260105T000000Z", [patient("old"), condition("old"), visit("old", "2026-01-04")]))
    link = [{"type": "replaces", "other": {"reference": "Patient/old"}}]
    pull = Pull("20260106T000000Z", [patient("new", link=link)])
    staging.stage_selection(warehouse_engine, pull.manifest(), pull.selection())
    touched = staging.touched_infants(warehouse_engine, "north", pull.pull_id)
    assert touched == {"old", "new"}
    held = state.current_resources(warehouse_engine, "north", {"new"})
    assert [item.reference for item in held] == ["Condition/c-old", "Encounter/e-old", "Patient/old"]


def test_a_week_without_a_load_is_missing_and_not_zero(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    run(Pull("20260120T000000Z", [visit("a", "2026-01-09", updated="2026-01-10T00:00:00Z")]))
    found = rows(
        warehouse_engine,
        "SELECT week::text, state, received, infants_changed, unknown_payer, median_lag_days FROM ops.v_completeness "
        "ORDER BY week",
    )
    assert [(week, state, received, infants) for week, state, received, infants, *_ in found] == [
        ("2026-01-05", "loaded", 34, 2),
        ("2026-01-12", "missing", None, None),
        ("2026-01-19", "loaded", 1, 1),
    ]
    assert found[0][4:] == (0, 1)
    assert found[2][5] == 11


def test_the_censor_date_moves_with_the_data_and_as_known_then_it_is_the_one_of_then(
    run: Run, warehouse_engine: Engine
) -> None:
    born = patient("b", birthDate="2024-01-08", version=2)
    died = {"evidence": {"censored": ["Patient/d/1", "MC.2"]}, "censored_on": date(2026, 1, 4)}
    run(replace(FIRST, resources=[*FIRST.resources, patient("d"), condition("d"), visit("d", "2026-01-03")]))
    with warehouse_engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE clinical.referral_timeline SET evidence = CAST(:evidence AS json), censored_on = :on "
                "WHERE infant = 'd'"
            ),
            {"evidence": json.dumps(died["evidence"]), "on": died["censored_on"]},
        )
    run(Pull("20260120T000000Z", [resource("Practitioner", "q"), born]))
    run(Pull("20260122T000000Z", [resource("Practitioner", "z")]))
    query = "SELECT infant, censored_on::text FROM {} ORDER BY infant"
    assert rows(warehouse_engine, query.format("clinical.v_timeline")) == [
        ("a", "2026-01-22"),
        ("b", "2026-01-22"),
        ("d", "2026-01-04"),
    ]
    assert rows(warehouse_engine, query.format("clinical.timeline_as_of('2026-01-06')")) == [
        ("a", "2026-01-05"),
        ("b", "2026-01-05"),
        ("d", "2026-01-04"),
    ]


@pytest.mark.parametrize(
    ("told", "held"),
    [("2035-01-01", "2026-01-06"), ("2026-01-06", "2026-01-06"), ("2026-01-01", "2026-01-01"), (None, None)],
)
def test_a_pull_reaches_no_further_than_its_time(told: str | None, held: str | None, warehouse_engine: Engine) -> None:
    """Otherwise one record with a wrong date would have a source that falls silent look up to date for years."""
    pull = Pull("20260105T000000Z", [patient("a")])
    selection = replace(pull.selection(), data_through=date.fromisoformat(told) if told else None)
    staging.stage_selection(warehouse_engine, pull.manifest(), selection)
    with warehouse_engine.connect() as connection:
        found = connection.execute(text("SELECT data_through FROM ops.stg_pull")).scalar_one()
    assert found == (date.fromisoformat(held) if held else None)


def test_a_server_whose_clock_went_back_is_refused(run: Run, warehouse_engine: Engine) -> None:
    run(FIRST)
    before = warehouse_hash(warehouse_engine)
    asked = Pull("20260104T000000Z", [visit("a", "2026-01-03")], since="2026-01-05T00:00:00Z")
    with pytest.raises(ClockWentBack, match="since 2026-01-05T00:00:00Z, and its server says that it is 2026-01-04"):
        run(asked)
    assert warehouse_hash(warehouse_engine) == before
    run(replace(asked, since="2026-01-03T00:00:00Z"))  # an older pull that is loaded late is another thing


def test_staging_is_not_logged_and_nothing_else_is(warehouse_engine: Engine) -> None:
    unlogged = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u'"
    staged = "SELECT tablename FROM pg_tables WHERE starts_with(tablename, 'stg_')"
    assert sorted(rows(warehouse_engine, unlogged)) == sorted(rows(warehouse_engine, staged)) != []


def test_a_source_that_changes_its_time_zone_is_refused(run: Run, warehouse_engine: Engine) -> None:
    run(replace(FIRST, timezone="America/New_York"))
    run(replace(FIRST, pull_id="20260106T000000Z", timezone="America/New_York"))
    before = warehouse_hash(warehouse_engine)
    with pytest.raises(SourceChanged, match="America/New_York"):
        run(replace(FIRST, pull_id="20260107T000000Z", timezone="Europe/Paris"))
    assert warehouse_hash(warehouse_engine) == before
    run(replace(FIRST, pull_id="20260107T000000Z", timezone="Europe/Paris", source="south"))


def test_a_nul_character_in_a_record_does_not_stop_the_pull(run: Run, warehouse_engine: Engine) -> None:
    odd = resource("Condition", "odd", subject={"reference": "Patient/a"}, note=[{"text": "x\0y"}])
    odd = replace(odd, version_id="1\0")
    finding = Quarantined("f", 1, "Condition", "c\0", "unreadable_element", "Condition.\0", "odd")
    report = run(Pull("20260105T000000Z", [patient("a"), condition("a"), odd], quarantined=[finding]))
    assert line(report, "Condition")["loaded"] == 2
    assert [
        item.body["note"] for item in state.current_resources(warehouse_engine, "north", ["a"]) if item.id == "odd"
    ] == [[{"text": "x\0y"}]]


def test_types_that_the_server_does_not_offer_are_on_the_pull(warehouse_engine: Engine) -> None:
    pull = Pull("20260107T000000Z", [patient("a"), condition("a")])
    stage(warehouse_engine, pull)
    load(warehouse_engine, replace(pull.manifest(), left_out=("Task", "Coverage")), hash_key=HASH_KEY)
    assert rows(warehouse_engine, "SELECT left_out FROM ops.pull") == [(["Coverage", "Task"],)]
