"""Alerts as people work with them: list, show, take, note, move, resolve, and a test message through the outbox."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.database import open_warehouse
from surveillance import alerts
from surveillance.outbox import Message, enqueue, message_id
from warehouse.errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Engine

    from pipeline.clock import Clock
    from pipeline.records import AlertStep, ResolutionKind
    from pipeline.settings import Settings


@dataclass(frozen=True)
class AlertLine:
    """One alert. `about`: measure, dimension, group, reference and scope; `facts`: the figures of its last signal."""

    alert_id: str
    about: str
    status: str
    signals: int
    opened_week: date
    last_signal_week: date
    due_on: date | None
    overdue: bool
    assignee: str | None
    closed_on: date | None
    resolution: str | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class LogLine:
    """One entry of an alert's log, which is only ever added to."""

    number: int
    happened_on: date
    kind: str
    status: str
    by_whom: str
    note: str


@dataclass(frozen=True)
class SentTest:
    """The test message's id, and the ids of all messages that were delivered with it."""

    message_id: str
    delivered: list[str]


def listed(settings: Settings, clock: Clock, *, closed: bool = False) -> list[AlertLine]:
    """Alerts, those that nobody has looked at first; with the closed ones when asked for."""
    with _warehouse(settings) as engine, engine.connect() as connection:
        late = frozenset(alerts.overdue(connection, clock.today))
        found = alerts.alerts(connection, live_only=not closed).to_dict("records")
    return [_line({str(name): value for name, value in row.items()}, late) for row in found]


def shown(settings: Settings, alert: str, clock: Clock) -> tuple[AlertLine, list[LogLine]]:
    """One alert and its log, oldest first. Raises `AlertUnknown`."""
    with _warehouse(settings) as engine, engine.connect() as connection:
        row, log = alerts.alert_with_log(connection, alert)
        late = frozenset(alerts.overdue(connection, clock.today))
    names = tuple(LogLine.__annotations__)
    lines = [LogLine(**{name: entry[name] for name in names}) for entry in log.to_dict("records")]
    return _line(row, late), lines


def acknowledge(settings: Settings, alert: str, clock: Clock, *, by: str, note: str = "") -> None:
    """A named person takes the alert. Raises `AlertUnknown`, `AlertStepRefused`."""
    with _warehouse(settings) as engine:
        alerts.acknowledge(engine, alert, by=by, on=clock.today, note=note)


def add_note(settings: Settings, alert: str, clock: Clock, *, by: str, note: str) -> None:
    """Write to the alert's log; the words must hold no PHI. Raises `AlertUnknown`, `AlertStepRefused`."""
    with _warehouse(settings) as engine:
        alerts.add_note(engine, alert, by=by, on=clock.today, note=note)


def move(settings: Settings, alert: str, to: AlertStep, clock: Clock, *, by: str, note: str = "") -> None:
    """Take an acknowledged alert a step further. Raises `AlertUnknown`, `AlertStepRefused`."""
    with _warehouse(settings) as engine:
        alerts.advance(engine, alert, to, by=by, on=clock.today, note=note)


def resolve(settings: Settings, alert: str, clock: Clock, *, by: str, kind: ResolutionKind, note: str = "") -> None:
    """Close the alert; its next signal reopens it. Raises `AlertUnknown`, `AlertStepRefused`."""
    with _warehouse(settings) as engine:
        alerts.resolve(engine, alert, by=by, on=clock.today, resolution=kind, note=note)


def send_test(settings: Settings, clock: Clock) -> SentTest:
    """Send a test message the way that alerts go: through the outbox, with whatever waits there.

    Raises `DeliveryFailed` (retriable); the message stays in the outbox.
    """
    from pipeline.weekly import notify  # here, since it brings all of the statistics, which no other of these needs

    run = f"test-{clock.pull_id}"
    message = Message(
        id=message_id("test", run),
        kind="test",
        subject="[IESS] Test: no alert",
        body="This is a test of how alerts are delivered. Nothing was found, and nobody needs to act.\n",
    )
    with _warehouse(settings) as engine, engine.begin() as connection:
        enqueue(connection, message, run)
    return SentTest(message.id, notify(settings, clock))


@contextmanager
def _warehouse(settings: Settings) -> Iterator[Engine]:
    with open_warehouse(settings) as engine, translated():
        yield engine


def _line(row: Mapping[str, Any], overdue: frozenset[str]) -> AlertLine:
    return AlertLine(
        alert_id=row["alert_id"],
        about=row["dedupe_key"],
        status=row["status"],
        signals=int(row["signals"]),
        opened_week=row["opened_week"],
        last_signal_week=row["last_signal_week"],
        due_on=row["due_on"],
        overdue=row["alert_id"] in overdue,
        assignee=row["assignee"],
        closed_on=row["closed_on"],
        resolution=row["resolution"],
        facts=dict(row["facts"]),
    )
