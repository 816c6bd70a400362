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
Kind = Literal["number", "date", "iso", "year_week"]
#: No network sees so many in a week, and a table with more is in other units.
LARGEST_COUNT = 1_000_000
#: Two thousand years; a larger span is a week written wrong.
MOST_WEEKS = 104_000
Row = tuple[str, str, int, int, int, int]  # site, prior neurology, x, n_group, y, n_reference


def week_of(day: date) -> date:
    """The Monday of the ISO week that holds `day`."""
    return day - timedelta(days=day.weekday())


@dataclass(frozen=True)
class WeekAxis:
    """Consecutive weeks from `first`, written as they were read.

    That is whole numbers (3), dates (2024-01-29), ISO weeks (2024-W05) or the same as a number (202405).
    """

    kind: Kind
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
        iso = [day.isocalendar() for day in days]
        if self.kind == "year_week":
            return [day.year * 100 + day.week for day in iso]
        return [f"{day.year}-W{day.week:02d}" for day in iso]


def read_blocks(blocks: pd.DataFrame) -> tuple[WeekAxis, dict[int, list[Row]]]:
    """The week axis, and the rows of each week by its position on it. Raises `BlocksUnreadable`."""
    missing = [name for name in COLUMNS if name not in blocks.columns]
    if missing:
        raise BlocksUnreadable(
            f"The table of blocks lacks the columns {', '.join(missing)}", next_step=f"give it {', '.join(COLUMNS)}"
        )
    counts = [_counts(blocks, name) for name in _COUNTS]
    for i, (x, n_group, y, n_reference) in enumerate(zip(*counts, strict=True)):
        if x > n_group or y > n_reference:
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has more late than there are")
    axis, positions = _axis(blocks["week"].tolist())
    rows: dict[int, list[Row]] = {}
    strata = zip(_names(blocks, "site"), _names(blocks, "prior_neurology"), strict=True)
    for position, (site, prior), *row in zip(positions, strata, *counts, strict=True):
        rows.setdefault(position, []).append((site, prior, row[0], row[1], row[2], row[3]))
    return axis, rows


def _names(blocks: pd.DataFrame, name: str) -> list[str]:
    """A stratum's name as text. A missing one isn't a stratum of its own: it would carry counts of several."""
    named = [str(value).strip() for value in blocks[name].tolist()]
    for i, (text, absent) in enumerate(zip(named, blocks[name].isna(), strict=True)):
        if absent or not text:
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has no {name}")
    return named


def _counts(blocks: pd.DataFrame, name: str) -> list[int]:
    counts = []
    for i, value in enumerate(blocks[name].tolist()):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = -1.0
        if not (number >= 0 and number.is_integer()):  # also false for what isn't a number
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has no whole number of infants as {name}")
        if number > LARGEST_COUNT:
            raise BlocksUnreadable(f"Row {i + 1} of the table of blocks has more than {LARGEST_COUNT:,} as {name}")
        counts.append(int(number))
    return counts


def _axis(weeks: list[object]) -> tuple[WeekAxis, list[int]]:
    if not weeks:
        return WeekAxis("number", 0, 0), []
    read = [_week(i, week) for i, week in enumerate(weeks)]
    kinds = {kind for kind, _ in read}
    if kinds == {"number", "year_week"}:  # 202405 among 7 and 19 is a number like them
        read = [_week(i, week, year_weeks=False) for i, week in enumerate(weeks)]
        kinds = {"number"}
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
    if max(positions) >= MOST_WEEKS:
        raise BlocksUnreadable(f"The weeks of the table of blocks span more than {MOST_WEEKS:,} weeks")
    return WeekAxis(kind, first, max(positions) + 1), positions


def _week(i: int, week: object, *, year_weeks: bool = True) -> tuple[Kind, int]:
    text = str(week).strip()
    try:
        if isinstance(week, datetime):
            return "date", week.date().toordinal()
        if isinstance(week, date):
            return "date", week.toordinal()
        if _ISO_WEEK.match(text):
            return "iso", date.fromisoformat(f"{text}-1" if "-W" in text else f"{text}1").toordinal()
        if re.fullmatch(r"-?\d{1,15}(\.0+)?", text):
            number = int(text.split(".")[0])
            monday = _monday(number) if year_weeks else None
            return ("number", number) if monday is None else ("year_week", monday)
        return "date", datetime.fromisoformat(text).date().toordinal()
    except ValueError:
        raise BlocksUnreadable(
            f"Row {i + 1} of the table of blocks has a week that can't be read",
            next_step="write weeks as dates (2024-01-29), ISO weeks (2024-W05) or whole numbers",
        ) from None


def _monday(number: int) -> int | None:
    """The ordinal of the Monday of 202405; None for a number that is no ISO week of 1900 to 2099.

    Read as plain numbers, 202452 and 202501 would be 49 weeks apart, over which the statistic would grow.
    """
    year, week = divmod(number, 100)
    if not (1900 <= year < 2100 and 1 <= week <= 53):
        return None
    try:
        return date.fromisocalendar(year, week, 1).toordinal()
    except ValueError:
        return None
