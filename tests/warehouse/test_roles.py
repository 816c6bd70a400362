"""Each role logs in and tries to read what it must not, table by table."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Engine, text

from surveillance import alerts
from tests.warehouse.conftest import HASH_KEY, Pull, condition, may, patient, stage, two_sites
from warehouse.errors import RoleRefused, translated
from warehouse.load import load
from warehouse.roles import READERS, ROLES
from warehouse.schema.analytics import PARTITIONS
from warehouse.schema.base import SCHEMAS

pytestmark = pytest.mark.integration
#: Not even those who read the schema may read these.
NOBODY = {"ops.erasure", "ops.hash_key"}
#: Partitions: their rows are read through the whole.
PARTS = {f"analytics.{name}" for name in PARTITIONS.values()}
#: What the clinical role may write: an alert's state, and a line in its log.
ANSWERS = {
    "INSERT ops.alert_event",
    *(f"UPDATE ops.alert.{column}" for column in ("status", "assignee", "closed_on", "resolution")),
}


def relations(engine: Engine) -> list[tuple[str, str]]:
    """(schema, relation) of every table and view of ours."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = ANY(:schemas) AND c.relkind IN ('r', 'v', 'p') ORDER BY 1, 2"
            ),
            {"schemas": list(SCHEMAS)},
        )
        return [(schema, name) for schema, name in rows]


