"""What is in a folder of FHIR files, wherever it is (a local path or any fsspec URL), and how each file is opened."""

from __future__ import annotations

import contextlib
import gzip
import re
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
import orjson

from fhir_source.errors import IessError, SettingsError, SourceUnreachable, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_source.landing import Role
    from fhir_source.source import Source

_NAMES = re.compile(r".+\.(?P<form>ndjson|jsonl|json)(\.(gz|zst|zstd))?", re.IGNORECASE)
_LOG = re.compile(r"log\.ndjson", re.IGNORECASE)  # of an export, beside its files: smart-fetch, bulk-data-client
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
# Subfolders in which Bulk Data clients put what an export reports as deleted or failed.
_ROLES: dict[str, Role] = {"deleted": "deleted", "error": "error"}


@dataclass(frozen=True)
class Input:
    """One file to read. `name` is relative to the folder, with forward slashes."""

    name: str
    path: str
    size: int
    changed: str  # instant of the last change as the file system tells it, "" when it doesn't
    role: Role

    @property
    def is_lines(self) -> bool:
        """NDJSON, as opposed to one JSON document (a Bundle or a resource)."""
        match = _NAMES.fullmatch(PurePosixPath(self.name).name)
        return match is not None and match["form"].lower() != "json"

    @property
    def stamp(self) -> str:
        """Tells whether a file is still the one that was copied before an interruption."""
        return f"{self.name} {self.size} {self.changed}"


class Folder:
    """A folder of FHIR files. Raises UnreadableInput when it is missing, SettingsError for a URL that can't be
    opened.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        if urlsplit(source.url).password is not None:
            raise SettingsError(
                "The folder's URL holds credentials",
                source=source.name,
                next_step="put them where the store's own library looks for them (environment, profile)",
            )
        with self.guard():
            try:
                self._files, self._root = fsspec.core.url_to_fs(source.url)
            except (ValueError, ImportError):
                raise SettingsError(
                    "The folder's URL can't be opened: its kind is unknown, or the package for it is not installed",
                    source=source.name,
                    next_step="install the fsspec package of that store (s3fs, gcsfs, adlfs)",
                ) from None
            there = self._files.isdir(self._root)
        if not there:
            raise UnreadableInput(
                "There is no such folder", source=source.name, next_step="check the path in the settings"
            )

    def inputs(self) -> list[Input]:
        """Files to read, sorted by name. Raises UnreadableInput when there is none."""
        with self.guard():
            listed = sorted(self._files.find(self._root, detail=True).items())
        found = [self._input(path, info) for path, info in listed if self._wanted(path)]
        found = _without_superseded(found, self._links(found))
        if not found:
            raise UnreadableInput(
                "The folder has no FHIR file (.ndjson, .json, plain, gzip or zstd)",
                source=self.source.name,
                next_step="check the path in the settings",
            )
        return found

    @contextlib.contextmanager
    def guard(self, file: str | None = None) -> Iterator[None]:
        """What fails while the folder is read, as an error of ours, without the words of the library that failed.

        Raises UnreadableInput for what is damaged or not to be had, SourceUnreachable for a store that is down.
        """
        try:
            yield
        except IessError:
            raise
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise self._unreadable("The file is not whole: its packed stream is truncated or damaged", file) from None
        except (zipfile.BadZipFile, tarfile.TarError):
            raise self._unreadable("The archive is damaged, or is none of the kind that the URL says", file) from None
        except Exception as error:  # noqa: BLE001 - every store's library has errors of its own
            # pyarrow tells a damaged zstd stream by an OSError without number.
            damaged = isinstance(error, OSError) and error.errno is None
            if damaged or self._is_local or isinstance(error, FileNotFoundError | PermissionError):
                what = "The file can't be read, or its packed stream is truncated or damaged"
                raise self._unreadable(what if file else "The folder can't be read", file) from None
            raise SourceUnreachable(
                f"The folder's store can't be read ({type(error).__name__})",
                source=self.source.name,
                file=file,
                kept="files copied before it" if file else None,
                next_step="run the pull again when the store is well",
            ) from None

    def _unreadable(self, what: str, file: str | None) -> UnreadableInput:
        return UnreadableInput(
            what,
            source=self.source.name,
            file=file,
            kept="files copied before it" if file else None,
            next_step="copy it again from where it came, then run again",
        )

    def open(self, file: Input) -> BinaryIO:
        """The file's bytes, unpacked; packed files are known by their first bytes, not by their names."""
        stream = self._files.open(file.path, "rb")
        magic = stream.read(4)
        stream.seek(0)
        if magic.startswith(_GZIP):
            return cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb"))
        if magic == _ZSTD:
            import pyarrow  # 35 MB and a third of a second, for a form that is rare

            return cast("BinaryIO", pyarrow.CompressedInputStream(pyarrow.PythonFile(stream, "r"), "zstd"))
        return cast("BinaryIO", stream)

    @property
    def _is_local(self) -> bool:
        return "://" not in self.source.url or self.source.url.startswith("file://")

    def export_time(self) -> str | None:
        """The server's transaction time, when a log of the export lies beside its files."""
        times: list[str] = []
        with self.guard():
            logs = [path for path in sorted(self._files.find(self._root)) if _LOG.fullmatch(PurePosixPath(path).name)]
            texts = [self._files.cat_file(path) for path in logs]
        for text in texts:
            for line in text.splitlines():
                try:
                    detail = orjson.loads(line).get("eventDetail") or {}
                except (ValueError, AttributeError):
                    continue  # a log, not data: a line that can't be read says nothing
                if isinstance(detail, dict) and isinstance(detail.get("transactionTime"), str):
                    times.append(detail["transactionTime"])
        return max(times, default=None)

    def _wanted(self, path: str) -> bool:
        parts = self._relative(path).parts
        return (
            not any(part.startswith(".") for part in parts)
            and _NAMES.fullmatch(parts[-1]) is not None
            and _LOG.fullmatch(parts[-1]) is None
        )

    def _input(self, path: str, info: dict[str, Any]) -> Input:
        name = self._relative(path)
        changed = info.get("mtime") or info.get("LastModified") or info.get("updated") or info.get("created") or ""
        if isinstance(changed, int | float):
            changed = datetime.fromtimestamp(changed, UTC)
        role = next((_ROLES[part] for part in name.parts[:-1] if part in _ROLES), "output")
        text = changed.astimezone(UTC).isoformat() if isinstance(changed, datetime) else str(changed)
        return Input(name.as_posix(), path, int(info.get("size") or 0), text, cast("Role", role))

    def _relative(self, path: str) -> PurePosixPath:
        return PurePosixPath(path).relative_to(PurePosixPath(self._root))

    def _links(self, found: list[Input]) -> dict[str, str]:
        """Symbolic links among the files, to files of the same folder: name to name. Local folders only."""
        if not self._is_local:
            return {}
        root = Path(self._root).resolve()
        links = {}
        for file in found:
            path = Path(file.path)
            if path.is_symlink() and path.resolve().is_relative_to(root):
                links[file.name] = path.resolve().relative_to(root).as_posix()
        return links


def _without_superseded(found: list[Input], links: dict[str, str]) -> list[Input]:
    """A managed smart-fetch folder has a subfolder an export, and links to the files that still hold: those are read.

    Deletions count from the exports that are linked to.
    """
    if not links:
        return found
    current = set(links.values())
    exports = {PurePosixPath(name).parts[0] for name in current}
    return [
        file
        for file in found
        if file.name not in links
        and (file.name in current or (file.role != "output" and PurePosixPath(file.name).parts[0] in exports))
    ]
