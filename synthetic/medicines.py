"""Medicines as FHIR has them: ordered, handed over, given."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from synthetic.chart import refer
from synthetic.codings import SNOMED, UCUM, concept

if TYPE_CHECKING:
    from synthetic.chart import Chart, Fhir

_ROUTE = {"oral": ("26643006", "Oral"), "injection": ("78421000", "Intramuscular"), "eye": ("54485002", "Ophthalmic")}


def medication_request(
    chart: Chart,
    medication: Fhir,
    day: date,
    encounter: Fhir | None,
    *,
    status: str = "active",
    dose: Fhir | None = None,
    supply_days: int | None = None,
    reason: Fhir | None = None,
    reason_reference: Fhir | None = None,
    by: str = "neurologist-1",
) -> Fhir | None:
    if day > chart.stop:
        return None
    body: Fhir = {"status": status, "intent": "order", **medication, "subject": chart.subject}
    if encounter:
        body["encounter"] = refer(encounter)
    body["authoredOn"] = chart.time(day, 840)
    body["requester"] = chart.practitioner(by)
    if reason:
        body["reasonCode"] = [reason]
    if reason_reference:
        body["reasonReference"] = [refer(reason_reference)]
    if dose:
        body["dosageInstruction"] = [dose]
    if supply_days:
        body["dispenseRequest"] = {
            "expectedSupplyDuration": {"value": supply_days, "unit": "days", "system": UCUM, "code": "d"}
        }
    return chart.add("MedicationRequest", day, body, "us-core-medicationrequest")


def administration(
    chart: Chart, medication: Fhir, day: date, encounter: Fhir, order: Fhir | None, status: str
) -> Fhir | None:
    if day > chart.stop:
        return None
    body: Fhir = {"status": status, **medication, "subject": chart.subject, "context": refer(encounter)}
    body["effectiveDateTime"] = chart.time(day, 900)
    if order:
        body["request"] = refer(order)
    return chart.add("MedicationAdministration", day, body)


def dispense(chart: Chart, medication: Fhir, day: date, order: Fhir | None, days: int) -> Fhir | None:
    if day > chart.stop:
        return None
    body: Fhir = {
        "status": "completed",
        **medication,
        "subject": chart.subject,
        "daysSupply": {"value": days, "unit": "days", "system": UCUM, "code": "d"},
        "whenHandedOver": chart.time(day, 1020),
    }
    if order:
        body["authorizingPrescription"] = [refer(order)]
    return chart.add("MedicationDispense", day, body, "us-core-medicationdispense")


def dose(route: str, quantity: float, unit: str, times_a_day: int) -> Fhir:
    """Dosage of `quantity` `unit` (UCUM), so many times a day."""
    code, text = _ROUTE[route]
    return {
        "text": f"{quantity:g} {unit} {times_a_day} times a day",
        "timing": {"repeat": {"frequency": times_a_day, "period": 1, "periodUnit": "d"}},
        "route": concept(SNOMED, code, text),
        "doseAndRate": [{"doseQuantity": {"value": quantity, "unit": unit, "system": UCUM, "code": unit}}],
    }
