"""The people and places of a site that infants' resources refer to: written once a site."""

from __future__ import annotations

from typing import Any

from synthetic.codings import (
    CHILD_NEUROLOGY,
    EMERGENCY,
    GASTROENTEROLOGY,
    HOSPITALIST,
    NEUROLOGY,
    NEUROSURGERY,
    NUCC,
    PEDIATRICS,
    RXNORM,
    US_CORE,
    concept,
)

#: local name -> (family name, specialty, its text); "" has no PractitionerRole at all.
_PRACTITIONERS = {
    "pediatrician-1": ("Harper", PEDIATRICS, "Pediatrics"),
    "pediatrician-2": ("Mbeki", PEDIATRICS, "Pediatrics"),
    "pediatrician-3": ("Ochoa", PEDIATRICS, "Pediatrics"),
    "emergency-1": ("Lindqvist", EMERGENCY, "Pediatric emergency medicine"),
    "hospitalist-1": ("Farouk", HOSPITALIST, "Hospitalist"),
    "gastroenterologist-1": ("Petrov", GASTROENTEROLOGY, "Pediatric gastroenterology"),
    "neurosurgeon-1": ("Vance", NEUROSURGERY, "Neurological surgery"),
    "neurologist-1": ("Adeyemi", CHILD_NEUROLOGY, "Child neurology"),
    "neurologist-2": ("Marchetti", CHILD_NEUROLOGY, "Child neurology"),
    "neurologist-3": ("Olsen", NEUROLOGY, "Neurology"),
    "staff-1": ("Brandt", "", ""),
}
_ORGANIZATIONS = {
    "hospital": "Children's Hospital",
    "practice": "Community Pediatrics",
    "neurology": "Division of Pediatric Neurology",
    "payer-public": "State Medicaid",
    "payer-private": "Lakeside Mutual",
    "payer-military": "TRICARE Regional Office",
    "payer-self-pay": "Self-pay accounts",
    "payer-undetermined": "Managed care, unspecified",
}
_LOCATIONS = {
    "clinic": "Community Pediatrics Office",
    "emergency": "Emergency Department",
    "ward": "General Pediatrics Ward",
    "neurology": "Pediatric Neurology Clinic",
}
_MEDICATIONS = {"med-vigabatrin": ("14851", "Vigabatrin"), "med-prednisolone": ("8638", "Prednisolone")}


def reference(kind: str, prefix: str, name: str) -> dict[str, str]:
    return {"reference": f"{kind}/{prefix}-{name}"}


def site_resources(prefix: str, site: str, updated: str) -> list[dict[str, Any]]:
    """R4 Organizations, Practitioners, PractitionerRoles, Locations, Medications; ids start with `prefix`."""
    meta = {"versionId": "1", "lastUpdated": updated}
    made: list[dict[str, Any]] = []

    def add(kind: str, name: str, body: dict[str, Any], profile: str | None = None) -> None:
        profiled = {**meta, "profile": [US_CORE + profile]} if profile else meta
        made.append({"resourceType": kind, "id": f"{prefix}-{name}", "meta": profiled, **body})

    for name, title in _ORGANIZATIONS.items():
        body: dict[str, Any] = {"active": True, "name": f"{title} ({site})" if name == "hospital" else title}
        if name == "neurology":
            body["partOf"] = reference("Organization", prefix, "hospital")
        add("Organization", name, body, "us-core-organization")
    for name, title in _LOCATIONS.items():
        owner = reference("Organization", prefix, "practice" if name == "clinic" else "hospital")
        add("Location", name, {"status": "active", "name": title, "managingOrganization": owner}, "us-core-location")
    for name, (family, specialty, text) in _PRACTITIONERS.items():
        add(
            "Practitioner",
            name,
            {"active": True, "name": [{"family": family, "prefix": ["Dr."]}]},
            "us-core-practitioner",
        )
        if specialty:
            role = {
                "active": True,
                "practitioner": reference("Practitioner", prefix, name),
                "organization": reference("Organization", prefix, "hospital"),
                "specialty": [concept(NUCC, specialty, text)],
            }
            add("PractitionerRole", f"role-{name}", role, "us-core-practitionerrole")
    for name, (code, text) in _MEDICATIONS.items():
        add("Medication", name, {"code": concept(RXNORM, code, text), "status": "active"}, "us-core-medication")
    return made
