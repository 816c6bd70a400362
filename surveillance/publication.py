"""From estimates on true counts to what may be shown: disclosure control by `warehouse.suppression`.

Two audiences. The weekly report is for those who work with the alerts, and withholds small cells. A *release*, into
`published.metric_result`, is for everyone with a login: at most one a quarter, and each withstands the ones before it,
since last week's table minus this week's is a single infant.

Only the cumulative window of the whole network is shown: sites or windows subtracted from it would give small cells
back. Of the estimates, those that follow from the counts that are shown, and medians and means of days, are.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance import store
from surveillance.measures.registry import DIMENSIONS
from surveillance.measures.registry import measures as registry
from surveillance.results import EVERYONE
from warehouse.schema.measures import PublishedResult
from warehouse.suppression import Cell, Cube, Published, key, suppress

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from surveillance.settings import SurveillanceSettings

AUDIENCE = "everyone with a login"
_COUNTS_SHOWN = ("n_matured", "n_late", "n_reference", "n_late_reference")
_COUNTS_WITHHELD = (
    "n_eligible",
    "n_pending",
    "n_indeterminate",
    "n_events",
    "n_censored",
    "n_competing",
    "n_unknown_stratum",
    "person_days",
)
_ESTIMATES = ("estimate", "ci_low", "ci_high", "se", "p_value")
_ESTIMANDS = ("prop", "median", "rmst_", "rd", "rr", "or")
#: `bipoc` adds up groups of `race_ethnicity`: the two are one table.
_TOGETHER = {"bipoc": "race_ethnicity"}

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Table:
    """One measure's counts by one dimension, after disclosure control."""

    published: Published

    def shows(self, dimension: str, value: str) -> bool:
        return self.published.may_show(() if dimension == EVERYONE else key(**{dimension: value}), "late")

    @property
    def shows_everyone(self) -> bool:
        return self.shows(EVERYONE, EVERYONE)


def report_rows(results: pd.DataFrame, settings: SurveillanceSettings) -> pd.DataFrame:
    """The results of a run as the weekly report shows them."""
    return pd.DataFrame(_shown_rows(results, settings, []), columns=store.published_columns())


def release(connection: Connection, run_id: str, settings: SurveillanceSettings) -> int:
    """Publish the run's results when a quarter has passed since the last release; returns the rows written."""
    before = store.releases(connection)
    as_of = store.run(connection, run_id)["as_of"]
    if any(other == run_id or as_of - day < timedelta(days=settings.release_days) for other, day in before.items()):
        return 0
    earlier = [(store.results(connection, r), store.results(connection, r, published=True)) for r in before]
    rows = _shown_rows(store.results(connection, run_id), settings, earlier)
    store.write_rows(connection, PublishedResult, rows)
    return len(rows)


def _shown_rows(
    results: pd.DataFrame, settings: SurveillanceSettings, earlier: Sequence[tuple[pd.DataFrame, pd.DataFrame]]
) -> list[dict[str, Any]]:
    kept = _publishable(results)
    tables = {
        metric_id: _tables(rows, [(_of(true, metric_id), _of(shown, metric_id)) for true, shown in earlier])
        for metric_id, rows in kept.groupby("metric_id", sort=True)
    }
    rows = []
    for record in kept.astype(object).where(kept.notna(), None).to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        shown = not settings.suppression or _may_show(row, tables[row["metric_id"]])
        if settings.suppression:
            row |= dict.fromkeys(_COUNTS_WITHHELD) | {"quality_flags": ""}
        if not shown:
            row |= dict.fromkeys((*_COUNTS_SHOWN, *_ESTIMATES)) | {"not_estimable_reason": None}
        # Why a row is withheld isn't told: that a cell is small would say that it is 1 to 10.
        row |= {"suppressed": not shown, "audience": AUDIENCE}
        rows.append(row)
    return rows


