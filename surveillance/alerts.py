"""Alerts in the database: raised from signals, updated by later weeks, moved on by people.

One alert a chart family. Its log (`ops.alert_event`) is append-only; the row in `ops.alert` is where it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import func, insert, select, update

from surveillance.errors import AlertStepRefused, AlertUnknown
from surveillance.lifecycle import SEEN, UNSEEN, Status, due_on, step
from surveillance.measures.registry import Chart
from warehouse.schema.charts import Alert, AlertEvent, ChartWeek

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from surveillance.evidence import Facts
    from surveillance.resolution import Reverse

#: An odds ratio within this factor of what it was is "still present".
_SAME = 1.1


def alert_id(dedupe_key: str) -> str:
    """The id of a chart family's one alert: the comparison, `Chart.family`, hashed."""
    return hashlib.sha256(dedupe_key.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Raised:
    """What became of an alert in a run.

    `kind` is opened, held, signal (again, on a live alert), reopened, escalated or resolved; `told` says whether a
    message is due for it.
    """

    alert_id: str
    kind: str
    status: str
    signals: int
    facts: Mapping[str, Any]
    due_on: date | None
    told: bool

    def after(self, before: Raised) -> Raised:
        """This, when `before` came in the same run: told if either is, and opened if it only opened then."""
        kind = before.kind if self.kind == "signal" else self.kind
        return replace(self, kind=kind, told=self.told or before.told)


@dataclass(frozen=True)
class Update:
    """Figures for an alert without a new signal: of its signal as known now, up to now, and the reverse test."""

    signal: Facts
    now: Facts
    reverse: Reverse


def unhandled_signals(connection: Connection) -> list[tuple[str, date]]:
    """Chart and week of the signals that no alert knows of, oldest first."""
    handled = select(AlertEvent.chart_id, AlertEvent.signal_week).where(AlertEvent.signal_week.is_not(None))
    known = {(row.chart_id, row.signal_week) for row in connection.execute(handled)}
    signals = (
        select(ChartWeek.chart_id, ChartWeek.week).where(ChartWeek.signal).order_by(ChartWeek.week, ChartWeek.chart_id)
    )
    return [(row.chart_id, row.week) for row in connection.execute(signals) if (row.chart_id, row.week) not in known]


def raise_alert(connection: Connection, chart: Chart, facts: Facts, *, on: date, run_id: str) -> Raised:
    """Open the alert of the chart's family, or write the signal to the one that is there.

    A message is due when the alert opens, is held or reopened, and when the chart that started again from nothing
    reaches its limit once more, which is evidence of its own; a second chart of the family that says the same is not.
    """
    found = connection.execute(select(Alert.alert_id).where(Alert.dedupe_key == chart.family)).scalar_one_or_none()
    week = date.fromisoformat(facts.week)
    if found is None:
        return _open(connection, chart, facts, week=week, on=on, run_id=run_id)
    row = _row(connection, found, lock=True)
    again = _has_signalled(connection, found, chart.id)
    kind, status = _after_signal(row["status"], held=facts.held, again=again)
    figures = facts.as_json()
    values = {
        "status": status,
        "last_signal_week": week,
        "signals": row["signals"] + 1,
        "run_id": run_id,
        "chart_id": chart.id,
        "facts": figures,
        "due_on": due_on(on) if kind in ("reopened", "opened") else row["due_on"],
    }
    if row["status"] == "resolved":
        values |= {"closed_on": None, "resolution": None, "assignee": None}
    _change(connection, found, values)
    _log(connection, found, kind, status, by=run_id, on=on, facts=figures, signal=(chart.id, week))
    told = again or kind != "signal"
    return Raised(found, kind, status, row["signals"] + 1, figures, values["due_on"], told)


def _after_signal(status: str, *, held: bool, again: bool) -> tuple[str, Status]:
    """What a further signal is called, and the status after it."""
    if status == "resolved":
        return "reopened", step("resolved", "held" if held else "reopened")
    if status == "held" and not held:
        return "opened", step("held", "open")
    if status in ("open", "reopened") and held:
        return "held", step(status, "held")
    if status in ("acknowledged", "investigating") and again and not held:
        # A chart starts from nothing after a signal: reaching the limit again confirms it.
        return "signal", step(status, "confirmed")
    return "signal", status  # type: ignore[return-value]


def _has_signalled(connection: Connection, alert: str, chart_id: str) -> bool:
    before = select(AlertEvent.number).where(
        AlertEvent.alert_id == alert, AlertEvent.chart_id == chart_id, AlertEvent.signal_week.is_not(None)
    )
    return connection.execute(before.limit(1)).first() is not None


def _open(connection: Connection, chart: Chart, facts: Facts, *, week: date, on: date, run_id: str) -> Raised:
    identity, status, due = alert_id(chart.family), step("candidate", "held" if facts.held else "open"), due_on(on)
    figures = facts.as_json()
    row = {
        "alert_id": identity,
        "dedupe_key": chart.family,
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
    _log(connection, identity, "signal", "candidate", by=run_id, on=on, facts=figures, signal=(chart.id, week))
    kind = "held" if facts.held else "opened"
    _log(connection, identity, kind, status, by=run_id, on=on, facts={"gates": figures["gates"]})
    return Raised(identity, kind, status, 1, figures, due, True)


def follow_up(connection: Connection, alert: str, update: Update, *, on: date, run_id: str) -> Raised | None:
    """Write to a live alert without a new signal where it stands; returns what is to be told of it, if anything.

    A held alert is judged again on the figures of its own signal, with what has become known since, and opens when its
    gates pass. An alert that a person has looked at closes when the reverse evidence reaches its limit.
    """
    row = _row(connection, alert, lock=True)
    kind, status, values = _standing(row, update, on)
    _change(connection, alert, {"run_id": run_id, **values})
    figures = {
        "odds_ratio": update.now.odds_ratio,
        "table": list(update.now.table),
        "m": update.now.m,
        "reverse_evidence": update.reverse.evidence,
        "quiet_weeks": update.reverse.weeks,
        "odds_ratio_since_signal": update.reverse.odds_ratio,
        "gates": update.signal.gates,
    }
    _log(connection, alert, kind, status, by=run_id, on=on, facts=figures)
    if kind not in ("opened", "resolved"):
        return None
    facts, due = values.get("facts", row["facts"]), values.get("due_on", row["due_on"])
    return Raised(alert, kind, status, row["signals"], facts, due, kind == "opened")


def _standing(row: Mapping[str, Any], update: Update, on: date) -> tuple[str, str, dict[str, Any]]:
    """Kind of entry, status after it, and the columns that change."""
    if row["status"] == "held":
        if update.signal.held:
            return "held", "held", {}
        opened = {"status": step("held", "open"), "facts": update.signal.as_json(), "due_on": due_on(on)}
        return "opened", "open", opened
    if row["status"] in SEEN and update.reverse.reached:
        done = {"status": step(row["status"], "resolved"), "closed_on": on, "resolution": "improved: by the evidence"}
        return "resolved", "resolved", done
    before, now = row["facts"].get("odds_ratio"), update.now.odds_ratio
    if before is None or now is None:
        return "present", row["status"], {}
    kind = "stronger" if now > before * _SAME else "weaker" if now < before / _SAME else "present"
    return kind, row["status"], {}


def escalate(connection: Connection, *, on: date, run_id: str) -> list[Raised]:
    """Alerts that nobody acknowledged by their day: a line in the log, a new day, and a message for those above."""
    raised = []
    for alert in overdue(connection, on):
        row, due = _row(connection, alert, lock=True), due_on(on)
        _change(connection, alert, {"due_on": due})
        _log(
            connection, alert, "escalated", row["status"], by=run_id, on=on, note=f"not acknowledged by {row['due_on']}"
        )
        raised.append(Raised(alert, "escalated", row["status"], row["signals"], row["facts"], row["due_on"], True))
    return raised


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
        row = _row(connection, alert, lock=True)
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
        _log(connection, alert, "note", _row(connection, alert, lock=True)["status"], by=by, on=on, note=note)


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


def _row(connection: Connection, alert: str, *, lock: bool = False) -> dict[str, Any]:
    """The alert; `lock` for those who change it, which readers may not."""
    query = select(Alert.__table__).where(Alert.alert_id == alert)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
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
    signal: tuple[str, date] | None = None,
) -> None:
    last = connection.execute(select(func.max(AlertEvent.number)).where(AlertEvent.alert_id == alert)).scalar_one()
    row = {
        "alert_id": alert,
        "number": (last or 0) + 1,
        "kind": kind,
        "status": status,
        "chart_id": signal[0] if signal else None,
        "signal_week": signal[1] if signal else None,
        "by_whom": by,
        "happened_on": on,
        "note": note,
        "facts": dict(facts or {}),
    }
    connection.execute(insert(AlertEvent), [row])
