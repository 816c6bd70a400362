"""The key of the keyed hashes that stand for infants in `analytics`. It never enters the database."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

from fhir_source.errors import SettingsError
from warehouse import keys
from warehouse.errors import HashKeyChanged

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from pipeline.settings import Settings


def hash_key(settings: Settings) -> bytes:
    """The key of the settings (`IESS_HASH_KEY`), else the one in `home`/hash.key, made once with mode 600."""
    if settings.hash_key is not None:
        return settings.hash_key.get_secret_value().encode()
    file = settings.home / "hash.key"
    if not file.exists():
        _make(file)
    return file.read_bytes().strip()


def rotate(settings: Settings, engine: Engine, new_key_file: Path | None = None) -> int:
    """Give every infant a new key under a new hash key; returns the number of infants.

    The new key is the content of `new_key_file`, which must be there when the key in use comes from the environment;
    otherwise one is made, and takes the place of `home`/hash.key. Killed at any moment, run again, it ends the same.
    Raises SettingsError, HashKeyChanged.
    """
    given = _read_private(new_key_file) if new_key_file else None
    if settings.hash_key is not None:
        if given is None:
            raise SettingsError(
                "The hash key in use comes from IESS_HASH_KEY, so the new one must be given",
                next_step="write 32 random bytes as hex into a file of mode 600, and name it with --new-key-file",
            )
        try:
            return keys.rotate(engine, hash_key(settings), given)
        except HashKeyChanged:
            return keys.rotate(engine, given, given)  # changes nothing; refused when it is not the key in use either
    file, draft = settings.home / "hash.key", settings.home / "hash.key.next"
    finished = _finish(engine, file, draft)
    if finished is not None and given is None:
        return finished
    old = hash_key(settings)
    if given is None:
        _make(draft)
    else:
        draft.touch(mode=0o600)
        draft.write_bytes(given)
    infants = keys.rotate(engine, old, draft.read_bytes().strip())
    draft.replace(file)
    return infants


def _finish(engine: Engine, file: Path, draft: Path) -> int | None:
    """A rotation that was cut short after the warehouse took the new key: only the file is still to be put in place.

    Number of infants; None when there was no such rotation. A draft that the warehouse never took is removed.
    """
    if not draft.exists():
        return None
    new = draft.read_bytes().strip()
    try:
        infants = keys.rotate(engine, new, new)
    except (HashKeyChanged, SettingsError):
        draft.unlink()
        return None
    draft.replace(file)
    return infants


def _read_private(file: Path) -> bytes:
    try:
        mode, content = stat.S_IMODE(file.stat().st_mode), file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"The new hash key can't be read: {error.strerror}", file=str(file)) from None
    if mode & 0o077:
        raise SettingsError(
            f"The new hash key is open to others (mode {mode:o})", file=str(file), next_step=f"chmod 600 {file}"
        )
    return content


def _make(file: Path) -> None:
    """Write a new key whole, then give it its name: of two processes that try at once, one key wins."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32), encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    except OSError as error:
        raise SettingsError(f"The hash key can't be written: {error.strerror}", file=str(file)) from None
    finally:
        draft.unlink(missing_ok=True)
