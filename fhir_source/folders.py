"""Pull a folder of FHIR files: copy it into the landing zone, line by line as it is.

Line N of a landed file is line N of its origin, blank and broken lines included: what is wrong with a line is for the
mapping to judge. Only what can't be read as a file at all is refused here.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO

from fhir_source import bundles
from fhir_source.errors import UnreadableInput
from fhir_source.inputs import Folder, Input
from fhir_source.instants import iso, parse
from fhir_source.landing import Manifest
from fhir_source.lines import resource_type
from fhir_source.unpacking import BOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Spool, Unit

_BLOCK = 1 << 20
_LARGEST_DOCUMENT = 256 << 20  # a Bundle is read whole
_LAST_UPDATED = re.compile(rb'"lastUpdated"\s*:\s*"([^"]{20,40})"')


def pull_folder(
    writer: PullWriter, source: Source, since: str | None, now: datetime, progress: Callable[[str, int], None] | None
) -> Manifest:
    """Copy every FHIR file of the folder `source.url`; `since` is not applied, a folder is always read whole.

    The transaction time is that of the export's log when one lies beside the files, else the newest `lastUpdated` in
    them up to `now` (a later one is a wrong clock's, unless all are), else the newest time of change of a file, else
    `now`. Raises UnreadableInput for a folder that is missing or
    has no FHIR file, and for a file that is truncated, damaged or no JSON document,
    SourceUnreachable for a store that is down.
    """
    folder = Folder(source)
    inputs = folder.inputs()
    writer.ask(["files", source.url, *(file.stamp for file in inputs)])
    for index, file in enumerate(inputs):
        if f"file/{index}" not in writer.units:
            _FileCopy(folder, file, index, now, progress).into(writer)
    return _manifest(writer, source, folder, inputs, since, now)


def _manifest(
    writer: PullWriter, source: Source, folder: Folder, inputs: list[Input], since: str | None, now: datetime
) -> Manifest:
    units = list(writer.units.values())
    counts: Counter[str] = Counter()
    for unit in units:
        counts.update(unit.facts.get("types", {}))
    stamps, ahead = ([unit.facts[name] for unit in units if unit.facts.get(name)] for name in ("newest", "ahead"))
    changed = [file.changed for file in inputs if parse(file.changed)]
    time = parse(folder.export_time() or max(stamps or ahead, default=None) or max(changed, default=None)) or now
    notes = {note for unit in units for note in unit.facts.get("notes", ())}
    if stamps and ahead:
        notes.add("some lastUpdated lie after the pull: they were not taken for its time")
    if since:
        notes.add("a folder is read whole: since was not applied")
    return Manifest(
        source=source.name,
        pull_id=writer.pull_id,
        kind="files",
        since=None,
        transaction_time=iso(time),
        fhir_version=source.fhir_version or "R4",
        complete=True,
        files=tuple(sorted((unit.file for unit in units if unit.file), key=lambda file: file.path)),
        notes=tuple(sorted(notes)),
        counts=dict(sorted(counts.items())),
    )


class _FileCopy:
    """Copies one file, counting what is in it."""

    def __init__(
        self, folder: Folder, file: Input, index: int, now: datetime, progress: Callable[[str, int], None] | None
    ) -> None:
        self._folder = folder
        self._file = file
        self._index = index
        self._now = now
        self._progress = progress
        self._types: Counter[str] = Counter()
        self._newest: str | None = None
        self._ahead: str | None = None
        self._notes: list[str] = []

    def into(self, writer: PullWriter) -> Unit:
        """Land the file under a name that tells its type and its place in the folder."""
        file = self._file
        with writer.spool(f"file/{self._index}", role=file.role, origin=file.name) as spool:
            deleted = self._copy(spool)
            if deleted:
                with writer.spool(f"deleted/{self._index}", role="deleted", origin=file.name) as gone:
                    gone.write(b"".join(deleted), len(deleted))
                    gone.finish(f"deleted.{self._index:03d}.ndjson.gz", "Bundle")
            kind = next(iter(self._types)) if len(self._types) == 1 and "unknown" not in self._types else None
            stem = (kind or "mixed") if file.role == "output" else file.role
            # The index in the folder, so that the name doesn't depend on what an interrupted run did.
            return spool.finish(
                f"{stem}.{self._index:03d}.ndjson.gz",
                kind,
                types=dict(self._types) if file.role == "output" else {},
                newest=self._newest,
                ahead=self._ahead,
                notes=self._notes or ([] if spool.rows else [f"{file.name} is empty"]),
            )

    def _copy(self, spool: Spool) -> list[bytes]:
        """Fill the spool; deletions that a Bundle asks for."""
        if not self._file.is_lines:
            return self._document(b"".join(self._parts(_whole)), spool)
        for block in self._parts(_blocks_of_lines):
            self._write(spool, block)
        return []

    def _parts(self, split: Callable[[BinaryIO], Iterator[bytes]]) -> Iterator[bytes]:
        """The file in parts. Only reading is guarded, and not what the caller does between two parts."""
        with self._folder.guard(self._file.name):
            stream = self._folder.open(self._file)
        with contextlib.closing(stream):
            parts = split(stream)
            while True:
                with self._folder.guard(self._file.name):
                    part = next(parts, None)
                if part is None:
                    return
                yield part

    def _document(self, text: bytes, spool: Spool) -> list[bytes]:
        if len(text) > _LARGEST_DOCUMENT:
            raise self._unreadable(f"The JSON document is larger than {_LARGEST_DOCUMENT >> 20} MB")
        try:
            rows, deleted = bundles.lines(text.removeprefix(BOM))
        except bundles.NotFhir:
            self._notes.append(f"{self._file.name} is not a FHIR resource; it was left alone")
            return []
        except ValueError:
            raise self._unreadable("The file is not a JSON document") from None
        for row in rows:
            self._write(spool, row)
        return deleted

    def _write(self, spool: Spool, block: bytes) -> None:
        kinds = Counter(resource_type(line) or "unknown" for line in block.split(b"\n") if line.strip())
        spool.write(block, kinds.total())
        self._types.update(kinds)
        for stamp in set(_LAST_UPDATED.findall(block)):
            when = parse(stamp.decode(errors="replace"))
            # One that can't be read is for the mapping to quarantine; the watermark takes what it can.
            if when and when <= self._now:
                self._newest = max(iso(when), self._newest or "")
            elif when:
                self._ahead = max(iso(when), self._ahead or "")
        if self._progress:
            for kind, count in kinds.items():
                self._progress(kind, count)

    def _unreadable(self, what: str) -> UnreadableInput:
        return UnreadableInput(
            what,
            source=self._folder.source.name,
            file=self._file.name,
            kept="files copied before it",
            next_step="copy the file again from where it came, then run again",
        )


def _whole(stream: BinaryIO) -> Iterator[bytes]:
    """A document, or a little more of it than may be."""
    yield stream.read(_LARGEST_DOCUMENT + 1)


def _blocks_of_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines; the last gets the line end that its file lacks."""
    rest = b""
    first = True
    while block := stream.read(_BLOCK):
        block = rest + (block.removeprefix(BOM) if first else block)
        first = False
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            yield block[:end]
    if rest:
        yield rest + b"\n"
