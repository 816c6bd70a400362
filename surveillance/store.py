"""Reading and writing the tables of `warehouse.schema.measures` and `.charts`. Callers own the transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from surveillance.blocks import FROZEN_COLUMNS
from surveillance.charts import ChartRow
from surveillance.errors import MeasureReworded, RunUnknown
from surveillance.measures.registry import DIMENSIONS, Measure
from warehouse.copying import copy_rows
from warehouse.schema import charts, measures

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from surveillance.settings import SurveillanceSettings

#: Held by every step that writes, so that two weekly runs can't interleave.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('iess.surveillance', 0))")
_BATCH = 2_000


def lock(connection: Connection) -> None:
    """Wait until no other weekly step is writing; released with the transaction."""
    connection.execute(_LOCK)


def _table(model: type[Any]) -> Table:
    table: Table = model.__table__
    return table


def write_rows(connection: Connection, model: type[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in batches."""
    for start in range(0, len(rows), _BATCH):
        connection.execute(insert(_table(model)), [dict(row) for row in rows[start : start + _BATCH]])


def write_results(connection: Connection, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append a run's results: tens of thousands of rows, hence by COPY."""
    if rows:
        names = list(rows[0])
        table = _table(measures.MetricResult).fullname
        copy_rows(connection, table, ["run_id", *names], ([run_id, *(row[name] for name in names)] for row in rows))


def has_results(connection: Connection, run_id: str) -> bool:
    """Whether the run has measured already."""
    table = _table(measures.MeasureRun)
    return connection.execute(select(func.count()).where(table.c.run_id == run_id)).scalar_one() > 0


def write_run(
    connection: Connection,
    run_id: str,
    as_of: date,
    settings: SurveillanceSettings,
    through: Mapping[str, date],
    infants: int,
) -> None:
    row = {
        "run_id": run_id,
        "as_of": as_of,
        "code_version": settings.code_version,
        "settings_hash": settings.fingerprint(),
        "data_through": {source: day.isoformat() for source, day in sorted(through.items())},
        "infants": infants,
    }
    write_rows(connection, measures.MeasureRun, [row])


def run(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run's row. Raises `RunUnknown`."""
    table = _table(measures.MeasureRun)
    row = connection.execute(select(table).where(table.c.run_id == run_id)).mappings().first()
    if row is None:
        raise RunUnknown(f"The run {run_id} hasn't measured yet", next_step="run the step `measure` first")
    return dict(row)


def write_definitions(connection: Connection, defined: Collection[Measure], settings: SurveillanceSettings) -> None:
    """Add definitions that aren't there. Raises `MeasureReworded` where a version is there with another meaning."""
    table = _table(measures.MetricDefinition)
    stored = connection.execute(select(table.c.metric_id, table.c.version, table.c.sha256))
    meaning = {(row.metric_id, row.version): row.sha256 for row in stored}
    for measure in defined:
        if meaning.get((measure.id, measure.version)) not in (None, measure.sha256):
            raise MeasureReworded(
                f"The measure {measure.key} means something else than when it was first used here",
                next_step="give it a new version, with a valid_from of its own",
            )
    rows = [
        {
            "metric_id": measure.id,
            "version": measure.version,
            "name": measure.title,
            "numerator": measure.numerator,
            "denominator": measure.denominator,
            "clock_start": measure.clock_start,
            "clock_stop": measure.clock_stop,
            "threshold_days": measure.threshold_days if measure.timed else None,
            "competing_events": ",".join(measure.competing_events),
            "direction": measure.direction,
            "maturity_days": settings.maturity_lag_days,
            "min_n": max(measure.min_n, settings.min_n),
            "valid_from": measure.valid_from,
            "valid_to": measure.valid_to,
            "maturity": measure.maturity,
            "sha256": measure.sha256,
        }
        for measure in defined
    ]
    connection.execute(upsert(table).on_conflict_do_nothing(), rows)


def results(connection: Connection, run_id: str, *, published: bool = False) -> pd.DataFrame:
    """All results of a run, in the order of the key."""
    table = _table(measures.PublishedResult if published else measures.MetricResult)
    query = select(table).where(table.c.run_id == run_id).order_by(*table.primary_key.columns)
    return pd.DataFrame(connection.execute(query).mappings().all(), columns=[column.name for column in table.columns])


def published_columns() -> list[str]:
    """Columns of `published.metric_result`."""
    return [column.name for column in _table(measures.PublishedResult).columns]


def releases(connection: Connection) -> dict[str, date]:
    """Runs that were released, with their as-of days, oldest first."""
    table = _table(measures.PublishedResult)
    query = select(table.c.run_id, func.max(table.c.as_of).label("day")).group_by(table.c.run_id).order_by("day")
    return {row.run_id: row.day for row in connection.execute(query)}


def frozen(connection: Connection, metric_id: str) -> pd.DataFrame:
    """Infants that are in the charts of a measure; columns of `FROZEN_COLUMNS`."""
    table = _table(charts.FrozenOutcome)
    query = select(table).where(table.c.metric_id == metric_id).order_by(table.c.source, table.c.infant)
    rows = [{**row, **row["strata"]} for row in connection.execute(query).mappings()]
    return pd.DataFrame(rows, columns=FROZEN_COLUMNS)


def freeze(connection: Connection, measure: Measure, fresh: pd.DataFrame, run_id: str) -> None:
    rows = [
        {
            "metric_id": measure.id,
            "definition_version": measure.version,
            "source": row["source"],
            "infant": row["infant"],
            "week": row["week"],
            "matured_on": row["matured_on"].date(),
            "late": row["late"],
            "prior_neurology": row["prior_neurology"],
            "days": None if pd.isna(row["days"]) else int(row["days"]),
            "event": bool(row["event"]),
            "strata": {name: row[name] for name in DIMENSIONS[:-1]},
            "run_id": run_id,
        }
        for row in fresh.to_dict("records")
    ]
    write_rows(connection, charts.FrozenOutcome, rows)


def revise(connection: Connection, measure: Measure, changed: pd.DataFrame, as_of: date, run_id: str) -> int:
    """Write down corrections that aren't yet; returns how many were new."""
    table = _table(charts.OutcomeRevision)
    # In the order of knowledge, so that the last one wins.
    query = select(table).where(table.c.metric_id == measure.id).order_by(table.c.known_on, table.c.run_id)
    last = {(row.source, row.infant, row.field): row.new for row in connection.execute(query)}
    rows: list[dict[str, Any]] = []
    for row in changed.to_dict("records"):
        old = last.get((row["source"], row["infant"], row["field"]), row["old"])
        if old != row["new"]:
            rows.append(
                {
                    **{str(name): value for name, value in row.items()},
                    "old": old,
                    "metric_id": measure.id,
                    "run_id": run_id,
                    "known_on": as_of,
                }
            )
    write_rows(connection, charts.OutcomeRevision, rows)
    return len(rows)


def revised_outcomes(connection: Connection, metric_id: str) -> pd.DataFrame:
    """Infants whose outcome was ever corrected: columns `source, infant`."""
    table = _table(charts.OutcomeRevision)
    query = (
        select(table.c.source, table.c.infant).where(table.c.metric_id == metric_id, table.c.field == "late").distinct()
    )
    return pd.DataFrame(connection.execute(query).mappings().all(), columns=["source", "infant"])


def chart_weeks(connection: Connection, chart_id: str) -> list[ChartRow]:
    """All weeks of a chart, oldest first."""
    table = _table(charts.ChartWeek)
    rows = connection.execute(select(table).where(table.c.chart_id == chart_id).order_by(table.c.week)).mappings()
    return [ChartRow(**row) for row in rows]


def write_chart_weeks(connection: Connection, rows: Sequence[ChartRow]) -> None:
    write_rows(connection, charts.ChartWeek, [vars(row) for row in rows])
