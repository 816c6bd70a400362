"""Credentials: never in the settings file; from the environment, or from a file that only its owner may read."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

_CREDENTIALS = ("secret", "private_key", "password", "token")


def refuse_credentials(content: dict[str, Any], file: Path) -> None:
    """Refuse a settings file that holds one. Raises SettingsError."""
    for name, source in content.get("sources", {}).items():
        for key in source.get("auth", {}) if isinstance(source, dict) else ():
            if key in _CREDENTIALS:
                raise SettingsError(
                    f"sources.{name}.auth.{key} is a credential and may not stand in the settings file",
                    file=str(file),
                    next_step=f"set IESS_SOURCES__{name.upper()}__AUTH__{key.upper()}, or {key}_file (mode 600)",
                )
    surveillance = content.get("surveillance", {})
    notify = surveillance.get("notify", {}) if isinstance(surveillance, dict) else {}
    if isinstance(notify, dict) and "password" in notify:
        raise SettingsError(
            "surveillance.notify.password is a credential and may not stand in the settings file",
            file=str(file),
            next_step="set IESS_SURVEILLANCE__NOTIFY__PASSWORD, or password_file (mode 600)",
        )
    if "hash_key" in content:
        raise SettingsError("hash_key is a credential and may not stand in the settings file", file=str(file))


def credential(value: SecretStr | None, file: Path | None) -> str | None:
    """The value itself, else the content of the file. Raises SettingsError for a file open to others."""
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        raise SettingsError("A credential file does not exist or can't be read", file=str(file)) from None
    if mode & 0o077:
        raise SettingsError(
            f"A credential file is open to others (mode {mode:o})", file=str(file), next_step=f"chmod 600 {file}"
        )
    return file.read_text(encoding="utf-8").strip()
