"""What the report says: the published results of a run, as figures and tables. Reads counts only after suppression."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance.measures.registry import DIMENSIONS, UNKNOWN, Chart, Measure
from surveillance.message import DIMENSION_NAMES, group_name
from surveillance.report.figures import Figure, evidence_path, forest, svg_of, waiting_curve

if TYPE_CHECKING:
    from surveillance.charts import ChartRow

#: Every how many weeks the table beneath the weekly chart has a row; weeks with a signal have one always.
_TABLE_WEEKS = 4
_MEDIAN = "Median days (95%)"
_STATES = {"suppressed": "withheld", "missing": "missing"}


@dataclass(frozen=True)
class Table:
    """A table of the report, cells as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def label(dimension: str, value: str) -> str:
    """The group in words, unknown ones by their dimension."""
    if value in UNKNOWN:
        return f"{DIMENSION_NAMES.get(dimension, dimension)} {value or 'unknown'}"
    return group_name(dimension, value)


def curve_figure(results: pd.DataFrame, measure: Measure, dimension: str) -> Figure | None:
    """Share still waiting by group, from the published shares after 7, 14 and 28 days. None when no group is shown."""
    rows: list[dict[str, Any]] = []
    left_out = 0
    groups = _select(results, measure, "prop")
    for value in groups.loc[groups["stratum_dimension"] == dimension, "stratum_value"]:
        points = _points(results, measure, dimension, str(value))
        left_out += not points
        rows += [{"group": label(dimension, str(value)), "day": day, "waiting": share} for day, share in points]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    at_seven = data[data["day"] == measure.threshold_days]
    told = "; ".join(
        f"{group}: {share:.0%}" for group, share in zip(at_seven["group"], at_seven["waiting"], strict=True)
    )
    note = f"{left_out} groups too small to show." if left_out else ""
    return Figure(
        f"waiting-{measure.id}-{dimension}",
        f"{measure.title}: still waiting, by {DIMENSION_NAMES[dimension]}",
        f"Share of infants still waiting, one line a group. After {measure.threshold_days} days: {told}.",
        "Kaplan-Meier after 7, 14 and 28 days, rounded to steps of 11 infants at least; "
        f"the dashed line is day {measure.threshold_days}. {note}".strip(),
        svg_of(
            waiting_curve(
                data, threshold=measure.threshold_days, horizon=int(data["day"].max()), y_title="share still waiting"
            )
        ),
        ("Group", "Day", "Still waiting"),
        [(row["group"], str(row["day"]), f"{row['waiting']:.0%}") for row in rows],
    )


def _points(results: pd.DataFrame, measure: Measure, dimension: str, value: str) -> list[tuple[int, float]]:
    """Days and shares still waiting of one group, from everybody on day 0; none when they are withheld."""
    mine = results[(results["stratum_dimension"] == dimension) & (results["stratum_value"] == value)]
    found = []
    for row in mine.to_dict("records"):
        name, _, day = str(row["estimand"]).partition("surv_")
        released = row["metric_id"] == measure.id and row["estimate_state"] == "shown"
        if not name and released and row["scope"] == "network" and row["window_kind"] == "cumulative":
            found.append((int(day), float(row["estimate"])))
    return [(0, 1.0), *sorted(found)] if found else []


def forest_figure(results: pd.DataFrame, measure: Measure) -> Figure | None:
    """Risk differences of every dimension against its reference, from published results."""
    rows = _select(results, measure, "rd")
    rows = rows[rows["estimate_state"] == "shown"]
    if rows.empty:
        return None
    data = pd.DataFrame(
        {
            "label": [
                f"{label(d, v)} v {label(d, r)}"
                for d, v, r in zip(
                    rows["stratum_dimension"], rows["stratum_value"], rows["reference_value"], strict=True
                )
            ],
            "estimate": rows["estimate"].astype(float).round(3),
            "low": rows["ci_low"].astype(float).round(3),
            "high": rows["ci_high"].astype(float).round(3),
            "infants": [_figure(row, "n_matured") for row in rows.to_dict("records")],
        }
    )
    told = "; ".join(
        f"{row.label}: {row.estimate:+.0%} ({row.low:+.0%} to {row.high:+.0%})" for row in data.itertuples()
    )
    return Figure(
        f"differences-{measure.id}",
        f"{measure.title}: difference in the share {measure.late_title}",
        f"Differences in percentage points with 95% intervals; above zero is worse for the group. {told}.",
        "Newcombe's 95% interval, not adjusted for looking every week. Where counts are withheld, of rounded shares.",
        svg_of(forest(data, x_title="difference, percentage points (right: longer waits)")),
        ("Groups", "Difference", "95% interval", "Infants"),
        [
            (str(r.label), f"{r.estimate:+.1%}", f"{r.low:+.1%} to {r.high:+.1%}", str(r.infants))
            for r in data.itertuples()
        ],
    )


