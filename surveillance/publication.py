"""From estimates on true counts to what may be published: `published.metric_result`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from surveillance import store
from warehouse.schema.measures import PublishedResult

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from surveillance.settings import SurveillanceSettings

AUDIENCE = "everyone with a login"
_COUNTS = (
    "n_eligible",
    "n_matured",
    "n_late",
    "n_pending",
    "n_indeterminate",
    "n_events",
    "n_censored",
    "n_competing",
    "n_unknown_stratum",
    "n_reference",
    "n_late_reference",
    "person_days",
)
_ESTIMATES = ("estimate", "ci_low", "ci_high", "se", "p_value")


def publish_results(connection: Connection, run_id: str, settings: SurveillanceSettings) -> int:
    """Write the run's published rows, once; returns how many there are."""
    there = store.results(connection, run_id, published=True)
    if len(there):
        return len(there)
    rows = suppress(store.results(connection, run_id), settings)
    store.write_rows(connection, PublishedResult, rows)
    return len(rows)


def suppress(results: pd.DataFrame, settings: SurveillanceSettings) -> list[dict[str, Any]]:
    """The rows with small cells withheld: 1 to `suppress_up_to` infants, late or in time, group or reference."""
    rows: list[dict[str, Any]] = []
    for record in results.astype(object).where(results.notna(), None).to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        small = settings.suppression and any(0 < count <= settings.suppress_up_to for count in _cells(row))
        if small:
            row |= dict.fromkeys((*_COUNTS, *_ESTIMATES))
            row |= {"quality_flags": "", "not_estimable_reason": None}
        row |= {"suppressed": small, "suppression_reason": "primary" if small else None, "audience": AUDIENCE}
        rows.append(row)
    return rows


def _cells(row: dict[str, Any]) -> list[int]:
    """Every count that the row gives, or that can be had from it by subtraction."""
    n, late = row["n_matured"] or 0, row["n_late"] or 0
    cells = [n, late, n - late]
    if row["n_reference"] is not None:
        cells += [row["n_reference"], row["n_late_reference"], row["n_reference"] - row["n_late_reference"]]
    return cells
