"""Taking lines out of a landed pull, for a person who is to be erased: the one change that landed files ever see."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fhir_source.landing import digest, read_lines
from fhir_source.private import open_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fhir_source.landing import LandedFile, LandingZone, Manifest

_ENDING = ".ndjson.gz"
NOTE = "lines were taken out when a person was erased"


def take_out(landing: LandingZone, manifest: Manifest, change: Callable[[bytes], bytes | None]) -> int:
    """Rewrite the files of a committed pull by `change`: a line as it is, another in its place, or None for none.

    Gives the number of lines that went or changed. Files that lose something get new names; the manifest names them
    at once and atomically, and what it no longer names is removed after. Killed and run again, it ends the same.
    """
    rewritten: dict[str, LandedFile] = {}
    lines = 0
    for file, path in landing.everything(manifest):
        kept, touched = _rewrite(path, change)
        lines += touched
        if kept is not None:
            rewritten[file.path] = _described(file, kept)
    if rewritten:
        files = tuple(rewritten.get(file.path, file) for file in manifest.files)
        notes = manifest.notes if NOTE in manifest.notes else (*manifest.notes, NOTE)
        manifest = replace(manifest, files=files, notes=notes)
        landing.publish_again(manifest)
    landing.prune(manifest)
    return lines


def _rewrite(path: Path, change: Callable[[bytes], bytes | None]) -> tuple[Path | None, int]:
    """The file without what is to go, beside it, and how many lines that were; no file when all lines stay."""
    if all(change(line) == line for line in read_lines(path)):
        return None, 0
    draft = path.with_name(_next_name(path.name))
    touched = 0
    with open_file(draft, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as packed:
        for line in read_lines(path):
            kept = change(line)
            touched += kept != line
            if kept is not None:
                packed.write(kept)
    with draft.open("rb") as stream:
        os.fsync(stream.fileno())
    return draft, touched


def _described(file: LandedFile, path: Path) -> LandedFile:
    rows = sum(1 for line in read_lines(path) if line.strip())
    return replace(file, path=path.name, rows=rows, bytes=path.stat().st_size, sha256=digest(path))


def _next_name(name: str) -> str:
    """`Patient.001.ndjson.gz`, `Patient.001.r1.ndjson.gz`, `Patient.001.r2.ndjson.gz` ..."""
    stem = name.removesuffix(_ENDING)
    head, _, last = stem.rpartition(".r")
    return f"{head}.r{int(last) + 1}{_ENDING}" if head and last.isdigit() else f"{stem}.r1{_ENDING}"
