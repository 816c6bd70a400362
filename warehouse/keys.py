"""Keyed hashes that stand for infants outside `clinical`. The key is passed in, and never stored."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from fhir_source.errors import SettingsError
from warehouse.errors import HashKeyChanged, translated
from warehouse.schema.base import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

MINIMUM_KEY_BYTES = 16


def infant_key(key: bytes, source: str, infant: str) -> str:
    """HMAC-SHA256 of source and infant, hex. A NUL between them keeps ("a", "bc") and ("ab", "c") apart."""
    return _digest(key, f"infant\0{source}\0{infant}")


def rotate(engine: Engine, old: bytes, new: bytes) -> int:
    """Give every infant a new key under the key `new`, everywhere; gives the number of infants.

    Raises HashKeyChanged when `old` is not the key in use. What was exported under the old key can't be joined to what
    is exported after.
    """
    with translated(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('iess.warehouse', 0))"))
        require_same(connection, old)
        infants = connection.execute(text("SELECT source, infant, infant_key FROM clinical.infant_key")).all()
        # Rows are written anew in this order, which must not be that of the infants' ids.
        changes = sorted(
            ({"old": before, "new": infant_key(new, source, infant)} for source, infant, before in infants),
            key=lambda change: change["new"],
        )
        for table in tables():
            if "infant_key" in table.columns and changes:
                connection.execute(
                    text(f"UPDATE {table.fullname} SET infant_key = :new WHERE infant_key = :old"),  # noqa: S608
                    changes,
                )
        connection.execute(text("DELETE FROM ops.hash_key"))
        require_same(connection, new)
        return len(changes)


def require_same(connection: Connection, key: bytes) -> None:
    """Remember the key's fingerprint, or raise HashKeyChanged when the warehouse was filled with another key.

    Two keys in one warehouse would make one infant two, and nobody would see it.
    """
    if len(key) < MINIMUM_KEY_BYTES:
        raise SettingsError(
            f"The hash key is shorter than {MINIMUM_KEY_BYTES} bytes", next_step="set one of 32 random bytes or more"
        )
    fingerprint = _digest(key, "fingerprint")[:16]
    known = connection.execute(text("SELECT fingerprint FROM ops.hash_key")).scalar_one_or_none()
    if known is None:
        connection.execute(text("INSERT INTO ops.hash_key VALUES (true, :fingerprint)"), {"fingerprint": fingerprint})
    elif known != fingerprint:
        raise HashKeyChanged(
            "The hash key is not the one that this warehouse's infant keys were made with",
            kept="the warehouse is as it was",
            next_step="set the former key, or rotate to the new one with `iess db rotate-key`",
        )


def add_infants(connection: Connection, key: bytes, source: str, infants: Iterable[str]) -> None:
    """Give each infant a key, in `clinical.infant_key`, unless it has one."""
    rows = [
        {"source": source, "infant": infant, "infant_key": infant_key(key, source, infant)}
        for infant in sorted(infants)
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO clinical.infant_key (source, infant, infant_key) VALUES (:source, :infant, :infant_key) "
                "ON CONFLICT (source, infant) DO NOTHING"
            ),
            rows,
        )


def _digest(key: bytes, message: str) -> str:
    return hmac.new(key, message.encode(), "sha256").hexdigest()
