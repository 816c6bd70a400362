"""The report's words about alerts, standing differences and what the charts can see: plain, without small counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import ceil, floor, isfinite
from statistics import median
from typing import TYPE_CHECKING, Any

from surveillance import store
from surveillance.charts import active, family_size
from surveillance.detector import limit_of
from surveillance.measures.registry import Chart
from surveillance.measures.registry import measures as registry
from surveillance.message import CHECKS, group_name
from surveillance.power import before_and_after, scenario_of
from warehouse.linked import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from sqlalchemy import Connection

    from surveillance.charts import ChartRow
    from surveillance.power import Scenario
    from surveillance.settings import SurveillanceSettings

_STANDING = {
    "held": "held back: a check of the data failed, so that this may come from the records and not from care",
    "open": "open: nobody has taken it yet",
    "reopened": "open again: nobody has taken it yet",
    "acknowledged": "taken",
    "investigating": "being looked into",
    "confirmed": "confirmed by review, or by a second signal",
    "refuted": "looked into and not confirmed",
    "action": "being acted on",
    "monitoring": "acted on, and watched",
}


@dataclass(frozen=True)
class AlertLine:
    """One alert, as sentences."""

    headline: str
    counts: str
    sure: str
    standing: str
    checks: list[str]
    alert_id: str


def compared(chart: Chart) -> str:
    """The two groups in words."""
    return f"{group_name(chart.dimension, chart.group)} v {group_name(chart.dimension, chart.reference)}"


def alert_lines(live: pd.DataFrame, charts: Mapping[str, Chart], settings: SurveillanceSettings) -> list[AlertLine]:
    """The alerts that are not resolved; counts of 1 to 10, and what would give them away, left out."""
    return [_line(row, charts[str(row["chart_id"])], settings) for row in live.to_dict("records")]


def _line(row: Mapping[Any, Any], chart: Chart, settings: SurveillanceSettings) -> AlertLine:
    facts, measure = row["facts"], registry()[chart.measure]
    group, reference = group_name(chart.dimension, chart.group), group_name(chart.dimension, chart.reference)
    since = _day(date.fromisoformat(facts["since"]))
    verb = "waited longer than" if measure.kind != "share" else "compared with"
    taken = f" by {row['assignee']}" if row["assignee"] and row["status"] not in ("open", "reopened", "held") else ""
    due = f"; to be acknowledged by {_day(row['due_on'])}" if not taken and row["due_on"] else ""
    return AlertLine(
        headline=f"{group[0].upper()}{group[1:]} {verb} {reference}: {measure.title.lower()}",
        counts=f"Since about the week of {since}. {_counts(facts, measure, settings)}",
        sure=f"{_ratio(chart, facts)} This interval holds however often one looks. "
        f"Chance alone raises at most {facts['budget']:g} alert{'' if facts['budget'] == 1 else 's'} a year over all "
        f"{facts['charts']} comparisons together.",
        standing=f"{_STANDING.get(row['status'], row['status'])}{taken}{due}",
        checks=[CHECKS.get(gate["gate"], gate["gate"]) for gate in facts["gates"] if gate["verdict"] == "failed"],
        alert_id=row["alert_id"],
    )


def _counts(facts: Mapping[str, Any], measure: Any, settings: SurveillanceSettings) -> str:
    table = (facts["x"], facts["n_group"], facts["y"], facts["n_reference"])
    x, n, y, m = table
    if settings.suppression and any(0 < count <= THRESHOLD for count in (x, n - x, y, m - y)):
        return "The counts are in the alert itself, for those who may see it."
    days = ""
    if facts["median_group"] is not None and facts["median_reference"] is not None:
        days = f"; half had waited {facts['median_group']:g} v {facts['median_reference']:g} days or more"
    return f"{x} of {n} v {y} of {m} {measure.late_title}{days}."


def _ratio(chart: Chart, facts: Mapping[str, Any]) -> str:
    """The ratio and its interval in words; a hazard ratio is the chance of being seen on a day."""
    lower, upper = outward(facts["cs_low"], facts["cs_high"])
    about = "" if facts["ratio"] is None else f"about {facts['ratio']:.1f} times "
    them = f"that of {group_name(chart.dimension, chart.reference)}"
    if chart.version == "time-to-event":
        return f"On any day, the chance that a wait ended was {about}{them} ({lower} to {upper} times)."
    return f"The odds of being late were {about}{them.replace('that', 'those')} ({lower} to {upper} times)."


def outward(low: float | None, high: float | None) -> tuple[str, str]:
    """An interval to one decimal, rounded outward: two decimals a week would give back the week's counts."""
    lower = "0" if low is None else f"{floor(low * 10) / 10:.1f}"
    return lower, "any number of" if high is None else f"{ceil(high * 10) / 10:.1f}"


