"""The referral to neurology of an infant with IESS: orders, what they replace, appointments kept and missed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import ICD10, LOCAL, NUCC, SNOMED, concept
from synthetic.directory import reference
from synthetic.visits import NEUROLOGY_SERVICE

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.course import IessCourse

_MISSED_REASON = concept("http://terminology.hl7.org/CodeSystem/appointment-cancellation-reason", "pat", "Patient")


def write_referral(
    chart: Chart, course: IessCourse, day: date, visit: Fhir | None, evidence: str, draw: Random, *, dated: bool
) -> None:
    """The order of `day`, written at `visit`, known for neurology by `evidence`; and what came of it."""
    seen = course.happened(course.neurology)
    status = "completed" if seen else "active"
    revoked = course.happened(course.second_referral)
    first_status = "revoked" if revoked else status
    order = _order(chart, course, day, visit, evidence, first_status, draw, dated=dated, changed=revoked or seen)
    if course.second_referral:
        replaces = order if "replaces_chain" in course.traits else None
        _order(chart, course, course.second_referral, None, evidence, status, draw, replaces=replaces, changed=seen)
    if order and "referral_child_order" in course.traits:
        chart.service_request(
            order["code"],
            day + timedelta(days=1),
            None,
            intent="instance-order",
            based_on=order,
            status=status,
            performer_type=order.get("performerType"),
            changed=seen,
        )
    if "appointment_recorded" in course.traits and course.booked:
        _appointments(chart, course, course.booked, order)


def _order(
    chart: Chart,
    course: IessCourse,
    day: date,
    visit: Fhir | None,
    evidence: str,
    status: str,
    draw: Random,
    *,
    dated: bool = True,
    replaces: Fhir | None = None,
    changed: date | None = None,
) -> Fhir | None:
    performer_type = performer = None
    if evidence == "coded":
        code = concept(SNOMED, draw.choice(("306263000", "306263000", "308474002")), "Referral to neurologist")
    elif evidence == "specialty":
        code = concept(SNOMED, draw.choice(("103696004", "3457005", "306206005")), "Referral")
        if draw.random() < 0.7:
            performer_type = concept(NUCC, "2084N0402X", "Child neurology")
        else:
            performer = reference("PractitionerRole", chart.prefix, "role-neurologist-1")
    else:
        code = concept(LOCAL, "REF-2214", "AMB REFERRAL TO PEDIATRIC NEUROLOGY")
    return chart.service_request(
        code,
        day,
        visit,
        status=status,
        dated=dated,
        performer_type=performer_type,
        performer=performer,
        replaces=replaces,
        reason=concept(ICD10, "R25.8", "Abnormal movements") if draw.random() < 0.3 else None,
        category=concept(SNOMED, "3457005", "Patient referral") if draw.random() < 0.2 else None,
        wanted=course.neurology if draw.random() < 0.2 and replaces is None else None,
        changed=changed,
    )


def _appointments(chart: Chart, course: IessCourse, booked: date, order: Fhir | None) -> None:
    if course.missed:
        missed_as = "noshow" if "no_show" in course.traits else "cancelled"
        status = missed_as if course.happened(course.missed) else "booked"
        chart.appointment(booked, course.missed, status, NEUROLOGY_SERVICE, order, _MISSED_REASON)
        booked = course.missed + timedelta(days=1)
    status = "fulfilled" if course.happened(course.neurology) else "booked"
    chart.appointment(booked, course.neurology, status, NEUROLOGY_SERVICE, order)
