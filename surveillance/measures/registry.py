"""Measures and charts as data: what is counted, on which clock, and which comparisons may raise an alert."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from fhir_mapping.contract import COLUMNS, DELAY_THRESHOLD_DAYS, INTERVALS_BY_NAME, IntervalDefinition
from surveillance.errors import ChartUnknown, MeasuresUnreadable

Scope = Literal["within-site", "total"]
Role = Literal["alert", "supporting"]

#: Strata by which every measure is reported. `language_group` is derived from `language`; `bipoc` is derived by the
#: mapping, and is never shown without the groups that it collapses.
DIMENSIONS = ("race_ethnicity", "bipoc", "payer", "language_group", "interpreter", "sex", "source")
#: Fixed reference of each dimension (fixed, since the best of J groups is a biased reference). None: no comparison.
REFERENCES: dict[str, str | None] = {
    "race_ethnicity": "nh_white",
    "bipoc": "no",
    "payer": "private",
    "language_group": "en",
    "interpreter": "no",
    "sex": "male",
    "source": None,
}
#: Values that are no group: reported in their own row, never compared, never charted.
UNKNOWN = frozenset({"unknown", "declined", "undetermined", ""})


@dataclass(frozen=True)
class Measure:
    """One measure. `numerator` counts the adverse outcome, so that higher is always worse."""

    id: str
    version: int
    title: str
    late_title: str  # continues "17 of 24 infants ..."
    kind: Literal["interval", "share"]
    numerator: str
    denominator: str
    interval: str | None = None
    column: str | None = None
    adverse: tuple[str, ...] = ()
    favourable: tuple[str, ...] = ()
    index: str | None = None
    exclude_pathways: tuple[str, ...] = ()
    threshold_days: int = DELAY_THRESHOLD_DAYS
    competing_events: tuple[str, ...] = ("death",)
    direction: str = "higher is adverse"
    min_n: int = 5
    valid_from: date = date(2015, 10, 1)
    valid_to: date | None = None
    source: str = ""

    @property
    def wait(self) -> IntervalDefinition:
        """The timeline's interval; only for `kind` interval."""
        if self.interval is None:
            raise MeasuresUnreadable(f"The measure {self.id} is no wait")
        return INTERVALS_BY_NAME[self.interval]

    @property
    def clock_start(self) -> str:
        return self.wait.start if self.interval else str(self.index)

    @property
    def clock_stop(self) -> str | None:
        return self.wait.stop if self.interval else None

    @property
    def key(self) -> str:
        return f"{self.id}.v{self.version}"


@dataclass(frozen=True)
class Chart:
    """One pre-registered weekly comparison. Its weeks begin in the week of `registered_on` (None: with the first data).

    Adding a chart raises the limit of the whole family from its date on, and never before it.
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

    @property
    def id(self) -> str:
        return f"{self.measure}:{self.dimension}:{self.group}:{self.reference}:{self.scope}"


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check(measure: Measure) -> None:
    columns = {column.name for column in COLUMNS}
    if measure.kind == "interval":
        known = measure.interval in INTERVALS_BY_NAME
    else:
        known = measure.column in columns and measure.index in columns and bool(measure.adverse or measure.favourable)
    if not known:
        raise MeasuresUnreadable(f"The measure {measure.id} names a wait or column that the timeline doesn't have")


def read_measures(text: str) -> dict[str, Measure]:
    """Measures by id from TOML. Raises `MeasuresUnreadable`."""
    try:
        rows = tomllib.loads(text)["measure"]
        measures = [Measure(**{name: _tuple(value) for name, value in row.items()}) for row in rows]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise MeasuresUnreadable(f"The registry of measures can't be read: {error}") from error
    for measure in measures:
        _check(measure)
    if len({measure.id for measure in measures}) < len(measures):
        raise MeasuresUnreadable("The registry of measures has an id twice")
    return {measure.id: measure for measure in measures}


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
        if chart.dimension not in DIMENSIONS:
            raise ChartUnknown(
                f"The chart {chart.id} names an unknown dimension", next_step=f"use one of {', '.join(DIMENSIONS)}"
            )
        if chart.group == chart.reference or {chart.group, chart.reference} & UNKNOWN:
            raise ChartUnknown(f"The chart {chart.id} doesn't compare two known groups")
    if len({chart.id for chart in charts}) < len(charts):
        raise ChartUnknown("A chart is registered twice")


@cache
def measures() -> dict[str, Measure]:
    """The measures that come with this version."""
    return read_measures((resources.files(__package__) / "measures.toml").read_text(encoding="utf-8"))


@cache
def default_charts() -> tuple[Chart, ...]:
    """The pre-registered charts that come with this version."""
    return read_charts((resources.files(__package__) / "charts.csv").read_text(encoding="utf-8"), measures())


def charts_from(path: Path) -> tuple[Chart, ...]:
    """A site's own registry of charts, as a CSV file with the columns of `charts.csv`."""
    return read_charts(path.read_text(encoding="utf-8"), measures())
