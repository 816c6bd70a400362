"""The registry of charts as people work with it: list, add, retire, verify."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.database import open_warehouse
from surveillance import registration, store
from surveillance.measures.registry import Chart, default_charts
from warehouse.errors import translated

if TYPE_CHECKING:
    from datetime import date

    from pipeline.clock import Clock
    from pipeline.settings import Settings
    from surveillance.charts import ChartRow


@dataclass(frozen=True)
class ChartLine:
    """One registered chart, and where it stands: its last week (None: none yet), M, limit, head of its hashes."""

    chart: str
    role: str
    registered_on: date | None
    registered_by: str
    retired_on: date | None
    retired_by: str | None
    rationale: str
    weeks: int
    last_week: date | None
    m: float | None
    limit: float | None
    head: str | None


def listed(settings: Settings, *, retired: bool = False) -> list[ChartLine]:
    """The charts, with the retired ones when asked for."""
    with open_warehouse(settings) as engine, translated(), engine.connect() as connection:
        charts = registration.registered(connection)
        wanted = [chart for chart in charts.values() if retired or chart.retired_on is None]
        return [_line(chart, store.chart_weeks(connection, chart.id)) for chart in wanted]


def verified(settings: Settings) -> list[ChartLine]:
    """All charts, after checking every hash and computing every week anew. Raises `ChartStateDamaged`."""
    with open_warehouse(settings) as engine, translated(), engine.connect() as connection:
        weeks = registration.verified(connection)
        charts = registration.registered(connection)
    return [_line(charts[chart_id], rows) for chart_id, rows in weeks.items()]


def add(settings: Settings, chart: Chart, clock: Clock, *, by: str) -> ChartLine:
    """Register a chart from today on. A warehouse without a registry gets the usual charts first.

    Raises `ChartUnknown` for one that can't be, that is there, or that was retired.
    """
    with open_warehouse(settings) as engine, translated(), engine.begin() as connection:
        registration.seed(connection, default_charts(), f"registered-{clock.today}")
        return _line(registration.add(connection, chart, on=clock.today, by=by), [])


def retire(settings: Settings, chart: str, clock: Clock, *, by: str) -> ChartLine:
    """End a chart today; its weeks stay. Raises `ChartUnknown`."""
    with open_warehouse(settings) as engine, translated(), engine.begin() as connection:
        retired = registration.retire(connection, chart, on=clock.today, by=by)
        return _line(retired, store.chart_weeks(connection, chart))


def _line(chart: Chart, rows: list[ChartRow]) -> ChartLine:
    last = rows[-1] if rows else None
    line = ChartLine(
        chart.id, chart.role, chart.registered_on, chart.registered_by, chart.retired_on, chart.retired_by,
        chart.rationale, len(rows), None, None, None, None,
    )  # fmt: skip
    return line if last is None else replace(line, last_week=last.week, m=last.m, limit=last.limit_a, head=last.hash)
