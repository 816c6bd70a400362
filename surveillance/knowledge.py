"""What every step of a weekly run reads: timelines as known on a day, and how far each source's data reach."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import func, select

from surveillance.cohort import as_known, data_through
from warehouse.schema.ops import Pull
from warehouse.state import timelines

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True)
class Knowledge:
    """Timelines as known on the as-of day, and source -> last day that its data reach."""

    known: pd.DataFrame
    through: dict[str, date]


def known_on(connection: Connection, as_of: date) -> Knowledge:
    """What the warehouse knows of everything up to `as_of`."""
    rows = timelines(connection)
    reach = data_through(rows)
    # A server's clock may be ahead: no pull has data of days after its own, which its id names, in any time zone.
    asked = func.to_date(func.left(Pull.pull_id, 8), "YYYYMMDD") + 1
    loaded = select(Pull.source, func.max(func.least(Pull.data_through, asked))).group_by(Pull.source)
    reach |= {source: day for source, day in connection.execute(loaded) if day is not None}
    return Knowledge(as_known(rows, as_of), {source: min(day, as_of) for source, day in sorted(reach.items())})
