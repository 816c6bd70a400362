"""The life of an alert on a real PostgreSQL: one a family, its log, judged again, escalated, closed by evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from surveillance import alerts, gates
from surveillance.alerts import Update
from surveillance.charts import ChartRow
from surveillance.detector import Block
from surveillance.errors import AlertStepRefused
from surveillance.evidence import Facts
from surveillance.lifecycle import NEXT, step
from surveillance.resolution import REVERSE_LIMIT, Reverse, reverse_evidence
from tests.surveillance.test_gates import CHART, FACTS

DAYS_CHART = replace(CHART, version="time-to-event")
ON = date(2025, 6, 9)
PASSED = gates.GateOutcome("load_complete", "passed", "all here").as_json()
FAILED = gates.GateOutcome("load_complete", "failed", "silent for over 14 days: b").as_json()
QUIET = Reverse(1.0, 4, 2.0)


def facts(week: int = 0, *, held: bool = False, chart: Any = CHART) -> Facts:
    signal = (date(2025, 6, 2) + timedelta(weeks=week)).isoformat()
    return replace(FACTS, chart_id=chart.id, week=signal, gates=[FAILED if held else PASSED])


def raised(connection: Connection, week: int = 0, *, held: bool = False, chart: Any = CHART) -> alerts.Raised:
    on = ON + timedelta(weeks=week)
    return alerts.raise_alert(connection, chart, facts(week, held=held, chart=chart), on=on, run_id=f"weekly-{week}")


def follow(connection: Connection, alert: str, update: Update, week: int = 1) -> alerts.Raised | None:
    return alerts.follow_up(connection, alert, update, on=ON + timedelta(weeks=week), run_id=f"weekly-{week}")


def log(engine: Engine, alert: str) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        _, entries = alerts.alert_with_log(connection, alert)
    return list(zip(entries["kind"], entries["status"], strict=True))


def test_the_two_charts_of_a_family_share_one_alert_and_one_message(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        first, second = raised(connection), raised(connection, 1, chart=DAYS_CHART)
        again = raised(connection, 2)
    assert first.alert_id == second.alert_id == again.alert_id
    # The other chart says the same; the first one, started from nothing, is evidence of its own.
    assert (first.told, second.told, again.told) == (True, False, True)
    assert log(warehouse_engine, first.alert_id) == [
        ("signal", "candidate"),
        ("opened", "open"),
        ("signal", "open"),
        ("signal", "open"),
    ]


def test_a_second_signal_confirms_what_somebody_looks_at_but_not_past_a_failed_check(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        alert = raised(connection).alert_id
    alerts.acknowledge(warehouse_engine, alert, by="Dr Lee", on=ON)
    with warehouse_engine.begin() as connection:
        assert raised(connection, 1, chart=DAYS_CHART).status == "acknowledged"
        assert raised(connection, 2, held=True).status == "acknowledged"
        assert raised(connection, 3).status == "confirmed"


def test_a_held_alert_is_judged_again_and_opens_with_a_message(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        held = raised(connection, held=True)
        assert (held.kind, held.told) == ("held", True)
        assert follow(connection, held.alert_id, Update(facts(held=True), facts(held=True), QUIET)) is None
        opened = follow(connection, held.alert_id, Update(facts(), facts(), QUIET), week=2)
    assert opened is not None
    assert (opened.kind, opened.status, opened.told, opened.facts["gates"]) == ("opened", "open", True, [PASSED])
    assert log(warehouse_engine, held.alert_id) == [
        ("signal", "candidate"),
        ("held", "held"),
        ("held", "held"),
        ("opened", "open"),
    ]


@pytest.mark.parametrize(("now", "kind"), [(9.0, "stronger"), (6.0, "present"), (3.0, "weaker"), (None, "present")])
def test_later_weeks_say_whether_it_is_still_there(warehouse_engine: Engine, now: float | None, kind: str) -> None:
    with warehouse_engine.begin() as connection:
        alert = raised(connection).alert_id
        assert follow(connection, alert, Update(facts(), replace(facts(), odds_ratio=now), QUIET)) is None
    assert log(warehouse_engine, alert)[-1] == (kind, "open")


def test_evidence_that_it_has_gone_closes_what_somebody_has_looked_at_and_a_signal_reopens(
    warehouse_engine: Engine,
) -> None:
    gone = Update(facts(), facts(), Reverse(REVERSE_LIMIT, 30, 0.9))
    with warehouse_engine.begin() as connection:
        alert = raised(connection).alert_id
        assert follow(connection, alert, gone) is None  # nobody has looked: silence closes nothing
    alerts.acknowledge(warehouse_engine, alert, by="Dr Lee", on=ON)
    with warehouse_engine.begin() as connection:
        closed = follow(connection, alert, gone, week=2)
        assert closed is not None
        assert (closed.kind, closed.told) == ("resolved", False)
        reopened = raised(connection, 3)
        assert (reopened.kind, reopened.status, reopened.told) == ("reopened", "reopened", True)
        standing, _ = alerts.alert_with_log(connection, alert)
    assert (standing["assignee"], standing["closed_on"], standing["resolution"]) == (None, None, None)


def test_nobody_looking_is_escalated_every_five_working_days(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        alert = raised(connection).alert_id  # due on Monday the 16th
        assert alerts.escalate(connection, on=date(2025, 6, 16), run_id="weekly-1") == []
        [late] = alerts.escalate(connection, on=date(2025, 6, 17), run_id="weekly-2")
        assert (late.kind, late.due_on) == ("escalated", date(2025, 6, 16))
        assert alerts.escalate(connection, on=date(2025, 6, 18), run_id="weekly-3") == []
        assert len(alerts.escalate(connection, on=date(2025, 6, 30), run_id="weekly-4")) == 1
    alerts.acknowledge(warehouse_engine, alert, by="Dr Lee", on=date(2025, 7, 1))
    with warehouse_engine.begin() as connection:
        assert alerts.escalate(connection, on=date(2025, 9, 1), run_id="weekly-5") == []


def test_the_log_takes_no_change(warehouse_engine: Engine) -> None:
    with warehouse_engine.begin() as connection:
        raised(connection)
    for change in ("UPDATE ops.alert_event SET note = 'x'", "DELETE FROM ops.alert_event"):
        with pytest.raises(DBAPIError, match="append-only"), warehouse_engine.begin() as connection:
            connection.execute(text(change))


def test_every_state_can_be_reached_and_left() -> None:
    reached = {"candidate"} | {to for following in NEXT.values() for to in following}
    assert reached == set(NEXT)
    assert all(NEXT.values())
    for status, following in NEXT.items():
        for to in NEXT:
            if to in following:
                assert step(status, to) == to
            else:
                with pytest.raises(AlertStepRefused):
                    step(status, to)


def weeks(draw: Callable[[], Block], count: int) -> list[ChartRow]:
    start = date(2025, 1, 6)
    return [
        ChartRow(
            chart_id=CHART.id, week=start + timedelta(weeks=i), run_id="", rows=[], blocks=[list(draw())], carried=[],
            log_e=[], log_r=[], m=0.0, limit_a=1.0, charts=1, budget=1.0, signal=False, cs_low=None, cs_high=None,
            previous_hash="",
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(("odds_ratio", "at_most"), [(1.25, 0.05), (2.0, 0.01)])
def test_reverse_evidence_rarely_says_gone_while_the_difference_is_there(odds_ratio: float, at_most: float) -> None:
    """Ville: at an odds ratio of 1.25 or more it ever reaches 20 with a chance of at most 5%."""
    rng = np.random.default_rng(3)
    odds = 0.4 / 0.6 * odds_ratio
    charts, reached = 80, 0
    for _ in range(charts):
        rows = weeks(lambda: Block(int(rng.binomial(8, odds / (1 + odds))), 8, int(rng.binomial(24, 0.4)), 24), 78)
        reached += any(reverse_evidence(CHART, rows[: n + 1], date(2025, 1, 5)).reached for n in range(0, 78, 6))
    assert reached <= at_most * charts + 3


def test_reverse_evidence_says_gone_when_it_is_and_counts_from_the_last_signal() -> None:
    rng = np.random.default_rng(4)
    rows = weeks(lambda: Block(int(rng.binomial(8, 0.3)), 8, int(rng.binomial(24, 0.4)), 24), 104)
    whole = reverse_evidence(CHART, rows, date(2025, 1, 5))
    assert whole.reached
    assert whole.quiet
    assert reverse_evidence(CHART, rows, rows[-1].week) == Reverse(1.0, 0, None)
    assert not reverse_evidence(CHART, rows[:20], date(2025, 1, 5)).quiet  # less than half a year
