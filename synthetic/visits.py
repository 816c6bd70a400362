"""Visits and studies that infants with and without IESS have in common."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import (
    CPT,
    DEXAMETHASONE,
    ICD10,
    LOCAL,
    LOINC,
    PCS,
    RXNORM,
    SERVICE_TYPE,
    SNOMED,
    concept,
)
from synthetic.medicines import administration, dose, medication_request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from synthetic.chart import Chart, Fhir

NEUROLOGY_SERVICE = concept(SERVICE_TYPE, "202", "Paediatric Neurology")
_WELL_DAYS = (14, 61, 122, 183, 274, 365, 456, 548, 730)


def pick_weighted(draw: Random, rows: Sequence[tuple]) -> tuple:  # type: ignore[type-arg]
    """A row of a table whose last column is the weight."""
    return draw.choices(rows, [row[-1] for row in rows])[0]


def well_visits(
    chart: Chart, birth: date, since: date, until: date, extra: Fhir | None = None, admitted: date | None = None
) -> None:
    """Well-child visits of the schedule between two days, but none during the stay of three days from `admitted`.

    `extra` is an extension that goes on each of them.
    """
    for age in _WELL_DAYS:
        day = birth + timedelta(days=age)
        if day > until:
            return
        in_hospital = admitted is not None and admitted <= day <= admitted + timedelta(days=3)
        if day >= since and not in_hospital:
            chart.encounter(
                "AMB", day, 540 + age % 7 * 45, 25, text="Well child visit", place="clinic", interpreter=extra
            )


def neurology_visit(
    chart: Chart, day: date, evidence: str, draw: Random, text: str = "New patient visit"
) -> Fhir | None:
    """An ambulatory neurology visit, recognisable by `evidence` (a row of `neurology_evidence.*`) and no other way."""
    minute = 480 + draw.randrange(16) * 30
    neurologist = f"neurologist-{1 + draw.randrange(3)}"
    if evidence == "practitioner":
        return chart.encounter("AMB", day, minute, 60, by=neurologist, text=text)
    if evidence == "role":
        return chart.encounter("AMB", day, minute, 60, by=neurologist, role=True, text=text)
    if evidence == "service_type":
        service = NEUROLOGY_SERVICE if draw.random() < 0.7 else concept(SNOMED, "394538003", "Pediatric neurology")
        return chart.encounter("AMB", day, minute, 60, by="staff-1", service=service, text=text)
    if evidence == "place":
        return chart.encounter("AMB", day, minute, 60, by="staff-1", place="neurology", provider="neurology", text=text)
    return chart.encounter("AMB", day, minute, 60, by="staff-1", text="Office visit, pediatric neurology")


def eeg(chart: Chart, day: date, encounter: Fhir | None, draw: Random, *, inpatient: bool = False) -> None:
    """An EEG as the record has it: a Procedure, a DiagnosticReport, or both."""
    form = draw.random()
    if form < 0.75:
        if inpatient and form < 0.25:
            code = concept(PCS, draw.choice(("4A10X4Z", "4A00X4Z")), "Brain electrical activity, external")
        elif inpatient:
            code = concept(CPT, draw.choice(("95714", "95713", "95711")))
        elif form < 0.2:
            code = concept(SNOMED, "54550000", "EEG")
        else:
            code = concept(CPT, draw.choice(("95816", "95819", "95813", "95812")))
        chart.procedure(code, day, encounter)
    if form > 0.6:
        chart.report(concept(LOINC, "11523-8", "EEG study"), day, encounter, "neurologist-3")


def croup(chart: Chart, day: date) -> None:
    """An emergency visit for croup with a short steroid course, which is no treatment of spasms."""
    visit = chart.encounter("EMER", day, 1200, 120, by="emergency-1", text="Emergency visit", place="emergency")
    if visit is None:
        return
    reason = concept(ICD10, "J05.0", "Croup")
    chart.condition(reason, day, visit)
    medication_request(
        chart,
        {"medicationCodeableConcept": concept(RXNORM, "8638", "Prednisolone 15 mg/5 mL")},
        day,
        visit,
        status="completed",
        dose=dose("oral", 7, "mg", 1),
        supply_days=3,
        reason=reason,
        by="emergency-1",
    )
    administration(
        chart,
        {"medicationCodeableConcept": concept(RXNORM, DEXAMETHASONE, "Dexamethasone")},
        day,
        visit,
        None,
        "completed",
    )


def referral_elsewhere(chart: Chart, day: date, encounter: Fhir | None, where: str) -> None:
    """A referral to something that is not neurology, some of them by names that look like it."""
    if where == "gastroenterology":
        chart.service_request(
            concept(SNOMED, "103696004", "Referral to specialist"),
            day,
            encounter,
            performer_type=concept("http://nucc.org/provider-taxonomy", "2080P0206X", "Pediatric gastroenterology"),
        )
    else:
        names = {
            "neurosurgery": ("REF-2210", "AMB REFERRAL TO PEDIATRIC NEUROSURGERY"),
            "neuropsychology": ("REF-2218", "AMB REFERRAL TO NEUROPSYCHOLOGY"),
            "development": ("REF-2077", "AMB REFERRAL TO DEVELOPMENTAL PEDIATRICS"),
        }
        code, text = names[where]
        chart.service_request(concept(LOCAL, code, text), day, encounter)
