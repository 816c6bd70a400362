"""Erasing one infant: from the files that were landed, and from the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from fhir_mapping.lines import owners_of
from fhir_mapping.references import targets_in
from fhir_source.landing import LandingZone
from fhir_source.rewriting import take_out
from pipeline.database import open_warehouse
from pipeline.hash_key import hash_key
from warehouse import retention

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.clock import Clock
    from pipeline.settings import Settings
    from warehouse.retention import Person


@dataclass(frozen=True)
class Erased:
    """What was removed: Patient records that were one person, rows by table, landed lines by pull."""

    patients: int
    rows: dict[str, int]
    landed_lines: dict[str, int]


def erase(settings: Settings, source: str, infant: str, clock: Clock, *, reason: str) -> Erased:
    """Remove an infant from the landed files and from every table, and keep them from coming back with a later pull.

    The ledger's counts stay. `reason` must hold no PHI. Killed and run again, it goes on: the tables, which say who
    the infant is, come last. Raises InfantUnknown, HashKeyChanged.
    """
    landing = LandingZone(settings.landing_root)
    with open_warehouse(settings) as engine:
        change = without(retention.person(engine, source, infant))
        lines = {pull.pull_id: take_out(landing, pull, change) for pull in landing.pulls(source)}
        done = retention.erase(engine, source, infant, hash_key=hash_key(settings), at=clock.now, reason=reason)
    return Erased(done.patients, done.rows, {pull_id: count for pull_id, count in lines.items() if count})


def without(person: Person) -> Callable[[bytes], bytes | None]:
    """What becomes of one landed line: None when it is the person's own, or can't be read and names them."""
    ids = {key.partition("/")[2] for key in (*person.resources, *(f"Patient/{one}" for one in person.patients))}
    values = {owner.rpartition("|")[2] for owner in person.owners if owner.startswith("Patient?")}
    plain = all(mark.isascii() and mark.isprintable() and not set(mark) & set('"\\/') for mark in ids | values)
    marks = tuple(mark.encode() for mark in ids | values)
    owned = person.patients | {owner.removeprefix("Patient") for owner in person.owners if owner.startswith("Patient?")}

    def change(line: bytes) -> bytes | None:
        # Parsing every line would take minutes; an id that JSON may spell in several ways can't be looked for so.
        if plain and not any(mark in line for mark in marks):
            return line
        try:
            body = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(body, dict):
            return line
        if body.get("resourceType") == "Bundle":
            return _without_deletions(body, line, person)
        return None if _is_of(body, owned, person) else line

    return change


def _is_of(body: dict[str, Any], owned: frozenset[str] | set[str], person: Person) -> bool:
    if f"{body.get('resourceType')}/{body.get('id')}" in person.resources:
        return True
    if body.get("resourceType") != "Patient" and any(
        target.id in owned and target.type in ("Patient", "") for target in targets_in(body)
    ):
        return True
    return isinstance(body.get("id"), str) and bool(owned.intersection(owners_of(body)))


def _without_deletions(bundle: dict[str, Any], line: bytes, person: Person) -> bytes | None:
    """A Bundle of deletions without those of the person's resources."""
    entries = bundle.get("entry")
    if not isinstance(entries, list):
        return line
    gone = person.resources | {f"Patient/{one}" for one in person.patients}
    kept = [entry for entry in entries if _deleted(entry) not in gone]
    if len(kept) == len(entries):
        return line
    return orjson.dumps({**bundle, "entry": kept}) + b"\n" if kept else None


def _deleted(entry: object) -> str | None:
    request = entry.get("request") if isinstance(entry, dict) else None
    url = request.get("url") if isinstance(request, dict) else None
    return "/".join(url.split("?")[0].split("/")[-2:]) if isinstance(url, str) else None
