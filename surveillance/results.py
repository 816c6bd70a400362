"""All estimates of a weekly run, as rows of `analytics.metric_result`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance.cohort import last_complete_week, measured
from surveillance.comparisons import modelled, over_groups, within_and_between
from surveillance.estimates.estimate import LEVEL, Estimate
from surveillance.measures.definitions import Measure
from surveillance.measures.dimensions import DIMENSIONS, EVERYWHERE, FURTHER_DIMENSIONS, PAIRS, REFERENCES, UNKNOWN
from surveillance.views import EVERYONE, Finding, View

if TYPE_CHECKING:
    from surveillance.settings import SurveillanceSettings
    from surveillance.strata import Stratum

POPULATION = "confirmed, looking backward from the diagnosis"
Progress = Callable[[str, int], None]
_ALONE: Mapping[str, int | None] = {"n_reference": None, "n_late_reference": None}


def result_rows(
    known: pd.DataFrame,
    measures: Mapping[str, Measure],
    *,
    as_of: date,
    settings: SurveillanceSettings,
    through: Mapping[str, date],
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Every measure in force, window, scope and stratum. `known` comes from `as_known`; rows lack the run's id."""
    rows: list[dict[str, Any]] = []
    in_force = [measure for measure in measures.values() if measure.in_force(as_of)]
    for done, measure in enumerate(in_force):
        if progress:
            progress(f"measure {measure.id}", done)
        infants = measured(known, measure, as_of=as_of, settings=settings, through=through)
        absent = ";".join(f"{name}:not_recorded" for name in measure.exclude_values if name not in known.columns)
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
            for row in _window_rows(inside, measure, settings, cumulative=start is None):
                flags = ";".join(text for text in (row["quality_flags"], absent) if text)
                rows.append({**frame, **row, "quality_flags": flags})
    return rows


def _windows(as_of: date, settings: SurveillanceSettings) -> tuple[tuple[str, date | None], ...]:
    first = last_complete_week(as_of) - timedelta(weeks=settings.window_weeks - 1)
    return ("cumulative", None), ("rolling", first)


def _window_rows(
    infants: pd.DataFrame, measure: Measure, settings: SurveillanceSettings, *, cumulative: bool
) -> Iterator[dict[str, Any]]:
    network = View(infants, measure, settings)
    dimensions = (*DIMENSIONS, *FURTHER_DIMENSIONS, *PAIRS) if cumulative else (*DIMENSIONS, *EVERYWHERE)
    yield from _scope(network, "network", dimensions)
    for source in sorted(network.groups("source")):
        here = View(infants[infants["source"] == source], measure, settings)
        yield from _scope(here, f"site:{source}", (*DIMENSIONS[:-1], *EVERYWHERE))
    found = [*within_and_between(network)]
    if cumulative:
        found += over_groups(network)
        found += modelled(network)
    for finding in found:
        stratum, reference = network.stratum(finding.dimension, finding.value), _ALONE
        if finding.reference:
            reference = _counts_of(network.stratum(finding.dimension, finding.reference))
        unknown = network.unknown(finding.dimension)
        row = _row(stratum, (finding.dimension, finding.value, finding.reference), unknown, finding.estimate, reference)
        yield {**row, "scope": finding.scope, "adjustment_set": finding.adjustment}


def _scope(view: View, scope: str, dimensions: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every stratum by itself, and against its reference."""
    for estimate in view.everyone.estimates():
        yield {**_row(view.everyone, (EVERYONE, EVERYONE, ""), 0, estimate, _ALONE), "scope": scope}
    for dimension in dimensions:
        unknown, reference_value = view.unknown(dimension), REFERENCES[dimension]
        for value, stratum in view.groups(dimension).items():
            for estimate in stratum.estimates():
                yield {**_row(stratum, (dimension, value, ""), unknown, estimate, _ALONE), "scope": scope}
            if reference_value is None or value == reference_value or value in UNKNOWN:
                continue
            reference = view.stratum(dimension, reference_value)
            theirs = _counts_of(reference)
            for estimate in stratum.against(reference):
                yield {**_row(stratum, (dimension, value, reference_value), unknown, estimate, theirs), "scope": scope}


def _counts_of(reference: Stratum) -> Mapping[str, int | None]:
    return {"n_reference": reference.counts["n_matured"], "n_late_reference": reference.counts["n_late"]}


def _row(
    stratum: Stratum,
    where: tuple[str, str, str],
    unknown: int,
    estimate: Estimate,
    theirs: Mapping[str, int | None],
) -> dict[str, Any]:
    dimension, value, reference = where
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


__all__ = ["EVERYONE", "POPULATION", "Finding", "Progress", "result_rows"]
