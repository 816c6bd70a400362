"""An infant's timeline as a person reads it: what happened when and at what age, who says so, and by which rule.

For the clinical role only: it holds dates, resource ids, and what the record calls things.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from fhir_mapping.codes import load
from fhir_mapping.contract import INTERVALS
from fhir_mapping.dates import add_months
from fhir_mapping.elements import concept_of, objs, reference_of, text
from fhir_mapping.explain_words import (
    AAN,
    ABOUT,
    CLASSES,
    COHORTS,
    DRUGS,
    EXCLUDED,
    MILESTONES,
    NO_WAIT,
    NOUNS,
    PATHWAYS,
    PAYERS,
    RACES,
    SUSPECTED,
)
from fhir_mapping.references import target_of
from fhir_mapping.releases import encounter_classes, medication, reasons, service_types

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from fhir_mapping.contract import IntervalDefinition, TimelineRow
    from fhir_mapping.elements import Json
    from fhir_mapping.model import InfantRecord, MappedInfant, MilestoneEvent, ReferralLink, Resource

_INDENT = " " * 14


@lru_cache(maxsize=8)
def meanings(table: str) -> dict[str, str]:
    """The meanings of the codes of a table beside this module: rules, flags, attributes."""
    lines = (resources.files("fhir_mapping") / f"{table}.csv").read_text(encoding="utf-8").splitlines()
    return {record[next(iter(record))]: record["meaning"] for record in csv.DictReader(lines)}


def explain(record: InfantRecord, mapped: MappedInfant) -> str:
    """The timeline in words: who, what happened, the way to neurology, the waits, and what to bear in mind."""
    lines = [f"Infant {mapped.infant}"]
    if record.merged:
        lines.append(f"Merged from {', '.join(patient.reference for patient in record.merged)}.")
    row = mapped.row
    if row is None:
        why = EXCLUDED.get(mapped.excluded or "", mapped.excluded or "unknown")
        return "\n".join([*lines, f"No timeline: {why}.", *_quarantine(mapped)]) + "\n"
    blocks = [
        [*lines, *_who(row)],
        ["What happened", *_milestones(record, mapped, row), *_absent(mapped)],
        [f"Way to neurology: {PATHWAYS[row.pathway]}.", *_links(mapped, row)],
        ["Waits", *(_wait(interval, mapped, row) for interval in INTERVALS)],
        ["To bear in mind", *(f"  {meanings('flags').get(flag, flag)} [{flag}]" for flag in row.flags)],
        ["Also known", *_also_known(mapped)],
        _quarantine(mapped),
    ]
    told = [block for block in blocks if len(block) > 1]
    return "\n\n".join("\n".join(block) for block in told) + "\n"


def _who(row: TimelineRow) -> list[str]:
    born = f"Born {row.birth_date}" if row.birth_date else "Birth date not known to the day"
    interpreter = {"yes": "an interpreter is needed", "no": "no interpreter is needed"}.get(
        row.interpreter, "not told whether an interpreter is needed"
    )
    language = f"language {row.language}" if row.language != "unknown" else "language not told"
    return [
        f"{born}, sex {row.sex}. {RACES[row.race_ethnicity]}. {PAYERS[row.payer]} at the first provider; {language}; "
        f"{interpreter}.",
        f"{SUSPECTED if 'unconfirmed_only' in row.flags else COHORTS[row.cohort]}.",
    ]


# What happened -------------------------------------------------------------------------------------------------


def _milestones(record: InfantRecord, mapped: MappedInfant, row: TimelineRow) -> list[str]:
    shown = sorted(
        (event for event in mapped.events if event.milestone in MILESTONES),
        key=lambda event: (event.low, event.high, list(MILESTONES).index(event.milestone)),
    )
    lines: list[str] = []
    treated = next((event for event in shown if event.milestone == "first_line"), None)
    for event in shown:
        if event.milestone == "first_treatment" and treated is not None and _same(event, treated):
            continue  # the first-line treatment was the first of all
        lines += _milestone(event, record, row)
    if row.censored_on is not None:
        said = row.evidence.get("censored")
        why = meanings("rules")[said[1]] if said else meanings("rules")["MC.1"]
        lines.append(f"  {row.censored_on}  Observation ends: {why}")
    return lines


def _same(one: MilestoneEvent, other: MilestoneEvent) -> bool:
    return (one.low, one.high, one.resource_type, one.resource_id) == (
        other.low,
        other.high,
        other.resource_type,
        other.resource_id,
    )


def _milestone(event: MilestoneEvent, record: InfantRecord, row: TimelineRow) -> list[str]:
    when = str(event.low) if event.low == event.high else f"{event.low} to {event.high}"
    drug = f": {DRUGS.get(event.detail, event.detail)}" if event.milestone in {"first_line", "first_treatment"} else ""
    age = ""
    if row.birth_date and event.low >= row.birth_date:
        ages = [_age(row.birth_date, day) for day in sorted({event.low, event.high})]
        age = f" (age {' to '.join(ages)})"
    resource = next((one for one in record.of(event.resource_type) if one.id == event.resource_id), None)
    said = _said(resource, record) if resource is not None else ""
    return [
        f"  {when}  {MILESTONES[event.milestone]}{drug}{age}",
        *([f"{_INDENT}{said}"] if said else []),
        f"{_INDENT}{event.resource_type}/{event.resource_id}/{event.version_id or '-'}, rule {event.rule}: "
        f"{meanings('rules').get(event.rule, '')} [{event.certainty}]",
    ]


def _absent(mapped: MappedInfant) -> list[str]:
    there = {event.milestone for event in mapped.events}
    absent = [name for milestone, name in NOUNS.items() if milestone not in there]
    return [f"  Not on record: {', '.join(absent)}"] if absent else []


def _age(birth: date, day: date) -> str:
    """Completed months and days, as a clinician says it; days alone in the first month."""
    months = 0
    while add_months(birth, months + 1) <= day:
        months += 1
    days = (day - add_months(birth, months)).days
    return f"{months} months {days} days" if months else f"{days} days"


def _said(resource: Resource, record: InfantRecord) -> str:
    """What the record calls it: the kind of visit and what was coded there, the diagnosis, the order, the medicine."""
    body = resource.body
    if resource.type == "Encounter":
        here = [one for one in record.of("Condition") if _belongs(one.body, resource.id)]
        about = [*objs(body.get("type")), *(concept for concept, _ in service_types(body)), *reasons(body)[0]]
        classes = (text(one.get("code")) for kind in encounter_classes(body) for one in objs(kind.get("coding")))
        kinds = ", ".join(
            [*(CLASSES[code] for code in classes if code in CLASSES), *([_names(about)] if about else [])]
        )
        coded = _names([concept_of(one.body.get("code")) for one in here])
        return "; ".join(part for part in (kinds, f"coded there: {coded}" if coded else "") if part)
    if resource.type.startswith("Medication"):
        concept, reference = medication(body)
        return _names([concept]) or text(reference.get("display"))
    concepts = [concept_of(body.get("code")), *objs(body.get("serviceType")), *objs(body.get("specialty"))]
    return _names([concept_of(concept) for concept in concepts])


def _belongs(condition: Json, encounter: str) -> bool:
    target = target_of(text(reference_of(condition.get("encounter")).get("reference")))
    return target is not None and target.id == encounter


def _names(concepts: Iterable[Json]) -> str:
    """The text of each concept, else the display of a coding, else our own label for it, with its code."""
    found: list[str] = []
    for concept in concepts:
        codings = [one for one in objs(concept.get("coding")) if text(one.get("code"))]
        code = text(codings[0]["code"]) if codings else ""
        shown = text(concept.get("text")) or next((text(c["display"]) for c in codings if text(c.get("display"))), "")
        shown = shown or next((label for one in codings if (label := _label(one))), "")
        name = f"{shown} ({code})" if shown and code else shown or code
        name = "".join(letter if letter.isprintable() else " " for letter in name)  # what a terminal would obey
        if name and name not in found:
            found.append(name)
    return ", ".join(found)


def _label(coding: Json) -> str:
    """What the value sets call a code that the record leaves without a name."""
    rows = load().rows_of(text(coding.get("system")), text(coding.get("code")))
    return rows[0].label if rows else ""


# The way to neurology, waits, and the rest ---------------------------------------------------------------------


def _links(mapped: MappedInfant, row: TimelineRow) -> list[str]:
    """Referrals with their visits, then what is left over; later visits without a referral are follow-up: counted."""
    lines = []
    alone = [link for link in mapped.links if not link.referral]
    for link in mapped.links:
        if link.referral and link.visit:
            sure = "the record says so" if link.certainty == "linked" else "by specialty and time"
            lines.append(f"  {link.referral} led to {link.visit} ({sure})")
        elif link.referral:
            lines.append(f"  {link.referral} led to no visit on record")
    seen = row.evidence.get("neurology")
    first = [link for link in alone if seen and link.visit == seen[0]]
    lines += [f"  {link.visit}, the first contact: no referral on record led to it" for link in first]
    others: list[ReferralLink] = [link for link in alone if link not in first]
    if others:
        lines.append(f"  {len(others)} more neurology visit{'s' * (len(others) > 1)} without a referral of their own")
    return lines


def _wait(interval: IntervalDefinition, mapped: MappedInfant, row: TimelineRow) -> str:
    wait, known = row.waits[interval.name], row.pathway == "pre_existing_neurology"
    start = f"  {interval.label:4} {interval.meaning}: "
    if wait.low is None:
        return start + _why_none(interval, mapped, row)
    days = f"{wait.low} days" if wait.low == wait.high else f"{wait.low} to {wait.high} days"
    state = {"event": "", "censored": " so far", "competing": " until death"}.get(wait.status, "")
    earlier = ", from a contact before the spasms" if known and interval.start == "neurology" else ""
    return f"{start}{days}{state}{earlier}; over 7 days: {wait.delayed.replace('_', ' ')}"


def _why_none(interval: IntervalDefinition, mapped: MappedInfant, row: TimelineRow) -> str:
    """Why a wait has no days: the way to neurology, what is not on record, or dates that contradict each other."""
    if row.waits[interval.name].status == "not_applicable":
        return f"does not apply, {NO_WAIT.get(row.pathway, 'by the way to neurology')}"
    there = {event.milestone for event in mapped.events}
    absent = [NOUNS[end] for end in (interval.start, interval.stop) if end not in there]
    return f"not known, no {absent[0]} on record" if absent else "left out, the dates contradict each other"


def _also_known(mapped: MappedInfant) -> list[str]:
    """Attributes in words; zeros, unknowns and what the row says already are left out."""
    told = dict(mapped.attributes)
    if told.get("spd15") == told.get("omb1997"):
        told.pop("spd15", None)
    if told.get("referral_chain_length") == "1":
        told.pop("referral_chain_length")
    if "aan_exclusions" in told:
        told["aan_exclusions"] = ", ".join(AAN.get(why, why) for why in told["aan_exclusions"].split("+"))
    kept = {key: RACES.get(value, value) for key, value in told.items() if value not in {"unknown", "0"}}
    return [f"  {name}: {kept[key]}" for key, name in ABOUT.items() if key in kept]


def _quarantine(mapped: MappedInfant) -> list[str]:
    if not mapped.quarantined:
        return []
    return ["Could not be read", *(f"  {item.type}/{item.id}: {item.message}" for item in mapped.quarantined)]
