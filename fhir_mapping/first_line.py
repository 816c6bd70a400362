"""First-line treatment (M8) and any treatment (M8b): which courses count, and which the family refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_mapping.cases import decided, undecided
from fhir_mapping.chart import Milestone, words_of
from fhir_mapping.dosage import Amount
from fhir_mapping.elements import concept_of, objs, status
from fhir_mapping.facts import first_of
from fhir_mapping.treatments import FIRST_LINE, drug_of, medicine_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fhir_mapping.cases import DatedCase
    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.facts import Facts
    from fhir_mapping.model import Resource
    from fhir_mapping.treatments import Course

_ORDERABLE = ("MedicationRequest", "MedicationAdministration", "MedicationDispense", "MedicationStatement")
_STEROID_WINDOW = (-1, 60)  # days around the diagnosis or EEG
_IESS_REASON = frozenset({"iess_definite", "iess_text"})
_REFUSED_TEXT = re.compile(r"refus|declin|object|against medical advice", re.IGNORECASE)


@dataclass(frozen=True)
class Treatment:
    """M8 and M8b."""

    first_line: Milestone | None
    first: Milestone | None
    before_first_line: int  # other antiseizure medicines started before it


def treatment_of(facts: Facts, cases: Sequence[DatedCase], eeg_dates: Sequence[DateRange], chart: Chart) -> Treatment:
    """First-line and any treatment, as the case stands: an oral steroid counts near the diagnosis or an EEG only."""
    certain = decided(cases)
    members = certain.members if certain else undecided(cases, chart)
    diagnosed = first_of(item.milestone for item in members if item.milestone is not None)
    anchors = [*([diagnosed.when] if diagnosed else []), *eeg_dates]
    case_ids = frozenset(
        ("Condition", item.diagnosis.resource.id) for item in cases if item.diagnosis.case in {"definite", "probable"}
    )
    first_line: list[Milestone] = []
    every: list[Milestone] = []
    for course in facts.courses:
        rule = is_first_line(course, anchors, case_ids)
        if rule is not None:
            first_line.append(_start(course, rule))
        if rule is not None or course.drug != "oral_steroid":
            if starts_of_newborn(course, chart.counts_from):
                chart.flags.add("newborn_treatment")
            else:
                every.append(_start(course, course.start.rule))
    chosen = first_of(first_line)
    earlier = {item.detail for item in every if chosen is not None and item.when.high < chosen.when.low}
    return Treatment(chosen, first_of(every), len(earlier - {chosen.detail if chosen else ""}))


def _start(course: Course, rule: str) -> Milestone:
    start = course.start
    return Milestone(start.when, start.resource, rule, start.certainty, course.drug)


def is_first_line(course: Course, anchors: Sequence[DateRange], cases: frozenset[tuple[str, str]]) -> str | None:
    """The rule by which a course is first-line, or None.

    ACTH and vigabatrin always are. An oral steroid is when its reason is IESS, or when it starts from 1 day before to
    60 days after an IESS diagnosis or EEG (`anchors`) at a high dose or for long: otherwise it is for croup or asthma.
    """
    if course.drug not in FIRST_LINE:
        return None
    if course.drug != "oral_steroid":
        return course.start.rule
    for dose in course.doses:
        if dose.reason_roles & _IESS_REASON or dose.reason_conditions & cases:
            return f"{course.start.rule}a"
    if not any(_near(course.start.when, anchor) for anchor in anchors):
        return None
    return f"{course.start.rule}b" if _high_dose(course) else None


def _near(start: DateRange, anchor: DateRange) -> bool:
    earliest_days, latest_days = (start.low - anchor.high).days, (start.high - anchor.low).days
    return latest_days >= _STEROID_WINDOW[0] and earliest_days <= _STEROID_WINDOW[1]


def _high_dose(course: Course) -> bool:
    by_day: dict[date, Amount] = {}
    for dose in course.doses:
        if dose.level == 0:
            if dose.amount.as_due().high_dose():
                return True
            sofar = by_day.get(dose.when.low, Amount())
            by_day[dose.when.low] = replace(
                sofar,
                mg_per_day=sofar.mg_per_day + dose.amount.mg_per_day,
                mg_per_kg_day=sofar.mg_per_kg_day + dose.amount.mg_per_kg_day,
            )
        elif dose.amount.high_dose():
            return True
    return len(by_day) >= 10 or any(amount.high_dose() for amount in by_day.values())


def starts_of_newborn(course: Course, counts_from: date | None) -> bool:
    """A medicine of the newborn's own seizures: another episode (ruling 16)."""
    return counts_from is not None and course.start.when.high < counts_from and course.drug not in FIRST_LINE


def withheld_first_line(chart: Chart) -> list[str]:
    """Why none of the three first-line medicines could be given: `caregiver_refused`, `contraindicated` (G47)."""
    told = {_withheld(resource, chart) for kind in _ORDERABLE for resource in chart.record.of(kind)}
    whys = ("caregiver_refused", "contraindicated")
    return [why for why in whys if all((drug, why) in told for drug in FIRST_LINE)]


def _withheld(resource: Resource, chart: Chart) -> tuple[str, str] | None:
    """(first-line drug, why) when this resource says that it was not given since refused or contraindicated."""
    body = resource.body
    not_done = status(body) in {"not-done", "cancelled", "declined", "stopped", "not-taken"}
    if not (not_done or body.get("doNotPerform") is True):
        return None
    concepts, _ = medicine_of(resource, chart)
    found = drug_of(concepts, chart)
    if found is None or found[0] not in FIRST_LINE:
        return None
    names = ("statusReason", "statusReasonCodeableConcept", "notPerformedReason", "reasonCode", "reason")
    why = [concept_of(item) for name in names for item in objs(body.get(name))]
    roles, words = chart.roles_of(why), words_of(why)
    if "contraindication" in roles or "contraindicat" in words:
        return found[0], "contraindicated"
    if "refusal" in roles or _REFUSED_TEXT.search(words):
        return found[0], "caregiver_refused"
    return None
