"""Brings the chosen lines, and no others, from the files into Python.

The index numbers the lines of a file that was read with typed columns without its blank lines. Plain files are found
their way in by counting line ends block by block, once; after that any line is one seek away.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import numpy as np

from fhir_mapping.files import InputFile, lines_of
from fhir_mapping.index import Place
from fhir_mapping.lines import Entry, Fault, read, text_at
from fhir_mapping.model import Resource

_BLOCK = 1 << 18
_BOM = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line that isn't blank: its number in the index, its number in the file, and its content without white space."""

    number: int
    shown: int
    content: bytes


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
    """Finds lines again. `typed_rows`: how many lines that aren't blank the typed reading found, by file."""

    def __init__(self, files: Sequence[InputFile], typed_rows: Mapping[int, int]) -> None:
        self._files = files
        self._typed_rows = typed_rows
        self._maps: dict[int, _LineMap | None] = {}

    def name(self, file: int) -> str:
        return self._files[file].name

    def fetch(self, places: Iterable[Place]) -> Fetched:
        """Read the resources at these places."""
        fetched = Fetched()
        for file, of_file in groupby(sorted(set(places)), key=lambda place: place.file):
            parts: dict[int, set[int]] = {}
            for place in of_file:
                parts.setdefault(place.line, set()).add(place.part)
            for line in self.lines(file, sorted(parts)):
                self._take(line, file, parts[line.number], fetched)
        return fetched

    def lines(self, file: int, numbers: Sequence[int]) -> Iterator[Line]:
        """The lines with these index numbers (sorted)."""
        if file in self._typed_rows and not self._files[file].compressed:
            if file not in self._maps:
                self._maps[file] = _LineMap.of(self._files[file], self._typed_rows[file])
            line_map = self._maps[file]
            if line_map is not None:
                yield from line_map.lines(numbers)
                return
        yield from self._one_by_one(file, numbers)

    def _one_by_one(self, file: int, numbers: Sequence[int]) -> Iterator[Line]:
        wanted, last = set(numbers), numbers[-1]
        counting = file in self._typed_rows
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


class _LineMap:
    """How many lines end before each block of a plain file."""

    def __init__(self, file: InputFile, before: list[int]) -> None:
        self._file = file
        self._before = before  # line ends before block n; one more entry for the whole file

    @classmethod
    def of(cls, file: InputFile, rows: int) -> _LineMap | None:
        """Count the line ends; None when lines are blank, so that numbers must be counted one by one."""
        before, last = [0], b"\n"
        with file.path.open("rb", buffering=_BLOCK) as stream:
            while block := stream.read(_BLOCK):
                before.append(before[-1] + int(np.count_nonzero(np.frombuffer(block, np.uint8) == 10)))
                last = block[-1:]
        unfinished = 0 if last == b"\n" else 1
        return cls(file, before) if before[-1] + unfinished == rows else None

    def lines(self, numbers: Sequence[int]) -> Iterator[Line]:
        """Lines by number, each block read once for those that begin in it."""
        with self._file.path.open("rb", buffering=_BLOCK) as stream:
            # Line n begins in the block that holds line end n - 1; the first line begins in the first block.
            blocks = groupby(numbers, key=lambda number: max(bisect_left(self._before, number - 1) - 1, 0))
            for block, of_block in blocks:
                stream.seek(block * _BLOCK)
                text = stream.read(_BLOCK)
                ends = np.flatnonzero(np.frombuffer(text, np.uint8) == 10)
                for number in of_block:
                    skip = number - 1 - self._before[block]
                    start = int(ends[skip - 1]) + 1 if skip else 0
                    stop = int(ends[skip]) if skip < len(ends) else -1
                    if stop < 0:
                        stream.seek(block * _BLOCK + start)
                        content = stream.readline()
                    else:
                        content = text[start:stop]
                    yield Line(number, number, (content.removeprefix(_BOM) if number == 1 else content).strip())


def resource_of(entry: Entry, file: str, line: int) -> Resource:
    """The entry as later stages know it."""
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
