"""The deeper comparisons of the charted measures: within sites, adjusted, standardised, over groups, unknown groups.

Rows of `analytics.metric_result`, network-wide and cumulative, beside the plain ones of `surveillance.results`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from surveillance.estimates.cox import EVENTS_A_PARAMETER, cox_data, firth_hazard_ratio, hazard_ratio
from surveillance.estimates.estimate import Estimate, not_estimable
from surveillance.estimates.inequality import INDICES, inequality
from surveillance.estimates.logistic import firth_odds_ratio, standardised_difference
from surveillance.estimates.odds import Table
from surveillance.estimates.proportions import risk_difference
from surveillance.estimates.shrinkage import shrunk
from surveillance.estimates.stratified import mantel_haenszel_odds_ratio, mantel_haenszel_risk_difference
from surveillance.estimates.unknown import difference_bounds, plausible_range
from surveillance.measures.registry import DIMENSIONS, REFERENCES, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from surveillance.settings import SurveillanceSettings

    Floats = NDArray[np.float64]

#: What a group's difference may come about by; only ever in a second model, labelled so.
_MECHANISMS = ("race_ethnicity", "payer", "language_group")


class Finding(NamedTuple):
    """One estimate, with where it belongs."""

    scope: str
    dimension: str
    value: str
    reference: str
    adjustment: str
    estimate: Estimate


def compare(infants: pd.DataFrame, metric_id: str, settings: SurveillanceSettings) -> Iterator[Finding]:
    """All findings of one measure over its measured infants."""
    matured = infants[infants["matured"] & infants["late"].isin(["yes", "no"])].reset_index(drop=True)
    charted = {(c.dimension, c.group, c.reference) for c in settings.charts if c.measure == metric_id}
    for dimension in DIMENSIONS:
        groups = {
            str(value): members for value, members in matured.groupby(dimension, sort=True) if value not in UNKNOWN
        }
        seed = zlib.crc32(f"{metric_id}/{dimension}".encode())
        yield from _across(groups, dimension, seed)
        reference = REFERENCES[dimension]
        for value in sorted(groups):
            if reference is None or value == reference:
                continue
            pair = matured[matured[dimension].isin([value, reference])].reset_index(drop=True)
            smaller = min(int((pair[dimension] == side).sum()) for side in (value, reference))
            if smaller >= settings.min_n:
                yield from _pair(pair, matured, dimension, value, reference)
                if (dimension, value, reference) in charted:
                    yield from _modelled(pair, dimension, value, reference)
            else:
                reason = f"fewer than {settings.min_n} infants" if smaller else "no infants"
                refused = not_estimable("rd", "mantel-haenszel", reason)
                yield Finding("within-site", dimension, value, reference, "site", refused)


def _across(groups: dict[str, pd.DataFrame], dimension: str, seed: int) -> Iterator[Finding]:
    """Indices over the groups of a dimension, and each group's share drawn towards the whole."""
    late = [int((members["late"] == "yes").sum()) for members in groups.values()]
    sizes = [len(members) for members in groups.values()]
    if dimension == "bipoc":
        return  # derived from race_ethnicity, whose groups it would hide
    if len(groups) < 2:
        reason = "fewer than two groups with infants"
        indices = [not_estimable(name, "formula", reason) for name in INDICES]
    else:
        indices = inequality(late, sizes, seed=seed)
    for estimate in indices:
        yield Finding("network", dimension, "all", "", "none", estimate)
    for value, estimate in zip(groups, shrunk(late, sizes), strict=True):
        yield Finding("network", dimension, value, "", "none", estimate)


def _pair(pair: pd.DataFrame, everyone: pd.DataFrame, dimension: str, value: str, reference: str) -> Iterator[Finding]:
    """Within and between sites, and over who the infants of unknown group may be."""
    group = (pair[dimension] == value).to_numpy()
    late = (pair["late"] == "yes").to_numpy()
    sites = _tables(pair, late, group)
    plain = _table(late, group)
    unknown = everyone[everyone[dimension].isin(UNKNOWN)]

    def at(scope: str, adjustment: str, estimate: Estimate) -> Finding:
        return Finding(scope, dimension, value, reference, adjustment, estimate)

    within = mantel_haenszel_risk_difference(sites)
    yield at("within-site", "site", within)
    yield at("within-site", "site", mantel_haenszel_odds_ratio(sites))
    yield at("between-site", "none", _between(risk_difference(*plain), within))
    yield at("network", "none", _bounds(plain, unknown))
    yield at("network", "none", _plausible(plain, unknown))


