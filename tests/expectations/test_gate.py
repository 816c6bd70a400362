"""The gate on a real PostgreSQL: verdicts, errors told from failures, and nothing of a row in what it says."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from expectations import gate, rules
from expectations.errors import CatalogueInvalid, GateBlocked, GateBroken, GateUnreachable
from expectations.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

    Stage = Callable[..., None]

pytestmark = pytest.mark.integration
PULL, RUN = "20261123T070000Z", "gate-2026-11-23"
HERE = Path(__file__).parent


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def test_a_critical_failure_blocks_and_names_the_row_only_by_key(staging: Engine, stage: Stage) -> None:
    violation = {"table": "timeline", "set": {"payer": "Acme secret plan"}}
    stage(staging, "blocked", "blocked-2026-11-23", violation=violation)
    report = gate.run(url_of(staging), "timeline", source="blocked", pull_id=PULL)
    assert [result.rule_id for result in report.failed] == ["TIM-008"]
    assert report.failing_keys() == [
        {"source": "blocked", "pull_id": PULL, "rule_id": "TIM-008", "table": "timeline", "infant": "i1"}
    ]
    with pytest.raises(GateBlocked, match=r"TIM-008 \(1 of 1 rows\)") as caught:
        report.raise_if_blocked()
    for text in (str(caught.value), repr(report), str(report.rows())):
        assert "Acme" not in text
        assert "i1" not in text


def test_a_warning_is_recorded_and_does_not_block(staging: Engine, stage: Stage) -> None:
    violation = {"table": "timeline", "set": {"language": "English"}}
    stage(staging, "warned", "warned-2026-11-23", violation=violation)
    report = gate.run(url_of(staging), "timeline", source="warned", pull_id=PULL)
    assert [(result.rule_id, result.keys) for result in report.failed] == [("TIM-010", (("i1",),))]
    assert not report.blocked
    report.raise_if_blocked()


def test_another_pull_and_another_source_are_not_looked_at(staging: Engine, stage: Stage) -> None:
    stage(staging, "clean", "clean-2026-11-23")
    stage(staging, "dirty", "dirty-2026-11-23", violation={"table": "timeline", "set": {"payer": "Acme"}})
    assert not gate.run(url_of(staging), "timeline", source="clean", pull_id=PULL).failed
    with staging.begin() as connection:
        connection.exec_driver_sql(
            "update clinical.stg_timeline set source = 'clean', pull_id = '20261124T070000Z' where source = 'dirty'"
        )
    assert not gate.run(url_of(staging), "timeline", source="clean", pull_id=PULL).failed


def test_a_pull_that_nothing_was_staged_under_is_blocked(staging: Engine) -> None:
    report = gate.run(url_of(staging), "staged", source="nowhere", pull_id=PULL)
    assert [result.rule_id for result in report.failed] == ["PUL-001", "PUL-002"]
    assert report.blocked


def test_a_share_within_the_threshold_passes_and_counts_its_rows(staging: Engine, stage: Stage) -> None:
    rows = {"table": "timeline", "set": {"payer": "unknown"}, "population": 50}
    few = rows | {"set": {}}
    stage(staging, "few", "few-2026-11-23", violation=few)
    with staging.begin() as connection:
        connection.exec_driver_sql(
            "update clinical.stg_timeline set payer = 'unknown' where source = 'few' and infant < 'i18'"
        )
    found = {r.rule_id: r for r in gate.run(url_of(staging), "timeline", source="few", pull_id=PULL).results}["TIM-054"]
    assert (found.status, found.judged_rows, found.failing_rows) == ("pass", 50, 10)
    assert found.share == 0.2
    assert len(found.keys) == 10


def test_a_site_may_set_a_threshold_of_its_own(staging: Engine, stage: Stage, tmp_path: Path) -> None:
    violation = {"table": "timeline", "set": {"payer": "unknown"}, "population": 50}
    stage(staging, "overridden", "overridden-2026-11-23", violation=violation)
    table = tmp_path / "overrides.csv"
    header = "source,rule,threshold,why,owner\n"
    for named, expected in (("elsewhere", {"TIM-054", "DIS-003"}), ("overridden", {"DIS-003"})):
        table.write_text(f"{header}{named},TIM-054,0.999,no coverage feed until March,data steward\n")
        report = gate.run(url_of(staging), "timeline", source="overridden", pull_id=PULL, overrides=table)
        # 50 of 50 is more than 0.999 of 50 rows.
        assert {result.rule_id for result in report.failed} == expected | {"TIM-054"}
    table.write_text(f"{header}overridden,TIM-054,0.5,no coverage feed until March,data steward\n")
    with staging.begin() as connection:
        connection.exec_driver_sql(
            "update clinical.stg_timeline set payer = 'public' where source = 'overridden' and infant < 'i35'"
        )
    report = gate.run(url_of(staging), "timeline", source="overridden", pull_id=PULL, overrides=table)
    assert not report.failed


def test_great_expectations_agrees_with_the_catalogues_own_queries(staging: Engine, stage: Stage) -> None:
    violations: dict[str, dict[str, Any]] = json.loads((HERE / "violations.json").read_text(encoding="utf-8"))
    chosen = [
        violations[rule] for rule in ("TIM-008", "TIM-020", "TIM-036", "TIM-043", "TIM-075", "EVT-004", "EVT-007")
    ]
    stage(staging, "mixed", "mixed-2026-11-23", violation=chosen[0])
    for number, violation in enumerate(chosen[1:]):
        stage(staging, f"mixed-{number}", f"mixed-{number}-2026-11-23", violation=violation)
    with staging.begin() as connection:
        for number in range(len(chosen) - 1):
            for table in ("stg_timeline", "stg_event"):
                connection.exec_driver_sql(
                    f"update clinical.{table} set source = 'mixed', infant = infant || '-{number}' "
                    f"where source = 'mixed-{number}'"
                )
    scope = Scope("mixed", PULL)
    report = gate.run(url_of(staging), "timeline", source="mixed", pull_id=PULL)
    catalogue = rules.load()
    with staging.connect() as connection:
        for result in report.results:
            rule = catalogue[result.rule_id]
            query = scope.over_threshold(rule, f"({scope.rows(rule.table)}) as pull")
            fails = bool(connection.execute(sqlalchemy.text(query)).all())
            assert (result.rule_id, result.status) == (rule.id, "fail" if fails else "pass")
    # The staged copies have no mapped infant and no resource of their own: TIM-044 fails as well.
    assert {"TIM-008", "TIM-020", "TIM-036", "TIM-043", "TIM-075", "EVT-004", "EVT-007"} < {
        result.rule_id for result in report.failed
    }


def test_a_rule_that_cannot_run_is_an_error_and_not_a_failure(
    own_staging: Engine, stage: Stage, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    stage(own_staging, "broken", RUN)
    with own_staging.begin() as connection:
        # PostgreSQL's message on text that is no JSON quotes the text.
        connection.exec_driver_sql("alter table clinical.stg_timeline alter column evidence type text")
        connection.exec_driver_sql("update clinical.stg_timeline set evidence = 'Anna Smith'")
        connection.exec_driver_sql("alter table clinical.stg_timeline drop column payer")
    with caplog.at_level(logging.DEBUG):
        report = gate.run(url_of(own_staging), "timeline", source="broken", pull_id=PULL)
    assert {result.rule_id: result.error for result in report.broken} == {
        "TIM-008": "42703 UndefinedColumn",
        "TIM-043": "22P02 InvalidTextRepresentation",
        "TIM-054": "42703 UndefinedColumn",
        "DIS-003": "42703 UndefinedColumn",
    }
    assert report.blocked
    with pytest.raises(GateBroken, match=r"TIM-008 \(42703 UndefinedColumn\)") as caught:
        report.raise_if_blocked()
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err, str(caught.value), repr(report)):
        assert "Anna" not in text
    assert caught.value.__context__ is None
    assert err == ""


def test_missing_tables_are_errors_of_every_rule(database_url: str) -> None:
    report = gate.run(database_url, "timeline", source="a", pull_id=PULL)
    assert {result.error for result in report.results} == {"42P01 UndefinedTable"}


def test_a_database_that_is_down_is_retriable(database_url: str) -> None:
    gone = sqlalchemy.make_url(database_url).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(GateUnreachable) as caught:
        gate.run(gone, "timeline", source="a", pull_id=PULL)
    assert caught.value.retriable
    assert caught.value.__context__ is None


def test_a_database_that_goes_away_in_the_middle_is_retriable(
    own_staging: Engine, stage: Stage, monkeypatch: pytest.MonkeyPatch, admin: psycopg.Connection
) -> None:
    from expectations import validation

    stage(own_staging, "gone", "gone-2026-11-23")
    verdicts, name = validation.verdicts, sql.Identifier(str(own_staging.url.database))

    def after_a_crash(*arguments: Any) -> Any:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [own_staging.url.database]
        )
        return verdicts(*arguments)

    monkeypatch.setattr(validation, "verdicts", after_a_crash)
    with pytest.raises(GateUnreachable) as caught:
        gate.run(url_of(own_staging), "timeline", source="gone", pull_id=PULL)
    assert caught.value.retriable
    assert caught.value.__context__ is None


def test_the_gate_waits_for_no_load_and_leaves_nothing_behind(staging: Engine, stage: Stage) -> None:
    stage(staging, "locked", "locked-2026-11-23")
    with staging.connect() as load:
        load.exec_driver_sql("lock table clinical.resource, clinical.stg_timeline in share row exclusive mode")
        load.exec_driver_sql("delete from clinical.stg_timeline where source = 'locked'")
        report = gate.run(url_of(staging), "timeline", source="locked", pull_id=PULL)
        load.rollback()
    assert not report.failed
    with staging.connect() as connection:
        left = connection.exec_driver_sql("select count(*) from pg_stat_activity where application_name = 'iess-gate'")
        assert left.scalar_one() == 0


@pytest.mark.parametrize("name", ["", "a'b", "a b", "x{y}", "a:b", "a%b", "../a", "a\\b", "a\n"])
def test_a_name_that_could_leave_its_quotes_is_refused(name: str) -> None:
    with pytest.raises(CatalogueInvalid):
        gate.run("postgresql+psycopg://nowhere", "timeline", source=name, pull_id=PULL)
    with pytest.raises(CatalogueInvalid):
        gate.run("postgresql+psycopg://nowhere", "timeline", source="a", pull_id=name)


@pytest.mark.parametrize("pull_id", ["20261323T070000Z", "20261123", "p1", "weekly-2026-13-01", "2026-11-23; drop"])
def test_an_id_that_names_no_day_is_refused(pull_id: str) -> None:
    with pytest.raises(CatalogueInvalid, match="instant"):
        Scope("a", pull_id)