def evidence_figure(
    charts: Mapping[str, Chart], weeks: Mapping[str, Sequence[ChartRow]], measure: Measure
) -> Figure | None:
    """The weekly statistic of a measure's charts against the limit.

    Rounded to a quarter of log10: the exact path would give back the counts of each week.
    """
    rows: list[dict[str, Any]] = []
    for chart_id, chart in charts.items():
        if chart.measure != measure.id or chart.role != "alert":
            continue
        name = f"{label(chart.dimension, chart.group)} v {label(chart.dimension, chart.reference)}"
        name += ", days waited" if chart.version == "time-to-event" else ""
        rows += [
            {
                "group": name,
                "week": week.week.isoformat(),
                "log10_m": round(4 * math.log10(max(week.m, 1e-3))) / 4,
                "log10_limit": round(math.log10(week.limit_a), 2),
                "signal": week.signal,
            }
            for week in weeks.get(chart_id, ())
        ]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    signals = data[data["signal"]]
    told = "; ".join(f"{row.group} in the week of {row.week}" for row in signals.itertuples()) or "none"
    first = str(data["week"].min())
    shown = [
        row
        for row in rows
        if row["signal"] or (date.fromisoformat(row["week"]) - date.fromisoformat(first)).days % (7 * _TABLE_WEEKS) == 0
    ]
    limits = data[["week", "log10_limit"]].drop_duplicates("week").sort_values("week")
    return Figure(
        f"evidence-{measure.id}",
        f"{measure.title}: weekly evidence of a difference",
        f"One line a comparison, with the limit at which an alert is raised. Signals: {told}.",
        "A line that reaches the dashed limit raises an alert (triangle), and starts again from nothing.",
        svg_of(evidence_path(data.drop(columns="log10_limit"), limits)),
        ("Comparison", "Week of", "log10 M", "log10 limit", "Signal"),
        [
            (r["group"], r["week"], f"{r['log10_m']:.2f}", f"{r['log10_limit']:.2f}", "signal" if r["signal"] else "")
            for r in shown
        ],
    )


def delays_table(results: pd.DataFrame, measure: Measure) -> Table:
    """Counts, share late and median by group, each shown, withheld or missing by itself."""
    order = ["all", *DIMENSIONS]
    proportions, medians = _select(results, measure, "prop"), _select(results, measure, "median")
    middle = {(row["stratum_dimension"], row["stratum_value"]): row for row in medians.to_dict("records")}
    positions = proportions["stratum_dimension"].map(order.index)
    rows: list[tuple[str, ...]] = []
    for row in proportions.assign(position=positions).sort_values(["position", "stratum_value"]).to_dict("records"):
        dimension, value = str(row["stratum_dimension"]), str(row["stratum_value"])
        name = "all infants" if dimension == "all" else label(dimension, value)
        shown = row["estimate_state"] == "shown"
        rows.append(
            (
                name[0].upper() + name[1:],
                _figure(row, "n_matured"),
                _figure(row, "n_late"),
                f"{row['estimate']:.0%}" if shown else _why(row),
                f"{row['ci_low']:.0%} to {row['ci_high']:.0%}" if shown else "",
                _days(middle.get((dimension, value))),
            )
        )
    outcome = f"Over {measure.threshold_days} days" if measure.kind == "interval" else "Share"
    late = "Late" if measure.kind == "interval" else "Of them"
    columns = ("Group", "Infants", late, outcome, "95% interval", _MEDIAN)
    return Table(measure.title, columns, rows, f"{measure.numerator}, of {measure.denominator}.")


def _select(results: pd.DataFrame, measure: Measure, estimand: str) -> pd.DataFrame:
    return results[
        (results["metric_id"] == measure.id)
        & (results["scope"] == "network")
        & (results["window_kind"] == "cumulative")
        & (results["estimand"] == estimand)
    ]


def _figure(row: Mapping[Hashable, Any], name: str) -> str:
    """A count as its state says: itself, `withheld` or `missing`."""
    state = row[f"{name}_state"]
    return str(int(row[name])) if state == "shown" else _STATES[state]


def _why(row: Mapping[Hashable, Any]) -> str:
    """Why there is no estimate."""
    if row["estimate_state"] == "not_estimable":
        return str(row["not_estimable_reason"] or "not estimable")
    return _STATES[row["estimate_state"]]


def _days(row: Mapping[Hashable, Any] | None) -> str:
    if row is None:
        return ""
    value, low, high = row["estimate"], row["ci_low"], row["ci_high"]
    if row["estimate_state"] != "shown":
        return _why(row)
    if pd.isna(low) and pd.isna(high):
        return f"{value:g}"
    return f"{value:g} ({low:g} to {high:g})" if pd.notna(high) else f"{value:g} ({low:g} to no upper bound)"
