"""The guide's queries run, as the role that each is for; the dictionary is what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.conftest import _database
from tests.warehouse.conftest import HASH_KEY, Pull, condition, patient, stage, visit
from warehouse.dictionary import render
from warehouse.engine import open_engine
from warehouse.load import load

DOCS = Path(__file__).parents[2] / "docs"
ROLE = {"": "iess_analyst", "clinical": "iess_clinical", "operator": "iess_operator"}
QUERIES = [
    (role, sql)
    for role, sql in re.findall(r"^```sql ?(\w*)\n(.*?)^```", (DOCS / "analyst-guide.md").read_text(), re.M | re.S)
]


def test_the_dictionary_is_up_to_date() -> None:
    assert (DOCS / "data-dictionary.md").read_text() == render(), "run: python -m warehouse.dictionary"


@pytest.fixture(scope="module")
def filled(postgres_uri: str, migrated_template: str) -> Iterator[Engine]:
    """Two infants: one seen after 3 days, one waiting for 8."""
    infants = [patient("a"), condition("a"), visit("a", "2026-01-05"), patient("b"), condition("b")]
    pull = Pull("20260110T000000Z", infants)
    with _database(postgres_uri, template=migrated_template) as url:
        engine = open_engine(url)
        stage(engine, pull)
        load(engine, pull.manifest(), hash_key=HASH_KEY)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO clinical.site_access VALUES ('iess_clinical', 'north')"))
        yield engine
        engine.dispose()


@pytest.mark.integration
@pytest.mark.parametrize("number", range(len(QUERIES)))
def test_a_query_of_the_guide_runs_as_its_role(number: int, filled: Engine) -> None:
    role, sql = QUERIES[number]
    with filled.begin() as connection:
        connection.execute(text(f"SET LOCAL ROLE {ROLE[role]}"))
        connection.exec_driver_sql(sql.replace("%", "%%"))


def answer(engine: Engine, number: int) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(QUERIES[number - 1][1])]


@pytest.mark.integration
def test_the_answers_are_right(filled: Engine) -> None:
    assert answer(filled, 1) == [("north", "censored", "yes", 1), ("north", "event", "no", 1)]
    assert [(group, late, decided) for group, late, decided, *_ in answer(filled, 2)] == [("nh_black", 1, 2)]
    assert answer(filled, 3) == [("public", 3)]
    assert (2026, 2) in [(year, decided) for year, decided, _ in answer(filled, 5)]
    assert answer(filled, 9) == [("no_referral_record", 2, [6, 6, 6])]
