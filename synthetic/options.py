"""What a synthetic cohort can be asked to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from fhir_source.source import FhirVersion

Width = Literal["lean", "realistic"]
Style = Literal["us_core", "bare"]
DIMENSIONS = ("race_ethnicity", "payer", "language")


@dataclass(frozen=True)
class Site:
    """One hospital: one folder of FHIR, as one source of the network exports it."""

    name: str
    timezone: str = "America/New_York"
    share: float = 1.0  # of the infants, in proportion to the other sites' shares
    late_odds_ratio: float = 1.0  # of a late neurology visit, for everybody here
    style: Style = "us_core"  # "bare": no meta, no category, no recordedDate; late_updates need versions and skip it


@dataclass(frozen=True)
class Dirt:
    """What real exports suffer from, each as a share. None of it changes the truth.

    `malformed_lines`, `nonconformant`, `duplicates`, `late_updates`: of resources. `entered_in_error`,
    `replaced_patients`: of infants.
    """

    malformed_lines: float = 0.0  # a line cut short is added
    nonconformant: float = 0.0  # fails the models, but is readable where it matters
    duplicates: float = 0.0  # the same line again
    late_updates: float = 0.0  # an earlier version with other content stands in the file too, before or after
    entered_in_error: float = 0.0  # resources that would move milestones, if their status were not heeded
    replaced_patients: float = 0.0  # part of the record hangs on a Patient that was merged into another


@dataclass(frozen=True)
class SynthOptions:
    """A cohort. Same options, same bytes; every infant has random streams of their own.

    `odds_ratio` of waiting more than 7 days from first provider to neurology, or `hazard_ratio` of being seen (below 1
    is slower), for infants of `group` (of `dimension`) against all others, from week `effect_from_week` after `start`
    on. `common_odds_ratio` slows everybody from `common_from_week` on, which is no disparity.

    First visits fall evenly on `start` to `end`. Nothing after `as_of` (`end` when None) is on record, and who has not
    been seen by then is still waiting. Cohorts that differ in `as_of` alone are exports of the same hospitals on
    different days: a resource keeps its id, and has a later version when it changed in between.
    """

    infants: int = 1800
    iess_share: float = 1 / 6
    seed: int = 1
    start: date = date(2024, 1, 1)
    end: date = date(2025, 12, 31)
    as_of: date | None = None
    sites: tuple[Site, ...] = (Site("harbor"),)
    fhir_version: FhirVersion = "R4"
    dimension: str = "race_ethnicity"
    group: tuple[str, ...] = ("nh_black",)
    odds_ratio: float = 1.0
    hazard_ratio: float = 1.0
    effect_from_week: int = 0
    common_odds_ratio: float = 1.0
    common_from_week: int = 0
    dirt: Dirt = field(default_factory=Dirt)
    compress: bool = False
    width: Width = "lean"
    rates: Mapping[str, float] = field(default_factory=dict)  # over synthetic/rates.csv

    @property
    def last_day(self) -> date:
        """The last day that is on record."""
        return self.as_of or self.end

    def check(self) -> None:
        """Raise SettingsError, in one line, for what can't be generated."""
        problems = [
            (self.infants < 0, "infants can't be negative"),
            (not 0 <= self.iess_share <= 1, "iess_share is a share, 0 to 1"),
            (self.end <= self.start, "end must be after start"),
            (self.as_of is not None and self.as_of < self.start, "as_of must not be before start"),
            (not self.sites, "there must be a site"),
            (len({site.name for site in self.sites}) != len(self.sites), "sites' names must differ"),
            (any(not re.fullmatch(r"[a-z0-9_-]+", s.name) for s in self.sites), "a site's name is [a-z0-9_-]+"),
            (any(s.share <= 0 or s.late_odds_ratio <= 0 for s in self.sites), "shares and odds are above 0"),
            (min(self.odds_ratio, self.hazard_ratio, self.common_odds_ratio) <= 0, "ratios are above 0"),
            (
                self.odds_ratio != 1 and self.hazard_ratio != 1,
                "odds_ratio and hazard_ratio describe the same wait: set one of them",
            ),
            (any(s.style not in ("us_core", "bare") for s in self.sites), "a site's style is us_core or bare"),
            (self.dimension not in DIMENSIONS, f"dimension is one of {', '.join(DIMENSIONS)}"),
            (self.fhir_version not in ("R4", "R5"), "fhir_version is R4 or R5"),
            (self.width not in ("lean", "realistic"), "width is lean or realistic"),
            (any(not 0 <= getattr(self.dirt, f.name) <= 1 for f in fields(Dirt)), "dirt is given in shares, 0 to 1"),
        ]
        for wrong, message in problems:
            if wrong:
                raise SettingsError(f"Synthetic cohort: {message}")
        for site in self.sites:
            try:
                ZoneInfo(site.timezone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise SettingsError(f"Synthetic cohort: {site.timezone!r} is not an IANA time zone") from error
