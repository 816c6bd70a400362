"""What the warehouse holds, as the completeness table and the data-quality page see it."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from expectations import arrivals, completeness

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

FIRST, AS_OF = date(2026, 11, 9), date(2026, 11, 23)


@pytest.fixture
def warehouse(own_staging: Engine, stage: Callable[..., None], insert: Callable[..., None]) -> Engine:
    """One loaded pull of 22 November 2026, and an event of 18 November whose record came with it.

    The server's clock, which the pull is known by, is two months fast: the pull is of its own week all the same.
    """
    stage(own_staging, "north", "north-2026-11-23")
    with own_staging.begin() as connection:
        connection.exec_driver_sql("UPDATE ops.pull SET known_at = known_at + interval '2 months'")
    resource = {"resource_type": "Encounter", "resource_id": "e1"}
    insert(
        own_staging,
        "clinical.resource",
        "north",
        seen_at="2026-11-22T07:00:00Z",
        infant="i1",
        body={"a": 1},
        **resource,
    )
    event = {"infant": "i1", "n": 1, "milestone": "neurology", "precision": "day", **resource}
    insert(own_staging, "clinical.milestone_event", "north", low="2026-11-18", high="2026-11-18", **event)
    return own_staging


@pytest.mark.integration
def test_loaded_pulls_are_counted_by_their_ledger_and_lags_by_their_days(warehouse: Engine) -> None:
    with warehouse.connect() as connection:
        found = arrivals.read(connection)
    assert found.pulls.to_numpy().tolist() == [["north", date(2026, 11, 22), 100]]
    table = completeness.weekly(*found, sources=["north", "south"], first_week=FIRST, last_week=AS_OF)
    week = table[(table["source"] == "north") & (table["week"] == date(2026, 11, 16))].iloc[0]
    assert (week["received"], week["lag_n"], week["lag_median"]) == (100, 1, 4)
    assert set(table[table["source"] == "south"]["state"]) == {"missing"}


@pytest.mark.integration
def test_the_page_is_made_from_the_warehouse(warehouse: Engine) -> None:
    with warehouse.connect() as connection:
        html = arrivals.quality_page(connection, sources=["north", "south"], first_week=FIRST, as_of=AS_OF)
    assert "<svg" in html
    assert "Silent for two weeks or more:</strong> south." in html
    assert "i1" not in html
