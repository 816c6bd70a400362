"""Messages leave through an outbox, so that a retry never sends one twice.

A message is written in the transaction that raises its alert. Delivery locks its row, sends, and marks it delivered;
two deliverers never hold the same row. A crash between sending and marking is the one case that no sender can rule out:
the message's id goes with it (as a Message-ID or a file name), so that the receiver drops the repeat.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from smtplib import SMTP
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from surveillance.errors import DeliveryFailed
from warehouse.schema.charts import Outbox

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, RowMapping


@dataclass(frozen=True)
class Message:
    """One message. `id` is stable: the same run writes the same one."""

    id: str
    kind: str  # alert, worklist or test
    subject: str
    body: str
    alert_ids: tuple[str, ...] = ()

    @property
    def message_id(self) -> str:
        """The id as a Message-ID header (RFC 5322), by which mail systems drop repeats."""
        return f"<{self.id}@iess-referral-watch.invalid>"


def message_id(kind: str, run_id: str) -> str:
    """One message of a kind a run."""
    return f"{kind}-{hashlib.sha256(f'{kind}/{run_id}'.encode()).hexdigest()[:16]}"


def enqueue(connection: Connection, message: Message, run_id: str) -> bool:
    """Put a message into the outbox, in the caller's transaction; False when it is there already."""
    row = {
        "message_id": message.id,
        "run_id": run_id,
        "kind": message.kind,
        "subject": message.subject,
        "body": message.body,
        "alert_ids": list(message.alert_ids),
        "attempts": 0,
    }
    put = insert(Outbox).values(**row).on_conflict_do_nothing().returning(Outbox.message_id)
    return connection.execute(put).first() is not None


def written(connection: Connection, message: str) -> Message | None:
    """The message of that id, delivered or not."""
    row = connection.execute(select(Outbox.__table__).where(Outbox.message_id == message)).mappings().first()
    return _message_of(row) if row else None


def _message_of(row: RowMapping) -> Message:
    return Message(row["message_id"], row["kind"], row["subject"], row["body"], tuple(row["alert_ids"]))


def deliver_all(engine: Engine, deliver: Callable[[Message], None], now: datetime) -> list[str]:
    """Deliver what is waiting, oldest first; returns the ids delivered by this call.

    Each message is its own transaction. Raises `DeliveryFailed` (retriable) after trying all, when any failed.
    """
    delivered, failed = [], 0
    tried: set[str] = set()
    while (result := _deliver_next(engine, deliver, now, tried)) is not None:
        message, error = result
        tried.add(message)
        if error is None:
            delivered.append(message)
        else:
            failed += 1
            _note_failure(engine, message, error)
    if failed:
        raise DeliveryFailed(
            f"{failed} of {failed + len(delivered)} messages couldn't be delivered",
            kept="they stay in the outbox",
            next_step="check the notifier's connection, and run the step again",
        )
    return delivered


def _deliver_next(
    engine: Engine, deliver: Callable[[Message], None], now: datetime, tried: set[str]
) -> tuple[str, Exception | None] | None:
    with engine.begin() as connection:
        waiting = (
            select(Outbox.__table__)
            .where(Outbox.delivered_at.is_(None), Outbox.message_id.not_in(tried))
            .order_by(Outbox.run_id, Outbox.message_id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = connection.execute(waiting).mappings().first()
        if row is None:
            return None
        message = _message_of(row)
        try:
            deliver(message)
        except Exception as error:  # noqa: BLE001 - whatever a notifier raises, the other messages must go out
            return message.id, error
        done = {"delivered_at": now, "attempts": row["attempts"] + 1}
        connection.execute(update(Outbox).where(Outbox.message_id == message.id).values(**done))
        return message.id, None


def _note_failure(engine: Engine, message: str, error: Exception) -> None:
    # The type alone: a notifier's text may quote addresses or credentials.
    values = {"attempts": Outbox.attempts + 1, "last_error": type(error).__name__}
    with engine.begin() as connection:
        connection.execute(update(Outbox).where(Outbox.message_id == message).values(**values))


@dataclass(frozen=True)
class FileOutbox:
    """Delivers into a folder, one text file a message, named by its id: delivered again, it is the same file."""

    folder: Path

    def __call__(self, message: Message) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{message.id}.txt"
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8") as file:
            file.write(f"Subject: {message.subject}\nMessage-ID: {message.message_id}\n\n{message.body}")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


@dataclass(frozen=True)
class SmtpOutbox:
    """Delivers by e-mail: plain text, with the message's id as Message-ID, by which mail systems drop repeats."""

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 25
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    starttls: bool = False
    timeout_seconds: float = 30.0

    def __call__(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = message.subject, self.sender, ", ".join(self.recipients)
        mail["Message-ID"] = message.message_id
        mail.set_content(message.body)
        with SMTP(self.host, self.port, timeout=self.timeout_seconds) as server:
            if self.starttls:
                server.starttls(context=ssl.create_default_context())
            if self.user is not None:
                server.login(self.user, self.password or "")
            refused = server.send_message(mail)
        if refused:
            raise DeliveryFailed(f"The mail server refused {len(refused)} of {len(self.recipients)} recipients")
