"""The weekly run's step from signals to alerts: figures, gates, the alert's next entry, and one message at most."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from surveillance import alerts, gates, lags, message, store
from surveillance.charts import ChartRow
from surveillance.cohort import measured
from surveillance.evidence import Facts, facts_of, said_by
from surveillance.knowledge import Knowledge, known_on
from surveillance.measures.registry import Chart
from surveillance.measures.registry import measures as registry
from surveillance.outbox import Message, enqueue, message_id, written
from surveillance.registration import registered
from surveillance.resolution import reverse_evidence
from surveillance.worklist import waiting_infants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine

    from surveillance.settings import SurveillanceSettings


@dataclass(frozen=True)
class AlertReport:
    """Alerts that this call opened, held, reopened or strengthened, and the run's message, if it has one."""

    run_id: str
    alerts: list[str]
    message: Message | None


@dataclass
class _Evidence:
    """Frozen infants, measured infants and chart weeks, each read once."""

    connection: Connection
    read: Knowledge
    settings: SurveillanceSettings
    as_of: date
    charts: dict[str, Chart]
    recorded: pd.DataFrame
    frozen: dict[str, pd.DataFrame] = field(default_factory=dict)
    infants: dict[str, pd.DataFrame] = field(default_factory=dict)
    weeks: dict[str, list[ChartRow]] = field(default_factory=dict)

    def facts(self, chart: Chart, week: date | None = None, since: date | None = None) -> Facts:
        """Figures at a week (None: the last), from `since` on (None: the likely start), with the gates' verdicts."""
        rows, frozen, infants = self.rows(chart), *self._infants(chart.measure)
        at = len(rows) - 1 if week is None else (week - rows[0].week).days // 7
        facts = facts_of(chart, rows, at, frozen, infants, self.settings.horizon_days, since=since)
        quality = gates.Quality(
            frozen=frozen,
            revised=store.revised_outcomes(self.connection, chart.measure),
            measured=infants,
            lags=lags.group_lags(self.recorded, chart.dimension),
            through=self.read.through,
            as_of=self.as_of,
            lag=self.settings.lag,
            expected=self.settings.sources,
        )
        facts.gates.extend(verdict.as_json() for verdict in gates.evaluate(chart, facts, quality))
        facts.others.extend(self._others(chart, date.fromisoformat(facts.since)))
        return facts

    def update(self, chart: Chart, signal_week: date, since: date) -> alerts.Update:
        """What a live alert of that signal is told in a week without one."""
        return alerts.Update(
            signal=self.facts(chart, signal_week, since),
            now=self.facts(chart, since=since),
            reverse=reverse_evidence(chart, self.rows(chart), signal_week),
        )

    def rows(self, chart: Chart) -> list[ChartRow]:
        if chart.id not in self.weeks:
            self.weeks[chart.id] = store.chart_weeks(self.connection, chart.id)
        return self.weeks[chart.id]

    def _infants(self, metric_id: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        if metric_id not in self.frozen:
            self.frozen[metric_id] = store.frozen(self.connection, metric_id)
            self.infants[metric_id] = measured(
                self.read.known,
                registry()[metric_id],
                as_of=self.as_of,
                settings=self.settings,
                through=self.read.through,
            )
        return self.frozen[metric_id], self.infants[metric_id]

    def _others(self, chart: Chart, since: date) -> list[dict[str, object]]:
        """What the other charts of the same two groups say."""
        groups = (chart.dimension, chart.group, chart.reference)
        others = [c for c in self.charts.values() if (c.dimension, c.group, c.reference) == groups and c != chart]
        said = [(other, said_by(other, self.rows(other), since)) for other in others]
        # Another measure is another question: that it shows no difference contradicts nothing.
        return [
            {**one, "says": "not there"} if other.measure != chart.measure and one["says"] == "contradicts" else one
            for other, one in said
            if one is not None
        ]


def alert(engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str) -> AlertReport:
    """Turn signals that no alert knows of into alerts, follow up the live ones, and write one message at most.

    Alerts that nobody acknowledged by their day make a second message, for those they are escalated to.
    """
    with engine.begin() as connection:
        store.lock(connection)
        charts = registered(connection)
        read = known_on(connection, as_of)
        settings = lags.with_learned(settings, lags.learn(connection, as_of, run_id, settings))
        evidence = _Evidence(connection, read, settings, as_of, charts, lags.recorded(connection, as_of))
        raised = _signals(evidence, run_id)
        raised |= {item.alert_id: item for item in _followed(evidence, run_id)}
        escalated = alerts.escalate(connection, on=as_of, run_id=run_id)
        for kind, items in (("alert", list(raised.values())), ("escalation", escalated)):
            told = [item for item in items if item.told]
            if told:
                enqueue(connection, _message(kind, told, evidence, run_id), run_id)
        text = written(connection, message_id("alert", run_id))
    return AlertReport(run_id, list(raised), text)


def _signals(evidence: _Evidence, run_id: str) -> dict[str, alerts.Raised]:
    """New signals of alerting charts, by alert; of several, the last stands, and is told if any is."""
    raised: dict[str, alerts.Raised] = {}
    for chart_id, week in alerts.unhandled_signals(evidence.connection):
        chart = evidence.charts[chart_id]
        if chart.role == "alert":
            facts = evidence.facts(chart, week)
            new = alerts.raise_alert(evidence.connection, chart, facts, on=evidence.as_of, run_id=run_id)
            before = raised.get(new.alert_id)
            raised[new.alert_id] = new.after(before) if before else new
    return raised


def _followed(evidence: _Evidence, run_id: str) -> Sequence[alerts.Raised]:
    """Entries for the live alerts that had no signal in this run; those that opened or closed."""
    changed = []
    for row in alerts.alerts(evidence.connection).to_dict("records"):
        chart = evidence.charts[row["chart_id"]]
        if row["run_id"] == run_id or not evidence.rows(chart):
            continue
        update = evidence.update(chart, row["last_signal_week"], date.fromisoformat(row["facts"]["since"]))
        done = alerts.follow_up(evidence.connection, row["alert_id"], update, on=evidence.as_of, run_id=run_id)
        if done is not None:
            changed.append(done)
    return changed


def _message(kind: str, raised: Sequence[alerts.Raised], evidence: _Evidence, run_id: str) -> Message:
    charts, settings, read = evidence.charts, evidence.settings, evidence.read
    items = [
        message.Item(
            outcome.alert_id,
            outcome.status,
            outcome.kind,
            charts[outcome.facts["chart_id"]],
            registry()[charts[outcome.facts["chart_id"]].measure],
            outcome.facts,
            outcome.signals,
            outcome.due_on,
        )
        for outcome in sorted(raised, key=lambda one: (one.status == "held", one.facts["chart_id"]))
    ]
    listed = waiting_infants(read.known, as_of=evidence.as_of, settings=settings, through=read.through)
    waiting = listed.loc[~listed["long_past"].astype(bool), ["source", "infant"]].drop_duplicates().shape[0]
    body = message.body(items, as_of=evidence.as_of, through=read.through, waiting=waiting, settings=settings)
    return Message(message_id(kind, run_id), kind, message.subject(items), body, tuple(i.alert_id for i in items))
