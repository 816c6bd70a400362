"""Recording lags: the correction for records on their way, and maturity learned from a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from surveillance import lags
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, store, timelines
from warehouse import migrate
from warehouse.engine import open_engine


def test_percentile_without_truncation_is_the_plain_one() -> None:
    values = np.arange(1, 101)
    assert lags.arrival_percentile(values, np.full(100, 1000)) == 95
    assert lags.arrival_percentile([], []) is None
    assert lags.arrival_percentile([3], [9]) == 3


def test_records_on_their_way_are_corrected_for() -> None:
    rng = np.random.default_rng(2)
    age = rng.integers(0, 60, 20_000)
    lag = rng.geometric(0.1, 20_000)  # 95th percentile 29 days
    seen = lag <= age
    naive = float(np.quantile(lag[seen], 0.95))
    corrected = lags.arrival_percentile(lag[seen], age[seen])
    assert naive < 26
    assert corrected == pytest.approx(29, abs=2)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    migrate.upgrade(opened)
    yield opened
    opened.dispose()


PULL = """
INSERT INTO ops.pull (source, pull_id, attempt, sequence, kind, transaction_time, known_at, fhir_version, complete,
                      infants, timelines_opened, timelines_closed)
VALUES ('site0', :pull, 1, :n, 'files', '', :seen, 'R4', true, 1, 1, 0)
"""
RESOURCE = """
INSERT INTO clinical.resource (source, resource_type, resource_id, version_id, last_updated, version_number, seen_at,
                               sha256, pull_id, deleted, quarantined, infant, reference_keys, body)
VALUES ('site0', 'Encounter', :pull, '1', '', 1, :seen, '', :pull, false, false, :infant, '{}', '{}')
"""
EVENT = """
INSERT INTO clinical.milestone_event (source, infant, n, milestone, low, high, precision, rule, certainty,
                                      resource_type, resource_id, version_id, detail, pull_id)
VALUES ('site0', :infant, 1, 'neurology', :happened, :happened, 'day', 'r', 'coded', 'Encounter', :pull, '1', '', :pull)
"""


def record(engine: Engine, infant: str, happened: date, seen: date, pull: int) -> None:
    """One neurology visit, brought by a pull."""
    seen_at = datetime(seen.year, seen.month, seen.day, tzinfo=UTC)
    values = {"infant": infant, "happened": happened, "seen": seen_at, "pull": f"p{pull:04d}", "n": pull}
    with engine.begin() as connection:
        for statement in (PULL, RESOURCE, EVENT):
            connection.execute(text(statement), values)


@pytest.mark.integration
def test_maturity_is_learned_once_a_quarter(engine: Engine) -> None:
    cohort = timelines(60, sites=1, weeks=60)
    cohort["race_ethnicity"], cohort["payer"], cohort["language"] = "nh_black", "unknown", "unknown"
    store(engine, cohort, datetime(2026, 1, 1, tzinfo=UTC))
    day = START
    for i, infant in enumerate(cohort["infant"]):
        # The first pull brings history, which is no lag; then every record takes 20 days.
        record(engine, infant, day if i else day - timedelta(days=900), day + timedelta(days=20 if i else 0), i)
        day += timedelta(days=1)
    as_of = day + timedelta(days=60)
    with engine.begin() as connection:
        assert lags.learn(connection, as_of, "weekly-1") == {"site0": 20}
        assert lags.learn(connection, as_of + timedelta(days=7), "weekly-2") == {"site0": 20}
        assert connection.execute(text("SELECT count(*) FROM ops.maturity")).scalar_one() == 1
        lags.learn(connection, as_of + timedelta(days=91), "weekly-3")
        assert connection.execute(text("SELECT max(version) FROM ops.maturity")).scalar_one() == 2
    settings = lags.with_learned(SurveillanceSettings(lag_days_by_source={"site1": 3}), {"site0": 20, "site1": 9})
    assert (settings.lag("site0"), settings.lag("site1"), settings.lag("site2")) == (20, 3, 14)
