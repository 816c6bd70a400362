"""Who belongs to the cohort: a generous superset, found fast; the rules of mapping decide the class of each infant.

- A Condition with a definite, probable or late-onset code of IESS, or whose text says infantile spasms, always selects.
- An ambiguous code (G40.4x, G93.45, R56.9 ...) selects who can have been under 24 months when it was put on record:
  alone it makes a `possible` case, and with a second signal a `probable` one (clinical.md 1.1).

Patterns work on the JSON text of an element, so that every engine can use them; what they find is then looked at
exactly, with the value sets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from fhir_mapping.codes import Codes
from fhir_mapping.conditions import ASSERTED_DATE
from fhir_mapping.dates import DateRange, UnreadableDate, parse
from fhir_mapping.elements import codings, extensions, obj

Json = dict[str, Any]
Strength = Literal["sure", "ambiguous"]

_SURE_ROLES = ("iess_definite", "iess_probable", "iess_late_onset")
_AMBIGUOUS_ROLE = "iess_ambiguous"
#: Blanks as people and their software write them. `\s` alone is ASCII for RE2 and Java, and Unicode for Python.
_BLANK = r"\s" + "\u00a0\u2007\u2009\u202f"
#: Typed, typeset, or as JSON may escape it (`.` is the backslash, which each dialect quotes in its own way).
_APOSTROPHE = "'|\u2019|.u2019"
_SAYS_IESS = (
    rf"infantile[{_BLANK}_-]+(?:epileptic[{_BLANK}_-]+)?spasm|epileptic[{_BLANK}_-]+spasm"
    rf"|\bwest(?:{_APOSTROPHE})?s?[{_BLANK}_-]+syndrome"
    r"|salaam|hypsarr?h?ythmi|\bIESS\b"
)

#: `mark` of a line in the index: what the patterns found in it.
NOTHING, CANDIDATE, LINKED = 0, 1, 2

#: Days of age of the second birthday, when 24 months have a leap day; a time zone moves a date by no more than one.
_SECOND_BIRTHDAY = 731


@dataclass(frozen=True)
class Patterns:
    """Regular expressions, in the dialect that RE2, Java and Python share."""

    candidate: str

    def mark_of(self, body: Json) -> int:
        """The mark of one resource: what the engines compute with the same patterns."""
        kind = body.get("resourceType")
        if kind == "Condition":
            return CANDIDATE if re.search(self.candidate, json_text(body.get("code"))) else NOTHING
        if kind == "Patient":
            return LINKED if "reference" in json_text(body.get("link")) else NOTHING
        return NOTHING


def json_text(element: object) -> str:
    return "" if element is None else orjson.dumps(element).decode()


def patterns(codes: Codes) -> Patterns:
    """The patterns for a version of the value sets."""
    found = [row.code for row in codes.rows if row.role in (*_SURE_ROLES, _AMBIGUOUS_ROLE)]
    return Patterns(candidate=f"(?i){_any_code(found)}|{_SAYS_IESS}")


def _any_code(codes: Iterable[str]) -> str:
    """A JSON string that is one of the codes, with or without its dots, blanks and ontology prefix."""
    return rf'"[{_BLANK}]*(?:{"|".join(sorted({_spelling(code) for code in codes}))})[{_BLANK}]*"'


def _spelling(code: str) -> str:
    prefix, _, local = code.removesuffix("*").rpartition(":")
    letters = [re.escape(letter) for letter in local if letter.isalnum()]
    return ('[^"]{0,40}' if prefix else "") + f"[.{_BLANK}-]*".join(letters) + ('[^"]*' if code.endswith("*") else "")


def strength_of(condition: Json, codes: Codes) -> Strength | None:
    """How surely a Condition makes its infant one of the cohort, by the value sets."""
    strength: Strength | None = None
    for system, code, _ in codings(condition.get("code")):
        roles = codes.roles(system, code)
        if roles.intersection(_SURE_ROLES):
            return "sure"
        if _AMBIGUOUS_ROLE in roles:
            strength = "ambiguous"
    return "sure" if re.search(f"(?i){_SAYS_IESS}", json_text(condition.get("code"))) else strength


def may_be_infant(condition: Json, patient: Json | None, encounter: Json | None = None) -> bool:
    """Whether the Condition can have been there before the second birthday; true when that can't be told.

    `encounter` is the one that the Condition names: it may have been written down years after the visit.
    """
    birth = _days((patient or {}).get("birthDate"))
    visit = encounter or {}
    told = [
        condition.get("onsetDateTime"),
        obj(condition.get("onsetPeriod")).get("start"),
        condition.get("recordedDate"),
        condition.get("assertedDate"),
        *(extension.get("valueDateTime") for extension in extensions(condition, ASSERTED_DATE)),
        *(obj(visit.get(name)).get("start") for name in ("period", "actualPeriod")),
    ]
    known = [days.low for days in map(_days, told) if days]
    return birth is None or not known or (min(known) - birth.high).days <= _SECOND_BIRTHDAY


def _days(text: object) -> DateRange | None:
    try:
        return parse(text, "UTC") if isinstance(text, str) else None
    except UnreadableDate:
        return None
