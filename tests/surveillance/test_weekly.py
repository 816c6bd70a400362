"""The weekly run on a real PostgreSQL: replayed, repeated, grown week by week, tampered with, delivered once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from surveillance import alerts, registration, weekly
from surveillance.errors import (
    AlertStepRefused,
    AlertUnknown,
    ChartStateDamaged,
    ChartUnknown,
    DeliveryFailed,
    RunUnknown,
)
from surveillance.measures.registry import Chart
from surveillance.outbox import FileOutbox, Message
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, row, store, timelines
from warehouse.engine import open_engine

pytestmark = pytest.mark.integration

END = START + timedelta(weeks=60)
LOADED = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = SurveillanceSettings(measures=("I2",), power_charts=5)
CHART = "I2:race_ethnicity:nh_black:nh_white:within-site"


@pytest.fixture
def engine(warehouse_url: str) -> Iterator[Engine]:
    opened = open_engine(warehouse_url)
    yield opened
    opened.dispose()


def run(engine: Engine, as_of: date, out: Path, settings: SurveillanceSettings = SETTINGS) -> str:
    run_id = f"weekly-{as_of}"
    weekly.measure(engine, settings, as_of, run_id)
    weekly.detect(engine, settings, as_of, run_id)
    weekly.alert(engine, settings, as_of, run_id)
    weekly.publish(engine, settings, as_of, run_id, out)
    weekly.notify(engine, FileOutbox(out / "outbox"), LOADED)
    return run_id


def content(engine: Engine) -> dict[str, str]:
    """Hash of every table of the weekly run, without wall-clock columns."""
    found = {}
    with engine.connect() as connection:
        for table in (
            "analytics.metric_result",
            "published.metric_result",
            "clinical.frozen_outcome",
            "clinical.outcome_revision",
            "ops.chart_week",
            "ops.alert",
            "ops.alert_event",
            "ops.outbox",
        ):
            rows = sorted(str(tuple(row)) for row in connection.execute(text(f"SELECT * FROM {table}")))
            found[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def chart_weeks(engine: Engine) -> pd.DataFrame:
    with engine.connect() as connection:
        return pd.read_sql(text("SELECT * FROM ops.chart_week ORDER BY chart_id, week"), connection)


def test_a_planted_disparity_raises_one_alert_and_one_message_and_a_second_run_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    store(engine, timelines(400, odds_ratio=6, weeks=60), LOADED)
    run_id = run(engine, END, tmp_path)
    before, written = content(engine), files(tmp_path)
    with engine.connect() as connection:
        live = alerts.alerts(connection)
    assert CHART in live["chart_id"].tolist()
    assert live["chart_id"].is_unique
    messages = [name for name in written if name.startswith("outbox/")]
    assert len(messages) == 1
    body = written[messages[0]].decode()
    assert "Black infants waited longer than White infants" in body
    assert "inf-" not in body  # no infant's id leaves the building
    assert run(engine, END, tmp_path) == run_id
    assert content(engine) == before
    assert files(tmp_path) == written
    assert "inf-" not in written[f"{run_id}.html"].decode()


def test_growing_week_by_week_is_the_same_chart_as_one_replay(
    engine: Engine,
) -> None:
    cohort = timelines(150, odds_ratio=3, weeks=30)
    end = START + timedelta(weeks=30)
    store(engine, cohort, LOADED)
    for weeks in (9, 10, 17, 30):
        as_of = START + timedelta(weeks=weeks)
        weekly.detect(engine, SETTINGS, as_of, f"weekly-{as_of}")
    grown = chart_weeks(engine)
    with engine.begin() as connection:
        for table in ("ops.chart_week", "clinical.frozen_outcome", "ops.chart_registry"):
            connection.execute(text(f"TRUNCATE {table} CASCADE"))
    weekly.detect(engine, SETTINGS, end, "weekly-once")
    replayed = chart_weeks(engine)
    pd.testing.assert_frame_equal(grown.drop(columns="run_id"), replayed.drop(columns="run_id"))


def test_a_late_correction_changes_no_past_week_and_is_written_down(engine: Engine) -> None:
    cohort = timelines(150, weeks=30)
    store(engine, cohort, LOADED)
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=30), "weekly-1")
    before = chart_weeks(engine)
    corrected = cohort.copy()
    first = corrected.index[corrected["delayed_provider_to_neurology"] == "no"][0]
    corrected.loc[first, "neurology"] = corrected.loc[first, "first_provider"] + timedelta(days=20)
    for name in ("low", "high"):
        corrected.loc[first, f"days_provider_to_neurology_{name}"] = 20
    corrected.loc[first, "race_ethnicity"] = "nh_asian"
    store(engine, corrected, LOADED + timedelta(days=1), "20260102T000000Z")
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=31), "weekly-2")
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=32), "weekly-3")
    after = chart_weeks(engine)
    pd.testing.assert_frame_equal(after[after["run_id"] == "weekly-1"].reset_index(drop=True), before)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT field, old, new, run_id FROM clinical.outcome_revision WHERE metric_id = 'I2' ORDER BY field")
        ).all()
    assert [tuple(r)[:2] + tuple(r)[3:] for r in found if r.field == "late"] == [("late", "no", "weekly-2")]
    assert {r.field for r in found} == {"late", "race_ethnicity"}


def test_an_infant_known_late_enters_the_next_open_week(engine: Engine) -> None:
    cohort = timelines(80, weeks=30).sort_values("diagnosis")
    store(engine, cohort.iloc[1:], LOADED)
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=30), "weekly-1")
    store(engine, cohort, LOADED + timedelta(days=1), "20260102T000000Z")
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=31), "weekly-2")
    with engine.connect() as connection:
        week = connection.execute(
            text("SELECT week FROM clinical.frozen_outcome WHERE metric_id = 'I2' AND infant = :infant"),
            {"infant": cohort["infant"].iloc[0]},
        ).scalar_one()
    assert week == START + timedelta(weeks=30)


def test_tampering_is_found(engine: Engine) -> None:
    store(engine, timelines(100, weeks=20), LOADED)
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=20), "weekly-1")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE ops.chart_week DISABLE TRIGGER append_only"))
        connection.execute(text("UPDATE ops.chart_week SET m = m * 2 WHERE chart_id = :chart"), {"chart": CHART})
    with pytest.raises(ChartStateDamaged, match="hash"):
        weekly.detect(engine, SETTINGS, START + timedelta(weeks=21), "weekly-2")


@pytest.mark.parametrize("table", ["ops.chart_week", "analytics.metric_result", "ops.alert_event"])
def test_rows_are_append_only(engine: Engine, table: str) -> None:
    for change in (f"DELETE FROM {table}", f"UPDATE {table} SET run_id = 'x'" if table != "ops.alert_event" else ""):
        if change:
            with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
                connection.execute(text(change))


def test_a_chart_added_later_begins_then_and_raises_the_limit_from_then(engine: Engine) -> None:
    store(engine, timelines(100, weeks=20), LOADED)
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=20), "weekly-1")
    added_on = START + timedelta(weeks=22, days=2)
    with engine.begin() as connection:
        added = registration.add(connection, Chart("I2", "sex", "female", "male"), on=added_on, by="Dr Lee")
    weekly.detect(engine, SETTINGS, added_on, "weekly-2")
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=25), "weekly-3")
    with engine.begin() as connection:
        registration.retire(connection, added.id, on=START + timedelta(weeks=25), by="Dr Lee")
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=28), "weekly-4")
    found = chart_weeks(engine)
    mine = found[found["chart_id"] == added.id]["week"]
    assert (mine.min(), mine.max()) == (START + timedelta(weeks=22), START + timedelta(weeks=24))
    limits = found[found["chart_id"] == CHART].set_index("week")["limit_a"]
    with_it = (limits.index >= START + timedelta(weeks=22)) & (limits.index < START + timedelta(weeks=25))
    assert set(limits[with_it]) == {52 * 13}
    assert set(limits[~with_it]) == {52 * 12}
    with engine.connect() as connection:
        assert registration.verified(connection)[added.id][-1].hash
        entry = registration.registered(connection)[added.id]
    assert (entry.registered_on, entry.registered_by, entry.retired_by) == (added_on, "Dr Lee", "Dr Lee")


def test_what_no_registry_takes(engine: Engine) -> None:
    weekly.detect(engine, SETTINGS, END, "weekly-1")
    refused = [
        Chart("I2", "race_ethnicity", "nh_black", "nh_white"),  # is there
        Chart("I99", "payer", "public", "private"),
        Chart("standard_first", "payer", "public", "private", version="time-to-event"),  # no wait
        Chart("I2", "source", "site0", "site1"),  # sites within a site
        Chart("I2", "payer", "public", "private", margin=0.9),
    ]
    for chart in refused:
        with pytest.raises(ChartUnknown), engine.begin() as connection:
            registration.add(connection, chart, on=END, by="Dr Lee")
    with pytest.raises(ChartUnknown), engine.begin() as connection:
        registration.retire(connection, "I99:a:b:c:total", on=END, by="Dr Lee")
    with engine.begin() as connection:
        registration.retire(connection, CHART, on=END, by="Dr Lee")
    with pytest.raises(ChartUnknown, match="retired"), engine.begin() as connection:
        registration.add(connection, refused[0], on=END, by="Dr Lee")


def test_a_replay_finds_what_a_forged_chain_of_hashes_hides(engine: Engine) -> None:
    store(engine, timelines(100, weeks=20), LOADED)
    weekly.detect(engine, SETTINGS, START + timedelta(weeks=20), "weekly-1")
    with engine.begin() as connection:
        rows = registration.verified(connection)[CHART]
        forged = replace(rows[-1], cs_low=0.9, signal=False)
        connection.execute(text("ALTER TABLE ops.chart_week DISABLE TRIGGER append_only"))
        connection.execute(
            text("UPDATE ops.chart_week SET cs_low = 0.9, hash = :hash WHERE chart_id = :chart AND week = :week"),
            {"hash": forged.digest(), "chart": CHART, "week": forged.week},
        )
    with engine.connect() as connection, pytest.raises(ChartStateDamaged, match="replays"):
        registration.verified(connection)


def test_nothing_in_the_warehouse(engine: Engine, tmp_path: Path) -> None:
    run(engine, END, tmp_path)
    page = (tmp_path / f"weekly-{END}.html").read_text()
    assert "Nothing is loaded yet" in page
    assert "No alert is open" not in page  # nothing was looked for


def test_one_infant_of_unknown_everything(engine: Engine, tmp_path: Path) -> None:
    store(engine, pd.DataFrame([row(diagnosis=START + timedelta(days=3))]), LOADED)
    run(engine, END, tmp_path)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM analytics.metric_result")).scalar_one() > 0


def test_a_source_silent_for_a_month_is_not_counted_late(engine: Engine) -> None:
    # Seen on day 0, data end on day 9: over seven days by then, but the record of a visit may be on its way.
    silent = row(diagnosis=START + timedelta(days=2), data_end=START + timedelta(days=9), race_ethnicity="nh_black")
    store(engine, pd.DataFrame([silent]), LOADED)
    report = weekly.detect(engine, SETTINGS, START + timedelta(days=60), "weekly-1")
    assert report.frozen == 0


def test_unknown_chart_is_refused(engine: Engine) -> None:
    with pytest.raises(ChartUnknown):
        weekly.detect(engine, replace(SETTINGS, charts=(Chart("I99", "payer", "public", "private"),)), END, "x")


def test_report_before_measure_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RunUnknown):
        weekly.publish(engine, SETTINGS, END, "weekly-none", tmp_path)


def test_the_life_of_an_alert(engine: Engine) -> None:
    store(engine, timelines(400, odds_ratio=6, weeks=60), LOADED)
    weekly.detect(engine, SETTINGS, END, "weekly-1")
    weekly.alert(engine, SETTINGS, END, "weekly-1")
    today = END + timedelta(days=1)
    identity = alerts.alert_id(CHART)
    with engine.connect() as connection:
        assert identity in alerts.overdue(connection, END + timedelta(days=30))
    alerts.acknowledge(engine, identity, by="Dr Lee", on=today)
    alerts.add_note(engine, identity, by="Dr Lee", on=today, note="charts asked for")
    with pytest.raises(AlertStepRefused):
        alerts.acknowledge(engine, identity, by="Dr Kim", on=today)
    with pytest.raises(AlertUnknown):
        alerts.acknowledge(engine, "none", by="Dr Kim", on=today)
    alerts.advance(engine, identity, "investigating", by="Dr Lee", on=today)
    alerts.resolve(engine, identity, by="Dr Lee", on=today, resolution="referral line staffed", note="signed off")
    with engine.connect() as connection:
        standing, log = alerts.alert_with_log(connection, identity)
        assert identity not in alerts.alerts(connection)["alert_id"].tolist()
    assert (standing["status"], standing["closed_on"], standing["assignee"]) == ("resolved", today, "Dr Lee")
    assert log["number"].tolist() == list(range(1, len(log) + 1))
    assert log["kind"].tolist()[-4:] == ["acknowledged", "note", "investigating", "resolved"]


def test_a_failing_deliverer_loses_nothing_and_a_message_goes_out_once(engine: Engine, tmp_path: Path) -> None:
    store(engine, timelines(400, odds_ratio=6, weeks=60), LOADED)
    weekly.detect(engine, SETTINGS, END, "weekly-1")
    weekly.alert(engine, SETTINGS, END, "weekly-1")
    sent: list[Message] = []

    def broken(message: Message) -> None:
        raise ConnectionError("smtp.example: password wrong")

    with pytest.raises(DeliveryFailed):
        weekly.notify(engine, broken, LOADED)
    assert len(weekly.notify(engine, sent.append, LOADED)) == 1
    assert weekly.notify(engine, sent.append, LOADED) == []
    assert len(sent) == 1
    with engine.connect() as connection:
        attempts, error = connection.execute(text("SELECT attempts, last_error FROM ops.outbox")).one()
    assert (attempts, error) == (2, "ConnectionError")


def test_releases_are_a_quarter_apart_and_give_no_small_cell_away(engine: Engine, tmp_path: Path) -> None:
    cohort = timelines(300, weeks=60)
    store(engine, cohort, LOADED)
    for weeks in (40, 41, 54):  # a quarter is 13 weeks
        as_of = START + timedelta(weeks=weeks)
        weekly.measure(engine, SETTINGS, as_of, f"weekly-{as_of}")
        weekly.publish(engine, SETTINGS, as_of, f"weekly-{as_of}", tmp_path)
    with engine.connect() as connection:
        rows = pd.read_sql(text("SELECT * FROM published.metric_result WHERE estimand = 'prop'"), connection)
    assert rows["as_of"].nunique() == 2  # week 41 is no release
    assert set(rows["scope"]) == {"network"}
    shown = rows[rows["n_late_state"] == "shown"]
    assert len(shown) > 5
    for late, n in zip(shown["n_late"], shown["n_matured"], strict=True):
        assert not {n, late, n - late} & set(range(1, 11))
    assert (rows["n_matured"].notna() == (rows["n_matured_state"] == "shown")).all()
    assert (rows["n_late"].notna() == (rows["n_late_state"] == "shown")).all()
    assert (rows["estimate"].notna() == (rows["estimate_state"] == "shown")).all()
    assert (rows["suppressed"]).sum() > 5
    assert rows[["n_pending", "n_events", "person_days"]].isna().all(axis=None)
    # Between the two releases no shown count moved by 1 to 10.
    key = ["metric_id", "stratum_dimension", "stratum_value"]
    first, second = (shown[shown["as_of"] == day].set_index(key) for day in sorted(rows["as_of"].unique()))
    both = first.join(second.add_suffix("_then"), how="inner")
    for column in ("n_matured", "n_late"):
        assert not ((both[f"{column}_then"] - both[column]).abs().between(1, 10)).any()
