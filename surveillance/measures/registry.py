"""Charts as data: which comparisons may raise an alert. Measures and dimensions are importable from here too."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from surveillance.errors import ChartUnknown, MeasuresUnreadable
from surveillance.measures.definitions import Measure as Measure
from surveillance.measures.definitions import measures as measures
from surveillance.measures.definitions import read_measures as read_measures
from surveillance.measures.dimensions import DIMENSIONS as DIMENSIONS
from surveillance.measures.dimensions import REFERENCES as REFERENCES
from surveillance.measures.dimensions import UNKNOWN as UNKNOWN

Scope = Literal["within-site", "total"]
Role = Literal["alert", "supporting"]
#: Late or not (statistics.md 1.5, 1 to 5), or days waited (6).
ChartVersion = Literal["binary", "time-to-event"]


@dataclass(frozen=True)
class Chart:
    """One pre-registered weekly comparison. Its weeks begin in the week of `registered_on` (None: with the first data).

    Adding an alerting chart raises the limit of all from its date on, and never before it. The charts of one `family`
    ask the same question in two ways, and share one alert; a supporting chart is shown, and alerts nobody.
    """

    measure: str
    dimension: str
    group: str
    reference: str
    scope: Scope = "within-site"
    role: Role = "alert"
    registered_on: date | None = None
    retired_on: date | None = None
    rationale: str = ""
    version: ChartVersion = "binary"
    #: Odds ratio (at least 1) or hazard ratio (at most 1) that isn't material yet; useful above 2,000 cases a year.
    margin: float = 1.0
    #: A block waits for this many of the reference; binary only.
    min_reference: int = 1
    registered_by: str = ""
    retired_by: str | None = None

    @property
    def family(self) -> str:
        """The comparison, whichever version asks: what an alert is about."""
        return f"{self.measure}:{self.dimension}:{self.group}:{self.reference}:{self.scope}"

    @property
    def id(self) -> str:
        return self.family if self.version == "binary" else f"{self.family}:{self.version}"


def read_charts(text: str, measures: dict[str, Measure]) -> tuple[Chart, ...]:
    """Charts from CSV. Raises `ChartUnknown`, `MeasuresUnreadable`."""
    try:
        charts = tuple(
            Chart(
                row["measure"],
                row["dimension"],
                row["group"],
                row["reference"],
                row["scope"],  # type: ignore[arg-type]
                row["role"],  # type: ignore[arg-type]
                date.fromisoformat(row["registered_on"]) if row["registered_on"] else None,
                date.fromisoformat(row["retired_on"]) if row.get("retired_on") else None,
                row["rationale"],
                row.get("version") or "binary",  # type: ignore[arg-type]
                float(row.get("margin") or 1),
                int(row.get("min_reference") or 1),
            )
            for row in csv.DictReader(text.splitlines())
        )
    except (KeyError, ValueError) as error:
        raise MeasuresUnreadable(f"The registry of charts can't be read: {error}") from error
    check_charts(charts, measures)
    return charts


def check_charts(charts: Sequence[Chart], measures: dict[str, Measure]) -> None:
    """Every chart names a measure, a dimension and two groups that exist. Raises `ChartUnknown`."""
    for chart in charts:
        if chart.measure not in measures:
            raise ChartUnknown(f"The chart {chart.id} names an unknown measure")
        if chart.version == "time-to-event" and measures[chart.measure].kind != "interval":
            raise ChartUnknown(f"The chart {chart.id} asks for days waited, and its measure is no wait")
        adverse = chart.margin >= 1 if chart.version == "binary" else 0 < chart.margin <= 1
        if not adverse or chart.min_reference < 1:
            raise ChartUnknown(f"The chart {chart.id} has a margin or a least reference that can't be")
        for said, known in ((chart.scope, Scope), (chart.role, Role), (chart.version, ChartVersion)):
            if said not in get_args(known):
                raise ChartUnknown(
                    f"The chart {chart.id} says {said!r}", next_step=f"use one of {', '.join(get_args(known))}"
                )
        if chart.dimension not in DIMENSIONS:
            raise ChartUnknown(
                f"The chart {chart.id} names an unknown dimension", next_step=f"use one of {', '.join(DIMENSIONS)}"
            )
        if chart.dimension == "source" and chart.scope == "within-site":
            raise ChartUnknown(f"The chart {chart.id} compares sites within a site")
        if chart.group == chart.reference or {chart.group, chart.reference} & UNKNOWN:
            raise ChartUnknown(f"The chart {chart.id} doesn't compare two known groups")
    if len({chart.id for chart in charts}) < len(charts):
        raise ChartUnknown("A chart is registered twice")


@cache
def default_charts() -> tuple[Chart, ...]:
    """The pre-registered charts that come with this version."""
    return read_charts((resources.files(__package__) / "charts.csv").read_text(encoding="utf-8"), measures())


def charts_from(path: Path) -> tuple[Chart, ...]:
    """A site's own registry of charts, as a CSV file with the columns of `charts.csv`."""
    return read_charts(path.read_text(encoding="utf-8"), measures())