def _modelled(pair: pd.DataFrame, dimension: str, value: str, reference: str) -> Iterator[Finding]:
    """Models, for the registered comparisons only: they cost seconds, and invite a search."""
    group = (pair[dimension] == value).to_numpy()
    late = (pair["late"] == "yes").to_numpy()
    strata = pd.factorize(pair["source"], sort=True)[0]

    def at(scope: str, adjustment: str, estimate: Estimate) -> Finding:
        return Finding(scope, dimension, value, reference, adjustment, estimate)

    need = _need(pair)
    yield at("network", "clinical_need:age", firth_odds_ratio(late, _varying(np.column_stack([group, need]))))
    mix = np.column_stack([need, _dummies(pair["source"])])
    standardised = standardised_difference(late, group, mix)
    yield at("network", "clinical_need:age,site", standardised)
    yield from _hazards(pair, group, strata, dimension, at)


def _hazards(pair: pd.DataFrame, group: Any, strata: Any, dimension: str, at: Any) -> Iterator[Finding]:
    """Hazard ratios by site: plain, for clinical need, and a second model with ways in which it may come about."""
    timed = pair["days"].notna().to_numpy()
    if not timed.any():
        return
    days = pair["days"].to_numpy(dtype=float)[timed]
    event = (pair["kind"] == 1).to_numpy()[timed]
    alone, need = group[timed].astype(float)[:, None], _need(pair)[timed]
    others = [name for name in _MECHANISMS if name != dimension]
    ways = np.column_stack([_dummies(pair[name])[timed] for name in others])
    models = {
        "site": alone,
        "site,clinical_need:age": np.column_stack([alone, need]),
        f"site,clinical_need:age,mechanism:{'+'.join(others)}": np.column_stack([alone, need, ways]),
    }
    for adjustment, design in models.items():
        yield at("within-site", adjustment, hazard_ratio(cox_data(days, event, _varying(design), strata=strata[timed])))
    if event.sum() < EVENTS_A_PARAMETER:
        yield at("within-site", "site", firth_hazard_ratio(cox_data(days, event, alone, strata=strata[timed])))


def _table(late: Any, group: Any) -> Table:
    return int((late & group).sum()), int(group.sum()), int((late & ~group).sum()), int((~group).sum())


def _tables(pair: pd.DataFrame, late: Any, group: Any) -> list[Table]:
    strata = pair["source"] + "/" + pair["prior_neurology"]
    return [_table(late[inside], group[inside]) for inside in ((strata == s).to_numpy() for s in sorted(set(strata)))]


def _need(pair: pd.DataFrame) -> Floats:
    """Clinical need as the timeline has it: age at the first provider visit, months, centred; unknown is the mean."""
    months = pd.to_numeric(pair["age_days"], errors="coerce").to_numpy(dtype=float, na_value=np.nan) / 30.4375
    centre = float(np.nanmean(months)) if np.isfinite(months).any() else 0.0
    return np.nan_to_num(months - centre)[:, None]


def _varying(design: Floats) -> Floats:
    """The first column, and those others that vary: a constant one has no coefficient."""
    kept: Floats = design[:, np.array([True, *(design[:, 1:].std(axis=0) > 0)])]
    return kept


def _dummies(values: pd.Series[Any]) -> Floats:
    """A column for every value but the first."""
    return pd.get_dummies(values.astype(str), drop_first=True).to_numpy(dtype=float).reshape(len(values), -1)


def _between(crude: Estimate, within: Estimate) -> Estimate:
    """The part of a difference that comes about by who goes to which site."""
    method = "network minus within-site"
    if crude.value is None or within.value is None:
        return not_estimable("rd", method, crude.reason or within.reason or "not estimable")
    return Estimate("rd", method, crude.value - within.value, reason="no interval: a difference of two estimates")


def _bounds(table: Table, unknown: pd.DataFrame) -> Estimate:
    """Manski's bounds: whoever the infants of unknown group may be."""
    estimand, method = "rd_bounds", "every allocation of the unknown"
    known = risk_difference(*table)
    found = difference_bounds(table, len(unknown), int((unknown["late"] == "yes").sum()))
    if found is None or known.value is None:
        return not_estimable(estimand, method, known.reason or "no comparison")
    return Estimate(estimand, method, known.value, found[0].difference, found[1].difference, "bounds")


def _plausible(table: Table, unknown: pd.DataFrame) -> Estimate:
    estimand, method = "rd_bounds", "plausible allocations of the unknown"
    known = risk_difference(*table)
    found = plausible_range(table, len(unknown), int((unknown["late"] == "yes").sum()))
    if found is None or known.value is None:
        return not_estimable(estimand, method, known.reason or "no comparison")
    return Estimate(estimand, method, known.value, found[0], found[1], "bounds")


def checked(finding: Finding) -> Finding:
    """The finding without NaN or infinity, its interval named as fixed."""
    estimate = finding.estimate.checked()
    kind = f"fixed:{estimate.interval}" if estimate.interval else None
    return finding._replace(estimate=replace(estimate, interval=kind))
