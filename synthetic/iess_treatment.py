"""Treatment of an infant with IESS as orders, administrations and dispenses."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import FIRST_LINE, OTHER_DRUGS, RXNORM, concept
from synthetic.directory import reference
from synthetic.medicines import administration, dispense, dose, medication_request

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.course import IessCourse

_REGIMENS = {
    "acth": dose("injection", 75, "[iU]", 2),
    "oral_steroid": dose("oral", 10, "mg", 4),
    "vigabatrin": dose("oral", 250, "mg", 2),
}
_LONGEST_ORDER_TO_START = 4  # days


def write_treatment(
    chart: Chart, course: IessCourse, draw: Random, neurology: Fhir | None, diagnosis: Fhir | None
) -> date | None:
    """`neurology` is the first neurology visit or the stay, `diagnosis` the Condition; None while they are to come.

    Returns the day of the order for first-line treatment when the order alone is on record.
    """
    start = course.first_line
    if "cancelled_first_order" in course.traits and start and start > course.diagnosis:
        medication_request(chart, _product("vigabatrin", 0), course.diagnosis, None, status="cancelled")
    if course.first_treatment and course.first_treatment != start:
        drug = course.first_treatment_drug
        medication = {"medicationCodeableConcept": concept(RXNORM, OTHER_DRUGS[drug], drug.title())}
        medication_request(chart, medication, course.first_treatment, None, dose=dose("oral", 100, "mg", 2))
    order_alone = _first_line(chart, course, start, draw, neurology, diagnosis) if start else None
    if "eye_drops" in course.traits:
        drops = {"medicationCodeableConcept": concept(RXNORM, "8638", "Prednisolone acetate 1% eye drops")}
        day = course.diagnosis + timedelta(days=20)
        medication_request(chart, drops, day, None, dose=dose("eye", 1, "[drp]", 4), supply_days=7)
    return order_alone


def _first_line(
    chart: Chart,
    course: IessCourse,
    start: date,
    draw: Random,
    neurology: Fhir | None,
    diagnosis: Fhir | None,
) -> date | None:
    """Ordered up to some days before, and given or handed over on the first day; or known from the order alone."""
    drug = course.first_line_drug
    medication = _product(drug, draw.randrange(len(FIRST_LINE[drug])))
    if drug == "vigabatrin" and draw.random() < 0.2:
        medication = {"medicationReference": reference("Medication", chart.prefix, "med-vigabatrin")}
    evidence = draw.random()
    given, handed_over = evidence < 0.35 and course.route == "ed_inpatient", evidence < 0.7
    wait = draw.randrange(_LONGEST_ORDER_TO_START + 1) if given or handed_over else 0
    ordered = max(start - timedelta(days=wait), min(course.diagnosis, start))
    # A steroid long after the diagnosis could be for anything, unless the order says what for.
    reasoned = draw.random() < 0.5 or (start - course.diagnosis).days > 40
    order = medication_request(
        chart,
        medication,
        ordered,
        neurology if ordered == course.neurology else None,
        dose=_REGIMENS[drug],
        supply_days=14 if drug == "oral_steroid" else 28,
        reason_reference=diagnosis if reasoned and ordered >= course.diagnosis else None,
    )
    proof = None
    if given and neurology is not None:
        proof = administration(chart, medication, start, neurology, order, "completed")
    elif handed_over:
        proof = dispense(chart, medication, start, order, 14)
    return ordered if order is not None and proof is None else None


def _product(drug: str, number: int) -> Fhir:
    code, text = FIRST_LINE[drug][number]
    return {"medicationCodeableConcept": concept(RXNORM, code, text)}
