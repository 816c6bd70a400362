"""How far a source's data reach: a source that fell silent must not look as if it had reported."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import insert

from surveillance.knowledge import known_on
from surveillance.silence import silent_sources
from warehouse.engine import open_engine
from warehouse.schema.ops import Pull

PULLED = date(2026, 7, 6)


@pytest.mark.integration
@pytest.mark.parametrize("clock_ahead_days", [0, 140])
def test_a_source_that_sent_nothing_for_five_weeks_is_silent_whatever_its_clock_says(
    warehouse_url: str, clock_ahead_days: int
) -> None:
    engine = open_engine(warehouse_url)
    pull = {
        "source": "lakeside",
        "pull_id": f"{PULLED:%Y%m%d}T070000Z",
        "attempt": 1,
        "sequence": 1,
        "kind": "search",
        "transaction_time": "2026-07-06T07:00:00Z",
        "known_at": datetime(2026, 7, 6, 7, tzinfo=UTC),
        "fhir_version": "R4",
        "complete": True,
        "data_through": PULLED + timedelta(days=clock_ahead_days),
        "infants": 0,
        "timelines_opened": 0,
        "timelines_closed": 0,
    }
    as_of = PULLED + timedelta(weeks=5)
    with engine.begin() as connection:
        connection.execute(insert(Pull), [pull])
        through = known_on(connection, as_of).through
    engine.dispose()
    assert through["lakeside"] <= PULLED + timedelta(days=1)
    assert silent_sources(through, ("lakeside",), as_of) == through
