"""Who belongs to the cohort: a generous superset, found fast; the rules of mapping decide the class of each infant.

- A Condition with a definite, probable or late-onset code of IESS, or whose text says infantile spasms, always selects.
- An ambiguous code that stands for few diagnoses (G40.4x, G93.45 ...) selects an infant under 24 months.
- An ambiguous code that stands for many (R56.9, R94.01, G40.8xx, G40.9xx) selects an infant under 24 months who has a
  second signal: an EEG, first-line therapy, or a contact with neurology (clinical.md 1.1). Without that rule every
  febrile convulsion of a hospital would be read.

Patterns work on the JSON text of an element, so that every engine can use them; what they find is then looked at
exactly, with the value sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import orjson

from fhir_mapping.codes import Codes
from fhir_mapping.elements import codings

Json = dict[str, Any]
Strength = Literal["sure", "young", "second_signal"]

_SURE_ROLES = ("iess_definite", "iess_probable", "iess_late_onset")
_AMBIGUOUS_ROLE = "iess_ambiguous"
_SIGNAL_ROLES = ("eeg", "eeg_setup", "drug_acth", "drug_oral_steroid", "drug_vigabatrin", "specialty_neurology")
#: Ambiguous codes that stand for so many diagnoses that they need a second signal (clinical.md 1.1).
_UNSPECIFIC = ("G40.8", "G40.9", "R56.9", "R94.01")
_SAYS_IESS = (
    r"infantile[\s_-]+(?:epileptic[\s_-]+)?spasm|epileptic[\s_-]+spasm|\bwest'?s?[\s_-]+syndrome|salaam"
    r"|hypsarr?h?ythmi|\bIESS\b"
)
_SAYS_SIGNAL = (
    r"\beeg\b|electroencephalo|vigabatrin|sabril|vigadrone|\bacth\b|corticotropin|acthar|cortrophin|tetracosactide"
    r"|predniso|neurolog|epilep(?:sy|tolog)"
)

#: `mark` of a line in the index: what the patterns found in it.
NOTHING, BROAD, CANDIDATE, LINKED = 0, 1, 2, 3

#: Elements whose JSON text may hold a second signal, by type; the last five are what others refer to.
SIGNAL_ELEMENTS: dict[str, tuple[str, ...]] = {
    "Procedure": ("code",),
    "DiagnosticReport": ("code",),
    "MedicationRequest": ("medicationCodeableConcept", "medication"),
    "MedicationAdministration": ("medicationCodeableConcept", "medication"),
    "MedicationDispense": ("medicationCodeableConcept", "medication"),
    "Encounter": ("serviceType", "type"),
    "Appointment": ("serviceType", "specialty"),
    "PractitionerRole": ("specialty", "code"),
    "Practitioner": ("qualification",),
    "Location": ("name", "type"),
    "Organization": ("name", "type"),
    "Medication": ("code",),
}
SIGNAL_TYPES = tuple(SIGNAL_ELEMENTS)[:7]
_LAST_DAY_OF_INTEREST = 731  # days of age: the second birthday


@dataclass(frozen=True)
class Patterns:
    """Regular expressions, in the dialect that RE2, Java and Python share."""

    candidate: str
    broad: str
    signal: str

    def is_signal(self, body: Json) -> bool:
        """Whether a resource says EEG, first-line therapy or neurology where its type would say it."""
        names = SIGNAL_ELEMENTS.get(str(body.get("resourceType")), ())
        return any(re.search(self.signal, json_text(body[name])) for name in names if name in body)

    def mark_of(self, body: Json) -> int:
        """The mark of one resource: what the engines compute with the same patterns."""
        kind = body.get("resourceType")
        if kind == "Condition":
            text = json_text(body.get("code"))
            if re.search(self.candidate, text):
                return CANDIDATE
            return BROAD if re.search(self.broad, text) else NOTHING
        if kind == "Patient":
            return LINKED if "reference" in json_text(body.get("link")) else NOTHING
        return NOTHING


def json_text(element: object) -> str:
    return "" if element is None else orjson.dumps(element).decode()


def patterns(codes: Codes) -> Patterns:
    """The patterns for a version of the value sets."""

    def having(*roles: str) -> list[str]:
        return [row.code for row in codes.rows if row.role in roles]

    ambiguous = having(_AMBIGUOUS_ROLE)
    specific = [code for code in ambiguous if not code.startswith(_UNSPECIFIC)]
    unspecific = [code for code in ambiguous if code.startswith(_UNSPECIFIC)]
    return Patterns(
        candidate=f"(?i){_any_code([*having(*_SURE_ROLES), *specific])}|{_SAYS_IESS}",
        broad=f"(?i){_any_code(unspecific)}",
        signal=f"(?i){_any_code(having(*_SIGNAL_ROLES))}|{_SAYS_SIGNAL}",
    )


def _any_code(codes: Iterable[str]) -> str:
    """A JSON string that is one of the codes, with or without its dots, blanks and ontology prefix."""
    return rf'"\s*(?:{"|".join(sorted({_spelling(code) for code in codes}))})\s*"'


def _spelling(code: str) -> str:
    prefix, _, local = code.removesuffix("*").rpartition(":")
    letters = [re.escape(letter) for letter in local if letter.isalnum()]
    return ('[^"]{0,40}' if prefix else "") + r"[.\s-]*".join(letters) + ('[^"]*' if code.endswith("*") else "")


def strength_of(condition: Json, codes: Codes) -> Strength | None:
    """How surely a Condition makes its infant one of the cohort, by the value sets."""
    strength: Strength | None = None
    for system, code, _ in codings(condition.get("code")):
        roles = codes.roles(system, code)
        if roles.intersection(_SURE_ROLES):
            return "sure"
        if _AMBIGUOUS_ROLE in roles:
            unspecific = any(row.code.startswith(_UNSPECIFIC) for row in codes.rows_of(system, code))
            strength = strength if strength == "young" else "second_signal" if unspecific else "young"
    return "sure" if re.search(f"(?i){_SAYS_IESS}", json_text(condition.get("code"))) else strength


def may_be_infant(condition: Json, patient: Json | None) -> bool:
    """Whether the Condition can have been there before the second birthday; true when that can't be told."""
    birth = _day((patient or {}).get("birthDate"))
    onset = condition.get("onsetPeriod")
    days = [
        _day(condition.get("onsetDateTime")),
        _day(onset.get("start") if isinstance(onset, dict) else None),
        _day(condition.get("recordedDate")),
    ]
    known = [day for day in days if day]
    return birth is None or not known or (min(known) - birth).days <= _LAST_DAY_OF_INTEREST


def _day(text: object) -> date | None:
    """The first day that a FHIR date, whole or partial, can mean."""
    if not isinstance(text, str):
        return None
    try:
        return date.fromisoformat(
            (text + "-01-01" if len(text) == 4 else text + "-01" if len(text) == 7 else text)[:10]
        )
    except ValueError:
        return None
