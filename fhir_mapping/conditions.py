"""Conditions: which mean IESS, how sure, when diagnosed; which are concerns (Tiers A to C), causes or prematurity."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from fhir_mapping.chart import words_of
from fhir_mapping.elements import Unreadable, concept_of, date_at, extensions, objs, text
from fhir_mapping.onset import Onset, read_onset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

CaseRole = Literal["definite", "probable", "ambiguous", "late_onset", "text", "none"]

ASSERTED_DATE = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
#: Of a reason only: as a Condition it is neither case nor concern, and its words (bronchospasm) tell of none.
OTHER_STEROID_USE = "other_steroid_use"
_REJECTED = frozenset({"entered-in-error", "refuted"})
_SUSPECTED = frozenset({"unconfirmed", "provisional", "differential"})
#: Free text that names the syndrome itself; "spasm" alone is unusable (bronchospasm, pylorospasm, carpopedal spasm).
IESS_TEXT = re.compile(
    r"infantile\s+(?:epileptic\s+)?spasms?|epileptic\s+spasms?|\bwest(?:['’]?s)?\s+syndrome|salaam|\biess\b",
    re.IGNORECASE,
)
_NOT_THE_CASE = re.compile(
    r"family|\bf\.?h\.?x?\b|\bno\b|\bnot\b|without|denies|negative|\brisk\b|screen|late[\s-]onset"
    r"|mother|father|sibling|brother|sister",
    re.IGNORECASE,
)
_IN_DOUBT = re.compile(r"\br/o\b|rule[sd]?\s+out|\?", re.IGNORECASE)
#: What a visit's text must say for a Tier B or C code to count (clinical.md 1.2).
CONCERN_TEXT = re.compile(
    r"spasm|jerk|jack.?knife|startle|head (?:drop|nod)|stiffen|episodes|seizure|crunch", re.IGNORECASE
)
#: Text that names spasms: what carries a newborn's visit over the 14 and 28 days of ruling 16.
SPASM_TEXT = re.compile(r"\bspasms?\b|jack.?knife|salaam", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """A Condition that some rule uses."""

    resource: Resource
    case: CaseRole
    roles: frozenset[str]
    words: str = field(repr=False)
    suspected: bool
    asserted: DateRange | None
    recorded: DateRange | None
    onset: Onset | None
    encounter: tuple[str, str] | None  # what Condition.encounter names, whether or not it is here
    of_encounter: bool  # category encounter-diagnosis
    unreadable_date: Unreadable | None = None

    @property
    def is_case(self) -> bool:
        return self.case in {"definite", "probable", "ambiguous", "text"}


def read_diagnosis(resource: Resource, chart: Chart) -> Diagnosis | None:
    """The Condition as the rules use it; None when no rule does, or when it was refuted or entered in error."""
    body = resource.body
    verification = _status_codes(body.get("verificationStatus"))
    if verification & _REJECTED:
        return None
    concept = concept_of(body.get("code"))
    roles = chart.roles_of([concept]) - {OTHER_STEROID_USE}
    words = words_of([concept])
    case = _case(roles, concept, chart)
    if not roles and case == "none":
        return None
    if "header" in roles:
        chart.flags.add("header_code")
    problems: list[Unreadable] = []
    asserted = _asserted(body, chart, problems)
    recorded = _lenient(body.get("recordedDate"), "Condition.recordedDate", chart, problems)
    encounter = chart.same_target(body.get("encounter") or body.get("context"), "Encounter")
    if _later(asserted, recorded, encounter, chart):
        chart.flags.add("date_after_horizon")
        return None
    return Diagnosis(
        resource,
        case,
        roles,
        words,
        bool(verification & _SUSPECTED),
        chart.plausible(asserted),
        chart.plausible(recorded),
        _onset(body, chart) if case != "none" else None,
        encounter,
        "encounter-diagnosis" in _category_codes(body),
        problems[0] if problems else None,
    )


def _later(
    asserted: DateRange | None, recorded: DateRange | None, encounter: tuple[str, str] | None, chart: Chart
) -> bool:
    """Whether a Condition came on record only after the horizon: then it was not known on that day."""
    told = [chart.after_horizon(when) for when in (asserted, recorded) if when is not None]
    if encounter is not None and chart.holds("Encounter", encounter[1]):
        told.append(encounter[1] in chart.future_visits)
    return bool(told) and all(told)


def _status_codes(value: object) -> frozenset[str]:
    """Codes of verificationStatus; a bare code (STU3) and a text are read too."""
    if isinstance(value, str):
        return frozenset({value.strip().lower()})
    concept = concept_of(value)
    found = {text(coding.get("code")).lower() for coding in objs(concept.get("coding"))}
    return frozenset(found or {text(concept.get("text")).lower().replace(" ", "-")})


def _category_codes(body: Json) -> frozenset[str]:
    return frozenset(
        text(coding.get("code")).lower() for item in objs(body.get("category")) for coding in objs(item.get("coding"))
    )


def _case(roles: frozenset[str], concept: Json, chart: Chart) -> CaseRole:
    ranked: tuple[tuple[str, CaseRole], ...] = (
        ("iess_definite", "definite"),
        ("iess_probable", "probable"),
        ("iess_late_onset", "late_onset"),
        ("iess_ambiguous", "ambiguous"),
    )
    for role, case in ranked:
        if role in roles:
            return case
    return "text" if _text_only(concept, chart) else "none"


def _text_only(concept: Json, chart: Chart) -> bool:
    """Named in words, with no coding in a system that the value sets know."""
    if chart.knows_a_system_of(concept):
        return False
    return _names_iess(concept) and not _IN_DOUBT.search(words_of([concept]))


def _names_iess(concept: Json) -> bool:
    words = words_of([concept])
    return bool(IESS_TEXT.search(words)) and not _NOT_THE_CASE.search(words)


def reason_roles(concepts: Sequence[Json], chart: Chart) -> frozenset[str]:
    """The roles of a reason's codings. One in words alone that names the syndrome has `iess_text`, one that asks
    whether it is the syndrome ("rule out West syndrome") `iess_question`."""
    found = set(chart.roles_of(concepts))
    for concept in concepts:
        if _text_only(concept, chart):
            found.add("iess_text")
        elif not chart.knows_a_system_of(concept) and _names_iess(concept):
            found.add("iess_question")
    return frozenset(found)


def contained_reasons(references: Sequence[Json], holder: Resource, chart: Chart) -> list[Json]:
    """What the reasons say that stand inside of the resource: the codes of its contained Conditions."""
    inside = [one for one in references if text(one.get("reference")).startswith("#")]
    conditions = [one for item in inside if (one := chart.resolve(item, holder, "Condition")) is not None]
    return [
        concept_of(one.body.get("code"))
        for one in conditions
        if one.type == "Condition" and not _status_codes(one.body.get("verificationStatus")) & _REJECTED
    ]


def _lenient(value: object, path: str, chart: Chart, problems: list[Unreadable]) -> DateRange | None:
    try:
        return date_at(value, path, chart.timezone)
    except Unreadable as error:
        problems.append(error)
        return None


def _asserted(body: Json, chart: Chart, problems: list[Unreadable]) -> DateRange | None:
    for extension in extensions(body, ASSERTED_DATE):
        found = _lenient(extension.get("valueDateTime"), "Condition.extension(assertedDate)", chart, problems)
        if found is not None:
            return found
    return _lenient(body.get("assertedDate"), "Condition.assertedDate", chart, problems)


def _onset(body: Json, chart: Chart) -> Onset | None:
    return read_onset(body, chart.birth, chart.timezone, lambda path: chart.flags.add("onset_unreadable"))


def gestational_weeks(diagnoses: list[Diagnosis]) -> int | None:
    """Completed weeks at birth that the P07 codes give; the fewest when they differ."""
    weeks = [
        int(role.removeprefix("ga_weeks_"))
        for diagnosis in diagnoses
        for role in diagnosis.roles
        if role.startswith("ga_weeks_")
    ]
    return min(weeks, default=None)


def etiologies(diagnoses: list[Diagnosis]) -> list[str]:
    """Causes on record, sorted."""
    return sorted(
        {
            role.removeprefix("etiology_")
            for diagnosis in diagnoses
            for role in diagnosis.roles
            if role.startswith("etiology_")
        }
    )


def before_two_years(
    diagnosis: Diagnosis, dated: DateRange | None, birth: DateRange | None, limit: date | None
) -> bool:
    """Whether onset was before the second birthday: by the onset, else because it was diagnosed by then.

    SNOMED CT 778063003 (late-onset spasms) is IESS only then (clinical.md 1.1).
    """
    if birth is None or limit is None:
        return False
    latest = [when.high for when in (diagnosis.onset.when if diagnosis.onset else None, dated) if when is not None]
    return bool(latest) and min(latest) < limit


def quarantine_undated(diagnosis: Diagnosis, dated: DateRange | None, chart: Chart) -> bool:
    """Quarantine a case whose only dates can't be read; flag one that is dated by another element."""
    if diagnosis.unreadable_date is None:
        return False
    if dated is not None:
        chart.flags.add("date_unreadable")
        return False
    chart.quarantine(diagnosis.resource, diagnosis.unreadable_date)
    return True
