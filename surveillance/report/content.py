"""What the report says: the published results of a run, as figures and tables. Reads counts only after suppression."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance.estimates.survival import kaplan_meier, risk_table
from surveillance.measures.registry import DIMENSIONS, UNKNOWN, Chart, Measure
from surveillance.message import DIMENSION_NAMES, group_name
from surveillance.report.figures import Figure, evidence_path, forest, svg_of, waiting_curve
from warehouse.suppression import THRESHOLD

if TYPE_CHECKING:
    from surveillance.charts import ChartRow
    from surveillance.settings import SurveillanceSettings

#: Every how many weeks the table beneath the weekly chart has a row; weeks with a signal have one always.
_TABLE_WEEKS = 4
_WITHHELD = "withheld"


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


def coarse_steps(days: Sequence[int], n: int, late_by_day: Mapping[int, int], smallest: int) -> list[int]:
    """Days at which a published curve may step: each step holds at least `smallest` infants, or none.

    A Kaplan-Meier curve with its number at risk gives back every single infant; steps of a week that are merged until
    they are large enough don't.
    """
    kept, before = [0], 0
    for day in days:
        by_now = late_by_day[day]
        step, rest = by_now - before, n - by_now
        if (step == 0 or step >= smallest) and (rest == 0 or rest >= smallest):
            kept.append(day)
            before = by_now
    return kept


def curve_figure(
    infants: pd.DataFrame,
    measure: Measure,
    dimension: str,
    settings: SurveillanceSettings,
    shown_groups: frozenset[str],
) -> Figure | None:
    """Share still waiting by group, in steps of a week; groups too small to show are left out. None when none is left.

    `infants` are the measured infants of one measure; `shown_groups` those whose counts the report shows.
    """
    horizon, smallest = settings.horizon_days, THRESHOLD + 1 if settings.suppression else 1
    weeks = list(range(7, horizon + 1, 7))
    rows: list[dict[str, Any]] = []
    left_out = 0
    for value, members in infants[infants["matured"] & infants["days"].notna()].groupby(dimension, sort=True):
        curve = kaplan_meier(risk_table(members["days"].to_numpy(), (members["kind"] == 1).to_numpy()))
        done = {day: int(((members["kind"] == 1) & (members["days"] <= day)).sum()) for day in weeks}
        steps = coarse_steps(weeks, len(members), done, smallest)
        if str(value) not in shown_groups or len(steps) < 2:
            left_out += 1
            continue
        shares = [(day, curve.at(day)[0] if day else 1.0) for day in steps]
        rows += [
            {"group": label(dimension, str(value)), "day": day, "waiting": round(share, 2)} for day, share in shares
        ]
        if steps[-1] < horizon:
            rows.append({"group": label(dimension, str(value)), "day": horizon, "waiting": round(shares[-1][1], 2)})
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
        f"Share of infants still waiting, day by day, one line a group. After {measure.threshold_days} days: {told}.",
        f"Kaplan-Meier in steps of at least a week; the dashed line is day {measure.threshold_days}. {note}".strip(),
        svg_of(waiting_curve(data, threshold=measure.threshold_days, horizon=horizon, y_title="share still waiting")),
        ("Group", "Day", "Still waiting"),
        [(row["group"], str(row["day"]), f"{row['waiting']:.0%}") for row in rows],
    )


def shown(results: pd.DataFrame, measure: Measure, dimension: str) -> frozenset[str]:
    """Groups of a dimension whose counts the report shows."""
    rows = _select(results, measure, "prop")
    rows = rows[(rows["stratum_dimension"] == dimension) & ~rows["suppressed"].astype(bool)]
    return frozenset(str(value) for value in rows["stratum_value"])


def forest_figure(results: pd.DataFrame, measure: Measure) -> Figure | None:
    """Risk differences of every dimension against its reference, from published results."""
    rows = _select(results, measure, "rd")
    rows = rows[~rows["suppressed"].astype(bool) & rows["estimate"].notna()]
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
            "n": rows["n_matured"].astype(int),
        }
    )
    told = "; ".join(
        f"{row.label}: {row.estimate:+.0%} ({row.low:+.0%} to {row.high:+.0%})" for row in data.itertuples()
    )
    return Figure(
        f"differences-{measure.id}",
        f"{measure.title}: difference in the share {measure.late_title}",
        f"Differences in percentage points with 95% intervals; above zero is worse for the group. {told}.",
        "Newcombe's 95% interval, not adjusted for looking every week. Squares are larger with more infants.",
        svg_of(forest(data, x_title="difference, percentage points (right: longer waits)")),
        ("Groups", "Difference", "95% interval", "Infants"),
        [(str(r.label), f"{r.estimate:+.1%}", f"{r.low:+.1%} to {r.high:+.1%}", str(r.n)) for r in data.itertuples()],
    )


def evidence_figure(
    charts: Mapping[str, Chart], weeks: Mapping[str, Sequence[ChartRow]], measure: Measure
) -> Figure | None:
    """The weekly statistic of a measure's charts against the limit.

    Rounded to a tenth of log10: the exact path would give back the counts of each week.
    """
    rows: list[dict[str, Any]] = []
    for chart_id, chart in charts.items():
        if chart.measure != measure.id or chart.role != "alert":
            continue
        name = f"{label(chart.dimension, chart.group)} v {label(chart.dimension, chart.reference)}"
        rows += [
            {
                "group": name,
                "week": week.week.isoformat(),
                "log10_m": round(math.log10(max(week.m, 1e-3)), 1),
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
            (r["group"], r["week"], f"{r['log10_m']:.1f}", f"{r['log10_limit']:.2f}", "signal" if r["signal"] else "")
            for r in shown
        ],
    )


def delays_table(results: pd.DataFrame, measure: Measure) -> Table:
    """Counts, share late and median by group."""
    rows: list[tuple[str, ...]] = []
    order = ["all", *DIMENSIONS]
    proportions, medians = _select(results, measure, "prop"), _select(results, measure, "median")
    middle = {(row["stratum_dimension"], row["stratum_value"]): row for row in medians.to_dict("records")}
    positions = proportions["stratum_dimension"].map(order.index)
    ordered = proportions.assign(position=positions).sort_values(["position", "stratum_value"])
    for row in ordered.to_dict("records"):
        dimension, value = str(row["stratum_dimension"]), str(row["stratum_value"])
        name = "all infants" if dimension == "all" else label(dimension, value)
        name = name[0].upper() + name[1:]
        if row["suppressed"]:
            rows.append((name, *[_WITHHELD] * 5))
            continue
        low, high = row["ci_low"], row["ci_high"]
        rows.append(
            (
                name,
                _count(row["n_matured"]),
                _count(row["n_pending"]),
                _share(row["estimate"], row["not_estimable_reason"]),
                f"{low:.0%} to {high:.0%}" if pd.notna(low) and pd.notna(high) else "",
                _days(middle.get((dimension, value))),
            )
        )
    outcome = f"Over {measure.threshold_days} days" if measure.kind == "interval" else "Share"
    columns = ("Group", "Infants", "Pending", outcome, "95% interval", "Median days (95%)")
    return Table(measure.title, columns, rows, f"{measure.numerator}, of {measure.denominator}.")


def _select(results: pd.DataFrame, measure: Measure, estimand: str) -> pd.DataFrame:
    return results[
        (results["metric_id"] == measure.id)
        & (results["scope"] == "network")
        & (results["window_kind"] == "cumulative")
        & (results["estimand"] == estimand)
    ]


def _count(value: Any) -> str:
    return str(int(value)) if pd.notna(value) else _WITHHELD


def _share(value: Any, reason: str | None) -> str:
    return f"{value:.0%}" if pd.notna(value) else str(reason or _WITHHELD)


def _days(row: Mapping[Hashable, Any] | None) -> str:
    if row is None:
        return ""
    value, low, high = row["estimate"], row["ci_low"], row["ci_high"]
    if row["suppressed"]:
        return _WITHHELD
    if pd.isna(value):
        return str(row["not_estimable_reason"])
    upper = f"{high:g}" if pd.notna(high) else "no upper bound"
    return f"{value:g} ({low:g} to {upper})" if pd.notna(low) else f"{value:g}"
