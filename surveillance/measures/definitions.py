"""Measures as data: what is counted, on which clock, from when on (`measures.toml`)."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

from fhir_mapping.contract import COLUMNS, DELAY_THRESHOLD_DAYS, INTERVALS_BY_NAME, IntervalDefinition
from surveillance.errors import MeasuresUnreadable

#: Columns beside the timeline's that a measure may leave infants out by; where the mapping doesn't give one, nobody is.
ATTRIBUTES = frozenset({"aan_exclusions", "etiology"})


@dataclass(frozen=True)
class Measure:
    """One version of one measure. `numerator` counts the adverse outcome, so that higher is always worse.

    `interval`: a wait of the timeline, with its curve, judged against `threshold_days`. `within`: only whether it was
    longer than that. `share`: whether `column` holds one of the `adverse` values (or none of the `favourable` ones).
    """

    id: str
    version: int
    title: str
    late_title: str  # continues "17 of 24 infants ..."
    kind: Literal["interval", "within", "share"]
    numerator: str
    denominator: str
    valid_from: date
    interval: str | None = None
    column: str | None = None
    adverse: tuple[str, ...] = ()
    favourable: tuple[str, ...] = ()
    index: str | None = None
    exclude_pathways: tuple[str, ...] = ()
    #: Pathways on which reaching neurology ends the wait otherwise (a bypass), for a wait that needs a referral.
    competing_pathways: tuple[str, ...] = ()
    #: Attribute -> values; an infant with any of them is left out, and counted in the row's quality flags.
    exclude_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Lowest and highest age at the diagnosis in days, both included; empty: that of the cohort.
    age_days_at_diagnosis: tuple[int, ...] = ()
    #: The first medicine from the diagnosis on must be a first-line one: another one first is late at once.
    initial_treatment: bool = False
    threshold_days: int = DELAY_THRESHOLD_DAYS
    competing_events: tuple[str, ...] = ("death",)
    direction: str = "higher is adverse"
    min_n: int = 5
    valid_to: date | None = None
    #: Whether releases may show it. Of a near copy with another denominator, readers could subtract the other.
    released: bool = True
    source: str = ""

    @property
    def timed(self) -> bool:
        """Whether there is a wait, and a threshold."""
        return self.kind != "share"

    @property
    def wait(self) -> IntervalDefinition:
        """The timeline's interval; not for a share."""
        if self.interval is None:
            raise MeasuresUnreadable(f"The measure {self.id} is no wait")
        return INTERVALS_BY_NAME[self.interval]

    @property
    def clock_start(self) -> str:
        return self.wait.start if self.interval else str(self.index)

    @property
    def clock_stop(self) -> str | None:
        return self.wait.stop if self.interval else None

    @property
    def maturity(self) -> str:
        """When an outcome counts, in words; the lag is the settings', or what was learned for the source and group."""
        start = f"{self.threshold_days} days after the start of the clock" if self.timed else "the start of the clock"
        return f"{start} and the diagnosis, whichever is later, plus the source's recording lag"

    @property
    def key(self) -> str:
        return f"{self.id}.v{self.version}"

    @property
    def sha256(self) -> str:
        """Of everything that gives the measure its meaning: a change of it is a new version."""
        meaning = asdict(self)
        for wording in ("title", "late_title", "source", "valid_to", "released"):
            del meaning[wording]
        return hashlib.sha256(json.dumps(meaning, sort_keys=True, default=str).encode()).hexdigest()

    def in_force(self, day: date) -> bool:
        """Whether this version holds on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _frozen(inner) for name, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _check(measure: Measure) -> None:
    columns = {column.name for column in COLUMNS}
    if measure.timed:
        known = measure.interval in INTERVALS_BY_NAME
    else:
        known = measure.column in columns and measure.index in columns and bool(measure.adverse or measure.favourable)
    if not known:
        raise MeasuresUnreadable(f"The measure {measure.id} names a wait or column that the timeline doesn't have")
    if not set(measure.exclude_values) <= ATTRIBUTES:
        raise MeasuresUnreadable(f"The measure {measure.id} leaves infants out by an attribute that nobody gives")
    if len(measure.age_days_at_diagnosis) not in (0, 2):
        raise MeasuresUnreadable(f"The measure {measure.id} needs a lowest and a highest age at the diagnosis, or none")


def read_measures(text: str) -> dict[str, Measure]:
    """Measures by id from TOML. Raises `MeasuresUnreadable`."""
    try:
        rows = tomllib.loads(text)["measure"]
        measures = [Measure(**{name: _frozen(value) for name, value in row.items()}) for row in rows]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise MeasuresUnreadable(f"The registry of measures can't be read: {error}") from error
    for measure in measures:
        _check(measure)
    if len({measure.id for measure in measures}) < len(measures):
        raise MeasuresUnreadable("The registry of measures has an id twice")
    return {measure.id: measure for measure in measures}


@cache
def measures() -> dict[str, Measure]:
    """The measures that come with this version."""
    return read_measures((resources.files(__package__) / "measures.toml").read_text(encoding="utf-8"))
