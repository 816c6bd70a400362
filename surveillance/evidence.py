"""What an alert says: counts, days, how sure, since when. Computed from the chart's own blocks and frozen infants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from surveillance.blocks import chart_rows
from surveillance.detector import log_e_values
from surveillance.estimates.proportions import risk_difference
from surveillance.estimates.stratified import conditional_odds_ratio
from surveillance.estimates.survival import kaplan_meier, median, restricted_mean_difference, risk_table
from surveillance.hazards import HAZARD_RATIOS, complete_cells
from surveillance.measures.registry import UNKNOWN, Chart

if TYPE_CHECKING:
    from surveillance.charts import ChartRow

#: x late of n_group, y late of n_reference.
Table = tuple[int, int, int, int]
WEEKS_A_YEAR = 52
#: Evidence of this size in either direction is worth a word.
_TELLING = 3.0
# exp() of more than this overflows; far beyond any limit.
_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Facts:
    """The figures of one signal; no PHI. Shares from 0 to 1, times in days."""

    chart_id: str
    version: str
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
    #: Mean e-value of the time-to-event version since then; above 1: the group waits longer. None for a share.
    hazard_evidence: float | None
    risk_difference: float | None
    #: Odds ratio within the strata since then.
    odds_ratio: float | None
    #: Over all weeks of the chart: odds ratio, or hazard ratio of days waited, and its anytime-valid interval.
    ratio: float | None
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
    #: Other charts of the same two groups: `chart`, `m`, `limit`, and `says` (supports, contradicts, undecided).
    others: list[dict[str, Any]] = field(default_factory=list)

    @property
    def table(self) -> Table:
        return self.x, self.n_group, self.y, self.n_reference

    @property
    def held(self) -> bool:
        """Whether a gate has failed."""
        return any(gate["verdict"] == "failed" for gate in self.gates)

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
    chart: Chart,
    rows: Sequence[ChartRow],
    at: int,
    frozen: pd.DataFrame,
    measured: pd.DataFrame,
    horizon: int,
    *,
    since: date | None = None,
) -> Facts:
    """Figures at position `at` of the chart's weeks, over the infants from `since` on (None: from the likely start)."""
    now, path = rows[at], since_reset(rows, at)
    since = since or path[likely_start(path)].week
    window = window_of(frozen, since, now.week)
    compared = pair(window, chart)
    sites = {str(source): list(_table(members, chart)) for source, members in compared.groupby("source", sort=True)}
    x, n_group, y, n_reference = _table(compared, chart)
    unknown = window[window[chart.dimension].isin(UNKNOWN)]
    group, reference = (
        _curve(compared[compared[chart.dimension] == value], measured) for value in (chart.group, chart.reference)
    )
    blocks = [tuple(block) for row in rows[: at + 1] for block in row.blocks]
    return Facts(
        chart_id=chart.id,
        version=chart.version,
        week=now.week.isoformat(),
        since=since.isoformat(),
        x=x,
        n_group=n_group,
        y=y,
        n_reference=n_reference,
        sites=sites,
        median_group=median(group).value,
        median_reference=median(reference).value,
        extra_days=restricted_mean_difference(group, reference, horizon).checked().value,
        hazard_evidence=_hazard_evidence(compared, chart),
        risk_difference=risk_difference(x, n_group, y, n_reference).value,
        odds_ratio=conditional_odds_ratio(strata_tables(compared, chart)).checked().value,
        ratio=conditional_odds_ratio(blocks).checked().value,
        cs_low=now.cs_low,
        cs_high=now.cs_high,
        m=now.m,
        limit=now.limit_a,
        years_between_false=now.limit_a / WEEKS_A_YEAR,
        charts=now.charts,
        budget=now.budget,
        unknown=len(unknown),
        unknown_late=int((unknown["late"] == "yes").sum()),
        horizon=horizon,
    )


def window_of(frozen: pd.DataFrame, since: date, week: date) -> pd.DataFrame:
    """Infants who entered the charts in these weeks."""
    return frozen[(frozen["week"] >= since) & (frozen["week"] <= week)]


def pair(infants: pd.DataFrame, chart: Chart) -> pd.DataFrame:
    """Those of the two groups that the chart compares."""
    return infants[infants[chart.dimension].isin([chart.group, chart.reference])]


def strata_tables(compared: pd.DataFrame, chart: Chart) -> list[Table]:
    """The tables that the chart compares within: by site and earlier neurology care, or by the latter alone."""
    by = ["source", "prior_neurology"] if chart.scope == "within-site" else ["prior_neurology"]
    return [_table(members, chart) for _, members in compared.groupby(by, sort=True)]


def said_by(chart: Chart, rows: Sequence[ChartRow], since: date) -> dict[str, Any] | None:
    """What another chart of the same groups says since then; None before its first week."""
    if not rows:
        return None
    log_e = np.sum([row.log_e for row in rows if row.week >= since] or [[0.0]], axis=0)
    evidence = float(np.exp(np.minimum(log_e, _LARGEST_LOG)).mean())
    says = "supports" if evidence >= _TELLING else "contradicts" if evidence <= 1 / _TELLING else "undecided"
    return {"chart": chart.id, "m": rows[-1].m, "limit": rows[-1].limit_a, "says": says}


def _hazard_evidence(compared: pd.DataFrame, chart: Chart) -> float | None:
    if compared["days"].isna().all():
        return None
    waits = chart_rows(compared.assign(week=compared["week"].min()), replace(chart, version="time-to-event"))
    # One block a stratum: every infant since the likely start, whether or not the chart's blocks were complete.
    done, _ = complete_cells([row for rows in waits.values() for row in rows], min_entries=1)
    log_e = sum((log_e_values(cell, HAZARD_RATIOS) for cell in done), np.zeros(len(HAZARD_RATIOS)))
    return float(np.exp(np.minimum(log_e, _LARGEST_LOG)).mean())


def _table(infants: pd.DataFrame, chart: Chart) -> Table:
    late = infants["late"] == "yes"
    group, reference = infants[chart.dimension] == chart.group, infants[chart.dimension] == chart.reference
    return int((late & group).sum()), int(group.sum()), int((late & reference).sum()), int(reference.sum())


def _curve(infants: pd.DataFrame, measured: pd.DataFrame) -> Any:
    waits = infants[["source", "infant"]].merge(measured[["source", "infant", "days", "kind"]], on=["source", "infant"])
    waits = waits[waits["days"].notna()]
    return kaplan_meier(risk_table(waits["days"].to_numpy(), (waits["kind"] == 1).to_numpy()))