def standing_rows(charts: Mapping[str, Chart], weeks: Mapping[str, Sequence[ChartRow]]) -> list[tuple[str, ...]]:
    """Measure, groups, how compared, from, to, and what that says; of every chart that has a week."""
    rows = []
    for chart_id, chart in charts.items():
        if not weeks[chart_id] or chart.retired_on is not None:
            continue
        last = weeks[chart_id][-1]
        lower, upper = outward(last.cs_low, last.cs_high)
        upper = "no upper bound" if last.cs_high is None else upper
        rows.append((registry()[chart.measure].title, compared(chart), _way(chart), lower, upper, _says(chart, last)))
    return sorted(rows)


def _way(chart: Chart) -> str:
    scope = "within sites" if chart.scope == "within-site" else "all sites together"
    return f"{scope}, {'days waited' if chart.version == 'time-to-event' else 'late or not'}"


def _says(chart: Chart, last: ChartRow) -> str:
    """Which way the interval points; a hazard ratio below 1 is the longer wait."""
    low, high = last.cs_low or 0.0, last.cs_high if last.cs_high is not None else float("inf")
    worse, better = (high < 1, low > 1) if chart.version == "time-to-event" else (low > 1, high < 1)
    return "worse for the group" if worse else "better for the group" if better else "can't be told yet"


@dataclass(frozen=True)
class Sight:
    """What the charts can see, simulated. `rows`: measure, groups, how compared, infants a year, weeks."""

    charts: int
    budget: float
    limit: float
    false_a_year: float
    rows: Sequence[tuple[str, ...]]


def sight(
    connection: Connection, charts: Mapping[str, Chart], settings: SurveillanceSettings, as_of: date
) -> Sight | None:
    """False alerts and weeks until each alerting chart would see the odds doubled, at the network's own volume.

    None before there are infants enough to tell the volume of any chart.
    """
    limit = limit_of(family_size(list(charts.values()), as_of), settings.budget)
    alerting = [chart for chart in charts.values() if chart.role == "alert" and active(chart, as_of)]
    frozen = {metric_id: store.frozen(connection, metric_id) for metric_id in {c.measure for c in alerting}}
    known: dict[Scenario, tuple[float, float]] = {}
    rows, false = [], 0.0
    for chart in alerting if settings.power_charts else ():
        scenario = scenario_of(chart, frozen[chart.measure])
        if scenario is None:
            continue
        if scenario not in known:
            rate, waits = before_and_after(scenario, limit, charts=settings.power_charts)
            known[scenario] = rate, median(waits)
        rate, middle = known[scenario]
        false += rate
        # To the ten: the exact number would move with every infant.
        cases, weeks = f"about {10 * ceil(scenario.cases / 10)}", f"{middle:.0f}" if isfinite(middle) else "over 260"
        rows.append((registry()[chart.measure].title, compared(chart), _way(chart), cases, weeks))
    return Sight(len(alerting), settings.budget, limit, false, rows) if rows else None


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
