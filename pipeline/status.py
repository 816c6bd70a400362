"""What `iess status` shows: where each source stands, and which alerts are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from fhir_source.landing import LandingZone
from pipeline.database import open_warehouse

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipeline.settings import Settings

_SOURCES = text(
    """
    SELECT p.source, p.pull_id, p.data_through, p.infants, w.transaction_time AS watermark,
           (SELECT coalesce(sum(l.quarantined), 0) FROM ops.ledger l
             WHERE (l.source, l.pull_id, l.attempt) = (p.source, p.pull_id, p.attempt)) AS quarantined
      FROM ops.pull p LEFT JOIN ops.watermark w USING (source)
     WHERE p.sequence = (SELECT max(q.sequence) FROM ops.pull q WHERE q.source = p.source)
    """
)
_ALERTS = text(
    "SELECT alert_id, dedupe_key, status, opened_week, due_on, assignee FROM ops.alert "
    "WHERE status NOT IN ('resolved', 'refuted') ORDER BY opened_week, alert_id"
)


@dataclass(frozen=True)
class SourceStatus:
    """One source: the last pull in the warehouse, the watermark, and what has landed since."""

    source: str
    last_pull: str | None
    watermark: str | None
    data_through: str | None
    infants: int | None
    quarantined: int | None
    waiting: int  # landed pulls that are not loaded


@dataclass(frozen=True)
class AlertStatus:
    """One alert that is not closed."""

    alert_id: str
    about: str
    status: str
    opened_week: str
    due_on: str | None
    assignee: str | None


@dataclass(frozen=True)
class Status:
    """The installation at a glance."""

    sources: list[SourceStatus]
    alerts: list[AlertStatus]


def look(settings: Settings) -> Status:
    """Sources of the settings and of the warehouse, by name; alerts by age."""
    landing = LandingZone(settings.landing_root)
    with open_warehouse(settings) as engine, engine.connect() as connection:
        found = {row["source"]: dict(row) for row in connection.execute(_SOURCES).mappings()}
        sources = [
            _source(connection, landing, name, found.get(name, {})) for name in sorted({*found, *settings.sources})
        ]
        alerts = [
            AlertStatus(
                alert_id=row["alert_id"],
                about=row["dedupe_key"],
                status=row["status"],
                opened_week=row["opened_week"].isoformat(),
                due_on=row["due_on"].isoformat() if row["due_on"] else None,
                assignee=row["assignee"],
            )
            for row in connection.execute(_ALERTS).mappings()
        ]
    return Status(sources, alerts)


def _source(connection: Connection, landing: LandingZone, name: str, row: dict[str, object]) -> SourceStatus:
    loaded = set(
        connection.execute(text("SELECT pull_id FROM ops.pull WHERE source = :source"), {"source": name}).scalars()
    )
    through = row.get("data_through")
    return SourceStatus(
        source=name,
        last_pull=_text(row.get("pull_id")),
        watermark=_text(row.get("watermark")),
        data_through=_text(through),
        infants=_count(row.get("infants")),
        quarantined=_count(row.get("quarantined")),
        waiting=sum(manifest.pull_id not in loaded for manifest in landing.pulls(name)),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _count(value: object) -> int | None:
    return None if value is None else int(str(value))
