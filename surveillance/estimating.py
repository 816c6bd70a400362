"""Every estimator of the weekly run on a table of one's own: `iess estimate`. Pure, and what a check against R needs.

Columns of the table, all optional but one outcome: `days` and `status` (0 censored, 1 the event, 2 and up competing
events), `entry` (late entry), `late` (yes or no), `group`, `site`, `n` (how many such rows), and covariates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from surveillance.errors import ObservationsUnreadable
from surveillance.estimates.cox import cox_data, firth_hazard_ratio, hazard_ratio
from surveillance.estimates.estimate import Estimate
from surveillance.estimates.inequality import inequality
from surveillance.estimates.logistic import firth_odds_ratio, standardised_difference
from surveillance.estimates.odds import Table, odds_ratio
from surveillance.estimates.proportions import proportion, risk_difference, risk_ratio
from surveillance.estimates.shrinkage import shrunk
from surveillance.estimates.stratified import (
    conditional_odds_ratio,
    mantel_haenszel_odds_ratio,
    mantel_haenszel_risk_difference,
    mantel_haenszel_risk_ratio,
)
from surveillance.estimates.survival import (
    RiskTable,
    cumulative_incidence,
    kaplan_meier,
    median,
    restricted_mean,
    restricted_mean_difference,
    restricted_mean_ratio,
    risk_table,
    survival_at,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

COLUMNS = [
    *("scope", "group", "reference", "estimand", "method", "adjustment", "n", "n_reference", "estimate", "low", "high"),
    *("interval", "se", "p_value", "null_expectation", "reason"),
]
_LATE = {"yes": True, "1": True, "true": True, "late": True, "no": False, "0": False, "false": False}
_WHOLE = "all"
_SEED = 20_240_101


@dataclass(frozen=True)
class Observations:
    """The table as arrays; `days` and `late` are None where it has none."""

    group: NDArray[np.str_]
    site: NDArray[np.str_] | None
    days: Floats | None
    kind: NDArray[np.int_]
    entry: Floats | None
    late: Flags | None
    covariates: Floats

    def risk_table(self, members: Flags, kind: NDArray[np.int_], min_at_risk: int) -> RiskTable:
        entry = None if self.entry is None else self.entry[members]
        return risk_table(self.waited[members], kind[members], entry=entry, min_at_risk=min_at_risk)

    @property
    def waited(self) -> Floats:
        """`days`; only to be asked where the table has them."""
        return np.empty(0) if self.days is None else self.days


def observations(data: pd.DataFrame, adjust: Sequence[str] = ()) -> Observations:
    """Check and arrange a table. Raises `ObservationsUnreadable`."""
    rows = data.rename(columns=lambda name: str(name).strip())
    missing = [name for name in adjust if name not in rows.columns]
    if missing:
        raise ObservationsUnreadable(f"The table lacks the columns {', '.join(missing)}")
    if "days" in rows.columns and "status" not in rows.columns:
        raise ObservationsUnreadable("The table has days and no status", next_step="0 censored, 1 event, 2 competing")
    if not {"days", "late"} & set(rows.columns):
        raise ObservationsUnreadable("The table has no outcome", next_step="give it days and status, or late, or both")
    if "n" in rows.columns:
        rows = rows.loc[np.repeat(rows.index.to_numpy(), _whole_numbers(rows, "n"))].reset_index(drop=True)
    timed = "days" in rows.columns
    return Observations(
        _texts(rows, "group") if "group" in rows.columns else np.full(len(rows), _WHOLE),
        _texts(rows, "site") if "site" in rows.columns else None,
        _numbers(rows, "days", least=0) if timed else None,
        _whole_numbers(rows, "status") if timed else np.zeros(len(rows), dtype=int),
        _numbers(rows, "entry") if timed and "entry" in rows.columns else None,
        _late(rows) if "late" in rows.columns else None,
        np.column_stack([_numbers(rows, name) for name in adjust]) if adjust else np.empty((len(rows), 0)),
    )


def _texts(rows: pd.DataFrame, name: str) -> NDArray[np.str_]:
    return rows[name].astype(str).str.strip().to_numpy(dtype=str)


def _numbers(rows: pd.DataFrame, name: str, *, least: float = -np.inf) -> Floats:
    numbers = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers < least))
    if len(wrong):
        raise ObservationsUnreadable(f"Row {wrong[0] + 1} of the table has no number as {name}")
    return numbers


def _whole_numbers(rows: pd.DataFrame, name: str) -> NDArray[np.int_]:
    numbers = _numbers(rows, name, least=0)
    wrong = np.flatnonzero(numbers != np.floor(numbers))
    if len(wrong):
        raise ObservationsUnreadable(f"Row {wrong[0] + 1} of the table has no whole number as {name}")
    return numbers.astype(int)


def _late(rows: pd.DataFrame) -> Flags:
    said = [_LATE.get(str(value).strip().lower().removesuffix(".0")) for value in rows["late"]]
    if None in said:
        raise ObservationsUnreadable(f"Row {said.index(None) + 1} of the table is neither late nor not (yes or no)")
    return np.array(said, dtype=bool)


def estimate_frame(
    data: pd.DataFrame,
    *,
    reference: str | None = None,
    days: Sequence[float] = (7, 14, 28),
    tau: float = 28,
    adjust: Sequence[str] = (),
    min_at_risk: int = 1,
    ordered: bool = False,
) -> pd.DataFrame:
    """All that can be said of a table: columns `COLUMNS`, one row an estimate. Raises `ObservationsUnreadable`.

    Each group by itself; each against `reference` (default: the first in the alphabet); within sites where the table
    has them; all groups together. `min_at_risk` is 5 in the weekly run: a curve under late entry starts where it is
    reached. `ordered`: the groups have an order, from least to most deprived by their names, and the indices that need
    one (slope, relative, concentration) are given; of race, payer, language or site they would say nothing.
    """
    table = observations(data, adjust)
    groups = sorted({str(name) for name in table.group})
    base = reference if reference is not None else next(iter(groups), _WHOLE)
    if reference is not None and reference not in groups:
        raise ObservationsUnreadable("The reference is none of the table's groups")
    rows: list[dict[str, object]] = []
    for name in groups:
        mine = table.group == name
        found = [*_alone(table, mine, days, tau, min_at_risk)]
        rows += [_row("network", name, "", "none", int(mine.sum()), None, estimate) for estimate in found]
        if name != base:
            theirs = table.group == base
            sizes = int(mine.sum()), int(theirs.sum())
            for scope, adjustment, estimate in _against(table, mine, theirs, tau, min_at_risk, "+".join(adjust)):
                rows.append(_row(scope, name, base, adjustment, *sizes, estimate))
    rows += [
        _row("network", name, "", "none", n, None, estimate) for name, n, estimate in _together(table, groups, ordered)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n_reference": "Int64"})


def _row(
    scope: str, group: str, reference: str, adjustment: str, n: int, n_reference: int | None, estimate: Estimate
) -> dict[str, object]:
    one = estimate.checked()
    values = (
        scope,
        group,
        reference,
        one.estimand,
        one.method,
        adjustment,
        n,
        n_reference,
        one.value,
        one.low,
        one.high,
    )
    return dict(
        zip(COLUMNS, (*values, one.interval, one.se, one.p_value, one.null_expectation, one.reason), strict=True)
    )


def _alone(table: Observations, mine: Flags, days: Sequence[float], tau: float, min_at_risk: int) -> Iterator[Estimate]:
    if table.late is not None:
        late, n = int(table.late[mine].sum()), int(mine.sum())
        yield proportion(late, n)
        yield proportion(late, n, exact=True)
    if table.days is None:
        return
    curve = kaplan_meier(table.risk_table(mine, (table.kind == 1).astype(int), min_at_risk))
    yield median(curve)
    yield from (survival_at(curve, day) for day in days)
    yield restricted_mean(curve, tau)
    kinds = sorted({int(kind) for kind in table.kind if kind > 0})
    if max(kinds, default=1) > 1:
        every = table.risk_table(mine, table.kind, min_at_risk)
        yield from (cumulative_incidence(every, kind, day) for kind in kinds for day in days)


def _against(
    table: Observations, mine: Flags, theirs: Flags, tau: float, min_at_risk: int, adjustment: str
) -> Iterator[tuple[str, str, Estimate]]:
    if table.late is not None:
        yield from _late_against(table, table.late, mine, theirs, adjustment)
    if table.days is not None:
        event = (table.kind == 1).astype(int)
        one, other = (kaplan_meier(table.risk_table(side, event, min_at_risk)) for side in (mine, theirs))
        yield "network", "none", restricted_mean_difference(one, other, tau)
        yield "network", "none", restricted_mean_ratio(one, other, tau)
        yield from _hazards(table, table.days, mine, theirs, adjustment)


def _late_against(
    table: Observations, late: Flags, mine: Flags, theirs: Flags, adjustment: str
) -> Iterator[tuple[str, str, Estimate]]:
    plain = _table(late, mine, theirs)
    yield "network", "none", risk_difference(*plain)
    yield "network", "none", risk_ratio(*plain)
    yield "network", "none", risk_ratio(*plain, log_interval=True)
    yield "network", "none", odds_ratio(*plain)
    yield "network", "none", odds_ratio(*plain, mid_p=True)
    if table.site is not None:
        tables = [_table(late, mine & (table.site == s), theirs & (table.site == s)) for s in np.unique(table.site)]
        yield "within-site", "site", mantel_haenszel_risk_difference(tables)
        yield "within-site", "site", mantel_haenszel_risk_ratio(tables)
        yield "within-site", "site", mantel_haenszel_odds_ratio(tables)
        yield "within-site", "site", conditional_odds_ratio(tables)
        yield "within-site", "site", conditional_odds_ratio(tables, mid_p=True)
    pair = mine | theirs
    group, covariates = mine[pair].astype(float)[:, None], table.covariates[pair]
    yield "network", "none", firth_odds_ratio(late[pair], group)
    if adjustment:
        yield "network", adjustment, firth_odds_ratio(late[pair], np.column_stack([group, covariates]))
        yield "network", adjustment, standardised_difference(late[pair], mine[pair], covariates)


def _hazards(
    table: Observations, days: Floats, mine: Flags, theirs: Flags, adjustment: str
) -> Iterator[tuple[str, str, Estimate]]:
    pair = mine | theirs
    group = mine[pair].astype(float)[:, None]
    designs = {"none": group} | ({adjustment: np.column_stack([group, table.covariates[pair]])} if adjustment else {})
    sites: dict[str, NDArray[np.str_] | None] = {"network": None}
    if table.site is not None:
        sites["within-site"] = table.site[pair]
    entry = None if table.entry is None else table.entry[pair]
    for scope, strata in sites.items():
        for adjusted, design in designs.items():
            data = cox_data(days[pair], table.kind[pair] == 1, design, strata=strata, entry=entry)
            yield scope, adjusted, hazard_ratio(data)
            yield scope, adjusted, hazard_ratio(data, ties="breslow")
            yield scope, adjusted, firth_hazard_ratio(data)
            yield scope, adjusted, firth_hazard_ratio(data, ties="breslow")


def _together(table: Observations, groups: Sequence[str], ordered: bool) -> Iterator[tuple[str, int, Estimate]]:
    if table.late is None or len(groups) < 2:
        return
    late = [int(table.late[table.group == name].sum()) for name in groups]
    sizes = [int((table.group == name).sum()) for name in groups]
    for name, n, estimate in zip(groups, sizes, shrunk(late, sizes), strict=True):
        yield name, n, estimate
    for estimate in inequality(late, sizes, seed=_SEED, ordered=ordered):
        yield _WHOLE, sum(sizes), estimate


def _table(late: Flags, mine: Flags, theirs: Flags) -> Table:
    return int((late & mine).sum()), int(mine.sum()), int((late & theirs).sum()), int(theirs.sum())
