"""The few shapes that the stages of mapping hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from fhir_mapping.lines import owners_of
from fhir_mapping.references import Target, targets_of
from fhir_source.source import FhirVersion

if TYPE_CHECKING:
    from fhir_mapping.contract import TimelineRow

Precision = Literal["day", "month", "year", "interval"]
Milestone = Literal[
    "onset",
    "first_provider",
    "suspected",
    "referral",
    "booked",
    "neurology",
    "eeg",
    "diagnosis",
    "first_line",
    "first_treatment",
    "censored",
    "first_provider_supported",  # M1 with Tier B or C where its text supports it: a sensitivity variant
    "first_provider_broad",  # M1 with any tier: a sensitivity variant
    "detour_referral",  # a referral to another specialty before the one to neurology
]


#: The categories of 1997, or those of 2024 (SPD-15), which tell Middle Eastern or North African from White.
RaceStandard = Literal["omb1997", "spd15"]


@dataclass(frozen=True)
class MappingSettings:
    """What mapping may be told. All of it is part of the input: same input, same settings, same rows."""

    source: str
    timezone: str = "UTC"
    fhir_version: FhirVersion = "R4"
    as_of: date | None = None  # None: the data-through date of the source
    min_age_days: int = 14
    max_age_days: int = 730
    local_codes: Path | None = None  # a site's own rows for the value sets
    race_standard: RaceStandard = "omb1997"  # what the column race_ethnicity follows; both are stored beside it
    race_text: bool = False  # map race from text when there is no category (clinical.md G32); counted either way
    tetracosactide: bool = False  # tetracosactide depot is first-line (outside the US, clinical.md 1.7)
    ambiguous_specialty: bool = False  # a practitioner with a neurology role among others counts (G25)


@dataclass(frozen=True)
class Resource:
    """One resource in its newest version, with where it came from.

    `body` is the parsed JSON. `last_updated` is meta.lastUpdated as it stands in the resource ("" when absent).
    """

    type: str
    id: str
    version_id: str
    last_updated: str
    body: dict[str, Any] = field(repr=False)
    file: str = ""
    line: int = 0
    sha256: str = ""  # of the raw line, white space stripped

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def text(self) -> bytes | None:
        """The body as compact JSON; None when it has none (an integer of more than 64 bits, nested too deep)."""
        try:
            return orjson.dumps(self.body)
        except (orjson.JSONEncodeError, RecursionError):
            return None

    def release(self) -> None:
        """Let go of the parsed body, if it can be had again."""

    @cached_property
    def owners(self) -> tuple[str, ...]:
        """Whose resource it is (`lines.owners_of`)."""
        return owners_of(self.body)

    @cached_property
    def targets(self) -> frozenset[Target]:
        """What its References point to (`references.targets_of`)."""
        return targets_of(self.body)

    @property
    def versioned(self) -> str:
        """Type/id/version as the evidence column has it; version is `-` when the server gave none."""
        return f"{self.type}/{self.id}/{self.version_id or '-'}"


@dataclass(frozen=True)
class InfantRecord:
    """Everything known of one infant: the surviving Patient, those merged into it, and their resources.

    `resources` holds patient-compartment types by type name, sorted by id; `references` holds Practitioner,
    PractitionerRole, Organization, Location and Medication by `Type/id`, shared between infants.
    """

    infant: str
    patient: Resource
    merged: tuple[Resource, ...]
    resources: dict[str, tuple[Resource, ...]] = field(repr=False)
    references: dict[str, Resource] = field(repr=False)

    def of(self, resource_type: str) -> tuple[Resource, ...]:
        return self.resources.get(resource_type, ())

    def release(self) -> None:
        """Let go of the parsed bodies of what belongs to this infant alone."""
        for resource in (self.patient, *self.merged, *chain.from_iterable(self.resources.values())):
            resource.release()


@dataclass(frozen=True)
class MilestoneEvent:
    """Evidence that a milestone was reached between `low` and `high` (local dates), by one rule, from one resource."""

    infant: str
    milestone: Milestone
    low: date
    high: date
    precision: Precision
    rule: str  # id in docs/timeline.md
    certainty: str  # coded, specialty, text, status ... ; how sure the rule is
    resource_type: str
    resource_id: str
    version_id: str
    detail: str = ""  # drug, class ...; a code of ours, never free text of the record


@dataclass(frozen=True)
class Quarantined:
    """A line or resource that can't be used, with why, and never with its value."""

    file: str
    line: int
    type: str  # "" when not known
    id: str  # "" when not known
    reason: str  # not_json, no_id, unknown_type, unreadable_element, ...
    path: str  # FHIR path of the element, "" for the whole line
    message: str


@dataclass(frozen=True)
class Conformance:
    """The verdict of `fhir.resources` on one resource: empty `paths` means that it conforms."""

    type: str
    id: str
    paths: tuple[str, ...]


@dataclass
class LedgerLine:
    """The conservation law of one resource type: received is the sum of the rest."""

    received: int = 0
    in_scope: int = 0
    out_of_scope: int = 0
    superseded: int = 0
    deleted: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class ReferralLink:
    """Which referral led to which visit. One side is empty for an orphan: a referral not kept, a visit not referred."""

    referral: str  # Type/id/version of the chain's first order, "" for a visit without one
    visit: str  # Type/id/version, "" for a referral without one
    rule: str  # id in docs/timeline.md
    certainty: str  # linked (by reference), inferred (by specialty and time), none


@dataclass(frozen=True)
class MappedInfant:
    """One infant mapped: a row, or the reason why there is none.

    `attributes` holds what the contract's columns have no room for: race by SPD-15, the caregivers' race, etiology,
    prematurity, postal code at M1 (names and values in docs/timeline.md).
    """

    infant: str
    row: TimelineRow | None
    excluded: str | None  # age_outside_window, merged_away, no_birth_date, not_iess ...
    events: tuple[MilestoneEvent, ...]
    quarantined: tuple[Quarantined, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    links: tuple[ReferralLink, ...] = ()
