"""What an alert says: counts, days, how sure, since when. Computed from the chart's own blocks and frozen infants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from surveillance.estimates.estimate import Estimate
from surveillance.estimates.proportions import risk_difference
from surveillance.estimates.stratified import Table, conditional_odds_ratio
from surveillance.estimates.survival import kaplan_meier, median, restricted_mean_difference, risk_table
from surveillance.hazards import run, weekly_waits
from surveillance.measures.registry import UNKNOWN, Chart

if TYPE_CHECKING:
    from surveillance.charts import ChartRow

WEEKS_A_YEAR = 52


@dataclass(frozen=True)
class Facts:
    """The figures of one signal; no PHI. Shares from 0 to 1, times in days."""

    chart_id: str
    week: str
    since: str  # likely start: where the log e-values began to add up
    x: int
    n_group: int
    y: int
    n_reference: int
    sites: dict[str, list[int]]  # source -> x, n_group, y, n_reference
    median_group: float | None
    median_reference: float | None
    extra_days: float | None
    hazard_evidence: (
        float | None
    )  # mean e-value of the time-to-event version since then; above 1: the group waits longer
    risk_difference: float | None
    odds_ratio: float | None
    cs_low: float | None
    cs_high: float | None
    m: float
    limit: float
    years_between_false: float
    charts: int
    budget: float
    unknown: int
    unknown_late: int
    horizon: int
    gates: list[dict[str, Any]] = field(default_factory=list)

    @property
    def table(self) -> Table:
        return self.x, self.n_group, self.y, self.n_reference

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def likely_start(rows: Sequence[ChartRow]) -> int:
    """Position of the week from which the log e-values add up to the most (the CUSUM's argmax).

    `rows` run from after the last reset to the signal; the odds ratio with the largest statistic decides.
    """
    log_e = np.array([row.log_e for row in rows])
    suffix = np.cumsum(log_e[::-1], axis=0)[::-1]
    best = int(suffix.max(axis=0).argmax())
    return int(suffix[:, best].argmax())


def since_reset(rows: Sequence[ChartRow], at: int) -> list[ChartRow]:
    """The weeks up to position `at`, from after the signal before it."""
    earlier = [i for i in range(at) if rows[i].signal]
    return list(rows[(earlier[-1] + 1 if earlier else 0) : at + 1])


def facts_of(
    chart: Chart, rows: Sequence[ChartRow], at: int, frozen: pd.DataFrame, measured: pd.DataFrame, horizon: int
) -> Facts:
    """Figures of the signal at position `at` of the chart's weeks, over the infants since its likely start."""
    signal, path = rows[at], since_reset(rows, at)
    since = path[likely_start(path)].week
    window = frozen[(frozen["week"] >= since) & (frozen["week"] <= signal.week)]
    compared = window[window[chart.dimension].isin([chart.group, chart.reference])]
    sites = {str(source): list(_table(members, chart)) for source, members in compared.groupby("source", sort=True)}
    x, n_group, y, n_reference = _table(compared, chart)
    unknown = window[window[chart.dimension].isin(UNKNOWN)]
    group, reference = (
        _curve(compared[compared[chart.dimension] == value], measured) for value in (chart.group, chart.reference)
    )
    blocks = [tuple(block) for row in rows[: at + 1] for block in row.blocks]
    return Facts(
        chart_id=chart.id,
        week=signal.week.isoformat(),
        since=since.isoformat(),
        x=x,
        n_group=n_group,
        y=y,
        n_reference=n_reference,
        sites=sites,
        median_group=median(group).value,
        median_reference=median(reference).value,
        extra_days=restricted_mean_difference(group, reference, horizon).checked().value,
        hazard_evidence=_hazard_evidence(window, measured, chart),
        risk_difference=risk_difference(x, n_group, y, n_reference).value,
        odds_ratio=conditional_odds_ratio(blocks).value,
        cs_low=signal.cs_low,
        cs_high=signal.cs_high,
        m=signal.m,
        limit=signal.limit_a,
        years_between_false=signal.limit_a / WEEKS_A_YEAR,
        charts=signal.charts,
        budget=signal.budget,
        unknown=len(unknown),
        unknown_late=int((unknown["late"] == "yes").sum()),
        horizon=horizon,
    )


def _hazard_evidence(window: pd.DataFrame, measured: pd.DataFrame, chart: Chart) -> float | None:
    weekly = weekly_waits(window, measured, chart.dimension, chart.group, chart.reference)
    if not weekly:
        return None
    log_e = np.sum([week.log_e for week in run(weekly, np.inf)], axis=0)
    return float(np.exp(np.minimum(log_e, 700.0)).mean())


def _table(infants: pd.DataFrame, chart: Chart) -> Table:
    late = infants["late"] == "yes"
    group, reference = infants[chart.dimension] == chart.group, infants[chart.dimension] == chart.reference
    return int((late & group).sum()), int(group.sum()), int((late & reference).sum()), int(reference.sum())


def _curve(infants: pd.DataFrame, measured: pd.DataFrame) -> Any:
    waits = infants[["source", "infant"]].merge(measured[["source", "infant", "days", "kind"]], on=["source", "infant"])
    waits = waits[waits["days"].notna()]
    return kaplan_meier(risk_table(waits["days"].to_numpy(), (waits["kind"] == 1).to_numpy()))


def odds_ratio_without(rows: Sequence[ChartRow], since: date, site: str) -> Estimate:
    """The conditional odds ratio since `since`, with one site left out."""
    tables: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.week < since:
            continue
        for name, prior, *counts in row.rows:
            if name != site:
                held = tables.setdefault((name, prior), [0, 0, 0, 0])
                tables[name, prior] = [a + b for a, b in zip(held, counts, strict=True)]
    return conditional_odds_ratio([(t[0], t[1], t[2], t[3]) for t in tables.values()])
