"""Folders and files that only their owner can read: what is landed is PHI, whatever the umask of the process says."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

if TYPE_CHECKING:
    from pathlib import Path


def make_folder(path: Path) -> None:
    """Create a folder and those above it that are missing, each with mode 700."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def open_file(path: Path, mode: Literal["wb", "ab"]) -> BinaryIO:
    """Open a file for writing; a new one gets mode 600."""
    return cast("BinaryIO", open(path, mode, opener=_opener))


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
