"""All estimates of a weekly run, as rows of `analytics.metric_result`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance.cohort import last_complete_week, measured
from surveillance.comparisons import checked, compare
from surveillance.estimates.estimate import LEVEL, Estimate
from surveillance.measures.registry import DIMENSIONS, REFERENCES, UNKNOWN, Measure
from surveillance.strata import Stratum

if TYPE_CHECKING:
    from surveillance.settings import SurveillanceSettings

POPULATION = "confirmed, looking backward from the diagnosis"
EVERYONE = "all"
Progress = Callable[[str, int], None]


def result_rows(
    known: pd.DataFrame,
    measures: Mapping[str, Measure],
    *,
    as_of: date,
    settings: SurveillanceSettings,
    through: Mapping[str, date],
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Every measure, window, scope and stratum. `known` comes from `cohort.as_known`; rows lack only the run's id."""
    rows: list[dict[str, Any]] = []
    for done, measure in enumerate(measures.values()):
        if progress:
            progress(f"measure {measure.id}", done)
        infants = measured(known, measure, as_of=as_of, settings=settings, through=through)
        for window, start in _windows(as_of, settings):
            inside = infants if start is None else infants[~(infants["matured_on"] < pd.Timestamp(start))]
            frame = {
                "metric_id": measure.id,
                "definition_version": measure.version,
                "population": POPULATION,
                "window_kind": window,
                "window_start": start,
                "window_end": as_of,
                "as_of": as_of,
                "data_through": min(through.values(), default=None),
            }
            for scope, members in _scopes(inside, measure, window, settings):
                rows += [{**frame, "scope": scope, **row} for row in _strata(members, scope, settings)]
            if window == "cumulative" and _charted(measure, settings):
                rows += [{**frame, **row} for row in _deeper(inside, measure, settings)]
    return rows


def _charted(measure: Measure, settings: SurveillanceSettings) -> bool:
    return any(chart.measure == measure.id for chart in settings.charts)


def _deeper(infants: pd.DataFrame, measure: Measure, settings: SurveillanceSettings) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, str], Stratum] = {}

    def stratum(dimension: str, value: str) -> Stratum:
        if (dimension, value) not in groups:
            members = infants if value == EVERYONE else infants[infants[dimension] == value]
            groups[dimension, value] = _stratum(members, settings)
        return groups[dimension, value]

    for found in compare(infants, measure.id, settings):
        finding = checked(found)
        theirs = stratum(finding.dimension, finding.reference).counts if finding.reference else {}
        unknown = sum(stratum(finding.dimension, value).counts["n_matured"] for value in sorted(UNKNOWN))
        reference = {"n_reference": theirs.get("n_matured"), "n_late_reference": theirs.get("n_late")}
        mine = stratum(finding.dimension, finding.value)
        row = _row(mine, finding.dimension, finding.value, finding.reference, unknown, finding.estimate, reference)
        yield {**row, "scope": finding.scope, "adjustment_set": finding.adjustment}


def _windows(as_of: date, settings: SurveillanceSettings) -> tuple[tuple[str, date | None], ...]:
    first = last_complete_week(as_of) - timedelta(weeks=settings.window_weeks - 1)
    return ("cumulative", None), ("rolling", first)


def _scopes(
    infants: pd.DataFrame, measure: Measure, window: str, settings: SurveillanceSettings
) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "network", infants
    if _charted(measure, settings) and window == "cumulative" and infants["source"].nunique() > 1:
        for source, members in infants.groupby("source", sort=True):
            yield f"site:{source}", members


def _strata(infants: pd.DataFrame, scope: str, settings: SurveillanceSettings) -> Iterator[dict[str, Any]]:
    yield from _rows(_stratum(infants, settings), EVERYONE, EVERYONE, 0)
    for dimension in DIMENSIONS:
        if dimension == "source" and scope != "network":
            continue
        groups = {str(value): _stratum(members, settings) for value, members in infants.groupby(dimension, sort=True)}
        unknown = sum(stratum.counts["n_matured"] for value, stratum in groups.items() if value in UNKNOWN)
        reference_value = REFERENCES[dimension]
        for value, stratum in groups.items():
            yield from _rows(stratum, dimension, value, unknown)
            if reference_value and value != reference_value and value not in UNKNOWN:
                reference = groups.get(reference_value) or _stratum(infants.iloc[:0], settings)
                yield from _compared(stratum, reference, dimension, value, reference_value, unknown)


def _stratum(infants: pd.DataFrame, settings: SurveillanceSettings) -> Stratum:
    return Stratum(infants, settings.min_n, settings.min_at_risk, settings.horizon_days)


def _rows(stratum: Stratum, dimension: str, value: str, unknown: int) -> Iterator[dict[str, Any]]:
    for estimate in stratum.estimates():
        yield _row(stratum, dimension, value, "", unknown, estimate, {"n_reference": None, "n_late_reference": None})


def _compared(
    stratum: Stratum, reference: Stratum, dimension: str, value: str, reference_value: str, unknown: int
) -> Iterator[dict[str, Any]]:
    theirs = {
        "n_reference": reference.counts["n_matured"],
        "n_late_reference": reference.counts["n_late"],
    }
    for estimate in stratum.against(reference):
        yield _row(stratum, dimension, value, reference_value, unknown, estimate, theirs)


def _row(
    stratum: Stratum,
    dimension: str,
    value: str,
    reference: str,
    unknown: int,
    estimate: Estimate,
    theirs: Mapping[str, int | None],
) -> dict[str, Any]:
    return {
        "stratum_dimension": dimension,
        "stratum_value": value,
        "reference_value": reference,
        **stratum.counts,
        **theirs,
        "n_unknown_stratum": unknown,
        "estimand": estimate.estimand,
        "method": estimate.method,
        "estimate": estimate.value,
        "ci_low": estimate.low,
        "ci_high": estimate.high,
        "ci_level": LEVEL if estimate.interval else None,
        "ci_kind": estimate.interval,
        "se": estimate.se,
        "p_value": estimate.p_value,
        "adjustment_set": "none",
        "null_expectation": estimate.null_expectation,
        "quality_flags": stratum.flags,
        "not_estimable_reason": estimate.reason,
    }
