"""Alerts in the database: raised from signals, updated by later weeks, moved on by people.

One alert a chart family. Its log (`ops.alert_event`) is append-only; the row in `ops.alert` is where it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import func, insert, select, update

from surveillance.errors import AlertStepRefused, AlertUnknown
from surveillance.lifecycle import UNSEEN, Status, due_on, step
from surveillance.measures.registry import Chart
from warehouse.schema.measures import Alert, AlertEvent, ChartWeek

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from surveillance.charts import ChartRow
    from surveillance.evidence import Facts

#: An odds ratio within this factor of what it was is "still present".
_SAME = 1.1


def alert_id(dedupe_key: str) -> str:
    """The id of a chart family's one alert."""
    return hashlib.sha256(dedupe_key.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Raised:
    """What a signal did: `kind` is opened, held, signal (again, on a live alert) or reopened."""

    alert_id: str
    kind: str
    status: str
    signals: int
    facts: Mapping[str, Any]
    due_on: date | None


def unhandled_signals(connection: Connection) -> list[tuple[str, date]]:
    """Chart and week of the signals that no alert knows of, oldest first."""
    handled = (
        select(Alert.chart_id, AlertEvent.signal_week)
        .join(AlertEvent, AlertEvent.alert_id == Alert.alert_id)
        .where(AlertEvent.signal_week.is_not(None))
    )
    known = {(row.chart_id, row.signal_week) for row in connection.execute(handled)}
    signals = (
        select(ChartWeek.chart_id, ChartWeek.week).where(ChartWeek.signal).order_by(ChartWeek.week, ChartWeek.chart_id)
    )
    return [(row.chart_id, row.week) for row in connection.execute(signals) if (row.chart_id, row.week) not in known]


def raise_alert(connection: Connection, chart: Chart, facts: Facts, *, on: date, run_id: str) -> Raised:
    """Open the chart's alert, or write the signal to the one that is there."""
    found = connection.execute(select(Alert).where(Alert.dedupe_key == chart.id)).scalars().first()
    held = any(gate["verdict"] == "failed" for gate in facts.gates)
    week = date.fromisoformat(facts.week)
    figures = facts.as_json()
    if found is None:
        return _open(connection, chart, figures, held=held, week=week, on=on, run_id=run_id)
    row = _row(connection, alert_id(chart.id))
    status: str = row["status"]
    kind = "signal"
    if status == "resolved":
        status, kind = step("resolved", "held" if held else "reopened"), "reopened"
    elif status == "held" and not held:
        status, kind = step("held", "open"), "opened"
    elif status in ("open", "reopened") and held:
        status, kind = step(status, "held"), "held"
    elif status in ("acknowledged", "investigating"):
        # A chart starts from nothing after a signal: reaching the limit again is evidence of its own.
        status, kind = step(status, "confirmed"), "signal"
    signals = row["signals"] + 1
    due = due_on(on) if kind in ("reopened", "opened") else row["due_on"]
    values = {
        "status": status,
        "last_signal_week": week,
        "signals": signals,
        "run_id": run_id,
        "facts": figures,
        "due_on": due,
        "closed_on": None if kind == "reopened" else row["closed_on"],
        "resolution": None if kind == "reopened" else row["resolution"],
    }
    _change(connection, row["alert_id"], values)
    _log(connection, row["alert_id"], kind, status, by=run_id, on=on, facts=figures, signal_week=week)
    return Raised(row["alert_id"], kind, status, signals, figures, due)


def _open(
    connection: Connection,
    chart: Chart,
    figures: dict[str, Any],
    *,
    held: bool,
    week: date,
    on: date,
    run_id: str,
) -> Raised:
    identity, status, due = alert_id(chart.id), step("candidate", "held" if held else "open"), due_on(on)
    row = {
        "alert_id": identity,
        "dedupe_key": chart.id,
        "chart_id": chart.id,
        "status": status,
        "opened_week": week,
        "last_signal_week": week,
        "signals": 1,
        "opened_run_id": run_id,
        "run_id": run_id,
        "facts": figures,
        "due_on": due,
    }
    connection.execute(insert(Alert), [row])
    _log(connection, identity, "signal", "candidate", by=run_id, on=on, facts=figures, signal_week=week)
    kind = "held" if held else "opened"
    _log(connection, identity, kind, status, by=run_id, on=on, facts={"gates": figures["gates"]})
    return Raised(identity, kind, status, 1, figures, due)


def follow_up(
    connection: Connection,
    charts: Mapping[str, Sequence[ChartRow]],
    facts: Mapping[str, Facts],
    *,
    on: date,
    run_id: str,
) -> None:
    """Write to each live alert that had no signal in this run whether its difference is still there."""
    rows = connection.execute(
        select(Alert.__table__).where(Alert.closed_on.is_(None)).order_by(Alert.alert_id)
    ).mappings()
    for row in rows.all():
        chart_id = row["chart_id"]
        if row["run_id"] == run_id or chart_id not in facts:
            continue
        now, weeks = facts[chart_id], charts[chart_id]
        before, ratio = row["facts"].get("odds_ratio"), now.odds_ratio
        kind = "present"
        if before is not None and ratio is not None:
            kind = "stronger" if ratio > before * _SAME else "weaker" if ratio < before / _SAME else "present"
        values: dict[str, Any] = {"run_id": run_id}
        status = row["status"]
        held = any(gate["verdict"] == "failed" for gate in now.gates)
        if status == "held" and not held:
            status, kind = step("held", "open"), "opened"
            values |= {"status": status, "facts": now.as_json(), "due_on": due_on(on)}
        _change(connection, row["alert_id"], values)
        figures = {"odds_ratio": ratio, "m": weeks[-1].m, "table": list(now.table), "gates": now.gates}
        _log(connection, row["alert_id"], kind, status, by=run_id, on=on, facts=figures)


def advance(
    engine: Engine,
    alert: str,
    to: Status,
    *,
    by: str,
    on: date,
    note: str = "",
    resolution: str | None = None,
) -> None:
    """Move an alert on. Raises `AlertUnknown`, `AlertStepRefused`."""
    with engine.begin() as connection:
        row = _row(connection, alert)
        status = step(row["status"], to)
        values: dict[str, Any] = {"status": status}
        if to == "acknowledged":
            values |= {"assignee": by}
        if to == "resolved":
            values |= {"closed_on": on, "resolution": resolution or "signed off"}
        _change(connection, alert, values)
        _log(connection, alert, to, status, by=by, on=on, note=note)


def acknowledge(engine: Engine, alert: str, *, by: str, on: date, note: str = "") -> None:
    """A named person takes the alert. Raises `AlertUnknown`, `AlertStepRefused`."""
    advance(engine, alert, "acknowledged", by=by, on=on, note=note)


def add_note(engine: Engine, alert: str, *, by: str, on: date, note: str) -> None:
    """Write to an alert's log without moving it. The note must hold no PHI. Raises `AlertUnknown`."""
    if not note.strip():
        raise AlertStepRefused("A note needs words")
    with engine.begin() as connection:
        _log(connection, alert, "note", _row(connection, alert)["status"], by=by, on=on, note=note)


def resolve(engine: Engine, alert: str, *, by: str, on: date, resolution: str, note: str = "") -> None:
    """Close an alert with a kind of resolution. Raises `AlertUnknown`, `AlertStepRefused`."""
    advance(engine, alert, "resolved", by=by, on=on, note=note, resolution=resolution)


def alerts(connection: Connection, *, live_only: bool = True) -> pd.DataFrame:
    """Alerts, unseen ones first, then by the week of the last signal."""
    query = select(Alert.__table__)
    rows = connection.execute(query.where(Alert.closed_on.is_(None)) if live_only else query).mappings().all()
    columns = [column.name for column in Alert.__table__.columns]
    ordered = sorted(
        rows, key=lambda row: (row["status"] not in UNSEEN, -row["last_signal_week"].toordinal(), row["alert_id"])
    )
    return pd.DataFrame([dict(row) for row in ordered], columns=columns)


def alert_with_log(connection: Connection, alert: str) -> tuple[dict[str, Any], pd.DataFrame]:
    """One alert and its log, oldest first. Raises `AlertUnknown`."""
    row = _row(connection, alert)
    query = select(AlertEvent.__table__).where(AlertEvent.alert_id == row["alert_id"]).order_by(AlertEvent.number)
    columns = [column.name for column in AlertEvent.__table__.columns]
    return row, pd.DataFrame(connection.execute(query).mappings().all(), columns=columns)


def overdue(connection: Connection, on: date) -> list[str]:
    """Alerts that nobody has acknowledged by their day."""
    query = select(Alert.alert_id).where(Alert.status.in_(UNSEEN), Alert.due_on < on).order_by(Alert.alert_id)
    return list(connection.execute(query).scalars())


def _row(connection: Connection, alert: str) -> dict[str, Any]:
    row = (
        connection.execute(select(Alert.__table__).where(Alert.alert_id == alert).with_for_update()).mappings().first()
    )
    if row is None:
        raise AlertUnknown(f"There is no alert {alert}", next_step="`iess alerts list` shows those that there are")
    return dict(row)


def _change(connection: Connection, alert: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(Alert).where(Alert.alert_id == alert).values(**values))


def _log(
    connection: Connection,
    alert: str,
    kind: str,
    status: str,
    *,
    by: str,
    on: date,
    note: str = "",
    facts: Mapping[str, Any] | None = None,
    signal_week: date | None = None,
) -> None:
    last = connection.execute(select(func.max(AlertEvent.number)).where(AlertEvent.alert_id == alert)).scalar_one()
    row = {
        "alert_id": alert,
        "number": (last or 0) + 1,
        "kind": kind,
        "status": status,
        "signal_week": signal_week,
        "by_whom": by,
        "happened_on": on,
        "note": note,
        "facts": dict(facts or {}),
    }
    connection.execute(insert(AlertEvent), [row])
