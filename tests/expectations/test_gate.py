"""The gate on a real PostgreSQL: verdicts, errors told from failures, and nothing of a row in what it says."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy

from expectations import gate
from expectations.errors import CatalogueInvalid, GateBlocked, GateBroken, GateUnreachable
from fhir_mapping.contract import COLUMNS, INTERVALS

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

pytestmark = pytest.mark.integration
SOURCE, PULL = "site_a", "20261123T070000Z"


def clean_timeline(infant: str = "i1", **changes: Any) -> dict[str, Any]:
    """A row that every rule accepts: first seen on 1 March 2026, neurologist on 6 March, treated on the 8th."""
    row: dict[str, Any] = {column.name: None for column in COLUMNS}
    row.update(
        source=SOURCE,
        pull_id=PULL,
        infant=infant,
        cohort="definite",
        birth_date=date(2025, 10, 1),
        sex="female",
        onset_low=date(2026, 2, 1),
        onset_high=date(2026, 2, 28),
        first_provider=date(2026, 3, 1),
        referral=date(2026, 3, 2),
        neurology=date(2026, 3, 6),
        eeg=date(2026, 3, 6),
        diagnosis=date(2026, 3, 6),
        first_line=date(2026, 3, 8),
        first_line_drug="acth",
        first_treatment=date(2026, 3, 8),
        first_treatment_drug="acth",
        censored_on=date(2026, 11, 22),
        pathway="referred",
        referral_evidence="coded",
        age_days=151,
        race_ethnicity="nh_black",
        bipoc="yes",
        payer="public",
        language="en",
        interpreter="no",
        flags="",
        evidence="{}",
    )
    waits = {
        "onset_to_provider": (1, 28, "indeterminate"),
        "provider_to_neurology": (5, 5, "no"),
        "provider_to_referral": (1, 1, "no"),
        "referral_to_neurology": (4, 4, "no"),
        "neurology_to_first_line": (2, 2, "no"),
        "provider_to_eeg": (5, 5, "no"),
        "eeg_to_first_line": (2, 2, "no"),
        "diagnosis_to_first_line": (2, 2, "no"),
        "onset_to_first_line": (8, 35, "yes"),
        "provider_to_first_line": (7, 7, "no"),
    }
    for interval in INTERVALS:
        low, high, delayed = waits[interval.name]
        row[f"days_{interval.name}_low"], row[f"days_{interval.name}_high"] = low, high
        row[f"status_{interval.name}"], row[f"delayed_{interval.name}"] = "event", delayed
    return row | changes


@pytest.fixture
def engine(database_url: str) -> Engine:
    engine = sqlalchemy.create_engine(database_url, poolclass=sqlalchemy.NullPool)
    types = {"text": "text", "date": "date", "int": "integer", "json": "jsonb"}
    columns = ", ".join(f"{column.name} {types[column.type]}" for column in COLUMNS)
    with engine.begin() as connection:
        connection.exec_driver_sql("create schema clinical")
        connection.exec_driver_sql(f"create table clinical.stg_timeline (pull_id text, {columns})")
    return engine


def stage(engine: Engine, *rows: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for row in rows:
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(sqlalchemy.text(f"insert into clinical.stg_timeline ({names}) values ({values})"), row)


def test_a_clean_row_passes_every_rule(engine: Engine, database_url: str) -> None:
    stage(engine, clean_timeline())
    report = gate.run(database_url, "timeline", source=SOURCE, pull_id=PULL)
    assert [(result.rule_id, result.error) for result in report.results if result.status != "pass"] == []
    assert not report.blocked
    report.raise_if_blocked()
    assert {result.judged_rows for result in report.results} <= {0, 1}


def test_a_critical_failure_blocks_and_names_the_row_only_by_key(engine: Engine, database_url: str) -> None:
    stage(engine, clean_timeline("i1"), clean_timeline("i2", payer="Acme secret plan"))
    report = gate.run(database_url, "timeline", source=SOURCE, pull_id=PULL)
    assert [result.rule_id for result in report.failed] == ["TIM-008"]
    assert report.failing_keys() == [
        {"source": SOURCE, "pull_id": PULL, "rule_id": "TIM-008", "table": "timeline", "infant": "i2"}
    ]
    with pytest.raises(GateBlocked, match=r"TIM-008 \(1 of 2 rows\)") as caught:
        report.raise_if_blocked()
    for text in (str(caught.value), repr(report), str(report.rows())):
        assert "Acme" not in text
        assert "i2" not in text


def test_another_pull_is_not_looked_at(engine: Engine, database_url: str) -> None:
    stage(engine, clean_timeline(), clean_timeline("i2", payer="nonsense", pull_id="20261124T070000Z"))
    assert not gate.run(database_url, "timeline", source=SOURCE, pull_id=PULL).failed


def test_a_rule_that_cannot_run_is_an_error_and_not_a_failure(
    engine: Engine, database_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("alter table clinical.stg_timeline drop column payer")
        connection.exec_driver_sql("alter table clinical.stg_timeline alter column censored_on type text")
    row = clean_timeline("infant-13", censored_on="Secret Name")
    del row["payer"]
    stage(engine, row)
    with caplog.at_level(logging.DEBUG):
        report = gate.run(database_url, "timeline", source=SOURCE, pull_id=PULL)
    assert [(result.rule_id, result.error) for result in report.broken] == [("TIM-008", "42703 UndefinedColumn")]
    assert report.blocked
    with pytest.raises(GateBroken, match=r"TIM-008 \(42703 UndefinedColumn\)"):
        report.raise_if_blocked()
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err):
        assert "Secret" not in text
        assert "infant-13" not in text
    assert "Calculating Metrics" not in err


def test_missing_tables_are_errors_of_every_rule(database_url: str) -> None:
    report = gate.run(database_url, "timeline", source=SOURCE, pull_id=PULL)
    assert report.results
    assert {result.error for result in report.results} == {"42P01 UndefinedTable"}


def test_a_database_that_is_down_is_retriable(database_url: str) -> None:
    gone = sqlalchemy.make_url(database_url).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(GateUnreachable) as caught:
        gate.run(gone, "timeline", source=SOURCE, pull_id=PULL)
    assert caught.value.retriable
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["", "a'b", "a b", "x{y}", "a:b", "a%b", "../a", "a\\b", "a\n"])
def test_a_name_that_could_leave_its_quotes_is_refused(name: str) -> None:
    with pytest.raises(CatalogueInvalid):
        gate.run("postgresql+psycopg://nowhere", "timeline", source=name, pull_id=PULL)
    with pytest.raises(CatalogueInvalid):
        gate.run("postgresql+psycopg://nowhere", "timeline", source=SOURCE, pull_id=name)
