"""The clock is passed in: no logic of this project asks the machine what time it is, but for this module."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime


@dataclass(frozen=True)
class Clock:
    """One instant, fixed at the start of a command or of a DAG run."""

    now: datetime

    @classmethod
    def read(cls, fixed: datetime | None = None) -> Clock:
        """The fixed instant of the settings (a replay), else the machine's, to the second, in UTC."""
        instant = fixed if fixed is not None else datetime.now(UTC)
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return cls(instant.astimezone(UTC).replace(microsecond=0))

    @property
    def today(self) -> date:
        return self.now.date()

    @property
    def pull_id(self) -> str:
        """Sortable id of what is pulled now: 20261123T070000Z."""
        return self.now.strftime("%Y%m%dT%H%M%SZ")


def as_of_instant(as_of: date) -> datetime:
    """The end of a day, as an instant: what was known on that day."""
    return datetime(as_of.year, as_of.month, as_of.day, 23, 59, 59, tzinfo=UTC)
