"""First-line treatment (M8) and any treatment (M8b): which courses count, and which the family refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_mapping.cases import decided, undecided
from fhir_mapping.chart import Milestone, words_of
from fhir_mapping.dosage import Amount
from fhir_mapping.elements import Unreadable, concept_of, objs, status
from fhir_mapping.facts import first_of
from fhir_mapping.treatments import FIRST_LINE, course_of, day_of, drug_of, medicine_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fhir_mapping.cases import DatedCase
    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.facts import Facts
    from fhir_mapping.model import Resource
    from fhir_mapping.treatments import Course, Dose

_ORDERABLE = ("MedicationRequest", "MedicationAdministration", "MedicationDispense", "MedicationStatement")
_STEROID_WINDOW = (-1, 60)  # days around the diagnosis or EEG
_LONG_DAYS = 10  # on which it was given: as long as a supply that counts
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
        counted = first_line_of(course, anchors, case_ids)
        if counted is not None:
            first_line.append(replace(counted[0].start, rule=counted[1]))
        if counted is not None or course.drug != "oral_steroid":
            if starts_of_newborn(course, chart.counts_from):
                chart.flags.add("newborn_treatment")
            else:
                every.append((counted[0] if counted else course).start)
    chosen = first_of(first_line)
    earlier = {item.detail for item in every if chosen is not None and item.when.high < chosen.when.low}
    return Treatment(chosen, first_of(every), len(earlier - {chosen.detail if chosen else ""}))


def first_line_of(
    course: Course, anchors: Sequence[DateRange], cases: frozenset[tuple[str, str]]
) -> tuple[Course, str] | None:
    """(the course as far as it is first-line, the rule by which it is), or None.

    ACTH and vigabatrin always are. An oral steroid is when its reason is IESS, or when it starts from 1 day before to
    60 days after an IESS diagnosis or EEG (`anchors`) at a high dose or for long: otherwise it is for croup or asthma.
    What was given for croup a week before spasms were treated is no part of their treatment: the course begins with
    the first dose that counts by itself.
    """
    if course.drug not in FIRST_LINE:
        return None
    if course.drug != "oral_steroid":
        return course, course.start.rule

    def near(when: DateRange) -> bool:
        return any(_near(when, anchor) for anchor in anchors)

    def for_spasms(dose: Dose) -> bool:
        return bool(dose.reason_roles & _IESS_REASON or dose.reason_conditions & cases)

    by_day = _given_by_day(course)
    if not (len(by_day) >= _LONG_DAYS and near(course.start.when)):
        counted = [dose for dose in course.doses if for_spasms(dose) or (near(dose.when) and _is_high(dose, by_day))]
        if not counted:
            return None
        begun = min(dose.when.sort_key for dose in counted)
        course = course_of(
            course.drug,
            [
                dose
                for dose in course.doses
                if dose.when.sort_key >= begun or (near(dose.when) and not dose.amount.told)
            ],
        )
    letter = "a" if any(for_spasms(dose) for dose in course.doses) else "b"
    return course, f"{course.start.rule}{letter}"


def _near(start: DateRange, anchor: DateRange) -> bool:
    earliest_days, latest_days = (start.low - anchor.high).days, (start.high - anchor.low).days
    return latest_days >= _STEROID_WINDOW[0] and earliest_days <= _STEROID_WINDOW[1]


def _given_by_day(course: Course) -> dict[date, Amount]:
    """What was given on each day, summed: four doses of 10 mg are 40 mg a day."""
    by_day: dict[date, Amount] = {}
    for dose in course.doses:
        if dose.level == 0:
            sofar = by_day.get(dose.when.low, Amount())
            by_day[dose.when.low] = replace(
                sofar,
                mg_per_day=sofar.mg_per_day + dose.amount.mg_per_day,
                mg_per_kg_day=sofar.mg_per_kg_day + dose.amount.mg_per_kg_day,
            )
    return by_day


def _is_high(dose: Dose, by_day: dict[date, Amount]) -> bool:
    if dose.level == 0:
        return dose.amount.as_due().high_dose() or by_day[dose.when.low].high_dose()
    return dose.amount.high_dose()


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
    if _not_yet(resource, chart):
        return None
    if "contraindication" in roles or "contraindicat" in words:
        return found[0], "contraindicated"
    if "refusal" in roles or _REFUSED_TEXT.search(words):
        return found[0], "caregiver_refused"
    return None


def _not_yet(resource: Resource, chart: Chart) -> bool:
    """Whether it came on record only after the as-of date."""
    try:
        return chart.after_horizon(day_of(resource, chart))
    except Unreadable:
        return False
