"""Delivery to a folder and to a real mail server on loopback."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from surveillance.outbox import FileOutbox, Message, SmtpOutbox, message_id

MESSAGE = Message(message_id("alert", "weekly-2026-11-23"), "alert", "Bitte schauen – please look", "Ten of 20\n")


class Inbox:
    """What the mail server took."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def mail_server() -> Iterator[tuple[Controller, Inbox]]:
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    controller = Controller(inbox, hostname="127.0.0.1", port=port, ready_timeout=30)
    controller.start()
    yield controller, inbox
    controller.stop()


def test_mail_carries_the_id_by_which_a_repeat_is_dropped(mail_server: tuple[Controller, Inbox]) -> None:
    controller, inbox = mail_server
    deliver = SmtpOutbox("127.0.0.1", "iess@example.org", ("lead@example.org", "team@example.org"), controller.port)
    deliver(MESSAGE)
    assert inbox.mails[0].rcpt_tos == ["lead@example.org", "team@example.org"]
    mail = email.message_from_bytes(inbox.mails[0].content, policy=email.policy.default)
    assert mail["Message-ID"] == MESSAGE.message_id
    assert mail["Subject"] == MESSAGE.subject
    assert mail.get_content().strip() == "Ten of 20"


def test_a_password_is_not_shown() -> None:
    assert "hush" not in repr(SmtpOutbox("h", "a@b", ("c@d",), user="u", password="hush"))


def test_a_file_delivered_again_is_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        FileOutbox(tmp_path)(MESSAGE)
    assert [path.name for path in tmp_path.iterdir()] == [f"{MESSAGE.id}.txt"]


def test_ids_are_stable_and_differ_by_kind_and_run() -> None:
    assert message_id("alert", "a") == message_id("alert", "a")
    assert len({message_id(kind, run) for kind in ("alert", "worklist") for run in ("a", "b")}) == 4
