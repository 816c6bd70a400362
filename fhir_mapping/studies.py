"""EEG studies: which Procedures and DiagnosticReports are one, and which codes are one event (clinical.md 1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fhir_mapping import neurology
from fhir_mapping.chart import Milestone, words_of
from fhir_mapping.dates import DateRange, earliest
from fhir_mapping.elements import Unreadable, concept_of, obj, objs, start_of, status, text
from fhir_mapping.releases import NOTE_DATES, PROCEDURE_DATES, REPORT_DATES, encounter_reference, note_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

Part = Literal["technical", "setup", "professional"]

DONE_PROCEDURE = frozenset({"completed", "in-progress"})
DONE_REPORT = frozenset({"partial", "preliminary", "final", "amended", "corrected", "appended", "modified"})
_NO_DOCUMENT = frozenset({"registered", "cancelled", "entered-in-error", "deprecated", "unknown"})
#: Codes within 48 h are one EEG event.
EVENT_DAYS = 2


@dataclass(frozen=True, eq=False)
class Study:
    """One resource that says an EEG was done; `part` is what its code bills for."""

    resource: Resource
    when: DateRange
    part: Part
    rule: str


def read_procedure_study(resource: Resource, chart: Chart, visits_when: dict[str, DateRange]) -> Study | None:
    """A Procedure with an EEG code that was done."""
    return _read(resource, chart, DONE_PROCEDURE, PROCEDURE_DATES, "M6.1", visits_when)


def read_report_study(resource: Resource, chart: Chart, visits_when: dict[str, DateRange]) -> Study | None:
    """A DiagnosticReport with an EEG code that has a result."""
    return _read(resource, chart, DONE_REPORT, REPORT_DATES, "M6.2", visits_when)


def _read(
    resource: Resource,
    chart: Chart,
    done: frozenset[str],
    names: tuple[str, ...],
    rule: str,
    visits_when: dict[str, DateRange],
) -> Study | None:
    body = resource.body
    concept = concept_of(body.get("code"))
    roles = chart.roles_of([concept])
    if "not_eeg" in roles:
        return None
    if not roles & {"eeg", "eeg_setup", "eeg_professional"}:
        if neurology.names_eeg(words_of([concept])) and status(body) in done:
            chart.flags.add("eeg_text_only")
        return None
    if status(body) not in done:
        return None
    encounter = chart.same_target(encounter_reference(body), "Encounter")
    at_visit = visits_when.get(encounter[1]) if encounter else None
    try:
        told = start_of(body, resource.type, names, chart.timezone)
    except Unreadable:
        if at_visit is None:
            raise
        chart.flags.add("date_unreadable")
        told = None
    when = chart.plausible(told)
    if chart.after_horizon(told):
        return None  # not done yet on that day
    when = when or at_visit
    if when is None:
        chart.flags.add("eeg_undated")
        return None
    part = _part(concept_codings(concept), when, chart)
    return Study(resource, when, part, rule) if part is not None else None


def concept_codings(concept: dict[str, object]) -> list[tuple[str, str]]:
    return [(text(coding.get("system")), text(coding.get("code"))) for coding in objs(concept.get("coding"))]


def _part(codings: list[tuple[str, str]], when: DateRange, chart: Chart) -> Part | None:
    """What the codes bill for, leaving out a code that was not in use on the day (flagged)."""
    roles: set[str] = set()
    for system, code in codings:
        found = chart.codes.roles(system, code)
        if not found & {"eeg", "eeg_setup", "eeg_professional"}:
            continue
        if chart.codes.valid_on(system, code, when.low) or chart.codes.valid_on(system, code, when.high):
            roles |= found
        else:
            chart.flags.add("code_invalid_for_date")
    if "eeg" in roles:
        return "technical"
    if "eeg_professional" in roles:
        return "professional"
    return "setup" if "eeg_setup" in roles else None


def first_eeg(studies: Iterable[Study], chart: Chart) -> tuple[Milestone | None, list[DateRange]]:
    """(M6, the date of every EEG event).

    Studies within 48 h are one event, dated by its earliest technical code; a professional code, dated on completion,
    dates an event only when there is nothing else; set-up alone is no EEG. Studies of the newborn (before the youngest
    age at which spasms count) belong to another episode (ruling 16).
    """
    ordered = sorted(studies, key=lambda item: (*item.when.sort_key, item.resource.type, item.resource.id))
    events: list[list[Study]] = []
    for study in ordered:
        if events and (study.when.low - events[-1][0].when.low).days <= EVENT_DAYS:
            events[-1].append(study)
        else:
            events.append([study])
    found: list[Milestone] = []
    for event in events:
        if all(study.part == "setup" for study in event):
            chart.flags.add("eeg_setup_only")
            continue
        technical = [study for study in event if study.part != "professional"] or event
        when = earliest(study.when for study in technical)
        if when is None or _of_newborn(when, chart):
            continue
        found.append(Milestone(when, technical[0].resource, technical[0].rule, "coded", technical[0].part))
    found.sort(key=lambda item: item.when.sort_key)
    if not found:
        return None, []
    when = earliest(item.when for item in found) or found[0].when
    first = found[0]
    return Milestone(when, first.resource, first.rule, first.certainty, first.detail), [item.when for item in found]


def _of_newborn(when: DateRange, chart: Chart) -> bool:
    if chart.counts_from is None or when.high >= chart.counts_from:
        return False
    chart.flags.add("newborn_eeg")
    return True


def read_consult(resource: Resource, chart: Chart) -> Milestone | None:
    """A consult Procedure by neurology: evidence (6) of clinical.md 1.5."""
    body = resource.body
    if status(body) not in DONE_PROCEDURE:
        return None
    concept = concept_of(body.get("code"))
    roles = chart.roles_of([concept])
    words = words_of([concept])
    if "referral_neurology" in roles:
        chart.flags.add("referral_as_procedure")
        return None
    if roles & {"eeg", "eeg_setup", "eeg_professional", "not_eeg"}:
        return None
    certainty = "coded"
    if "admission_neurology" not in roles:
        if "consult" not in words and "consultation" not in roles:
            return None
        performers = [neurology.of_actor(item.get("actor"), resource, chart) for item in objs(body.get("performer"))]
        performers += [
            neurology.of_concepts([obj(item.get("function"))], chart)
            for item in objs(body.get("performer"))
            if item.get("function")
        ]
        by = [item for item in performers if item.verdict == "neurology"]
        if by:
            certainty = by[0].certainty
        elif neurology.names_neurology(words):
            certainty = "text"
        else:
            return None
    when = chart.plausible(start_of(body, "Procedure", PROCEDURE_DATES, chart.timezone))
    return Milestone(when, resource, "M5.6", certainty) if when is not None else None


def read_note(resource: Resource, chart: Chart) -> Milestone | None:
    """A consult note by neurology, as US Core's note exchange gives it: a DiagnosticReport (evidence 6 of 1.5)."""
    body = resource.body
    if status(body) not in DONE_REPORT or "consult_note" not in chart.roles_of([concept_of(body.get("code"))]):
        return None
    writers = (*objs(body.get("performer")), *objs(body.get("resultsInterpreter")))
    return _noted(writers, start_of(body, resource.type, REPORT_DATES, chart.timezone), resource, chart)


def read_document(resource: Resource, chart: Chart) -> Milestone | None:
    """The same note as a DocumentReference, dated by the visit that it tells of before the day it was written.

    Only who wrote what kind of note when is read, never its text.
    """
    body = resource.body
    if status(body) != "current" or status(body, "docStatus") in _NO_DOCUMENT:
        return None
    if "consult_note" not in chart.roles_of([concept_of(body.get("type"))]):
        return None
    when = start_of(note_time(body), resource.type, NOTE_DATES, chart.timezone)
    return _noted(objs(body.get("author")), when, resource, chart)


def _noted(writers: Iterable[Json], when: DateRange | None, resource: Resource, chart: Chart) -> Milestone | None:
    by = [found for item in writers if (found := neurology.of_actor(item, resource, chart)).verdict == "neurology"]
    day = chart.plausible(when) if by else None
    return Milestone(day, resource, "M5.6", by[0].certainty) if day is not None else None


def order_study(resource: Resource, when: DateRange | None) -> Milestone | None:
    """A completed order for an EEG, when no study is on record: dated by its occurrence, never by the order."""
    return Milestone(when, resource, "M6.3", "order") if when is not None else None
