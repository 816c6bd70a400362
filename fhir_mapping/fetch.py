"""Brings the chosen lines, and no others, from the files into Python.

The index numbers the lines of a file that was read with typed columns without counting its blank lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.index import Place
from fhir_mapping.line_map import Line, LineMap
from fhir_mapping.lines import Entry, Fault, read, text_at
from fhir_mapping.model import Resource
from fhir_source.source import CODED_TYPES


class FoundFault(NamedTuple):
    """A fault with the file and line that people know it by."""

    fault: Fault
    file: str
    line: int


@dataclass
class Fetched:
    """The resources found at the places asked for, and the faults found there only now."""

    resources: dict[Place, Resource] = field(default_factory=dict)
    faults: dict[Place, FoundFault] = field(default_factory=dict)


class LineReader:
    """Finds lines again. `typed`: the files of the typed reading, with a map of those that can be sought in."""

    def __init__(self, files: Sequence[InputFile], typed: Mapping[int, LineMap | None]) -> None:
        self._files = files
        self._typed = typed

    def name(self, file: int) -> str:
        return self._files[file].name

    def fetch(self, places: Iterable[Place]) -> Fetched:
        """Read the resources at these places."""
        parts: dict[int, dict[int, set[int]]] = {}  # by file and line
        for place in sorted(set(places)):
            parts.setdefault(place.file, {}).setdefault(place.line, set()).add(place.part)
        fetched = Fetched()
        for file, line in self.lines({file: list(lines) for file, lines in parts.items()}):
            self._take(line, file, parts[file][line.number], fetched)
        return fetched

    def lines(self, numbers: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, Line]]:
        """The lines with these index numbers (by file, sorted), each with its file."""
        for file, of_file in numbers.items():
            line_map = self._typed.get(file)
            for line in self._one_by_one(file, of_file) if line_map is None else line_map.lines(of_file):
                yield file, line

    def _one_by_one(self, file: int, numbers: Sequence[int]) -> Iterator[Line]:
        wanted, last = set(numbers), numbers[-1]
        counting = file in self._typed
        for position, (shown, content) in enumerate(lines_of(self._files[file]), start=1):
            number = position if counting else shown
            if number in wanted:
                yield Line(number, shown, content)
            if number >= last:
                return

    def _take(self, line: Line, file: int, parts: set[int], fetched: Fetched) -> None:
        name = self._files[file].name
        for found in read(line.content):
            if isinstance(found, Fault):
                for part in parts:
                    fetched.faults[Place(file, line.number, part)] = FoundFault(found, name, line.shown)
            elif isinstance(found, Entry) and found.part in parts:
                fetched.resources[Place(file, line.number, found.part)] = resource_of(found, name, line.shown)


class FetchedResource(Resource):
    """A resource that is parsed when its body is asked for: parsed JSON takes eight times the room of its text."""

    _text: bytes

    def __getattr__(self, name: str) -> Any:
        """Comes to be asked for `body` only while that is not there."""
        if name != "body" or "_text" not in self.__dict__:
            raise AttributeError(name)
        body = self.__dict__["body"] = orjson.loads(self._text)
        return body

    @property
    def text(self) -> bytes | None:
        """As it came; written anew where a writer put blanks after names."""
        return super().text if b'": ' in self._text else self._text

    def release(self) -> None:
        if "_text" in self.__dict__:
            self.__dict__.pop("body", None)


def resource_of(entry: Entry, file: str, line: int) -> Resource:
    """The entry as later stages know it, with what selection asks of its body."""
    body = entry.body
    resource = FetchedResource(
        type=body["resourceType"],
        id=body["id"],
        version_id=text_at(body, "meta", "versionId"),
        last_updated=text_at(body, "meta", "lastUpdated"),
        body=body,
        file=file,
        line=line,
        sha256=entry.sha256,
    )
    if resource.type not in CODED_TYPES:  # most of these are passed over, for no rule reads them
        _ = resource.owners, resource.targets
    resource.__dict__["_text"] = entry.text
    resource.release()
    return resource
