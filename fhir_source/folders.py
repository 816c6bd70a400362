"""Pull a folder of NDJSON files: copy it into the landing zone, line by line as it is.

Line N of a landed file is line N of its origin, blank and broken lines included: what is wrong with a line is for the
mapping to judge. Only what can't be read as a file at all is refused here.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fhir_source.errors import UnreadableInput
from fhir_source.landing import LandedFile, Manifest
from fhir_source.lines import resource_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Spool

    Progress = Callable[[str, int], None]

_BLOCK = 1 << 20
_SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
_NOT_RESOURCES = frozenset(
    {"log.ndjson"}
)  # the export log that smart-fetch and the Bulk Data clients write beside the data
_LAST_UPDATED = re.compile(rb'"lastUpdated"\s*:\s*"([^"]{10,40})"')


@dataclass
class _Seen:
    """What one file turned out to hold."""

    types: Counter[str] = field(default_factory=Counter)
    newest: str | None = None  # of meta.lastUpdated


def pull_folder(writer: PullWriter, source: Source, since: str | None, progress: Progress | None) -> Manifest:
    """Copy every NDJSON file of the folder `source.url`; `since` is not applied, a folder is always read whole.

    The transaction time is the newest `lastUpdated` in the files; without any, the newest time of change of a file.
    Raises UnreadableInput for a folder that is missing or has no NDJSON, and for a truncated or damaged gzip file.
    """
    root = _root(source)
    paths = find_files(source)
    counts: Counter[str] = Counter()
    newest: list[str] = []
    files: list[LandedFile] = []
    for index, path in enumerate(paths):
        name = path.relative_to(root).as_posix()
        unit = writer.units.get(f"file/{index}")
        if unit is None or unit.facts.get("origin") != _stamp(path, name):
            with writer.spool(f"file/{index}", origin=name) as spool:
                seen = _copy(path, name, source, spool, progress)
                kind = next(iter(seen.types)) if len(seen.types) == 1 and spool.rows else None
                unit = spool.finish(
                    # The index of the origin, so that the name doesn't depend on what an interrupted run did.
                    f"{kind or 'mixed'}.{index:03d}.ndjson.gz",
                    kind,
                    origin=_stamp(path, name),
                    types=dict(seen.types),
                    newest=seen.newest,
                )
        counts.update(unit.facts["types"])
        newest += [unit.facts["newest"]] if unit.facts["newest"] else []
        if unit.file:
            files.append(unit.file)
    changed = max(datetime.fromtimestamp(int(path.stat().st_mtime), UTC) for path in paths)
    return Manifest(
        source=source.name,
        pull_id=writer.pull_id,
        kind="files",
        since=None,
        transaction_time=max(newest, default=changed.strftime("%Y-%m-%dT%H:%M:%SZ")),
        fhir_version=source.fhir_version or "R4",
        complete=True,
        files=tuple(files),
        notes=("a folder is read whole: since was not applied",) if since else (),
        counts=dict(sorted(counts.items())),
    )


def _root(source: Source) -> Path:
    return Path(source.url.removeprefix("file://"))


def find_files(source: Source) -> list[Path]:
    """NDJSON files of a folder and its subfolders, sorted. Raises UnreadableInput when there is none."""
    root = _root(source)
    if not root.is_dir():
        raise UnreadableInput("There is no such folder", source=source.name, next_step="check the path in the settings")
    found = sorted(
        path
        for path in root.rglob("*")
        if path.name.endswith(_SUFFIXES)
        and path.name not in _NOT_RESOURCES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    )
    if not found:
        raise UnreadableInput(
            "The folder has no .ndjson or .ndjson.gz file",
            source=source.name,
            next_step="check the path in the settings",
        )
    return found


def _stamp(path: Path, name: str) -> str:
    """Tells whether a file is still the one that was copied before an interruption."""
    stat = path.stat()
    return f"{name} {stat.st_size} {stat.st_mtime_ns}"


def _copy(path: Path, name: str, source: Source, spool: Spool, progress: Progress | None) -> _Seen:
    seen = _Seen()
    try:
        with _open(path) as stream:
            for block in _blocks_of_lines(stream):
                rows = Counter(resource_type(line) or "unknown" for line in block.split(b"\n") if line.strip())
                spool.write(block, rows.total())
                seen.types.update(rows)
                _note_newest(seen, block)
                if progress:
                    for kind, count in rows.items():
                        progress(kind, count)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableInput(
            "The file is not whole: its gzip stream is truncated or damaged",
            source=source.name,
            file=name,
            kept="files copied before it",
            next_step="copy the file again from where it came, then run again",
        ) from error
    except OSError as error:
        raise UnreadableInput(f"The file can't be read: {error.strerror}", source=source.name, file=name) from error
    return seen


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _blocks_of_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Blocks of whole lines; the last gets the line end that its file lacks."""
    rest = b""
    while block := stream.read(_BLOCK):
        block = rest + block
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            yield block[:end]
    if rest:
        yield rest + b"\n"


def _note_newest(seen: _Seen, block: bytes) -> None:
    for stamp in set(_LAST_UPDATED.findall(block)):
        try:
            when = datetime.fromisoformat(stamp.decode())
        except ValueError:
            continue  # the mapping quarantines what it can't read; the watermark takes what it can
        if when.tzinfo is None:
            continue
        text = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        seen.newest = max(text, seen.newest or text)
