"""The landing zone: immutable files and, last and atomically, a manifest. No manifest, no pull.

    landing/<source>/<pull id>/<Type>.<nnn>.ndjson.gz
    landing/<source>/<pull id>/manifest.json

The shapes and the reading side are here; `fhir_source.writer` writes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

from fhir_source.errors import LandingDamaged, SettingsError
from fhir_source.private import open_file
from fhir_source.source import FhirVersion, Kind, Source
from fhir_source.stores import MANIFEST, LocalStore, store_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_source.writer import PullWriter

Role = Literal["output", "deleted", "error"]

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class LandedFile:
    """One gzip NDJSON file of a pull. `path` is relative to the pull's folder."""

    path: str  # <Type>.<nnn>.ndjson.gz, or mixed.<nnn>.ndjson.gz for a file of several types
    type: str | None  # None when the file mixes types, or its type is not known
    rows: int  # lines, blank lines not counted
    bytes: int  # of the compressed file
    sha256: str  # of the compressed file
    origin: str | None = None  # name of the file it was copied from (kind `files`, `bulk`)
    role: Role = "output"


@dataclass(frozen=True)
class Manifest:
    """What one pull brought. Serialised as `manifest.json`, keys sorted."""

    source: str
    pull_id: str  # sortable: 20261123T070000Z
    kind: Kind
    since: str | None  # instant asked for (ISO 8601, UTC), None for a full pull
    transaction_time: str  # the server's own time up to which the pull is whole; next watermark
    fhir_version: FhirVersion
    complete: bool
    files: tuple[LandedFile, ...]
    left_out: tuple[str, ...] = ()  # types that the server doesn't offer
    notes: tuple[str, ...] = ()  # PHI-free remarks: overlap used, parameters that the server dropped
    counts: dict[str, int] = field(default_factory=dict)  # rows by resource type

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Manifest:
        """Raises ValueError, KeyError or TypeError when `text` is not a manifest."""
        body: dict[str, Any] = orjson.loads(text)
        body["files"] = tuple(LandedFile(**file) for file in body["files"])
        for name in ("left_out", "notes"):
            body[name] = tuple(body[name])
        return cls(**body)


