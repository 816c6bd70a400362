"""Brings the chosen lines, and no others, from the files into Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.index import Place
from fhir_mapping.lines import Entry, Fault, read, text_at
from fhir_mapping.model import Resource


@dataclass
class Fetched:
    """The resources found at the places asked for, and the faults found there only now."""

    resources: dict[Place, Resource] = field(default_factory=dict)
    faults: dict[Place, Fault] = field(default_factory=dict)


def fetch(files: Sequence[InputFile], places: Iterable[Place]) -> Fetched:
    """Read the resources at these places."""
    wanted: dict[int, dict[int, set[int]]] = {}
    for place in places:
        wanted.setdefault(place.file, {}).setdefault(place.line, set()).add(place.part)
    fetched = Fetched()
    for number in sorted(wanted):
        lines = wanted[number]
        last = max(lines)
        for line, content in lines_of(files[number]):
            if line in lines:
                _take(content, number, line, lines[line], files[number].name, fetched)
            if line >= last:
                break
    return fetched


def _take(content: bytes, file: int, line: int, parts: set[int], name: str, fetched: Fetched) -> None:
    for found in read(content):
        if isinstance(found, Fault):
            for part in parts:
                fetched.faults[Place(file, line, part)] = found
        elif isinstance(found, Entry) and found.part in parts:
            fetched.resources[Place(file, line, found.part)] = resource_of(found, name, line)


def resource_of(entry: Entry, file: str, line: int) -> Resource:
    body = entry.body
    return Resource(
        type=body["resourceType"],
        id=body["id"],
        version_id=text_at(body, "meta", "versionId"),
        last_updated=text_at(body, "meta", "lastUpdated"),
        body=body,
        file=file,
        line=line,
        sha256=entry.sha256,
    )
