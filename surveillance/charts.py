"""The weeks of a chart: computed from frozen blocks, chained by hashes, replayed and checked before they grow."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any

from surveillance.blocks import WeekRows, consecutive
from surveillance.detector import ODDS_RATIOS, Gather, Row, Week, complete_blocks, limit_of, run_chart
from surveillance.errors import ChartStateDamaged
from surveillance.hazards import HAZARD_RATIOS, complete_cells
from surveillance.measures.registry import Chart
from surveillance.sequence import confidence_sequence
from surveillance.weeks import week_of

GENESIS = "0" * 64
# A replay on another machine may differ in the last digits of exp() and log().
_REPLAY_TOLERANCE = 1e-9


@dataclass(frozen=True)
class ChartRow:
    """One stored week of one chart; the columns of `ops.chart_week`."""

    chart_id: str
    week: date
    run_id: str
    rows: list[Any]
    blocks: list[Any]
    carried: list[Any]
    log_e: list[Any]
    log_r: list[Any]
    m: float
    limit_a: float
    charts: int
    budget: float
    signal: bool
    cs_low: float | None
    cs_high: float | None
    previous_hash: str
    hash: str = ""

    def digest(self) -> str:
        """Hash of everything but the run's name: the same weeks give the same chain, whoever computes them."""
        content = {name: value for name, value in vars(self).items() if name not in ("run_id", "hash")}
        text = json.dumps(content, sort_keys=True, default=_rounded, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _rounded(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _number(value: float) -> float:
    """Twelve significant digits: what is stored is what is hashed."""
    return float(f"{value:.12g}")


def _bound(value: float) -> float | None:
    return _number(value) if math.isfinite(value) and value > 0 else None


def _flat(rows: Sequence[Row]) -> list[list[Any]]:
    return [[site, prior, *counts] for (site, prior), counts in rows]


def _rows_of(row: ChartRow) -> WeekRows:
    return [((site, prior), tuple(counts)) for site, prior, *counts in row.rows]


def _run(chart: Chart, weekly: Sequence[WeekRows], limits: Sequence[float]) -> list[Week]:
    if chart.version == "time-to-event":
        return run_chart(weekly, limits, gather=complete_cells, ratios=HAZARD_RATIOS, margin=chart.margin)
    gather: Gather = partial(complete_blocks, min_reference=chart.min_reference)
    return run_chart(weekly, limits, gather=gather, ratios=ODDS_RATIOS, margin=chart.margin)


def active(chart: Chart, week: date) -> bool:
    """Whether the chart is registered and not retired in that week (Monday)."""
    sunday = week + timedelta(days=6)
    begun = chart.registered_on is None or chart.registered_on <= sunday
    return begun and (chart.retired_on is None or chart.retired_on > week)


def family_size(charts: Sequence[Chart], week: date) -> int:
    """K: how many charts may raise an alert in that week."""
    return max(1, sum(chart.role == "alert" and active(chart, week) for chart in charts))


def verify(stored: Sequence[ChartRow]) -> None:
    """Check the hash chain and the order of the weeks. Raises `ChartStateDamaged`."""
    previous, expected_week = GENESIS, stored[0].week if stored else None
    for row in stored:
        if row.previous_hash != previous or row.digest() != row.hash or row.week != expected_week:
            raise ChartStateDamaged(
                f"The chart {row.chart_id} doesn't match its hash in the week of {row.week}",
                kept="nothing was added to the chart",
                next_step="restore ops.chart_week from a backup",
            )
        previous, expected_week = row.hash, row.week + timedelta(weeks=1)


def replay(chart: Chart, stored: Sequence[ChartRow]) -> None:
    """Check the chain, and compute every stored week anew from its counts. Raises `ChartStateDamaged`."""
    verify(stored)
    steps = _run(chart, [_rows_of(row) for row in stored], [row.limit_a for row in stored])
    low, high = confidence_sequence([step.blocks for step in steps])
    for i, (row, step) in enumerate(zip(stored, steps, strict=True)):
        anew = _row(chart, row.week, _rows_of(row), step, (low[i], high[i]), row.charts, row.budget, "", row.run_id)
        if row.limit_a != limit_of(row.charts, row.budget) or not _same(row, anew):
            raise ChartStateDamaged(f"The chart {chart.id} replays to another value in the week of {row.week}")


def _same(stored: ChartRow, anew: ChartRow) -> bool:
    for name in ("rows", "blocks", "carried", "signal"):
        if getattr(stored, name) != getattr(anew, name):
            return False
    for name in ("m", "cs_low", "cs_high", "log_e", "log_r"):
        mine, theirs = getattr(stored, name), getattr(anew, name)
        pairs = zip(mine, theirs, strict=True) if isinstance(mine, list) else [(mine, theirs)]
        for a, b in pairs:
            if (a is None) != (b is None) or (a is not None and not math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)):
                return False
    return True


def grow(
    chart: Chart,
    stored: Sequence[ChartRow],
    fresh: Mapping[date, WeekRows],
    *,
    family: Sequence[Chart],
    last_week: date,
    budget: float,
    run_id: str,
) -> list[ChartRow]:
    """Check the stored weeks of a chart, and work through those up to `last_week`. Returns the new rows only.

    `fresh` holds the counts of weeks not yet stored, `family` all charts that share the budget. Raises
    `ChartStateDamaged` when a stored week doesn't match its hash or doesn't replay.
    """
    verify(stored)
    first = stored[-1].week + timedelta(weeks=1) if stored else _first_week(chart, fresh)
    if first is None or first > last_week:
        return []
    added = {week: rows for week, rows in consecutive(fresh, first, last_week).items() if active(chart, week)}
    sizes = {week: family_size(family, week) for week in added}
    limits = [row.limit_a for row in stored] + [limit_of(sizes[week], budget) for week in added]
    weekly = [_rows_of(row) for row in stored] + list(added.values())
    steps = _run(chart, weekly, limits)
    for row, step in zip(stored, steps, strict=False):
        if not math.isclose(row.m, step.m, rel_tol=_REPLAY_TOLERANCE):
            raise ChartStateDamaged(f"The chart {chart.id} replays to another value in the week of {row.week}")
    low, high = confidence_sequence([step.blocks for step in steps])
    new: list[ChartRow] = []
    previous = stored[-1].hash if stored else GENESIS
    for i, week in enumerate(added, start=len(stored)):
        row = _row(chart, week, weekly[i], steps[i], (low[i], high[i]), sizes[week], budget, previous, run_id)
        new.append(row)
        previous = row.hash
    return new


def _first_week(chart: Chart, fresh: Mapping[date, WeekRows]) -> date | None:
    """A chart begins with its registration, or with the first data; weeks before it was registered never count."""
    if chart.registered_on is not None:
        return week_of(chart.registered_on)
    return min(fresh, default=None)


def _row(
    chart: Chart,
    week: date,
    rows: WeekRows,
    step: Week,
    bounds: tuple[float, float],
    charts: int,
    budget: float,
    previous: str,
    run_id: str,
) -> ChartRow:
    values: dict[str, Any] = {
        "chart_id": chart.id,
        "week": week,
        "run_id": run_id,
        "rows": _flat(rows),
        "blocks": [list(block) for block in step.blocks],
        "carried": _flat(step.carried),
        "log_e": [_number(value) for value in step.log_e],
        "log_r": [_number(math.log(value)) if value > 0 else None for value in step.r],
        "m": _number(step.m),
        "limit_a": step.limit,
        "charts": charts,
        "budget": budget,
        "signal": step.signal,
        "cs_low": _bound(bounds[0]),
        "cs_high": _bound(bounds[1]),
        "previous_hash": previous,
    }
    unsigned = ChartRow(**values)
    return ChartRow(**values, hash=unsigned.digest())
