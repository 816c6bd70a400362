"""The deeper comparisons: within and between sites, adjusted, standardised, over groups, over unknown groups.

Rows of `analytics.metric_result` beside the plain ones of `surveillance.results`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from surveillance.estimates.cox import EVENTS_A_PARAMETER, cox_data, firth_hazard_ratio, hazard_ratio
from surveillance.estimates.estimate import Estimate, not_estimable
from surveillance.estimates.inequality import inequality
from surveillance.estimates.logistic import firth_odds_ratio, standardised_difference
from surveillance.estimates.odds import Table
from surveillance.estimates.proportions import risk_difference
from surveillance.estimates.shrinkage import shrunk
from surveillance.estimates.stratified import (
    conditional_odds_ratio,
    mantel_haenszel_odds_ratio,
    mantel_haenszel_risk_difference,
    mantel_haenszel_risk_ratio,
)
from surveillance.estimates.unknown import difference_bounds, expected_difference, plausible_range
from surveillance.measures.dimensions import (
    DIMENSIONS,
    DIMENSIONS_BY_NAME,
    EVERYWHERE,
    FURTHER_DIMENSIONS,
    REFERENCES,
    UNKNOWN,
)
from surveillance.strata import Stratum, too_few
from surveillance.views import EVERYONE, Finding, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Clinical need, which may be adjusted for, as it is written in `adjustment_set`.
NEED = "clinical_need:age+prematurity+etiology+prior_neurology"
#: What a group's difference may come about by; only ever in a second model, labelled so.
_MECHANISMS = ("race_ethnicity", "payer", "language_group")
#: Dimensions that are sums of another's groups: an index over them would hide those.
_DERIVED = frozenset({"bipoc", "caregiver_bipoc"})
_DAYS_A_MONTH = 30.4375
#: The penalty needs third moments: affordable beside clinical need, not beside every way that it may come about.
_FEW_COLUMNS = 6
#: A column of whose length no more than this is left beside the others adds nothing to them.
_NOTHING_NEW = 1e-8
_At = Callable[[str, str, Estimate], Finding]


def _compared(view: View, dimensions: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Every dimension, group and reference that may be compared."""
    for dimension in dimensions:
        reference = REFERENCES[dimension]
        for value in view.groups(dimension):
            if reference is not None and value != reference and value not in UNKNOWN:
                yield dimension, value, reference


def within_and_between(view: View) -> Iterator[Finding]:
    """Every group against its reference: within sites, what is left between them, and over the unknown."""
    strata = (view.infants["source"] + "/" + view.infants["prior_neurology"]).to_numpy(dtype=object)
    sites = np.unique(strata.astype(str), return_inverse=True)[1]
    decided, late = view.outcomes.decided, view.outcomes.is_late
    for dimension, value, reference in _compared(view, (*DIMENSIONS, *EVERYWHERE)):
        groups = view.infants[dimension].to_numpy(dtype=object)
        mine, theirs = decided & (groups == value), decided & (groups == reference)
        plain = view.stratum(dimension, value).table(view.stratum(dimension, reference))
        tables = [_table(late, mine & (sites == s), theirs & (sites == s)) for s in range(sites.max(initial=-1) + 1)]
        least, refusal = min(plain[1], plain[3]), None
        if least < view.everyone.min_n:
            refusal = too_few(least, view.everyone.min_n)
        unknown = decided & np.isin(groups.astype(str), list(UNKNOWN))
        for scope, adjustment, estimate in _stratified(plain, tables, late, unknown, refusal):
            yield Finding(scope, dimension, value, reference, adjustment, _fixed(estimate))


def _stratified(
    plain: Table, tables: list[Table], late: NDArray[np.bool_], unknown: NDArray[np.bool_], refusal: str | None
) -> Iterator[tuple[str, str, Estimate]]:
    within = mantel_haenszel_risk_difference(tables)
    estimates = (
        ("within-site", "site", within),
        ("within-site", "site", mantel_haenszel_risk_ratio(tables)),
        ("within-site", "site", mantel_haenszel_odds_ratio(tables)),
        ("within-site", "site", conditional_odds_ratio(tables)),
        ("between-site", "none", _between(risk_difference(*plain), within)),
        ("network", "none", _bounds(plain, int(unknown.sum()), int((unknown & late).sum()))),
        ("network", "none", _plausible(plain, int(unknown.sum()), int((unknown & late).sum()))),
    )
    for scope, adjustment, estimate in estimates:
        yield (
            scope,
            adjustment,
            (estimate if refusal is None else not_estimable(estimate.estimand, estimate.method, refusal)),
        )


