"""Where committed pulls are kept: on the local disk, or in an object store through fsspec.

A pull is always written on a local disk first, since only there it can be taken up after a kill. An object store gets
its files when the pull is committed, and the manifest last: a reader there sees the whole pull or none of it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import fsspec

from fhir_source.errors import SettingsError
from fhir_source.private import make_folder

if TYPE_CHECKING:
    from fhir_source.landing import Manifest

MANIFEST = "manifest.json"


class Store(Protocol):
    """Committed pulls. Names of pulls are `<source>/<pull id>`."""

    work: Path  # folder on the local disk in which pulls are written

    def read_manifest(self, pull: str) -> bytes | None:
        """The manifest's bytes, None when the pull was never committed."""

    def names(self, source_name: str) -> list[str]:
        """Ids of what is there of a source, committed or not, sorted."""

    def publish(self, folder: Path, pull: str, manifest: Manifest) -> None:
        """Bring a whole pull to where it is kept; called before its manifest is written in `folder`."""

    def fetch(self, pull: str, name: str, size: int) -> Path:
        """A local path of one file; it may be missing there when the store lost it."""

    def remove(self, pull: str, names: list[str]) -> None:
        """Remove a pull: its manifest first, so that it is never seen in part."""

    def prune(self, pull: str, names: set[str]) -> None:
        """Remove all files of a pull but those of these names."""


class LocalStore:
    """A folder on the local disk: pulls are kept where they are written."""

    def __init__(self, work: Path) -> None:
        self.work = work

    def read_manifest(self, pull: str) -> bytes | None:
        path = self.work / pull / MANIFEST
        return path.read_bytes() if path.is_file() else None

    def names(self, source_name: str) -> list[str]:
        parent = self.work / source_name
        return sorted(entry.name for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []

    def publish(self, folder: Path, pull: str, manifest: Manifest) -> None:
        return

    def fetch(self, pull: str, name: str, size: int) -> Path:
        return self.work / pull / name

    def remove(self, pull: str, names: list[str]) -> None:
        (self.work / pull / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.work / pull)

    def prune(self, pull: str, names: set[str]) -> None:
        for stray in (self.work / pull).iterdir():
            if stray.name not in names:
                stray.unlink()


class ObjectStore:
    """A bucket or whatever else fsspec reaches, with a local working copy of what is written and read."""

    def __init__(self, url: str, work: Path) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise SettingsError(
                "The landing zone's URL can't be opened: its kind is unknown, or the package for it is not installed",
                next_step="install the fsspec package of that store (s3fs, gcsfs, adlfs)",
            ) from error
        self._root = PurePosixPath(root)
        self._local = LocalStore(work)
        self.work = work

    def read_manifest(self, pull: str) -> bytes | None:
        path = self._path(pull, MANIFEST)
        self._files.invalidate_cache()
        try:
            found: bytes = self._files.cat_file(path)
        except FileNotFoundError:
            return None
        return found

    def names(self, source_name: str) -> list[str]:
        self._files.invalidate_cache()
        try:
            entries: list[dict[str, Any]] = self._files.ls(self._path(source_name), detail=True)
        except FileNotFoundError:
            return []
        return sorted(PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == "directory")

    def publish(self, folder: Path, pull: str, manifest: Manifest) -> None:
        self._files.makedirs(self._path(pull), exist_ok=True)
        for file in manifest.files:
            self._files.put_file(str(folder / file.path), self._path(pull, file.path))
        self._files.pipe_file(self._path(pull, MANIFEST), manifest.to_json())

    def fetch(self, pull: str, name: str, size: int) -> Path:
        path = self.work / pull / name
        if not path.is_file() or path.stat().st_size != size:
            make_folder(path.parent)
            temporary = path.with_name(f".{name}.get")
            try:
                self._files.get_file(self._path(pull, name), str(temporary))
            except FileNotFoundError:
                return path
            temporary.rename(path)
        return path

    def remove(self, pull: str, names: list[str]) -> None:
        for name in (MANIFEST, *names):
            try:
                self._files.rm_file(self._path(pull, name))
            except FileNotFoundError:
                continue
        if (self.work / pull).is_dir():
            self._local.remove(pull, names)

    def prune(self, pull: str, names: set[str]) -> None:
        self._files.invalidate_cache()
        for entry in self._files.ls(self._path(pull), detail=True):
            if entry["type"] == "file" and PurePosixPath(entry["name"]).name not in names:
                self._files.rm_file(entry["name"])
        if (self.work / pull).is_dir():
            self._local.prune(pull, names)

    def _path(self, *parts: str) -> str:
        return str(self._root.joinpath(*parts))


def store_of(root: str, work: Path | None) -> Store:
    """The store of a local path or fsspec URL. Raises SettingsError when it can't be opened."""
    if "://" not in root:
        return LocalStore(Path(root))
    if root.startswith("file://"):
        return LocalStore(Path(root.removeprefix("file://")))
    if work is None:
        work = Path.home() / ".cache" / "iess" / hashlib.sha256(root.encode()).hexdigest()[:16]
    return ObjectStore(root, work)
