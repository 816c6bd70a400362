"""The weekly run, load by load, on cohorts with a common shift, an effect, or a lag in recording planted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from fhir_mapping.contract import COLUMNS
from surveillance import alerts, weekly
from surveillance.measures.registry import Chart
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, row, store
from warehouse.engine import open_engine

pytestmark = pytest.mark.integration

CHART = Chart("I2", "race_ethnicity", "nh_black", "nh_white")
SETTINGS = SurveillanceSettings(charts=(CHART,), measures=("I2",), budget=0.5)
WEEKS, INFANTS = 40, 500


@pytest.fixture
def engine(warehouse_url: str) -> Iterator[Engine]:
    opened = open_engine(warehouse_url)
    yield opened
    opened.dispose()


def course(seed: int, odds_ratio: float, *, common_shift: float = 1.0) -> pd.DataFrame:
    """What happened: group, first visit, days until neurology; all wait longer from half-way on by `common_shift`."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["nh_white", "nh_black"], INFANTS, p=[0.65, 0.35])
    day = rng.integers(0, WEEKS * 7, INFANTS)
    odds = np.where(group == "nh_black", odds_ratio, 1.0) * np.where(day > WEEKS * 3.5, common_shift, 1.0) * 0.35 / 0.65
    late = rng.random(INFANTS) < odds / (1 + odds)
    waited = np.where(late, rng.integers(8, 25, INFANTS), rng.integers(0, 8, INFANTS))
    first = [START + timedelta(days=int(days)) for days in day]
    return pd.DataFrame({"group": group, "first": first, "waited": waited})


def loaded(happened: pd.DataFrame, on: date, lag: dict[str, int]) -> pd.DataFrame:
    """What the warehouse knows on a day: a visit to neurology reaches it `lag` days later, a diagnosis at once."""
    rows = []
    for i, (group, first, waited) in enumerate(happened.itertuples(index=False)):
        seen = first + timedelta(days=int(waited))
        diagnosis = seen + timedelta(days=1)
        if diagnosis > on:
            continue
        neurology = seen if seen + timedelta(days=lag[group]) <= on else None
        rows.append(
            row(
                infant=f"i{i}",
                source=f"site{i % 2}",
                race_ethnicity=group,
                first_provider=first,
                neurology=neurology,
                diagnosis=diagnosis,
                data_end=on,
            )
        )
    return pd.DataFrame(rows, columns=[column.name for column in COLUMNS])


def weekly_runs(engine: Engine, happened: pd.DataFrame, lag: dict[str, int]) -> list[weekly.AlertReport]:
    reports = []
    for weeks in range(4, WEEKS + 1, 6):
        on = START + timedelta(weeks=weeks)
        known_at = datetime(on.year, on.month, on.day, tzinfo=UTC)
        store(engine, loaded(happened, on, lag), known_at, f"p{weeks:03d}")
        weekly.detect(engine, SETTINGS, on, f"weekly-{on}")
        reports.append(weekly.alert(engine, SETTINGS, on, f"weekly-{on}"))
    return reports


def standing(engine: Engine) -> pd.DataFrame:
    with engine.connect() as connection:
        return alerts.alerts(connection)


def test_an_effect_opens_an_alert(engine: Engine) -> None:
    reports = weekly_runs(engine, course(1, odds_ratio=6.0), {"nh_white": 1, "nh_black": 1})
    found = standing(engine)
    assert found["status"].tolist() == ["open"]
    assert {gate["gate"]: gate["verdict"] for gate in found["facts"].iloc[0]["gates"]}["lag_difference"] == "passed"
    sent = [report.message for report in reports if report.message]
    assert "Please look: Black infants waited longer" in sent[0].subject


def test_slower_for_everybody_raises_nothing(engine: Engine) -> None:
    happened = course(2, 1.0, common_shift=4.0)
    assert not any(report.alerts for report in weekly_runs(engine, happened, {"nh_white": 1, "nh_black": 1}))


def test_a_lag_in_recording_is_held_as_such(engine: Engine) -> None:
    """Nobody waits longer, but visits of one group are recorded 30 days late: judged at 14 days, many look late."""
    reports = weekly_runs(engine, course(2, odds_ratio=1.0), {"nh_white": 1, "nh_black": 30})
    found = standing(engine)
    assert found["status"].tolist() == ["held"]
    failed = {gate["gate"] for gate in found["facts"].iloc[0]["gates"] if gate["verdict"] == "failed"}
    assert failed & {"lag_difference", "freeze_error"}
    sent = [report.message for report in reports if report.message]
    assert all("Held" in mail.subject for mail in sent)
    assert "not yet to be read as a difference in care" in " ".join(sent[0].body.split())
