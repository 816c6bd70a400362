"""Weekly runs over data that give estimators nothing to work with, at a limit of 1: every chart signals every week."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from surveillance import alerts, registration, weekly
from surveillance.measures.registry import default_charts
from surveillance.outbox import FileOutbox
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, row, store, timelines

pytestmark = pytest.mark.integration

WEEKS = 16
CHARTS = tuple(
    replace(chart, role="alert") for chart in default_charts() if (chart.measure, chart.group) == ("I2", "nh_black")
)
SETTINGS = SurveillanceSettings(charts=CHARTS, measures=("I2",), budget=52.0 * len(CHARTS), power_charts=2)


def everyone(rows: pd.DataFrame, **values: object) -> pd.DataFrame:
    return rows.assign(**values)  # type: ignore[arg-type]


def on_day_0(rows: pd.DataFrame) -> pd.DataFrame:
    return everyone(
        rows,
        neurology=rows["first_provider"],
        days_provider_to_neurology_low=0,
        days_provider_to_neurology_high=0,
        delayed_provider_to_neurology="no",
        status_provider_to_neurology="event",
    )


def all_censored(rows: pd.DataFrame) -> pd.DataFrame:
    return everyone(rows, neurology=None, status_provider_to_neurology="censored")


def group_vanishes(rows: pd.DataFrame) -> pd.DataFrame:
    late = rows["first_provider"] > START + timedelta(weeks=5)
    return rows[~(late & (rows["race_ethnicity"] == "nh_black"))]


def reference_vanishes(rows: pd.DataFrame) -> pd.DataFrame:
    late = rows["first_provider"] > START + timedelta(weeks=5)
    return rows[~(late & (rows["race_ethnicity"] == "nh_white"))]


def all_unknown(rows: pd.DataFrame) -> pd.DataFrame:
    return everyone(rows, race_ethnicity="unknown", payer="unknown", language="unknown")


def one_of_each(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("race_ethnicity").head(1)


def one_site(rows: pd.DataFrame) -> pd.DataFrame:
    return everyone(rows, source="site0")


def nobody(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame([row(diagnosis=None)])


CASES: list[Callable[[pd.DataFrame], pd.DataFrame]] = [
    *(on_day_0, all_censored, group_vanishes, reference_vanishes, all_unknown, one_of_each, one_site, nobody)
]
#: Pictures take seconds; these have the least to draw.
PUBLISHED = (all_censored, group_vanishes, nobody)


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_a_value_or_a_reason_and_never_an_exception(
    warehouse_engine: Engine, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    engine = warehouse_engine
    cohort = change(timelines(90, odds_ratio=3, weeks=WEEKS))
    store(engine, cohort, datetime(2024, 1, 1, tzinfo=UTC))
    as_of = START + timedelta(weeks=WEEKS)
    weekly.measure(engine, SETTINGS, as_of, "weekly-1")
    report = weekly.detect(engine, SETTINGS, as_of, "weekly-1")
    weekly.alert(engine, SETTINGS, as_of, "weekly-1")
    weekly.alert(engine, SETTINGS, as_of + timedelta(days=21), "weekly-2")  # follows up what had no new signal
    if change in PUBLISHED:
        weekly.publish(engine, SETTINGS, as_of, "weekly-1", tmp_path)
    weekly.notify(engine, FileOutbox(tmp_path / "outbox"), datetime(2024, 6, 3, tzinfo=UTC))
    assert len(report.signals) > report.weeks / 2 or not report.weeks  # an e-value below 1 gives none
    told = "".join(path.read_text() for path in tmp_path.rglob("*.*"))
    assert "nan" not in told.lower().replace("finan", "")
    assert "inf " not in told
    with engine.connect() as connection:
        registration.verified(connection)
        for alert in alerts.alerts(connection)["alert_id"]:
            alerts.alert_with_log(connection, alert)
        wrong = "SELECT count(*) FROM ops.chart_week WHERE m = 'NaN' OR cs_low = 'NaN' OR cs_high = 'NaN' OR m < 0"
        assert connection.execute(text(wrong)).scalar_one() == 0
