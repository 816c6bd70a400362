"""Everything the rules need of one infant, read once from the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping.appointments import NeurologyAppointment, read_appointment
from fhir_mapping.chart import Milestone
from fhir_mapping.conditions import Diagnosis, read_diagnosis
from fhir_mapping.coverage import Cover, read_cover
from fhir_mapping.dates import DateRange, earliest
from fhir_mapping.encounters import Episode, Visit, episodes, read_visit
from fhir_mapping.observations import OnsetReport, read_onset_report
from fhir_mapping.referrals import Chain, Order, ReferralTask, chains, read_order, read_task
from fhir_mapping.releases import request_code
from fhir_mapping.studies import (
    Study,
    order_study,
    read_consult,
    read_document,
    read_note,
    read_procedure_study,
    read_report_study,
)
from fhir_mapping.treatments import Course, courses, read_dose, read_injection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.chart import Chart


@dataclass(frozen=True, eq=False)
class Facts:
    """What the resources of one infant say, before any rule weighs one against another."""

    visits: tuple[Visit, ...]
    visits_by_id: dict[str, Visit]
    visits_by_condition: dict[str, tuple[Visit, ...]]  # those that name the Condition among their diagnoses or reasons
    episodes: tuple[Episode, ...]
    diagnoses: tuple[Diagnosis, ...]
    orders: tuple[Order, ...]
    chains: tuple[Chain, ...]
    tasks: tuple[ReferralTask, ...]
    studies: tuple[Study, ...]
    eeg_orders: tuple[Milestone, ...]
    contacts: tuple[Milestone, ...]  # neurology contacts of every kind, by date
    appointments: tuple[NeurologyAppointment, ...]
    courses: tuple[Course, ...]
    covers: tuple[Cover, ...]
    onset_reports: tuple[OnsetReport, ...]


def read_facts(chart: Chart) -> Facts:
    """Read every resource that some rule uses; what can't be read goes to the chart's quarantine."""
    visits = chart.read("Encounter", read_visit)
    when = {visit.resource.id: visit.when for visit in visits}
    orders = chart.read("ServiceRequest", read_order)
    neurology_orders = frozenset(order.resource.id for order in orders if order.aim == "neurology")
    appointments = chart.read("Appointment", lambda item, c: read_appointment(item, c, neurology_orders))
    if any(item.status == "noshow" for item in appointments):
        chart.flags.add("appointment_no_show")
    studies = chart.read("Procedure", lambda item, c: read_procedure_study(item, c, when))
    studies += chart.read("DiagnosticReport", lambda item, c: read_report_study(item, c, when))
    doses = [
        dose
        for kind in ("MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement")
        for dose in chart.read(kind, read_dose)
    ]
    doses += chart.read("Procedure", read_injection)
    return Facts(
        tuple(visits),
        {visit.resource.id: visit for visit in visits},
        _by_condition(visits),
        tuple(episodes(visits)),
        tuple(chart.read("Condition", read_diagnosis)),
        tuple(orders),
        tuple(chains(orders, when, chart)),
        tuple(chart.read("Task", read_task)),
        tuple(studies),
        tuple(item for order in orders if (item := _done_by_order(order, chart)) is not None),
        tuple(
            _contacts(
                visits,
                [
                    *chart.read("Procedure", read_consult),
                    *chart.read("DiagnosticReport", read_note),
                    *chart.read("DocumentReference", read_document),
                ],
                appointments,
            )
        ),
        tuple(appointments),
        tuple(courses(doses)),
        tuple(chart.read("Coverage", read_cover)),
        tuple(
            report
            for kind in ("Observation", "QuestionnaireResponse")
            for report in chart.read(kind, read_onset_report)
        ),
    )


def _done_by_order(order: Order, chart: Chart) -> Milestone | None:
    """The EEG that a completed order tells of; as with studies, words or the set-up alone are none."""
    if order.aim != "eeg" or order.status != "completed":
        return None
    if order.evidence == "text":
        chart.flags.add("eeg_text_only")
        return None
    if chart.roles_of([request_code(order.resource.body)]) <= {"eeg_setup"}:
        chart.flags.add("eeg_setup_only")
        return None
    return order_study(order.resource, order.occurrence)


def _by_condition(visits: Iterable[Visit]) -> dict[str, tuple[Visit, ...]]:
    found: dict[str, tuple[Visit, ...]] = {}
    for visit in visits:
        for kind, identity in sorted(visit.diagnoses):
            if kind in {"Condition", ""}:
                found[identity] = (*found.get(identity, ()), visit)
    return found


def _contacts(
    visits: Iterable[Visit], consults: Iterable[Milestone], appointments: Iterable[NeurologyAppointment]
) -> list[Milestone]:
    found = [
        Milestone(visit.contact.when, visit.resource, visit.contact.rule, visit.contact.certainty)
        for visit in visits
        if visit.contact is not None
    ]
    days = {item.when.low for item in found}
    found += consults
    # A kept appointment and the encounter of its day are one visit.
    found += [
        Milestone(item.start, item.resource, "M5.5", item.certainty)
        for item in appointments
        if item.status == "fulfilled" and item.start is not None and item.start.low not in days
    ]
    return sorted(found, key=milestone_order)


def milestone_order(item: Milestone) -> tuple[object, ...]:
    """By date, then by rule (the stronger evidence has the lower number), then by resource."""
    return (*item.when.sort_key, item.rule, item.resource.type, item.resource.id)


def first_of(items: Iterable[Milestone]) -> Milestone | None:
    """The first of several milestones, dated as narrowly as all of them allow together."""
    ordered = sorted(items, key=milestone_order)
    if not ordered:
        return None
    when: DateRange | None = earliest(item.when for item in ordered)
    first = ordered[0]
    return first if when is None else Milestone(when, first.resource, first.rule, first.certainty, first.detail)
