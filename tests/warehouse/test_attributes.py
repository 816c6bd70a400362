"""What is known of an infant beside the timeline: kept with its history, seen by analysts in groups."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from fhir_mapping.codes import load as load_codes
from fhir_mapping.model import Conformance, MappedInfant, ReferralLink
from fhir_source.errors import UnreadableInput
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, row_of
from warehouse import attributes, staging, state
from warehouse.deprivation import load_deprivation
from warehouse.load import load
from warehouse.schema.analytics import InfantInterval
from warehouse.views import INTERVAL_COLUMNS

pytestmark = pytest.mark.integration
LINKS = (
    ReferralLink("ServiceRequest/s/1", "Encounter/e/2", "L1", "linked"),
    ReferralLink("", "Encounter/f/1", "L4", "none"),
)


def known(engine: Engine, pull_id: str, infants: dict[str, dict[str, str]]) -> None:
    """Load a pull after which this is known of these infants."""
    version = int(pull_id[6:8])
    pull = Pull(
        pull_id,
        [item for one in infants for item in (patient(one, version=version), condition(one, version=version))],
    )
    staging.stage_selection(engine, pull.manifest(), pull.selection())
    rows = [
        MappedInfant(one, row_of("north", one, date(2026, 1, 2), None, date(2026, 1, 2)), None, (), (), found, LINKS)
        for one, found in infants.items()
    ]
    verdicts = [Conformance("Condition", f"c-{one}", ("Condition.code.?",)) for one in infants]
    staging.stage_mapping(engine, "north", pull_id, rows, verdicts)
    load(engine, pull.manifest(), hash_key=HASH_KEY)


def query(engine: Engine, sql: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def test_attributes_are_columns_with_their_history(warehouse_engine: Engine) -> None:
    known(warehouse_engine, "20260105T000000Z", {"a": {"gestational_weeks": "31", "spd15": "nh_mena"}})
    known(warehouse_engine, "20260107T000000Z", {"a": {"spd15": "nh_mena", "etiology": "tsc", "no_shows": "12"}})
    with warehouse_engine.connect() as connection:
        now = state.timelines(connection).iloc[0]
        then = state.timelines(connection, as_known=datetime(2026, 1, 6, tzinfo=UTC)).iloc[0]
    assert (then["gestational_weeks"], then["spd15"], then["etiology"]) == (31, "nh_mena", None)
    assert (now["no_shows"], now["etiology"], now["deprivation_quintile"]) == (12, "tsc", then["deprivation_quintile"])
    assert set(now.index) >= {one.name for one in attributes.ATTRIBUTES}
    assert query(warehouse_engine, "SELECT count(*) FROM clinical.referral_timeline") == [(2,)]


def test_the_same_again_opens_no_row(warehouse_engine: Engine) -> None:
    for pull_id in ("20260105T000000Z", "20260107T000000Z"):
        known(warehouse_engine, pull_id, {"a": {"gestational_weeks": "31"}})
    assert query(warehouse_engine, "SELECT count(*) FROM clinical.referral_timeline") == [(1,)]


@pytest.mark.parametrize(
    ("weeks", "prematurity"),
    [
        ("27", "extremely_preterm"),
        ("28", "very_preterm"),
        ("31", "very_preterm"),
        ("32", "moderate_to_late_preterm"),
        ("36", "moderate_to_late_preterm"),
        ("37", "term"),
        (None, "unknown"),
    ],
)
def test_gestation_is_seen_in_classes(warehouse_engine: Engine, weeks: str | None, prematurity: str) -> None:
    known(warehouse_engine, "20260105T000000Z", {"a": {"gestational_weeks": weeks} if weeks else {}})
    assert query(warehouse_engine, "SELECT DISTINCT prematurity FROM analytics.infant_interval") == [(prematurity,)]


def test_what_analysts_see_is_grouped_and_holds_no_place(warehouse_engine: Engine) -> None:
    found = {
        "a": {"etiology": "hie+pvl", "no_shows": "12", "postal_code": "02139-1234", "orphan_referrals": "0"},
        "b": {"etiology": "down+hie"},
        "c": {"etiology": "dee"},
        "d": {},
    }
    known(warehouse_engine, "20260105T000000Z", found)
    rows = query(
        warehouse_engine,
        "SELECT k.infant, i.etiology_group, i.no_shows, i.orphan_referrals, i.spd15, i.deprivation_quintile "
        "FROM analytics.v_referral_delay i JOIN clinical.infant_key k USING (infant_key) ORDER BY 1",
    )
    assert rows == [
        ("a", "structural_acquired", 3, 0, "unknown", None),
        ("b", "multiple", None, None, "unknown", None),
        ("c", "other", None, None, "unknown", None),
        ("d", "unknown", None, None, "unknown", None),
    ]
    dump = query(warehouse_engine, "SELECT string_agg(t::text, '') FROM analytics.infant_interval t")
    assert "02139" not in str(dump)


def test_every_grouped_etiology_is_one_of_the_value_sets() -> None:
    coded = {row.role.removeprefix("etiology_") for row in load_codes().rows if row.role.startswith("etiology_")}
    assert set(attributes.ETIOLOGY_GROUPS) <= coded


def test_links_and_verdicts_are_rows(warehouse_engine: Engine) -> None:
    known(warehouse_engine, "20260105T000000Z", {"a": {}})
    assert query(warehouse_engine, "SELECT n, referral, visit, rule, certainty FROM clinical.v_referral_link") == [
        (1, "ServiceRequest/s/1", "Encounter/e/2", "L1", "linked"),
        (2, "", "Encounter/f/1", "L4", "none"),
    ]
    assert query(warehouse_engine, "SELECT * FROM ops.v_nonconformance") == [
        ("north", "Condition", "Condition.code.?", 1)
    ]
    assert query(
        warehouse_engine,
        "SELECT value, judged, nonconformant FROM analytics.v_nonconformance WHERE dimension = 'race_ethnicity'",
    ) == [("nh_black", 1, 1)]


def test_nul_and_other_control_characters_do_not_stop_a_load(warehouse_engine: Engine) -> None:
    known(warehouse_engine, "20260105T000000Z", {"a": {"postal_code": "02\x0013\x019"}})
    assert query(warehouse_engine, "SELECT attributes ->> 'postal_code' FROM clinical.referral_timeline") == [
        ("02\ufffd13\x019",)
    ]


def test_the_view_of_analysts_has_every_column_of_the_table() -> None:
    assert list(INTERVAL_COLUMNS) == [column.name for column in InfantInterval.__table__.columns]
    assert set(INTERVAL_COLUMNS.values()) == {"text", "integer"}


def test_a_row_without_attributes_is_like_one_of_before(warehouse_engine: Engine) -> None:
    known(warehouse_engine, "20260105T000000Z", {"a": {}})
    with warehouse_engine.connect() as connection:
        row = state.timelines(connection).iloc[0]
    assert row["spd15"] is None


def test_a_table_of_deprivation_is_seen_at_once_and_can_be_replaced(warehouse_engine: Engine, tmp_path: Path) -> None:
    places = {"a": "02139-1234", "b": "02139", "c": "02140", "d": "k1a 0b1", "e": ""}
    found = {infant: {"postal_code": code} if code else {} for infant, code in places.items()}
    known(warehouse_engine, "20260105T000000Z", found)
    table = tmp_path / "areas.csv"
    table.write_text("postal_code,quintile,name\n02139,2,x\n02139-1234,5,x\nK1A 0B1,1,x\n")
    assert load_deprivation(warehouse_engine, table, edition="ADI 2023") == 3
    query_all = (
        "SELECT k.infant, i.deprivation_quintile FROM analytics.v_referral_delay i "
        "JOIN clinical.infant_key k USING (infant_key) ORDER BY 1"
    )
    quintiles = [("a", 5), ("b", 2), ("c", None), ("d", 1), ("e", None)]
    assert query(warehouse_engine, query_all) == quintiles
    with warehouse_engine.connect() as connection:
        frame = state.timelines(connection)
    assert [None if pd.isna(value) else int(value) for value in frame["deprivation_quintile"]] == [5, 2, None, 1, None]
    table.write_text("postal_code,quintile\n02140,3\n")
    load_deprivation(warehouse_engine, table, edition="ADI 2024")
    assert query(warehouse_engine, query_all) == [("a", None), ("b", None), ("c", 3), ("d", None), ("e", None)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("zip,quintile\n02139,2\n", "no columns postal_code and quintile"),
        ("postal_code,quintile\n02139,2\n02140,6\n", "in line 3"),
        ("postal_code,quintile\n02139,2\n,1\n", "in line 3"),
        ("postal_code,quintile\n02139,2\n02139,3\n", "line 3 a second quintile"),
        ("postal_code,quintile\n", "is empty"),
        ("\x00\x80", "no columns"),
    ],
)
def test_a_table_that_can_not_be_used_leaves_the_former_one(
    warehouse_engine: Engine, tmp_path: Path, content: str, why: str
) -> None:
    table = tmp_path / "areas.csv"
    table.write_text("postal_code,quintile\n02139,2\n")
    load_deprivation(warehouse_engine, table, edition="first")
    table.write_text(content)
    with pytest.raises(UnreadableInput, match=why):
        load_deprivation(warehouse_engine, table, edition="second")
    assert query(warehouse_engine, "SELECT edition FROM clinical.area_deprivation") == [("first",)]
