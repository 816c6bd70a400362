"""What is told in an Observation or a QuestionnaireResponse: the day of onset, and the need for an interpreter.

Of these types, and of DocumentReferences, only resources with a code (or question) of the value sets are selected: a
hospital's Observations are most of its data, and no rule reads a blood pressure (`is_read`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_mapping.elements import Unreadable, concept_of, obj, objs, start_of, status, text
from fhir_mapping.onset import Onset, read_onset
from fhir_source.source import CODED_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_mapping.chart import Chart
    from fhir_mapping.codes import Codes
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

ONSET, INTERPRETER, NOTE = "onset_observation", "interpreter_observation", "consult_note"
_READ = frozenset({ONSET, INTERPRETER})
_TOLD = frozenset({"final", "amended", "corrected", "preliminary", "registered", "completed", "in-progress"})
_TOLD_AT = ("effectiveDateTime", "effectivePeriod", "effectiveTiming", "effectiveInstant", "authored", "issued")
_FORM = "/Questionnaire/"
#: Observation.value[x] and the answer of an item, as the onset[x] of a Condition that says the same.
_AS_ONSET = {
    "DateTime": "onsetDateTime",
    "Date": "onsetDateTime",
    "Period": "onsetPeriod",
    "Quantity": "onsetAge",
    "Range": "onsetRange",
    "String": "onsetString",
}


@dataclass(frozen=True, eq=False)
class OnsetReport:
    """An onset that is not a Condition's: who says so, at which visit, about which Conditions."""

    resource: Resource
    onset: Onset
    encounter: tuple[str, str] | None
    focus: frozenset[tuple[str, str]]


def searches(codes: Codes) -> dict[str, list[tuple[str, str]]]:
    """What to ask of a server, by type: (system, code) of Observations; of forms ("", the questionnaire's URL).

    A row whose system is a questionnaire (`.../Questionnaire/...`) names one of its questions.
    """
    pairs = codes.search_pairs(*_READ)
    forms = sorted({system for system, _ in pairs if _FORM in system})
    found = {
        "Observation": [pair for pair in pairs if _FORM not in pair[0]],
        "QuestionnaireResponse": [("", form) for form in forms],
        "DocumentReference": codes.search_pairs(NOTE),
    }
    return {name: asked for name, asked in found.items() if asked}


def is_read(body: Json, codes: Codes) -> bool:
    """Whether a rule reads the resource: always true of types that are not narrowed by code."""
    if body.get("resourceType") not in CODED_TYPES:
        return True
    if body.get("resourceType") == "DocumentReference":
        kinds = objs(obj(body.get("type")).get("coding"))
        return any(NOTE in codes.roles(text(kind.get("system")), text(kind.get("code"))) for kind in kinds)
    return any(codes.roles(system, code) & _READ for system, code, _ in _answers(body))


def _answers(body: Json) -> Iterator[tuple[str, str, Json]]:
    """(system, code, holder of value[x]) of everything that is told: components and nested questions too."""
    if body.get("resourceType") == "QuestionnaireResponse":
        yield from _items(body, text(body.get("questionnaire")))
        return
    for holder in (body, *objs(body.get("component"))):
        for coding in objs(concept_of(holder.get("code")).get("coding")):
            yield text(coding.get("system")), text(coding.get("code")), holder


def _items(holder: Json, questionnaire: str) -> Iterator[tuple[str, str, Json]]:
    """(questionnaire, linkId, answer): the questionnaire's URL stands for the code system, without its version."""
    for item in objs(holder.get("item")):
        for answer in objs(item.get("answer")):
            yield questionnaire, text(item.get("linkId")), answer
            yield from _items(answer, questionnaire)
        yield from _items(item, questionnaire)


def _told(resource: Resource, chart: Chart) -> bool:
    """Whether it stands, and was told by the as-of date."""
    if status(resource.body) not in _TOLD:
        return False
    try:
        return not chart.after_horizon(start_of(resource.body, resource.type, _TOLD_AT, chart.timezone))
    except Unreadable:
        return True  # only the answer's own date matters, and that is read by its rule


def read_onset_report(resource: Resource, chart: Chart) -> OnsetReport | None:
    """The onset that an Observation or QuestionnaireResponse tells; None when it tells none that can be read."""
    if not _told(resource, chart):
        return None
    rule = "M0.6" if resource.type == "Observation" else "M0.7"
    body = resource.body
    for system, code, holder in _answers(body):
        if ONSET not in chart.codes.roles(system, code):
            continue
        value = next(((_AS_ONSET[name[5:]], item) for name, item in holder.items() if name[5:] in _AS_ONSET), None)
        if value is None:
            continue
        onset = read_onset(dict([value]), chart.birth, chart.timezone, lambda _: chart.flags.add("onset_unreadable"))
        if onset is None:
            continue
        about = (chart.same_target(item, "Condition") for item in objs(body.get("focus")))
        return OnsetReport(
            resource,
            replace(onset, rule=rule),
            chart.same_target(obj(body.get("encounter")), "Encounter"),
            frozenset(target for target in about if target),
        )
    return None


def interpreter_answers(chart: Chart) -> list[str]:
    """What Observations say of the need for an interpreter: `yes` or `no` each."""
    found: list[str] = []
    for resource in chart.record.of("Observation"):
        if not _told(resource, chart):
            continue
        for system, code, holder in _answers(resource.body):
            if INTERPRETER in chart.codes.roles(system, code):
                found += _yes_or_no(holder, chart)
    return found


def _yes_or_no(holder: Json, chart: Chart) -> list[str]:
    if isinstance(holder.get("valueBoolean"), bool):
        return ["yes" if holder["valueBoolean"] else "no"]
    concept = obj(holder.get("valueCodeableConcept"))
    roles = chart.roles_of([concept])
    said = [role.removeprefix("interpreter_") for role in ("interpreter_yes", "interpreter_no") if role in roles]
    if said:
        return said
    words = (text(holder.get("valueString")) or text(concept.get("text"))).lower()
    return [words] if words in {"yes", "no"} else []
