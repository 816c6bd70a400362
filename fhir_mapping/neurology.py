"""Who is a neurologist: by specialty code first, by name second (clinical.md 1.4 and 1.5).

The NUCC prefix 2084 is psychiatry *and* neurology, and every hospital has a "neuropsychology" and a "neurosurgery":
so codes are listed one by one, and a name must match the allow pattern and not the deny pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from fhir_mapping.chart import practitioner_named, words_of
from fhir_mapping.codes.normal import NUCC
from fhir_mapping.elements import obj, objs, text
from fhir_mapping.releases import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

Verdict = Literal["neurology", "other", "ambiguous", "unknown"]

_ALLOW = re.compile(
    r"\b(?:(?:child|pa?ediatric)?\s*neurolog(?:y|ists?\b|ic consult)|epilep(?:sy|tolog))", re.IGNORECASE
)
_DENY = re.compile(
    r"neuro[\s-]*(?:surg|psych|radiol|pathol|physio|muscular|genet|ophth|onc|develop)|neurological surg", re.IGNORECASE
)
_EEG = re.compile(r"\bv?eegs?\b|electroenceph", re.IGNORECASE)
_ECG = re.compile(r"\be[ck]g\b|electrocardio", re.IGNORECASE)
#: Words that make a text about an EEG or a test a request for a person's opinion.
_PERSON = re.compile(r"refer|consult|clinic|visit|follow|appointment|evaluat", re.IGNORECASE)
_REFERRAL = re.compile(r"refer|consult|\bref\b", re.IGNORECASE)
#: Tests that carry "epilepsy" in their names: a gene panel is no referral.
_TEST = re.compile(
    r"panel|\bgenes?\b|sequenc|exome|\bmri\b|\bct\b|\bpet\b|scan|\blevel\b|educat|\blab\b", re.IGNORECASE
)


@lru_cache(maxsize=1 << 12)
def names_neurology(words: str) -> bool:
    """Whether a name or text means neurology: allowed, and not one of its neighbours."""
    return bool(_ALLOW.search(words)) and not _DENY.search(words)


def names_other_specialty(words: str) -> bool:
    """Whether a text names one of neurology's neighbours (neurosurgery, neuropsychology ...)."""
    return bool(_DENY.search(words))


@lru_cache(maxsize=1 << 12)
def names_eeg(words: str) -> bool:
    return bool(_EEG.search(words)) and not _ECG.search(words)


def names_referral(words: str) -> bool:
    """Whether a text asks for a person: "Ambulatory referral to", "AMB REF TO", "Consult to"."""
    return bool(_REFERRAL.search(words))


def about_a_person(words: str) -> bool:
    return bool(_PERSON.search(words))


def names_test(words: str) -> bool:
    """Whether a text is about a test rather than a person to see."""
    return bool(_TEST.search(words) or _EEG.search(words)) and not _PERSON.search(words)


@dataclass(frozen=True, slots=True)
class Specialty:
    """What is known of someone's specialty, and from what: `coded` or `text`."""

    verdict: Verdict
    certainty: Literal["coded", "text"] = "coded"


UNKNOWN = Specialty("unknown")


def of_concepts(concepts: Iterable[Json], chart: Chart) -> Specialty:
    """By codes; by text when no coding is in a value set."""
    items = list(concepts)
    roles = chart.roles_of(items)
    if "specialty_neurology" in roles:
        return Specialty("neurology")
    if "specialty_other" in roles:
        return Specialty("other")
    # Every neurology code of NUCC is listed: another one is another specialty, whatever is written beside it.
    systems = {chart.codes.system(text(coding.get("system"))) for item in items for coding in objs(item.get("coding"))}
    words = "" if NUCC in systems else words_of(items)
    if not words:
        return Specialty("other") if any(objs(item.get("coding")) for item in items) else UNKNOWN
    return Specialty("neurology" if names_neurology(words) else "other", "text")


def of_name(resource: Resource | None, chart: Chart) -> Specialty:
    """By the type, specialty and name of an Organization, Location or HealthcareService."""
    return UNKNOWN if resource is None else _once(resource, chart, _of_name)


def _of_name(resource: Resource, chart: Chart) -> Specialty:
    body = resource.body
    concepts = [*objs(body.get("specialty")), *objs(body.get("type"))]
    roles = chart.roles_of(concepts)
    if "specialty_neurology" in roles:
        return Specialty("neurology")
    words = f"{names_of(body)} ; {words_of(concepts)}"
    if names_neurology(words) and not names_eeg(words):
        return Specialty("neurology", "text")
    return Specialty("other", "text") if objs(body.get("specialty")) or "specialty_other" in roles else UNKNOWN


def _once(resource: Resource, chart: Chart, judge: Callable[[Resource, Chart], Specialty]) -> Specialty:
    """What is found of a resource: an infant meets the same people and places at one visit after another."""
    known = chart.specialties.get(id(resource))
    if known is None:
        known = chart.specialties[id(resource)] = (resource, judge(resource, chart))
    return known[1]


def of_actor(reference: object, holder: Resource, chart: Chart) -> Specialty:
    """The specialty of a performer or participant, whatever kind of resource it is."""
    actor = chart.resolve(
        reference, holder, "PractitionerRole", "Practitioner", "HealthcareService", "Organization", "Location"
    )
    if actor is None:
        # Some exports have the roles of a person and not the person.
        found = of_roles(practitioner_named(reference), chart)
        if found.verdict != "unknown":
            return found
        # A dangling reference may still carry the name that the record shows.
        shown = obj(reference).get("display")
        if isinstance(shown, str) and names_neurology(shown):
            return Specialty("neurology", "text")
        return UNKNOWN
    if actor.type == "PractitionerRole":
        return _once(actor, chart, of_role)
    if actor.type == "Practitioner":
        return _once(actor, chart, of_practitioner)
    return of_name(actor, chart)


def of_role(role: Resource, chart: Chart) -> Specialty:
    """PractitionerRole.specialty; else the service or organization in which the role is held."""
    found = of_concepts(objs(role.body.get("specialty")), chart)
    if found.verdict != "unknown":
        return found
    for name in ("healthcareService", "organization"):
        for reference in objs(role.body.get(name)):
            found = of_name(chart.resolve(reference, role, "HealthcareService", "Organization"), chart)
            if found.verdict == "neurology":
                return found
    return UNKNOWN


def of_practitioner(practitioner: Resource, chart: Chart) -> Specialty:
    """The roles of a person; without any that tells, the qualifications."""
    found = of_roles(practitioner.id, chart)
    if found.verdict != "unknown":
        return found
    qualifications = [obj(item.get("code")) for item in objs(practitioner.body.get("qualification"))]
    return of_concepts(qualifications, chart) if "specialty_neurology" in chart.roles_of(qualifications) else UNKNOWN


def of_roles(practitioner_id: str, chart: Chart) -> Specialty:
    """All active roles of a person: one specialty, or `ambiguous` when neurology is one among others (G25)."""
    roles = [
        role for role in chart.roles_by_practitioner.get(practitioner_id, ()) if role.body.get("active") is not False
    ]
    found = [_once(role, chart, of_role) for role in roles]
    verdicts = {item.verdict for item in found} - {"unknown"}
    if verdicts == {"neurology"}:
        return found[0] if found[0].verdict == "neurology" else Specialty("neurology")
    if "neurology" in verdicts:
        return Specialty("ambiguous")
    return Specialty("other") if verdicts else UNKNOWN