@pytest.mark.parametrize("role", [*ROLES, "nobody"])
def test_a_role_reads_its_schemas_and_nothing_else(
    role: str, logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    found = relations(warehouse_engine)
    assert len(found) > 40
    readable = {
        f"{schema}.{name}" for schema, name in found if may(logins[role], f"SELECT * FROM {schema}.{name} LIMIT 1")
    }
    expected = {
        f"{schema}.{name}"
        for schema, name in found
        if role == "iess_loader"
        or (role in READERS[schema] and not name.startswith("stg_") and f"{schema}.{name}" not in {*NOBODY, *PARTS})
    }
    assert readable == expected


@pytest.mark.parametrize("role", [role for role in (*ROLES, "nobody") if role != "iess_loader"])
def test_only_the_loader_writes(role: str, logins: dict[str, Engine], warehouse_engine: Engine) -> None:
    with warehouse_engine.connect() as connection:
        columns = connection.execute(
            text(
                "SELECT c.oid, n.nspname || '.' || c.relname, a.attname FROM pg_attribute a "
                "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname = ANY(:schemas) AND c.relkind IN ('r', 'v', 'p') AND a.attnum > 0 "
                "AND NOT a.attisdropped"
            ),
            {"schemas": list(SCHEMAS)},
        ).all()
    found = [f"{schema}.{name}" for schema, name in relations(warehouse_engine)]
    written = {f"DELETE {name}" for name in found if may(logins[role], f"DELETE FROM {name}")}
    written |= {f"INSERT {name}" for name in found if may(logins[role], f"INSERT INTO {name} DEFAULT VALUES")}
    with logins[role].connect() as connection:
        may_update = text("SELECT has_column_privilege(CAST(:oid AS oid), CAST(:column AS text), 'UPDATE')")
        written |= {
            f"UPDATE {name}.{column}"
            for oid, name, column in columns
            if connection.execute(may_update, {"oid": oid, "column": column}).scalar_one()
        }
    assert written == (ANSWERS if role == "iess_clinical" else set())


def test_the_clinical_role_answers_an_alert_and_can_not_rewrite_its_log(
    logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    with warehouse_engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ops.alert (alert_id, dedupe_key, chart_id, status, opened_week, last_signal_week, "
                "signals, opened_run_id, run_id, facts) "
                "VALUES ('a', 'k', 'c', 'open', '2026-01-05', '2026-01-05', 1, 'r', 'r', '{}')"
            )
        )
    clinical = logins["iess_clinical"]
    alerts.acknowledge(clinical, "a", by="Dr Ada", on=date(2026, 1, 6))
    with clinical.connect() as connection:
        row, log = alerts.alert_with_log(connection, "a")
    assert (row["status"], row["assignee"], list(log["by_whom"])) == ("acknowledged", "Dr Ada", ["Dr Ada"])
    assert not may(clinical, "UPDATE ops.alert_event SET note = ''")
    assert not may(clinical, "DELETE FROM ops.alert_event")
    assert not may(clinical, "UPDATE ops.alert SET signals = 0")
    with pytest.raises(RoleRefused), translated():
        alerts.acknowledge(logins["iess_operator"], "a", by="Eve", on=date(2026, 1, 6))


def test_the_loader_loads_and_can_not_give_itself_a_site_or_alter_a_table(logins: dict[str, Engine]) -> None:
    loader = logins["iess_loader"]
    two_sites(loader)
    assert not may(loader, "INSERT INTO clinical.site_access VALUES ('iess_loader', '*')")
    assert not may(loader, "DROP TABLE clinical.resource")
    assert not may(loader, "ALTER TABLE clinical.resource DISABLE ROW LEVEL SECURITY")
    for table in ("ops.pull", "ops.ledger", "ops.erasure", "ops.purge", "ops.alembic_version", "ops.schema_state"):
        assert not may(loader, f"DELETE FROM {table}"), table
    assert not may(loader, "UPDATE ops.ledger SET received = 0")
    assert not may(loader, "UPDATE ops.alembic_version SET version_num = '0001'")


def test_the_clinical_role_reads_its_sites_only(logins: dict[str, Engine], warehouse_engine: Engine) -> None:
    two_sites(warehouse_engine)
    clinical = logins["iess_clinical"]
    relations_by_site = (
        "clinical.resource",
        "clinical.referral_timeline",
        "clinical.v_timeline",
        "clinical.v_interval",
        "clinical.v_evidence",
        "clinical.timeline_as_of('2026-02-01')",
        "clinical.interval_as_of('2026-02-01')",
    )

    def sites(relation: str) -> list[str]:
        with clinical.connect() as connection:
            return list(connection.execute(text(f"SELECT DISTINCT source FROM {relation} ORDER BY 1")).scalars())

    assert {relation: sites(relation) for relation in relations_by_site} == {name: [] for name in relations_by_site}
    with warehouse_engine.begin() as connection:
        connection.execute(text("INSERT INTO clinical.site_access VALUES ('iess_clinical', 'south')"))
    assert {relation: sites(relation) for relation in relations_by_site} == {
        name: ["south"] for name in relations_by_site
    }
    with warehouse_engine.begin() as connection:
        connection.execute(text("INSERT INTO clinical.site_access VALUES ('iess_clinical', '*')"))
    assert sites("clinical.resource") == ["north", "south"]


def test_the_analyst_gets_no_date_finer_than_a_year_and_no_id(
    logins: dict[str, Engine], warehouse_engine: Engine
) -> None:
    two_sites(warehouse_engine)
    with logins["iess_analyst"].connect() as connection:
        kinds = set(
            connection.execute(
                text(
                    "SELECT DISTINCT data_type FROM information_schema.columns "
                    "WHERE table_schema = 'analytics' AND table_name LIKE '%interval%'"
                )
            ).scalars()
        )
        assert kinds == {"text", "integer"}
        then = connection.execute(text("SELECT count(*) FROM analytics.interval_at_year_end(2025)")).scalar_one()
        later = connection.execute(text("SELECT count(*) FROM analytics.interval_at_year_end(2026)")).scalar_one()
    assert (then, later) == (0, 20)
    assert not may(logins["iess_analyst"], "SELECT * FROM clinical.interval_as_of(now())")
    assert not may(logins["nobody"], "SELECT * FROM analytics.interval_at_year_end(2026)")


def test_a_load_by_the_wrong_role_is_refused(logins: dict[str, Engine], warehouse_engine: Engine) -> None:
    pull = Pull("20260105T000000Z", [patient("a"), condition("a")])
    stage(warehouse_engine, pull)
    for role in ("iess_clinical", "iess_analyst", "nobody"):
        with pytest.raises(RoleRefused):
            load(logins[role], pull.manifest(), hash_key=HASH_KEY)


def test_the_operator_sees_counts_of_quarantine_and_no_rows(logins: dict[str, Engine]) -> None:
    assert may(logins["iess_operator"], "SELECT * FROM ops.v_quarantine")
    assert not may(logins["iess_operator"], "SELECT * FROM clinical.quarantine")