def over_groups(view: View) -> Iterator[Finding]:
    """Indices over the groups of a dimension, and in charted measures each share drawn towards the whole."""
    charted = any(chart.measure == view.measure.id for chart in view.settings.charts)
    for dimension in (*DIMENSIONS, *FURTHER_DIMENSIONS):
        if dimension in _DERIVED:
            continue
        order = DIMENSIONS_BY_NAME[dimension].order
        groups = {value: one for value, one in view.groups(dimension).items() if value not in UNKNOWN}
        if order:
            groups = {value: groups[value] for value in order if value in groups}
        elif not groups:
            continue  # nobody's group is known: the row of the unknown says so
        late = [one.counts["n_late"] for one in groups.values()]
        sizes = [one.counts["n_matured"] for one in groups.values()]
        seed = zlib.crc32(f"{view.measure.id}/{dimension}".encode())
        for estimate in inequality(late, sizes, seed=seed, ordered=bool(order)):
            yield Finding("network", dimension, EVERYONE, "", "none", _fixed(estimate))
        if charted and dimension in DIMENSIONS:
            for value, estimate in zip(groups, shrunk(late, sizes), strict=True):
                yield Finding("network", dimension, value, "", "none", _fixed(estimate))


def modelled(view: View) -> Iterator[Finding]:
    """Models, in every measure, of the groups that are registered for comparison: more would invite a search."""
    registered = {(chart.dimension, chart.group, chart.reference) for chart in view.settings.charts}
    for dimension, value, reference in sorted(registered):
        both = view.infants[dimension].isin([value, reference]).to_numpy()
        sides: list[Stratum] = [view.stratum(dimension, side) for side in (value, reference)]
        if min(side.counts["n_matured"] for side in sides) < view.everyone.min_n:
            continue

        def at(
            scope: str, adjustment: str, estimate: Estimate, where: tuple[str, str, str] = (dimension, value, reference)
        ) -> Finding:
            return Finding(scope, *where, adjustment, _fixed(estimate))

        yield from _logistic(view, both & view.outcomes.decided, dimension, value, at)
        if view.outcomes.curve:
            waiting = both & view.outcomes.matured & ~np.isnan(view.outcomes.days)
            yield from _hazards(view, waiting, dimension, value, at)


def _logistic(view: View, kept: NDArray[np.bool_], dimension: str, value: str, at: _At) -> Iterator[Finding]:
    pair = view.infants[kept]
    group, late = (pair[dimension] == value).to_numpy(), view.outcomes.is_late[kept]
    need, sites = clinical_need(pair), _dummies(pair["source"])
    yield at("network", NEED, firth_odds_ratio(late, _varying(np.column_stack([group, need]))))
    mix = _varying(np.column_stack([group, need, sites]))[:, 1:]
    standardised = standardised_difference(late, group, mix, clusters=pair["source"])
    yield at("network", f"{NEED},site", standardised)


def _hazards(view: View, kept: NDArray[np.bool_], dimension: str, value: str, at: _At) -> Iterator[Finding]:
    """Hazard ratios by site: plain, for clinical need, and a second model with ways in which it may come about."""
    pair = view.infants[kept]
    days, event = view.outcomes.days[kept], view.outcomes.kind[kept] == 1
    entry = view.outcomes.entry[kept]
    alone = (pair[dimension] == value).to_numpy(dtype=float)[:, None]
    need = clinical_need(pair)
    others = [name for name in _MECHANISMS if name != dimension]
    ways = np.column_stack([_dummies(pair[name]) for name in others])
    models = {
        "site": alone,
        f"site,{NEED}": np.column_stack([alone, need]),
        f"site,{NEED},mechanism:{'+'.join(others)}": np.column_stack([alone, need, ways]),
    }
    for adjustment, design in models.items():
        data = cox_data(days, event, _varying(design), strata=pair["source"], entry=entry)
        found = hazard_ratio(data)
        yield at("within-site", adjustment, found)
        few = data.event.sum() < 2 * EVENTS_A_PARAMETER
        if design.shape[1] <= _FEW_COLUMNS and (few or found.value is None):
            yield at("within-site", adjustment, firth_hazard_ratio(data))


