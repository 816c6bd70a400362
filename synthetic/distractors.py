"""What stands in the record of an infant with IESS and is no milestone, though it looks like one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from synthetic.codings import ICD10, LOINC, RXNORM, SNOMED, concept
from synthetic.medicines import administration
from synthetic.visits import NEUROLOGY_SERVICE

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.course import IessCourse


def write_distractors(
    chart: Chart, course: IessCourse, draw: Random, neurology: Fhir | None, *, onset_is_exact: bool
) -> None:
    """`neurology` is the first neurology visit or stay, None while it is to come."""
    traits = course.traits
    before = draw.randrange(15, 45)
    if "earlier_event" in traits and onset_is_exact:
        _earlier_event(chart, course, before)
    if "ecg" in traits:
        chart.report(concept(LOINC, "11524-6", "EKG study"), course.provider, None, "staff-1")
    if "neurosurgery_visit" in traits:
        day = course.contact - timedelta(days=before // 3)
        visit = chart.encounter("AMB", day, by="neurosurgeon-1", text="New patient visit")
        chart.condition(concept(ICD10, "Q67.3", "Plagiocephaly"), day, visit)
    if "planned_referral" in traits:
        intent = draw.choice(("plan", "proposal", "option"))
        chart.service_request(
            concept(SNOMED, "306263000", "Referral to neurologist"), course.provider, None, intent=intent
        )
    if "second_visit" in traits and (course.wait or 0) > 6:
        day = course.provider + timedelta(days=3)
        visit = chart.encounter("AMB", day, by="pediatrician-3", text="Return visit", place="clinic")
        chart.condition(concept(ICD10, "R25.8", "Abnormal movements"), day, visit)
    if "cancelled_visit" in traits and course.missed:
        service = NEUROLOGY_SERVICE
        chart.encounter("AMB", course.missed, by="neurologist-1", service=service, status="cancelled")
    if neurology is not None:
        _at_neurology(chart, course, neurology)


def _earlier_event(chart: Chart, course: IessCourse, before: int) -> None:
    """An event weeks before the spasms began, by the recorded onset: another story."""
    day = course.onset - timedelta(days=before)
    if day > course.birth + timedelta(days=20):
        visit = chart.encounter("EMER", day, 700, 240, by="emergency-1", text="Emergency visit", place="emergency")
        chart.condition(concept(ICD10, "R68.13", "BRUE"), day, visit)


def _at_neurology(chart: Chart, course: IessCourse, neurology: Fhir) -> None:
    if "stimulation_test" in course.traits:
        cosyntropin = {"medicationCodeableConcept": concept(RXNORM, "2890", "Cosyntropin 0.25 mg")}
        administration(chart, cosyntropin, course.neurology, neurology, None, "completed")
    if "not_given" in course.traits:
        vigabatrin = {"medicationCodeableConcept": concept(RXNORM, "14851", "Vigabatrin")}
        administration(chart, vigabatrin, course.neurology, neurology, None, "not-done")
