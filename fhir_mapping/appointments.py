"""Appointments with neurology: when booked (M4), and, when fulfilled, a contact (M5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping import neurology
from fhir_mapping.chart import words_of
from fhir_mapping.elements import Unreadable, concept_of, date_at, obj, objs, status
from fhir_mapping.releases import service_types

if TYPE_CHECKING:
    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.model import Resource

#: It was booked at some time, whatever became of it.
_BOOKED = frozenset({"booked", "arrived", "fulfilled", "checked-in", "noshow", "cancelled"})


@dataclass(frozen=True, eq=False)
class NeurologyAppointment:
    """An Appointment with neurology, by its specialty, service, participants, or the referral that it carries out."""

    resource: Resource
    status: str
    created: DateRange | None
    start: DateRange | None
    certainty: str
    orders: frozenset[str]  # ids of the ServiceRequests that it is based on


def read_appointment(resource: Resource, chart: Chart, neurology_orders: frozenset[str]) -> NeurologyAppointment | None:
    """The Appointment when it is with neurology and was booked; None otherwise."""
    body = resource.body
    written = status(body)
    if written not in _BOOKED:
        return None
    orders = frozenset(
        target[1]
        for name in ("basedOn", "incomingReferral")
        for target in (chart.same_target(item, "ServiceRequest") for item in objs(body.get(name)))
        if target
    )
    certainty = _certainty(resource, chart) or ("coded" if orders & neurology_orders else None)
    if certainty is None:
        return None
    start = _start(body.get("start"), chart, written)
    made = date_at(body.get("created"), "Appointment.created", chart.timezone)
    created = chart.plausible(made)
    if chart.after_horizon(made):
        return None  # not booked yet on that day
    if written == "noshow" and chart.after_horizon(start):
        written = "booked"  # not missed yet on that day
    return NeurologyAppointment(resource, written, created, start, certainty, orders)


def _start(value: object, chart: Chart, written: str) -> DateRange | None:
    try:
        found = date_at(value, "Appointment.start", chart.timezone)
    except Unreadable:
        if written == "fulfilled":
            raise
        return None
    # An appointment lies ahead by nature; only a fulfilled one must lie behind us.
    return chart.plausible(found) if written == "fulfilled" else found


def _certainty(resource: Resource, chart: Chart) -> str | None:
    body = resource.body
    found = [neurology.of_concepts([item], chart) for item in objs(body.get("specialty"))]
    for concept, reference in service_types(body):
        found.append(neurology.of_concepts([concept], chart))
        if reference:
            found.append(neurology.of_name(chart.resolve(reference, resource, "HealthcareService"), chart))
    kind = concept_of(body.get("appointmentType"))
    words = words_of([kind])
    if neurology.names_neurology(words):
        found.append(neurology.Specialty("neurology", "text"))
    found += [neurology.of_actor(item.get("actor"), resource, chart) for item in objs(body.get("participant"))]
    by = [item for item in found if item.verdict == "neurology"]
    if by and neurology.names_eeg(words_of([obj(item) for item in [kind, *(c for c, _ in service_types(body))]])):
        return None  # the slot of an EEG
    return min((item.certainty for item in by), default=None)
