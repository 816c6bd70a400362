"""What a reader could work out without reading it: from plans, system columns, the order of rows, planted functions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine, text

from fhir_mapping.model import MappedInfant
from tests.warehouse.conftest import HASH_KEY, Pull, condition, may, patient, row_of, stage, two_sites, visit
from warehouse import keys, migrate, staging
from warehouse.load import LoadReport, load

pytestmark = pytest.mark.integration


def plan(engine: Engine, query: str, **settings: str) -> str:
    """What EXPLAIN ANALYZE tells: every count of rows, loops and buffers, but no time."""
    with engine.begin() as connection:
        for name, value in settings.items():
            connection.execute(text(f"SET LOCAL {name} = {value}"))
        told = connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) {query}"
        ).scalars()
        return "\n".join(told)


@pytest.mark.parametrize(
    "scans", [{}, {"enable_indexscan": "off", "enable_bitmapscan": "off"}, {"enable_seqscan": "off"}]
)
def test_a_plan_tells_nothing_of_another_sites_infants(
    scans: dict[str, str], logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    for source, infant in (("north", "northerner"), ("south", "southerner")):
        pull = Pull(
            "20260105T000000Z", [patient(infant), condition(infant), visit(infant, "2026-01-04")], source=source
        )
        stage(warehouse_engine, pull)
        load(warehouse_engine, pull.manifest(), hash_key=HASH_KEY)
    with warehouse_engine.begin() as connection:
        connection.execute(text("INSERT INTO clinical.site_access VALUES ('iess_clinical', 'south')"))
    timeline, resource = "SELECT 1 FROM clinical.referral_timeline WHERE", "SELECT 1 FROM clinical.resource WHERE"
    guesses = {
        f"{timeline} source = 'north' AND infant = '{{}}'": ("northerner", "nowhere"),
        f"{timeline} source <> 'south' AND infant > '{{}}'": ("nobody", "northernmost"),
        f"{timeline} infant = 'northerner' AND birth_date = '{{}}'": ("2025-06-15", "2025-06-16"),
        f"{timeline} source = 'north' AND birth_date > '{{}}'": ("2025-06-14", "2025-06-15"),
        f"{resource} source = 'north' AND resource_type = '{{}}'": ("Condition", "Device"),
        f"{resource} reference_keys @> ARRAY['{{}}']": ("Patient/northerner", "Patient/nowhere"),
        "SELECT 1 FROM clinical.v_timeline WHERE source = 'north' AND race_ethnicity = '{}'": ("nh_black", "nh_asian"),
        "SELECT 1 FROM clinical.v_evidence WHERE infant = '{}'": ("northerner", "nowhere"),
    }
    for query, answers in guesses.items():
        told = {plan(logins["iess_clinical"], query.format(guess), **scans).replace(guess, "?") for guess in answers}
        assert len(told) == 1, told


def test_the_planners_statistics_of_clinical_columns_are_told_to_no_reader(
    logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    two_sites(warehouse_engine)
    with warehouse_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    for role, engine in logins.items():
        with engine.connect() as connection:
            told = connection.execute(text("SELECT DISTINCT schemaname FROM pg_stats WHERE schemaname = 'clinical'"))
            assert list(told.scalars()) == (["clinical"] if role == "iess_loader" else []), role


def test_system_columns_do_not_tell_in_which_load_an_infant_came(
    logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    two_sites(warehouse_engine)
    for column in ("xmin", "ctid", "tableoid", "cmin"):
        assert not may(logins["iess_analyst"], f"SELECT {column} FROM analytics.infant_interval")
    for readable in ("SELECT *", "SELECT count(*)", "SELECT i", "TABLESAMPLE"):
        query = (
            "SELECT 1 FROM analytics.infant_interval TABLESAMPLE SYSTEM (50)"
            if readable == "TABLESAMPLE"
            else (f"{readable} FROM analytics.infant_interval i")
        )
        assert may(logins["iess_analyst"], query), readable


def key_order(engine: Engine, relation: str) -> list[str]:
    """Keys of infants in the order in which the rows come when nobody asks for one."""
    with engine.begin() as connection:
        return list(connection.exec_driver_sql(f"SELECT infant_key FROM {relation}").scalars())


def test_rows_lie_in_the_order_of_keys_and_not_of_ids(warehouse_engine: Engine) -> None:
    infants = [item for n in range(40) for item in (patient(f"i{n:03}"), condition(f"i{n:03}"))]
    pull = Pull("20260105T000000Z", infants)
    stage(warehouse_engine, pull)
    load(warehouse_engine, pull.manifest(), hash_key=HASH_KEY)
    part, then = "analytics.infant_interval_provider_to_eeg", "analytics.interval_at_year_end(2026)"
    assert key_order(warehouse_engine, part) == sorted(key_order(warehouse_engine, part))
    assert key_order(warehouse_engine, then) == sorted(key_order(warehouse_engine, then))
    keys.rotate(warehouse_engine, HASH_KEY, b"another key of thirty-two bytes.")
    assert key_order(warehouse_engine, part) == sorted(key_order(warehouse_engine, part))
    migrate.downgrade(warehouse_engine, "0007")
    migrate.upgrade(warehouse_engine)
    assert key_order(warehouse_engine, part) == sorted(key_order(warehouse_engine, part))


def test_a_planted_function_sees_no_row_of_what_a_view_counts(
    logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    """Without the barrier the planner would run it on the rows below the count, since it claims to cost nothing."""
    two_sites(warehouse_engine)
    with logins["iess_analyst"].begin() as connection:
        heard: list[str] = []
        driver: Any = connection.connection.driver_connection
        driver.add_notice_handler(lambda notice: heard.append(notice.message_primary))
        driver.execute(
            "CREATE FUNCTION pg_temp.listen(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS "
            "$$ BEGIN RAISE NOTICE '% %', $1, $2; RETURN true; END $$"
        )
        query = "FROM analytics.v_nonconformance WHERE pg_temp.listen(value, resource_type)"
        rows = connection.exec_driver_sql(f"SELECT count(*) {query}").scalar_one()
    assert len(heard) == rows > 0


def test_nobody_leaves_anything_where_others_would_find_it(logins: dict[str, Engine], warehouse_engine: Engine) -> None:
    for role, engine in logins.items():
        assert not may(engine, "CREATE TABLE public.planted (a integer)"), role
        assert not may(engine, "CREATE SCHEMA planted"), role
        assert may(engine, "CREATE TEMPORARY TABLE own (a integer)") == (
            role in ("iess_loader", "iess_clinical", "iess_analyst")
        ), role


@pytest.mark.parametrize("statement", ["SELECT pg_read_file('PG_VERSION')", "COPY (SELECT 1) TO PROGRAM 'true'"])
def test_no_role_reaches_the_servers_files(statement: str, logins: dict[str, Engine]) -> None:
    assert [role for role, engine in logins.items() if may(engine, statement)] == []


def test_copy_keeps_to_the_readers_sites(logins: dict[str, Engine], warehouse_engine: Engine) -> None:
    two_sites(warehouse_engine)
    with warehouse_engine.begin() as connection:
        connection.execute(text("INSERT INTO clinical.site_access VALUES ('iess_clinical', 'south')"))
    with logins["iess_clinical"].connect() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy("COPY clinical.infant_key (source) TO STDOUT") as copy:
            assert [bytes(line) for line in copy] == [b"south\n"]


def test_an_open_wait_is_counted_to_90_days(run: Callable[..., LoadReport], warehouse_engine: Engine) -> None:
    """More of them, counted back from the day that the data reach, would be the day on which the wait began."""
    asked = text(
        "SELECT status, delayed, days_low, days_high FROM analytics.infant_interval "
        "WHERE interval_name = 'provider_to_neurology' ORDER BY status, days_low"
    )

    def seen() -> list[tuple[object, ...]]:
        with warehouse_engine.connect() as connection:
            return [tuple(row) for row in connection.execute(asked)]

    late = visit("seen", "2026-06-01")
    run(Pull("20260630T000000Z", [patient("waits"), condition("waits"), patient("seen"), condition("seen"), late]))
    assert seen() == [("censored", "yes", 90, 90), ("event", "yes", 150, 150)]
    migrate.downgrade(warehouse_engine, "0010")
    assert seen() == [("censored", "yes", 179, 179), ("event", "yes", 150, 150)]
    migrate.upgrade(warehouse_engine)
    assert seen() == [("censored", "yes", 90, 90), ("event", "yes", 150, 150)]


def test_an_infant_has_one_year(warehouse_engine: Engine) -> None:
    """Two years and the days between would tell the day on which the wait crossed from one into the other."""
    pull = Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-02")])
    staging.stage_selection(warehouse_engine, pull.manifest(), pull.selection())
    crossing = row_of("north", "a", date(2025, 12, 30), date(2026, 1, 2), date(2026, 1, 5), diagnosis=date(2026, 1, 3))
    staging.stage_mapping(warehouse_engine, "north", pull.pull_id, [MappedInfant("a", crossing, None, ())], [])
    load(warehouse_engine, pull.manifest(), hash_key=HASH_KEY)
    years = "SELECT interval_name, year FROM analytics.infant_interval ORDER BY 1"

    def asked() -> set[int | None]:
        with warehouse_engine.connect() as connection:
            return {year for _, year in connection.execute(text(years))}

    assert asked() == {2025}
    migrate.downgrade(warehouse_engine, "0007")
    assert asked() == {2025, 2026, None}
    migrate.upgrade(warehouse_engine)
    assert asked() == {2025}
