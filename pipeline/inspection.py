"""Who waits now, and what the registered charts can see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fhir_source.errors import SettingsError
from pipeline.database import open_warehouse
from pipeline.weekly import options
from surveillance import store
from surveillance import weekly as surveillance
from surveillance.charts import active, family_size
from surveillance.detector import limit_of
from surveillance.power import Power, Scenario, power, scenario_of
from surveillance.registration import registered
from warehouse.errors import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from sqlalchemy import Connection

    from pipeline.settings import Settings
    from surveillance.measures.registry import Chart

    Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Volume:
    """What the user says of the network instead of what its warehouse shows. Shares and `late` from 0 to 1."""

    cases: float | None = None  # a year, over all groups and sites
    group_share: float | None = None
    reference_share: float | None = None
    late: float | None = None
    sites: int | None = None
    odds_ratio: float = 2.0


@dataclass(frozen=True)
class ChartSight:
    """What one registered chart can see. `power` is None when the network has too few infants to tell its volume."""

    chart: str
    power: Power | None


@dataclass(frozen=True)
class Sight:
    """All charts that may raise an alert. `budget`: false alerts a year over all of them together."""

    limit: float
    budget: float
    charts: list[ChartSight]

    @property
    def false_a_year(self) -> float:
        """Simulated false alerts a year over the charts that could be simulated."""
        return sum(chart.power.false_a_year for chart in self.charts if chart.power)


def worklist(settings: Settings, as_of: date) -> list[dict[str, Any]]:
    """Infants waiting on that day, longest first (`surveillance.worklist.COLUMNS`). PHI: for the clinical role only."""
    with open_warehouse(settings) as engine, translated():
        rows = surveillance.worklist(engine, options(settings), as_of)
    rows = rows.astype(object).where(rows.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def sight(
    settings: Settings,
    as_of: date,
    volume: Volume,
    *,
    simulated: int = 100,
    seed: int = 1,
    progress: Progress | None = None,
) -> Sight:
    """Simulate every alerting chart as registered, for the network's own volume and shares or for those of `volume`.

    Before the first weekly run the charts that come with this version stand for the registered ones.
    Raises SettingsError for shares that can't be.
    """
    if (volume.group_share or 0) + (volume.reference_share or 0) > 1:
        raise SettingsError("The shares of group and reference are more than all infants together")
    told = options(settings)
    with open_warehouse(settings) as engine, translated(), engine.connect() as connection:
        family = list(registered(connection).values()) or list(told.charts)
        alerting = [chart for chart in family if chart.role == "alert" and active(chart, as_of)]
        scenarios = [_scenario(connection, chart, volume) for chart in alerting]
    limit = limit_of(family_size(family, as_of), told.budget)
    known: dict[Scenario, Power] = {}
    for scenario in scenarios:
        if scenario and scenario not in known:
            known[scenario] = power(scenario, limit, charts=simulated, seed=seed)
        if progress:
            progress("charts", 1)
    return Sight(
        limit=limit,
        budget=told.budget,
        charts=[
            ChartSight(chart.id, known[scenario] if scenario else None)
            for chart, scenario in zip(alerting, scenarios, strict=True)
        ],
    )


def _scenario(connection: Connection, chart: Chart, volume: Volume) -> Scenario | None:
    """The chart's situation in the warehouse, with what the user says over it."""
    found = scenario_of(chart, store.frozen(connection, chart.measure), volume.odds_ratio)
    if found is None:
        if volume.cases is None or volume.group_share is None or volume.reference_share is None:
            return None
        found = Scenario(volume.cases, volume.group_share, volume.reference_share, odds_ratio=volume.odds_ratio)
    said = {
        name: value
        for name in ("cases", "group_share", "reference_share", "late", "sites")
        if (value := getattr(volume, name)) is not None
    }
    return replace(found, **said)
