"""An export as a folder: one NDJSON file a resource type, written as it comes."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class ExportFolder:
    """`with ExportFolder(path, compress=True) as folder: folder.write("Patient", line)`. Keeps one open file a type."""

    def __init__(self, path: Path, *, compress: bool) -> None:
        self.path = path
        self.compress = compress
        self.bytes = 0  # before compression
        self.lines = 0
        self._files: dict[str, IO[bytes]] = {}
        self._open = ExitStack()

    def write(self, kind: str, line: bytes) -> None:
        file = self._files.get(kind)
        if file is None:
            file = self._files[kind] = self._create(kind)
        file.write(line + b"\n")
        self.bytes += len(line) + 1
        self.lines += 1

    def __enter__(self) -> ExportFolder:
        self.path.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _create(self, kind: str) -> IO[bytes]:
        name = f"{kind}.ndjson"
        if not self.compress:
            return self._open.enter_context((self.path / name).open("wb", buffering=1 << 20))
        raw = self._open.enter_context((self.path / f"{name}.gz").open("wb"))
        # No name and no time of writing inside: same resources, same bytes.
        packed = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)
        self._open.callback(packed.close)
        return cast(IO[bytes], packed)
