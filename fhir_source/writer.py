"""Writes a pull into the landing zone so that a kill at any moment loses no file that was whole.

Each file belongs to a *unit* of work (`Encounter/2`: the third batch of infants' encounters). A unit's file is
written under a temporary name; when it is whole, first the journal learns its name and checksum, then it is renamed.
Whoever takes up the pull trusts the journal only as far as the checksums hold. Both stores are synced before they are
relied on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from fhir_source.errors import LandingDamaged, PullInProgress
from fhir_source.landing import LandedFile, Manifest, Role, digest
from fhir_source.private import make_folder, open_file
from fhir_source.stores import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from fhir_source.source import Source
    from fhir_source.stores import Store

_JOURNAL = ".journal.ndjson"
_LOCK = ".lock"
_QUESTION = "question"  # the unit that says what is asked for
_TERMS = "terms"  # the unit that says what the warehouse held when the pull was begun
_LEVEL = 1  # zlib: a third of the time of level 6 for a tenth more bytes, measured on FHIR NDJSON
_BUFFER = 1 << 18
_GZIP_WINDOW = 31  # zlib's code for: a gzip header without name or time, so that same rows give same bytes


@dataclass(frozen=True)
class Unit:
    """A finished unit of work: its file (None when nothing came), and facts about it that a later step needs."""

    name: str
    file: LandedFile | None
    facts: dict[str, Any] = field(default_factory=dict)


class PullWriter:
    """The open folder of one pull. Raises PullInProgress when another process has it open."""

    def __init__(self, folder: Path, source: Source, pull_id: str, store: Store) -> None:
        self._store = store
        self.folder = folder
        self.source = source
        self.pull_id = pull_id
        self.units: dict[str, Unit] = {}
        self._lock: int | None = None
        self._journal: BinaryIO | None = None

    def __enter__(self) -> PullWriter:
        make_folder(self.folder)
        self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise PullInProgress(
                f"Another process is at work on pull {self.pull_id}",
                source=self.source.name,
                next_step="wait for it to end, then run again",
            ) from error
        self.units = {unit.name: unit for unit in self._whole_units()}
        self._rewrite_journal()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal:
            self._journal.close()
        if self._lock is not None:
            os.close(self._lock)  # gives up the lock

    def spool(self, unit: str, *, role: Role = "output", origin: str | None = None) -> Spool:
        """A new, empty file for `unit`; what an earlier attempt wrote under its temporary name is discarded."""
        return Spool(self, unit, role, origin)

    def record(self, name: str, **facts: Any) -> Unit:
        """Remember that a unit without a file is done, and what came of it."""
        unit = Unit(name, None, facts)
        self._append(unit)
        return unit

    def forget(self, *names: str) -> None:
        """Undo units, so that they are done again (an export that expired)."""
        for name in names:
            self.units.pop(name, None)
        self._rewrite_journal()

    def ask(self, question: Any) -> None:
        """Say what this pull asks for (plain JSON). Units of an interrupted run serve only the very same question."""
        asked = hashlib.sha256(orjson.dumps(question)).hexdigest()
        stored = self.units.get(_QUESTION)
        if stored and stored.facts["asked"] == asked:
            return
        self.start_over()
        self.record(_QUESTION, asked=asked)

    def start_over(self) -> None:
        """Forget all that was landed, and what of the server's this pull has started there."""
        self.forget(*(name for name in list(self.units) if name not in (_QUESTION, _TERMS)))

    def terms(self, since: str | None, known: Sequence[str]) -> tuple[str | None, list[str]]:
        """The watermark and the infants with which this pull was begun.

        It goes on with them when the warehouse has moved on meanwhile (the load of an earlier pull): they are older,
        so nothing is missed, and what was whole, or an export under way, is not thrown away.
        """
        begun = self.units.get(_TERMS) or self.record(_TERMS, since=since, known=sorted(known))
        return begun.facts["since"], begun.facts["known"]

    def commit(self, manifest: Manifest) -> Manifest:
        """Make the pull count: the manifest is written last and atomically; then the traces of the work go."""
        listed = {file.path for file in manifest.files}
        missing = sorted(path for path in listed if not (self.folder / path).is_file())
        if missing:
            raise LandingDamaged(
                "A file of the pull vanished before it was committed", source=self.source.name, file=missing[0]
            )
        for stray in self.folder.iterdir():
            if stray.name not in {*listed, _LOCK, _JOURNAL}:
                stray.unlink()
        self._store.publish(self.folder, f"{self.source.name}/{self.pull_id}", manifest)
        temporary = self.folder / f".{MANIFEST}.tmp"
        with open_file(temporary, "wb") as stream:
            stream.write(manifest.to_json())
            _sync(stream)
        temporary.rename(self.folder / MANIFEST)
        _sync_folder(self.folder)
        _sync_folder(self.folder.parent)
        for name in (_JOURNAL, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        return manifest

    def _append(self, unit: Unit) -> None:
        if self._journal is None:
            raise LandingDamaged("The pull is not open for writing", source=self.source.name)
        self._journal.write(orjson.dumps(asdict(unit)) + b"\n")
        _sync(self._journal)
        self.units[unit.name] = unit

    def _whole_units(self) -> Iterator[Unit]:
        journal = self.folder / _JOURNAL
        if not journal.is_file():
            return
        for line in journal.read_bytes().splitlines():
            try:
                entry = orjson.loads(line)
                file = entry["file"] and LandedFile(**entry["file"])
                unit = Unit(entry["name"], file, entry["facts"])
            except (ValueError, KeyError, TypeError):
                return  # the last line of a journal that was cut short by a kill
            if unit.file is None or self._settle(unit):
                yield unit

    def _settle(self, unit: Unit) -> bool:
        """True when the unit's file is whole; finishes the renaming that a kill prevented."""
        assert unit.file  # noqa: S101 - for the type checker; the caller looked
        final = self.folder / unit.file.path
        for path in (final, self.folder / temporary_name(unit.name)):
            if path.is_file() and path.stat().st_size == unit.file.bytes and digest(path) == unit.file.sha256:
                path.rename(final)
                return True
        return False

    def _rewrite_journal(self) -> None:
        if self._journal:
            self._journal.close()
        temporary = self.folder / f"{_JOURNAL}.tmp"
        with open_file(temporary, "wb") as stream:
            for unit in self.units.values():
                stream.write(orjson.dumps(asdict(unit)) + b"\n")
            _sync(stream)
        temporary.rename(self.folder / _JOURNAL)
        _sync_folder(self.folder)
        self._journal = open_file(self.folder / _JOURNAL, "ab")


class Spool:
    """One file being written. Use as a context: without `finish` nothing remains of it."""

    def __init__(self, writer: PullWriter, unit: str, role: Role, origin: str | None) -> None:
        self.unit = unit
        self.rows = 0
        self._writer = writer
        self._role: Role = role
        self._origin = origin
        self._path = writer.folder / temporary_name(unit)
        self._finished = False
        self._open()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if not self._finished:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def write(self, lines: bytes, rows: int) -> None:
        """Append whole lines, each with its line end; `rows` of them are not blank."""
        self._buffer += lines
        self.rows += rows
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def restart(self) -> None:
        """Throw away what was written."""
        self._stream.close()
        self._open()

    def finish(self, path: str, resource_type: str | None, **facts: Any) -> Unit:
        """Make the file part of the pull under the name `path`; a file without lines is dropped and recorded as
        such.
        """
        self._flush()
        self._put(self._gzip.flush())
        size = self._stream.tell()
        _sync(self._stream)
        self._stream.close()
        self._finished = True
        if not self.rows and not self._lines:
            self._path.unlink()
            return self._writer.record(self.unit, **facts)
        file = LandedFile(path, resource_type, self.rows, size, self._hash.hexdigest(), self._origin, self._role)
        unit = Unit(self.unit, file, facts)
        self._writer._append(unit)
        self._path.rename(self._writer.folder / path)
        _sync_folder(self._writer.folder)
        return unit

    def _open(self) -> None:
        self.rows = 0
        self._lines = False
        self._buffer = bytearray()
        self._hash = hashlib.sha256()
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        self._stream = open_file(self._path, "wb")

    def _flush(self) -> None:
        if self._buffer:
            self._lines = True
            self._put(self._gzip.compress(self._buffer))
            self._buffer.clear()

    def _put(self, packed: bytes) -> None:
        self._stream.write(packed)
        self._hash.update(packed)


def temporary_name(unit: str) -> str:
    """Where the file of a unit is written before it is whole: the same for every attempt."""
    return f".{re.sub(r'[^A-Za-z0-9]+', '-', unit)}.{zlib.crc32(unit.encode()):08x}.tmp"


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