def clinical_need(pair: pd.DataFrame) -> Floats:
    """Clinical need as the timeline has it, a column each (statistics.md 1.1: adjust for no more than this).

    Age at the first provider visit (months; unknown is the mean), a code of prematurity, etiology on record (TSC,
    another), under neurology before.
    """
    months = pd.to_numeric(pair["age_days"], errors="coerce").to_numpy(dtype=float, na_value=np.nan) / _DAYS_A_MONTH
    centre = float(np.nanmean(months)) if np.isfinite(months).any() else 0.0
    columns = [np.nan_to_num(months - centre), pair["preterm"].to_numpy(dtype=float)]
    columns += [(pair["etiology_class"] == name).to_numpy(dtype=float) for name in ("tsc", "other")]
    columns.append((pair["prior_neurology"] == "yes").to_numpy(dtype=float))
    return np.column_stack(columns)


def _table(late: NDArray[np.bool_], mine: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> Table:
    return int((late & mine).sum()), int(mine.sum()), int((late & theirs).sum()), int(theirs.sum())


def _varying(design: Floats) -> Floats:
    """The first column, and those others that add something: a constant or repeated one has no coefficient."""
    kept, basis = [], np.full((len(design), 1), 1 / np.sqrt(max(len(design), 1)))
    for j in range(design.shape[1]):
        rest = design[:, j] - basis @ (basis.T @ design[:, j])
        length = float(np.linalg.norm(rest))
        if j == 0 or length > _NOTHING_NEW * float(np.linalg.norm(design[:, j])):
            kept.append(j)
            basis = np.column_stack([basis, rest / length]) if length > 0 else basis
    return design[:, kept]


def _dummies(values: pd.Series[Any]) -> Floats:
    """A column for every value but the first."""
    return pd.get_dummies(values.astype(str), drop_first=True).to_numpy(dtype=float).reshape(len(values), -1)


def _between(crude: Estimate, within: Estimate) -> Estimate:
    """The part of a difference that comes about by who goes to which site."""
    method = "network minus within-site"
    if crude.value is None or within.value is None:
        return not_estimable("rd", method, crude.reason or within.reason or "not estimable")
    return Estimate("rd", method, crude.value - within.value, reason="no interval: a difference of two estimates")


def _bounds(table: Table, unknown: int, unknown_late: int) -> Estimate:
    """Manski's bounds: whoever the infants of unknown group may be."""
    estimand, method = "rd_bounds", "every allocation of the unknown"
    known = risk_difference(*table)
    found = difference_bounds(table, unknown, unknown_late)
    if found is None or known.value is None:
        return not_estimable(estimand, method, known.reason or "no comparison")
    return Estimate(estimand, method, known.value, found[0].difference, found[1].difference, "bounds")


def _plausible(table: Table, unknown: int, unknown_late: int) -> Estimate:
    """The unknown shared out as the known are, and how far chance may go in sharing them out."""
    estimand, method = "rd_bounds", "plausible allocations of the unknown"
    expected = expected_difference(table, unknown, unknown_late)
    found = plausible_range(table, unknown, unknown_late)
    if found is None or expected is None:
        return not_estimable(estimand, method, risk_difference(*table).reason or "no comparison")
    # The range is over whole infants, the middle over shares of them.
    return Estimate(estimand, method, expected, min(found[0], expected), max(found[1], expected), "bounds")


def _fixed(estimate: Estimate) -> Estimate:
    """Without NaN or infinity, its interval named as one that holds at this look alone."""
    return replace(estimate.checked(), interval=f"fixed:{estimate.interval}" if estimate.interval else None)
