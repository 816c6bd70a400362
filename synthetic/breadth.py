"""What makes a real export wide: narratives, vital signs, immunisations. No rule reads any of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import LOINC, UCUM, concept

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.course import Course

_WEIGHT_AT_BIRTH, _GAIN = 3.4, 0.017  # kg, kg a day
_VACCINES = (("20", 61), ("133", 122), ("03", 365))


def widen(chart: Chart, course: Course, draw: Random) -> None:
    """Add a weight to every visit, Immunizations by the schedule, and a narrative to the Patient."""
    for visit in [r for r in chart.resources if r["resourceType"] == "Encounter"]:
        _weight(chart, visit, course.birth, draw)
    for code, age in _VACCINES:
        _immunization(chart, code, course.birth + timedelta(days=age))
    for resource in chart.resources:
        if resource["resourceType"] == "Patient":
            resource["text"] = _narrative(resource)


def _immunization(chart: Chart, code: str, day: date) -> None:
    if day <= chart.stop:
        body: Fhir = {
            "status": "completed",
            "vaccineCode": concept("http://hl7.org/fhir/sid/cvx", code),
            "patient": chart.subject,
            "occurrenceDateTime": day.isoformat(),
            "primarySource": True,
        }
        chart.add("Immunization", day, body, "us-core-immunization")


def _weight(chart: Chart, visit: Fhir, birth: date, draw: Random) -> None:
    start = visit["period"]["start"]
    day = date.fromisoformat(start[:10])
    value = round(_WEIGHT_AT_BIRTH + _GAIN * (day - birth).days * (0.9 + draw.random() / 5), 1)
    body: Fhir = {
        "status": "final",
        "category": [concept("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
        "code": concept(LOINC, "29463-7", "Body weight"),
        "subject": chart.subject,
        "encounter": {"reference": f"Encounter/{visit['id']}"},
        "effectiveDateTime": start,
        "valueQuantity": {"value": value, "unit": "kg", "system": UCUM, "code": "kg"},
    }
    chart.add("Observation", min(day, chart.stop), body, "us-core-vital-signs")


def _narrative(resource: Fhir) -> Fhir:
    what = resource.get("code", {}).get("text") or resource["resourceType"]
    rows = "".join(
        f"<tr><td>{name}</td><td>{resource['id']}</td></tr>" for name in ("Identifier", "Recorded by", "Source")
    )
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p><b>{what}</b></p><table><tbody>{rows}</tbody></table></div>'
    return {"status": "generated", "div": div}
