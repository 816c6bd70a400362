"""Weeks as an axis without holes, and the table of blocks as it is read from outside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from surveillance.errors import BlocksUnreadable

if TYPE_CHECKING:
    import pandas as pd

#: What the detector reads: late and all of the group, late and all of the reference.
COLUMNS = ("week", "site", "prior_neurology", "x", "n_group", "y", "n_reference")
_COUNTS = COLUMNS[3:]
_ISO_WEEK = re.compile(r"^\d{4}-?W\d{2}$")
Row = tuple[str, str, int, int, int, int]  # site, prior neurology, x, n_group, y, n_reference


def week_of(day: date) -> date:
    """The Monday of the ISO week that holds `day`."""
    return day - timedelta(days=day.weekday())


@dataclass(frozen=True)
class WeekAxis:
    """Consecutive weeks from `first`, written as they were read: whole numbers, dates or ISO weeks."""

    kind: Literal["number", "date", "iso"]
    first: int  # a number, or the ordinal of the first day
    length: int

    def __len__(self) -> int:
        return self.length

    def labels(self) -> list[int] | list[str]:
        if self.kind == "number":
            return list(range(self.first, self.first + self.length))
        days = [date.fromordinal(self.first + 7 * i) for i in range(self.length)]
        if self.kind == "date":
            return [day.isoformat() for day in days]
        return [f"{day.isocalendar().year}-W{day.isocalendar().week:02d}" for day in days]


def read_blocks(blocks: pd.DataFrame) -> tuple[WeekAxis, dict[int, list[Row]]]:
    """The week axis, and the rows of each week by its position on it. Raises `BlocksUnreadable`."""
    missing = [name for name in COLUMNS if name not in blocks.columns]
    if missing:
        raise BlocksUnreadable(
            f"The table of blocks lacks the columns {', '.join(missing)}", next_step=f"give it {', '.join(COLUMNS)}"
        )
    counts = [_counts(blocks, name) for name in _COUNTS]
    x, n_group, y, n_reference = counts
    for i, (late_group, all_group, late_reference, all_reference) in enumerate(
        zip(x, n_group, y, n_reference, strict=True)
    ):
        if late_group > all_group or late_reference > all_reference:
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has more late than there are")
    axis, positions = _axis(blocks["week"].tolist())
    rows: dict[int, list[Row]] = {}
    strata = zip(blocks["site"].map(str), blocks["prior_neurology"].map(str), strict=True)
    for position, (site, prior), *row in zip(positions, strata, *counts, strict=True):
        rows.setdefault(position, []).append((site, prior, row[0], row[1], row[2], row[3]))
    return axis, rows


def _counts(blocks: pd.DataFrame, name: str) -> list[int]:
    counts = []
    for i, value in enumerate(blocks[name].tolist()):
        try:
            count = int(value)
        except (TypeError, ValueError, OverflowError):
            count = -1
        if count < 0 or count != float(value):
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has no whole number of infants as {name}")
        counts.append(count)
    return counts


def _axis(weeks: list[object]) -> tuple[WeekAxis, list[int]]:
    if not weeks:
        return WeekAxis("number", 0, 0), []
    read = [_week(i, week) for i, week in enumerate(weeks)]
    kinds = {kind for kind, _ in read}
    if len(kinds) > 1:
        raise BlocksUnreadable("The weeks of the table of blocks are written in more than one way")
    kind = kinds.pop()
    numbers = [number for _, number in read]
    step = 1 if kind == "number" else 7
    first = min(numbers)
    if any((number - first) % step for number in numbers):
        raise BlocksUnreadable(
            "The weeks of the table of blocks aren't all whole weeks apart", next_step="write each week as its Monday"
        )
    positions = [(number - first) // step for number in numbers]
    return WeekAxis(kind, first, max(positions) + 1), positions


def _week(i: int, week: object) -> tuple[Literal["number", "date", "iso"], int]:
    text = str(week).strip()
    try:
        if isinstance(week, datetime):
            return "date", week.date().toordinal()
        if isinstance(week, date):
            return "date", week.toordinal()
        if _ISO_WEEK.match(text):
            return "iso", date.fromisoformat(f"{text}-1" if "-W" in text else f"{text}1").toordinal()
        if re.fullmatch(r"-?\d+(\.0+)?", text):
            return "number", int(float(text))
        return "date", date.fromisoformat(text[:10]).toordinal()
    except ValueError as error:
        raise BlocksUnreadable(
            f"Row {i + 1} of the table of blocks has a week that can't be read",
            next_step="write weeks as dates (2024-01-29), ISO weeks (2024-W05) or whole numbers",
        ) from error
