"""The key of the keyed hashes that stand for infants in `analytics`. It never enters the database."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.settings import Settings


def hash_key(settings: Settings) -> bytes:
    """The key of the settings (`IESS_HASH_KEY`), else the one in `home`/hash.key, made once with mode 600."""
    if settings.hash_key is not None:
        return settings.hash_key.get_secret_value().encode()
    file = settings.home / "hash.key"
    if not file.exists():
        _make(file)
    return file.read_bytes().strip()


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
