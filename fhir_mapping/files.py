"""The files of a folder of FHIR data, and their lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fhir_source.errors import UnreadableInput

LINE_ENDINGS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
DOCUMENT_ENDINGS = (".json", ".json.gz")
#: Written beside an export by its client (Bulk Data log and manifest): not FHIR resources.
_NOT_DATA = frozenset({"log.ndjson", "manifest.json", "package.json"})


@dataclass(frozen=True)
class InputFile:
    """One file to read, and the name that ledgers and quarantine call it by.

    `told_at` is the instant (ISO 8601) up to which it tells: of a deletion in it that does not say when it was.
    """

    path: Path
    name: str
    told_at: str = ""

    @property
    def compressed(self) -> bool:
        return self.path.name.lower().endswith(".gz")

    @property
    def document(self) -> bool:
        """One JSON document (a resource or a Bundle), not one resource a line."""
        return self.path.name.lower().endswith(DOCUMENT_ENDINGS)


def find_files(folder: Path) -> list[InputFile]:
    """Every file of FHIR data in the folder and those below it, by name. Hidden ones are passed over.

    Raises UnreadableInput when there is no such folder, or nothing to read in it.
    """
    if not folder.is_dir():
        raise UnreadableInput("There is no such folder", file=folder.name, next_step="check the path")
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        wanted = path.name.lower().endswith(LINE_ENDINGS + DOCUMENT_ENDINGS) and path.name not in _NOT_DATA
        if wanted and not hidden and path.is_file():
            found.append(InputFile(path, relative.as_posix()))
    if not found:
        raise UnreadableInput(
            "There is nothing to read in the folder",
            file=folder.name,
            next_step=f"give a folder with files that end in {', '.join(LINE_ENDINGS + DOCUMENT_ENDINGS)}",
        )
    return sorted(found, key=lambda file: file.name)


def lines_of(file: InputFile) -> Iterator[tuple[int, bytes]]:
    """Line numbers (from 1) and contents of the lines that aren't blank; white space around them is stripped.

    A document is one line, number 1. Raises UnreadableInput when the file can't be read to its end.
    """
    with reading(file), open_bytes(file) as stream:
        if file.document:
            whole = stream.read().removeprefix(b"\xef\xbb\xbf").strip()
            if whole:
                yield 1, whole
            return
        for number, line in enumerate(stream, start=1):
            content = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
            if content:
                yield number, content


@contextmanager
def reading(file: InputFile) -> Iterator[None]:
    """Turns what can go wrong while a file is read into UnreadableInput."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableInput(
            "The gzip file is cut short or damaged",
            file=file.name,
            kept="nothing was written",
            next_step="fetch the file again",
        ) from error
    except OSError as error:
        raise UnreadableInput("The file can't be read", file=file.name, kept="nothing was written") from error


def open_bytes(file: InputFile) -> BinaryIO:
    if file.compressed:
        return cast(BinaryIO, gzip.open(file.path, "rb"))
    return file.path.open("rb", buffering=1 << 20)
