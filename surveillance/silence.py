"""Sources that have fallen silent: what happened there since is missing, and not zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

#: A source that nothing is known of for more days than this, up to the as-of day, is silent.
SILENT_DAYS = 14


def silent_sources(through: Mapping[str, date], expected: Iterable[str], as_of: date) -> dict[str, date | None]:
    """The silent ones with the last day that is known of each; None for one that never sent anything.

    `through` has the last day that each source's data reach, `expected` all sources that should send something.
    """
    last: dict[str, date | None] = {**dict.fromkeys(expected), **through}
    return {name: day for name, day in sorted(last.items()) if day is None or (as_of - day).days > SILENT_DAYS}