def _publishable(results: pd.DataFrame) -> pd.DataFrame:
    frame = results[(results["scope"] == "network") & (results["window_kind"] == "cumulative")]
    frame = frame[frame["adjustment_set"] == "none"]
    frame = frame[frame["stratum_dimension"].isin([EVERYONE, *DIMENSIONS])]
    released = {name for name, measure in registry().items() if measure.released}
    frame = frame[frame["metric_id"].isin(released)]
    return frame[frame["estimand"].map(lambda name: str(name).startswith(_ESTIMANDS))]


def _of(rows: pd.DataFrame, metric_id: Hashable) -> pd.DataFrame:
    mine = _publishable(rows)
    return mine[mine["metric_id"] == metric_id]


def _may_show(row: Mapping[str, Any], tables: Mapping[str, _Table]) -> bool:
    # Every table has the same total. Where one can't show it, another would give it away.
    if not all(table.shows_everyone for table in tables.values()):
        return False
    dimension = row["stratum_dimension"]
    if dimension == EVERYONE:
        return True
    table = tables[_TOGETHER.get(dimension, dimension)]
    values = [row["stratum_value"], *([row["reference_value"]] if row["reference_value"] else [])]
    return all(_known(table, dimension, value) and table.shows(dimension, value) for value in values)


def _known(table: _Table, dimension: str, value: str) -> bool:
    return value in table.published.cube.categories.get(dimension, ())


def _tables(results: pd.DataFrame, earlier: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, _Table]:
    """The tables of one measure by dimension, each withstanding the releases before."""
    tables = {}
    for dimension in DIMENSIONS:
        if dimension in _TOGETHER:
            continue
        cube = _cube(results, dimension)
        if cube is not None:
            previous = [_as_released(true, shown, dimension) for true, shown in earlier]
            tables[dimension] = _Table(suppress(cube, [release for release in previous if release is not None]))
    return tables


def _cube(results: pd.DataFrame, dimension: str) -> Cube | None:
    counts = _counts(results, dimension)
    if not counts:
        return None
    partner = next((name for name, whole in _TOGETHER.items() if whole == dimension), None)
    if partner is None:
        cells: dict[tuple[str, ...], int] = {
            (value, late): n for value, both in counts.items() for late, n in both.items()
        }
        return Cube({dimension: tuple(counts), "late": ("yes", "no")}, cells)
    whole = {value: _bipoc(value) for value in counts}
    joint: dict[tuple[str, ...], int] = {
        (value, whole[value], late): n for value, both in counts.items() for late, n in both.items()
    }
    categories = {dimension: tuple(counts), partner: ("yes", "no", "unknown"), "late": ("yes", "no")}
    return Cube(categories, joint, views=((dimension, "late"), (partner, "late")))


def _bipoc(race_ethnicity: str) -> str:
    if race_ethnicity == "nh_white":
        return "no"
    return "unknown" if race_ethnicity in ("unknown", "declined") else "yes"


def _counts(results: pd.DataFrame, dimension: str) -> dict[str, dict[str, int]]:
    """Late and in time of every group, from the rows of the proportion."""
    rows = results[(results["estimand"] == "prop") & (results["stratum_dimension"] == dimension)]
    return {
        str(row["stratum_value"]): {"yes": int(row["n_late"]), "no": int(row["n_matured"]) - int(row["n_late"])}
        for row in rows.sort_values("stratum_value").to_dict("records")
    }


def _as_released(true: pd.DataFrame, shown: pd.DataFrame, dimension: str) -> Published | None:
    """An earlier release, from its true counts and the rows that were shown."""
    cube = _cube(true, dimension)
    if cube is None:
        return None
    rows = shown[(shown["estimand"] == "prop") & ~shown["suppressed"].astype(bool)]
    told = set(zip(rows["stratum_dimension"], rows["stratum_value"], strict=True))
    cells = {}
    for cell, value in cube.values.items():
        stratum = next(((name, category) for name, category in cell if name != "late"), (EVERYONE, EVERYONE))
        cells[cell] = Cell(value, "shown") if stratum in told else Cell(None, "suppressed")
    return Published(cube, cells)
