"""The registry of charts in the warehouse: adding and retiring a chart are dated acts of a named person.

A warehouse begins with the charts of its settings. From then on the registry stands: a new version of this software, or
another file, adds nothing by itself, since every chart more raises the limit of all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from surveillance.charts import ChartRow, replay
from surveillance.errors import ChartUnknown
from surveillance.measures.registry import Chart, check_charts, measures
from surveillance.store import chart_weeks, lock
from warehouse.schema.charts import ChartRegistry

if TYPE_CHECKING:
    from sqlalchemy import Connection

#: Who registers the charts that a warehouse begins with.
SEED = "settings"


def registered(connection: Connection) -> dict[str, Chart]:
    """The charts as registered, retired ones too, by id."""
    rows = connection.execute(select(ChartRegistry.__table__).order_by(ChartRegistry.chart_id)).mappings()
    return {
        row["chart_id"]: Chart(
            row["metric_id"],
            row["dimension"],
            row["group_value"],
            row["reference_value"],
            row["scope"],
            row["role"],
            row["registered_on"],
            row["retired_on"],
            row["rationale"],
            row["version"],
            row["margin"],
            row["min_reference"],
            row["registered_by"],
            row["retired_by"],
        )
        for row in rows
    }


def seed(connection: Connection, charts: Sequence[Chart], run_id: str) -> dict[str, Chart]:
    """Register `charts` where none is registered yet; returns the registry. Raises `ChartUnknown`."""
    held = registered(connection)
    if held:
        return held
    check_charts(charts, measures())
    for chart in charts:
        _insert(connection, replace(chart, registered_by=chart.registered_by or SEED), run_id)
    return registered(connection)


def add(connection: Connection, chart: Chart, *, on: date, by: str) -> Chart:
    """Register a chart from `on`. Its weeks begin in that week: nothing older counts, whatever it would have shown.

    Raises `ChartUnknown` for a chart that can't be, that is there, or that was retired: its past can't be undone.
    """
    lock(connection)
    held = registered(connection)
    if chart.id in held:
        past = "was retired" if held[chart.id].retired_on else "is registered already"
        raise ChartUnknown(f"The chart {chart.id} {past}", next_step="`iess charts list --all` shows every chart")
    check_charts([chart], measures())
    dated = replace(chart, registered_on=on, registered_by=by, retired_on=None)
    _insert(connection, dated, f"registered-{on}")
    return dated


def retire(connection: Connection, chart_id: str, *, on: date, by: str) -> Chart:
    """End a chart on `on`; its weeks stay. Raises `ChartUnknown`."""
    lock(connection)
    chart = registered(connection).get(chart_id)
    if chart is None or chart.retired_on is not None:
        raise ChartUnknown(f"No chart {chart_id} is registered", next_step="`iess charts list` shows those that are")
    done = {"retired_on": on, "retired_by": by}
    connection.execute(update(ChartRegistry).where(ChartRegistry.chart_id == chart_id).values(**done))
    return replace(chart, retired_on=on, retired_by=by)


def verified(connection: Connection) -> dict[str, list[ChartRow]]:
    """Every chart's weeks, after checking their hashes and computing all of them anew. Raises `ChartStateDamaged`."""
    charts = registered(connection)
    weeks = {chart_id: chart_weeks(connection, chart_id) for chart_id in charts}
    for chart_id, rows in weeks.items():
        replay(charts[chart_id], rows)
    return weeks


def _insert(connection: Connection, chart: Chart, run_id: str) -> None:
    row = {
        "chart_id": chart.id,
        "metric_id": chart.measure,
        "dimension": chart.dimension,
        "group_value": chart.group,
        "reference_value": chart.reference,
        "scope": chart.scope,
        "version": chart.version,
        "role": chart.role,
        "margin": chart.margin,
        "min_reference": chart.min_reference,
        "registered_on": chart.registered_on,
        "registered_by": chart.registered_by,
        "retired_on": chart.retired_on,
        "rationale": chart.rationale,
        "first_run_id": run_id,
    }
    connection.execute(insert(ChartRegistry), [row])
