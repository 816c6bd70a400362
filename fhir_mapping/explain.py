"""An infant's timeline as a person reads it: what happened when, who says so, and by which rule.

For the clinical role only: it holds dates and resource ids.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from fhir_mapping.contract import INTERVALS

if TYPE_CHECKING:
    from fhir_mapping.contract import TimelineRow, Wait
    from fhir_mapping.model import InfantRecord, MappedInfant, MilestoneEvent

_NAMES = {
    "onset": "Onset of symptoms",
    "first_provider": "First provider",
    "suspected": "IESS suspected",
    "referral": "Referral to neurology",
    "booked": "Appointment made",
    "neurology": "Seen by neurology",
    "eeg": "First EEG",
    "diagnosis": "Diagnosis",
    "first_line": "First-line treatment",
    "first_treatment": "First antiseizure medicine",
    "detour_referral": "Referral elsewhere",
}
_EXCLUDED = {
    "not_iess": "no Condition on record means IESS, or all that did were refuted or entered in error",
    "no_birth_date": "there is no birth date that can be read",
    "age_outside_window": "the age at the first code is outside the window (14 days to 24 months by default)",
    "no_index_date": "nothing on record dates the case",
    "after_as_of": "the case is on record only after the as-of date",
}
_PATHWAYS = {
    "referred": "by a referral",
    "ed_inpatient": "through the emergency department or an admission, without a referral",
    "no_referral_record": "no referral on record",
    "pre_existing_neurology": "known to neurology before the first provider for spasms",
}


@lru_cache(maxsize=8)
def meanings(table: str) -> dict[str, str]:
    """The meanings of the codes of a table beside this module: rules, flags, attributes."""
    lines = (resources.files("fhir_mapping") / f"{table}.csv").read_text(encoding="utf-8").splitlines()
    return {record[next(iter(record))]: record["meaning"] for record in csv.DictReader(lines)}


def explain(record: InfantRecord, mapped: MappedInfant) -> str:
    """The timeline in words, milestone by milestone, then the waits, the flags and what could not be read."""
    lines = [f"Infant {mapped.infant}"]
    if record.merged:
        lines.append(f"Merged from {', '.join(patient.reference for patient in record.merged)}.")
    if mapped.row is None:
        why = _EXCLUDED.get(mapped.excluded or "", mapped.excluded or "unknown")
        lines += [f"No timeline: {why}.", *_quarantine(mapped)]
        return "\n".join(lines) + "\n"
    row = mapped.row
    lines += [_who(row), "", "What happened", *_milestones(mapped), "", f"Way to neurology: {_PATHWAYS[row.pathway]}."]
    lines += _links(mapped)
    lines += [
        "",
        "Waits",
        *(_wait(interval.label, interval.meaning, row.waits[interval.name]) for interval in INTERVALS),
    ]
    if row.flags:
        lines += ["", "Remarks", *(f"  {flag}: {meanings('flags').get(flag, flag)}" for flag in row.flags)]
    if mapped.attributes:
        lines += ["", "Also known", *(f"  {name}: {value}" for name, value in sorted(mapped.attributes.items()))]
    return "\n".join([*lines, *_quarantine(mapped)]) + "\n"


def _who(row: TimelineRow) -> str:
    born = f"born {row.birth_date}" if row.birth_date else "birth date not known to the day"
    return (
        f"{row.cohort} case, {born}, sex {row.sex}, race and ethnicity {row.race_ethnicity}, payer {row.payer}, "
        f"language {row.language}, interpreter {row.interpreter}"
    )


def _milestones(mapped: MappedInfant) -> list[str]:
    row = mapped.row
    shown = sorted(
        (event for event in mapped.events if event.milestone in _NAMES),
        key=lambda event: (event.low, event.high, list(_NAMES).index(event.milestone)),
    )
    lines = [_milestone(event) for event in shown]
    if row is not None and row.censored_on is not None:
        said = row.evidence.get("censored")
        why = f" ({meanings('rules')[said[1]]})" if said else ""
        lines.append(f"  {row.censored_on}  Observation ends{why}")
    return lines


def _milestone(event: MilestoneEvent) -> str:
    when = str(event.low) if event.low == event.high else f"{event.low} to {event.high}"
    what = f"{_NAMES[event.milestone]}{f' ({event.detail})' if event.detail else ''}"
    version = event.version_id or "-"
    return (
        f"  {when}  {what}\n"
        f"      {event.resource_type}/{event.resource_id}/{version}, rule {event.rule}: "
        f"{meanings('rules').get(event.rule, '')} [{event.certainty}]"
    )


def _links(mapped: MappedInfant) -> list[str]:
    lines = []
    for link in mapped.links:
        if link.referral and link.visit:
            lines.append(f"  {link.referral} led to {link.visit} ({link.certainty})")
        elif link.referral:
            lines.append(f"  {link.referral} led to no visit on record")
        else:
            lines.append(f"  {link.visit}: no referral on record led to it")
    return lines


def _wait(label: str, meaning: str, wait: Wait) -> str:
    if wait.low is None:
        return f"  {label:4} {meaning}: {wait.status.replace('_', ' ')}"
    days = f"{wait.low} days" if wait.low == wait.high else f"{wait.low} to {wait.high} days"
    state = {"event": "", "censored": " so far", "competing": " until death"}.get(wait.status, "")
    return f"  {label:4} {meaning}: {days}{state}; over 7 days: {wait.delayed.replace('_', ' ')}"


def _quarantine(mapped: MappedInfant) -> list[str]:
    if not mapped.quarantined:
        return []
    return ["", "Could not be read", *(f"  {item.type}/{item.id}: {item.message}" for item in mapped.quarantined)]
