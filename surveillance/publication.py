"""From estimates on true counts to what everyone with a login may read, under `warehouse.disclosure`.

A *release* is at most one a quarter, since last week's table less this week's is a single infant, and each withstands
all that were released before it. The weekly report shows the release that stands, and nothing of the weeks since.

Only the cumulative window of the whole network is released: sites or windows subtracted from it would give small cells
back. Of the estimates, those that follow from what is shown of the counts are; days are rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from math import ceil, floor, sqrt
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from surveillance import store
from surveillance.measures.registry import DIMENSIONS
from surveillance.measures.registry import measures as registry
from surveillance.release_tables import Release, linked_tables, reference_key, row_key
from surveillance.results import EVERYONE
from surveillance.silence import silent_sources
from warehouse.disclosure import suppress
from warehouse.linked import THRESHOLD, Level, Row, State, Tables
from warehouse.rates import coarse
from warehouse.schema.measures import PublishedResult

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from surveillance.settings import SurveillanceSettings

AUDIENCE = "everyone with a login"
EstimateState = Literal["shown", "suppressed", "missing", "not_estimable"]
_WITHHELD = (
    "n_eligible",
    "n_pending",
    "n_indeterminate",
    "n_events",
    "n_censored",
    "n_competing",
    "n_unknown_stratum",
    "person_days",
    "null_expectation",
)
_COUNTED = frozenset({"prop", "rd", "rr", "or"})
_TIMED = ("surv_", "rmst_")
#: A median has half of the infants on either side, and its interval about a quarter beyond each end: 11 in each part.
_MEDIAN_FROM, _MEDIAN_INTERVAL_FROM = 2 * (THRESHOLD + 1), 4 * (THRESHOLD + 1)


def release(connection: Connection, run_id: str, settings: SurveillanceSettings, missing: Iterable[str] = ()) -> int:
    """Publish the run's results when a quarter has passed since the last release; returns the rows written.

    `missing` are sources of which nothing is known up to the run's day. Disclosure control can't be turned off here.
    """
    before = store.releases(connection)
    as_of = store.run(connection, run_id)["as_of"]
    if any(other == run_id or as_of - day < timedelta(days=settings.release_days) for other, day in before.items()):
        return 0
    results = store.results(connection, run_id)
    tables = linked_tables(
        Release(run_id, _proportions(results), {}), [_released(connection, run) for run in before], missing
    )
    # Each level that this returns has withstood the attack; where the releases before leak by themselves, it refuses.
    levels = suppress(tables)
    rows = published_rows(results, tables, levels, missing)
    store.write_rows(connection, PublishedResult, rows)
    return len(rows)


def report_rows(connection: Connection, run_id: str, settings: SurveillanceSettings) -> pd.DataFrame:
    """What the report of a run shows: the release that stands on its day; true figures where suppression is off.

    Columns of `published.metric_result`.
    """
    if not settings.suppression:
        return _unsuppressed(store.results(connection, run_id))
    as_of = store.run(connection, run_id)["as_of"]
    standing = [other for other, day in store.releases(connection).items() if day <= as_of]
    if not standing:
        return pd.DataFrame(columns=store.published_columns())
    return store.results(connection, standing[-1], published=True)


def published_rows(
    results: pd.DataFrame, tables: Tables, levels: Mapping[tuple[str, ...], Level], missing: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """The rows of `published.metric_result` of a release."""
    records = _records(publishable(results))
    rows = [_published(record, tables, levels) for record in records]
    silent = sorted(missing)
    if silent:
        flag = ";".join(f"missing_source:{source}" for source in silent)
        rows = [row | {"quality_flags": flag} for row in rows]
        rows += _rows_of_the_missing(rows, silent)
    return rows


def publishable(results: pd.DataFrame) -> pd.DataFrame:
    """Results that may be released at all, suppressed or not."""
    frame = results[(results["scope"] == "network") & (results["window_kind"] == "cumulative")]
    frame = frame[(frame["adjustment_set"] == "none") & frame["stratum_dimension"].isin([EVERYONE, *DIMENSIONS])]
    unreleased = {name for name, measure in registry().items() if not measure.released}
    frame = frame[~frame["metric_id"].isin(unreleased)]
    return frame[frame["estimand"].map(lambda name: name in _COUNTED or name == "median" or name.startswith(_TIMED))]


def _proportions(results: pd.DataFrame) -> pd.DataFrame:
    frame = publishable(results)
    return frame[frame["estimand"] == "prop"]


def _released(connection: Connection, run_id: str) -> Release:
    """A release of before: the true counts of its run, and what was shown of them."""
    shown = _proportions(store.results(connection, run_id, published=True))
    levels = {row_key(run_id, record): _level(record) for record in _records(shown)}
    return Release(run_id, _proportions(store.results(connection, run_id)), levels)


def _level(record: Mapping[Any, Any]) -> Level:
    if record["n_matured_state"] == "missing":
        return "missing"
    if record["n_late_state"] == "shown":
        return "counts"
    if record["n_matured_state"] == "shown":
        return "total"
    return "rate" if record["estimate_state"] == "shown" else "nothing"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): value for name, value in record.items()}
        for record in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]


def _published(record: Mapping[str, Any], tables: Tables, levels: Mapping[tuple[str, ...], Level]) -> dict[str, Any]:
    """One result as it may be shown. Why something is withheld isn't told: that it is small would say that it is 1 to
    10."""
    key = row_key(record["run_id"], record)
    row, level = tables.rows[key], levels[key]
    other = reference_key(key, record)
    reference = tables.rows.get(other, Row(0, 0)) if other else None
    reference_level: Level = levels.get(other, "counts") if other else "counts"
    values, state = _estimate(record, (row, level), (reference, reference_level))
    states = {"n_matured_state": _state(level, "total"), "n_late_state": _state(level, "counts")}
    shown = {
        "n_matured": row.n if states["n_matured_state"] == "shown" else None,
        "n_late": row.late if states["n_late_state"] == "shown" else None,
        "n_reference": reference.n if reference and _state(reference_level, "total") == "shown" else None,
        "n_late_reference": reference.late if reference and _state(reference_level, "counts") == "shown" else None,
    }
    return {
        **record,
        **dict.fromkeys(_WITHHELD),
        **shown,
        **states,
        **values,
        "estimate_state": state,
        "not_estimable_reason": record["not_estimable_reason"] if state == "not_estimable" else None,
        "quality_flags": "",
        "suppressed": "suppressed" in (*states.values(), state),
        "audience": AUDIENCE,
    }


def _state(level: Level, needed: Literal["total", "counts"]) -> State:
    if level == "missing":
        return "missing"
    return "shown" if level == "counts" or level == needed else "suppressed"


def _estimate(
    record: Mapping[str, Any], mine: tuple[Row, Level], theirs: tuple[Row | None, Level]
) -> tuple[dict[str, Any], EstimateState]:
    """The estimate with its interval, as precise as the levels of the row and of its reference allow."""
    nothing = dict.fromkeys(("estimate", "ci_low", "ci_high", "se", "p_value"))
    (row, level), (reference, reference_level) = mine, theirs
    estimand = str(record["estimand"])
    both = {level, reference_level}
    if "missing" in both:
        return nothing, "missing"
    if both & {"nothing", "total"}:
        return nothing, "suppressed"
    if record["estimate"] is None:
        return nothing, "not_estimable"
    if estimand in _COUNTED and both == {"counts"}:
        return {name: record[name] for name in nothing}, "shown"
    if estimand == "prop" and row.rate is not None:
        return nothing | _interval(row.rate.share / 100, row.rate.low / 100, row.rate.high / 100), "shown"
    if estimand == "rd" and reference is not None and row.rate is not None and reference.rate is not None:
        return nothing | _difference(row, reference), "shown"
    smaller = min(row.n, reference.n) if reference is not None else row.n
    timed = _days(record, smaller) if estimand == "median" or estimand.startswith(_TIMED) else None
    return (nothing | timed, "shown") if timed else (nothing, "suppressed")


def _interval(estimate: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"estimate": estimate, "ci_low": low, "ci_high": high}


def _difference(row: Row, reference: Row) -> dict[str, Any]:
    """Newcombe's difference of two shares as they are published, which tells nothing that they don't."""
    mine, theirs = row.rate, reference.rate
    if mine is None or theirs is None:
        raise ValueError("a difference of shares needs both")
    p, low_p, high_p = mine.share / 100, mine.low / 100, mine.high / 100
    q, low_q, high_q = theirs.share / 100, theirs.low / 100, theirs.high / 100
    low = p - q - sqrt((p - low_p) ** 2 + (high_q - q) ** 2)
    high = p - q + sqrt((high_p - p) ** 2 + (q - low_q) ** 2)
    return _interval(round(p - q, 2), floor(100 * low) / 100, ceil(100 * high) / 100)


def _days(record: Mapping[str, Any], n: int) -> dict[str, Any] | None:
    """Days, and shares still waiting, so that no single infant moves them visibly; None for too few infants."""
    value, low, high = record["estimate"], record["ci_low"], record["ci_high"]
    if record["estimand"] == "median":
        if n < _MEDIAN_FROM:
            return None
        return _interval(value, low, high) if n >= _MEDIAN_INTERVAL_FROM else _interval(value, None, None)
    if str(record["estimand"]).startswith("surv_"):
        return _interval(coarse(value, n), *(None if end is None else coarse(end, n) for end in (low, high)))
    return _interval(round(value, 1), *(None if end is None else round(end, 1) for end in (low, high)))


def _rows_of_the_missing(rows: list[dict[str, Any]], missing: list[str]) -> list[dict[str, Any]]:
    """A row for each source that has no row at all, since it never sent anything: missing, which is not 0."""
    held = {(row["metric_id"], row["stratum_value"]) for row in rows if row["stratum_dimension"] == "source"}
    totals = [row for row in rows if row["stratum_dimension"] == EVERYONE and row["estimand"] == "prop"]
    empty = dict.fromkeys(("n_matured", "n_late", "estimate", "ci_low", "ci_high", "se", "p_value"))
    states = dict.fromkeys(("n_matured_state", "n_late_state", "estimate_state"), "missing")
    return [
        {**total, **empty, **states, "stratum_dimension": "source", "stratum_value": source, "suppressed": False}
        for total in totals
        for source in missing
        if (total["metric_id"], source) not in held
    ]


def _unsuppressed(results: pd.DataFrame) -> pd.DataFrame:
    """True figures, in the shape of a release, for a report that stays with those who may see single infants."""
    frame = publishable(results)
    known = frame["estimate"].notna()
    frame = frame.assign(
        n_matured_state="shown",
        n_late_state="shown",
        estimate_state=known.map({True: "shown", False: "not_estimable"}),
        suppressed=False,
        audience="those who may see single infants",
    )
    return frame[store.published_columns()]


def missing_sources(connection: Connection, run_id: str, settings: SurveillanceSettings) -> dict[str, date | None]:
    """Sources of which nothing is known up to the run's day, with the last day that is: None for none at all."""
    run = store.run(connection, run_id)
    through = {source: date.fromisoformat(day) for source, day in run["data_through"].items()}
    return silent_sources(through, settings.sources, run["as_of"])
