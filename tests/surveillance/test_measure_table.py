"""`measure` on a real PostgreSQL: whole tables of odd cohorts go in, and what is no number doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from surveillance import weekly
from surveillance.errors import MeasureReworded
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, row, store, timelines
from warehouse import migrate
from warehouse.engine import open_engine

pytestmark = pytest.mark.integration

AS_OF = START + timedelta(weeks=62)
LOADED = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = SurveillanceSettings(measures=("I2", "aan", "referred_7d"))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    migrate.upgrade(opened)
    yield opened
    opened.dispose()


def count(engine: Engine, where: str = "true") -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM analytics.metric_result WHERE {where}")).scalar_one())


def test_odd_cohorts_are_measured_week_after_week_and_definitions_stay(engine: Engine) -> None:
    ordinary = timelines(60, weeks=60, sites=2)
    same_day = {"neurology": START, "diagnosis": START, "first_line": START}
    odd = {
        "nobody": ordinary.iloc[:0],
        "one": ordinary.iloc[:1],
        "on day 0": pd.DataFrame([row(infant=f"i{i}", **same_day) for i in range(9)]),  # type: ignore[arg-type]
        "ordinary": ordinary,
    }
    for week, (name, cohort) in enumerate(odd.items()):
        if not cohort.empty:
            store(engine, cohort, LOADED + timedelta(weeks=week), f"2026010{week}T000000Z")
        report = weekly.measure(engine, SETTINGS, AS_OF, name)
        assert (report.fresh, report.results) == (True, count(engine, f"run_id = '{name}'"))
    assert count(engine, "estimate IS NULL AND not_estimable_reason IS NULL") == 0
    assert count(engine, "scope = 'within-site' AND estimate IS NOT NULL") > 0
    with engine.begin() as connection:
        known = connection.execute(text("SELECT sha256, maturity FROM analytics.metric_definition")).all()
        assert len(known) == 3
        assert all(len(sha256) == 64 and "lag" in maturity for sha256, maturity in known)
        connection.execute(text("UPDATE analytics.metric_definition SET sha256 = 'other' WHERE metric_id = 'I2'"))
    with pytest.raises(MeasureReworded, match="I2"):
        weekly.measure(engine, SETTINGS, AS_OF, "reworded")


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("estimate", "'NaN'::float8", "finite"),
        ("ci_high", "'Infinity'::float8", "finite"),
        ("ci_low", "2.0", "bounds"),
        ("not_estimable_reason", "NULL", "reason"),
        ("n_late", "n_matured + 1", "counts"),
    ],
)
def test_the_table_refuses_what_is_no_result(engine: Engine, column: str, value: str, check: str) -> None:
    numbers = {"estimate": "0.5", "ci_low": "0.1", "ci_high": "0.9", "not_estimable_reason": "'why'", "n_late": "1"}
    if check == "reason":
        numbers["estimate"] = "NULL"
    given = numbers | {column: value}
    names = ["n_matured", "n_eligible", "n_pending", "n_indeterminate", *given]
    texts = ["run_id", "metric_id", "scope", "stratum_dimension", "stratum_value", "reference_value", "window_kind"]
    texts += ["estimand", "method", "population", "adjustment_set", "quality_flags"]
    days = ["window_end", "as_of"]
    values = ["'x'"] * len(texts) + ["1"] + ["'2026-01-05'"] * 2 + ["5", "6", "1", "0"]
    values += [one.replace("n_matured", "5") for one in given.values()]
    columns = ", ".join([*texts, "definition_version", *days, *names])
    with pytest.raises(IntegrityError, match=f"ck_metric_result_{check}"), engine.begin() as connection:
        connection.execute(text(f"INSERT INTO analytics.metric_result ({columns}) VALUES ({', '.join(values)})"))
