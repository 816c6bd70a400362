"""Recording lags: the correction for records on their way, and maturity learned from a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, text

from surveillance import lags
from surveillance.measures.registry import Chart
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, store, timelines
from warehouse.engine import open_engine

SETTINGS = SurveillanceSettings()


def test_a_maturity_below_the_settings_needs_every_group_and_a_quarter() -> None:
    two = SurveillanceSettings(charts=(Chart("I2", "payer", "public", "private"), Chart("I2", "sex", "female", "male")))
    both = {"payer:public": (2.0, 40), "payer:private": (1.0, 90)}
    assert lags.shortest(both, 90, two) == 7
    assert lags.shortest(both, 89, two) == 14  # who takes longer than that can't have arrived yet
    assert lags.shortest({"payer:private": (1.0, 90)}, 400, two) == 14  # the other group may be the slower one


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
def engine(warehouse_url: str) -> Iterator[Engine]:
    opened = open_engine(warehouse_url)
    yield opened
    opened.dispose()


@pytest.mark.integration
def test_maturity_is_learned_once_a_quarter(engine: Engine) -> None:
    # The first load brings history, which is no lag; then every visit is in the load of 20 days later.
    cohort = timelines(60, sites=1, weeks=8)
    cohort["race_ethnicity"], cohort["payer"], cohort["language"] = "nh_black", "unknown", "unknown"
    loaded = datetime(START.year, START.month, START.day, tzinfo=UTC)
    store(engine, cohort.assign(neurology=None, first_line=None, diagnosis=START - timedelta(days=9)), loaded)
    known = cohort["neurology"].tolist()
    for weeks in range(16):
        now = loaded + timedelta(weeks=weeks + 1)
        arrived = [day if day and day + timedelta(days=20) <= now.date() else None for day in known]
        later = cohort.assign(
            neurology=pd.Series(arrived, dtype=object), first_line=None, diagnosis=START - timedelta(days=9)
        )
        store(engine, later, now, f"p{weeks:04d}")
    as_of = START + timedelta(weeks=17)
    with engine.begin() as connection:
        learned = lags.learn(connection, as_of, "weekly-1", SETTINGS)
        assert learned == {"site0": 20}  # a load of the day before would have missed one of them
        assert lags.learn(connection, as_of + timedelta(days=7), "weekly-2", SETTINGS) == learned
        assert connection.execute(text("SELECT count(*) FROM ops.maturity")).scalar_one() == 1
        lags.learn(connection, as_of + timedelta(days=91), "weekly-3", SETTINGS)
        assert connection.execute(text("SELECT max(version) FROM ops.maturity")).scalar_one() == 2
    settings = lags.with_learned(SurveillanceSettings(lag_days_by_source={"site1": 3}), {"site0": 20, "site1": 9})
    assert (settings.lag("site0"), settings.lag("site1"), settings.lag("site2")) == (20, 3, 14)


@pytest.mark.integration
def test_one_load_of_years_says_nothing_of_lags(engine: Engine) -> None:
    store(engine, timelines(200), datetime(2026, 1, 1, tzinfo=UTC))
    with engine.begin() as connection:
        assert lags.learn(connection, date(2026, 1, 5), "weekly-1", SETTINGS) == {}