class LandingZone:
    """Pulls by source and id, on the local disk or (`root` an fsspec URL) in an object store.

    `work` is the folder on the local disk for pulls under way and copies of an object store's; it holds PHI.
    """

    def __init__(self, root: str, work: Path | None = None) -> None:
        self._store = store_of(root, work)

    def folder(self, source_name: str, pull_id: str) -> Path:
        """Where a pull is written. Raises SettingsError for a name that is not fit for a path."""
        for name in (source_name, pull_id):
            if not _SAFE_NAME.fullmatch(name):
                raise SettingsError(f"{name!r} can't be the name of a source or of a pull")
        return self._store.work / source_name / pull_id

    def begin(self, source: Source, pull_id: str) -> PullWriter:
        """A writer for this pull, to be used as a context; it takes up what an interrupted run left whole."""
        from fhir_source.writer import PullWriter

        return PullWriter(self.folder(source.name, pull_id), source, pull_id, self._store)

    def find(self, source_name: str, pull_id: str) -> Manifest | None:
        """The manifest of a committed pull, None when there is none. Raises LandingDamaged when it can't be read."""
        self.folder(source_name, pull_id)
        text = self._store.read_manifest(f"{source_name}/{pull_id}")
        if text is None:
            return None
        try:
            return Manifest.from_json(text)
        except (ValueError, KeyError, TypeError):
            raise LandingDamaged(
                "The manifest of a pull can't be read",
                source=source_name,
                file=f"{pull_id}/{MANIFEST}",
                next_step="remove the pull's folder and pull again",
            ) from None

    def manifest(self, source_name: str, pull_id: str) -> Manifest:
        """Raises LandingDamaged when the pull was never committed."""
        found = self.find(source_name, pull_id)
        if found is None:
            raise LandingDamaged(
                f"Pull {pull_id} has no manifest: it was never finished",
                source=source_name,
                next_step="run the pull again; what is whole is kept",
            )
        return found

    def sources(self) -> list[str]:
        """Names of the sources of which something was landed, sorted."""
        return [name for name in self._store.names("") if _SAFE_NAME.fullmatch(name)]

    def pulls(self, source_name: str) -> list[Manifest]:
        """Committed pulls of a source, oldest first."""
        found = (self.find(source_name, name) for name in self._store.names(source_name))
        return [manifest for manifest in found if manifest]

    def resume(self, source_name: str, pull_id: str) -> str:
        """The id to pull under: that of the newest pull that was begun before `pull_id` and never committed, when no
        later one was; else `pull_id` itself. What an interrupted pull left whole, its export on the server included,
        then serves the next.
        """
        self.folder(source_name, pull_id)
        committed = max((manifest.pull_id for manifest in self.pulls(source_name)), default="")
        begun = LocalStore(self._store.work).names(source_name)
        return max((name for name in begun if committed < name < pull_id), default=pull_id)

    def paths(self, manifest: Manifest, role: Role = "output") -> list[tuple[LandedFile, Path]]:
        """The files of a pull that have this role, in the manifest's order, on the local disk."""
        return [(file, self._local(manifest, file)) for file in manifest.files if file.role == role]

    def everything(self, manifest: Manifest) -> list[tuple[LandedFile, Path]]:
        """The files of a pull of every role, in the manifest's order, on the local disk."""
        return [(file, self._local(manifest, file)) for file in manifest.files]

    def publish_again(self, manifest: Manifest) -> None:
        """Put another manifest in the place of a committed pull's, atomically; its files lie in the pull's folder."""
        folder = self.folder(manifest.source, manifest.pull_id)
        self._store.publish(folder, f"{manifest.source}/{manifest.pull_id}", manifest)
        temporary = folder / f".{MANIFEST}.tmp"
        with open_file(temporary, "wb") as stream:
            stream.write(manifest.to_json())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(folder / MANIFEST)

    def prune(self, manifest: Manifest) -> None:
        """Remove from a committed pull's folder what its manifest does not name."""
        self._store.prune(f"{manifest.source}/{manifest.pull_id}", {MANIFEST, *(file.path for file in manifest.files)})

    def remove(self, manifest: Manifest) -> None:
        """Remove a committed pull (retention). Its manifest goes first, so that it is never seen in part."""
        self._store.remove(f"{manifest.source}/{manifest.pull_id}", [file.path for file in manifest.files])

    def verify(self, manifest: Manifest) -> None:
        """Read every file of a pull again. Raises LandingDamaged when bytes, checksum or rows differ."""
        for file in manifest.files:
            fault = _fault(self._local(manifest, file), file)
            if fault:
                raise LandingDamaged(
                    f"A landed file {fault}",
                    source=manifest.source,
                    file=f"{manifest.pull_id}/{file.path}",
                    next_step="restore the file, or remove the pull's folder and pull again",
                )

    def _local(self, manifest: Manifest, file: LandedFile) -> Path:
        return self._store.fetch(f"{manifest.source}/{manifest.pull_id}", file.path, file.bytes)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fault(path: Path, expected: LandedFile) -> str | None:
    if not path.is_file():
        return "is missing"
    if path.stat().st_size != expected.bytes:
        return "has another size than its manifest says"
    if digest(path) != expected.sha256:
        return "no longer matches its checksum"
    try:
        rows = sum(1 for line in read_lines(path) if line.strip())
    except (OSError, EOFError, zlib.error):
        return "can't be unpacked"
    return None if rows == expected.rows else "has another number of rows than its manifest says"


def read_lines(path: Path) -> Iterator[bytes]:
    """Lines of a landed file, in bounded memory (one line at a time)."""
    with gzip.open(path, "rb") as stream:
        yield from stream
