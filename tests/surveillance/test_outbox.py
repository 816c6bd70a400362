"""Delivery to a folder and to a real mail server on loopback."""

from __future__ import annotations

import email
import email.policy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import Engine, text

from surveillance.errors import DeliveryFailed
from surveillance.outbox import FileOutbox, Message, SmtpOutbox, deliver_all, enqueue, message_id
from warehouse.engine import open_engine

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, tzinfo=UTC)

MESSAGE = Message(message_id("alert", "weekly-2026-11-23"), "alert", "Bitte schauen – please look", "Ten of 20\n")


class Inbox:
    """What the mail server took."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.refused = ""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address == self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"


@pytest.fixture
def engine(warehouse_url: str) -> Iterator[Engine]:
    opened = open_engine(warehouse_url)
    yield opened
    opened.dispose()


def put(engine: Engine) -> None:
    with engine.begin() as connection:
        enqueue(connection, MESSAGE, "weekly-2026-11-23")


def outbox(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [
            tuple(row) for row in connection.execute(text("SELECT attempts, delivered_at, last_error FROM ops.outbox"))
        ]


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


def test_a_server_that_says_nothing_is_given_up_and_the_message_stays(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = int(silent.getsockname()[1])
        hang = SmtpOutbox("127.0.0.1", "iess@example.org", ("lead@example.org",), port, timeout_seconds=0.3)
        put(engine)
        with pytest.raises(DeliveryFailed):
            deliver_all(engine, hang, NOW)
    attempts, delivered_at, error = outbox(engine)[0]
    assert (attempts, delivered_at) == (1, None)
    assert error in ("TimeoutError", "SMTPServerDisconnected")  # by where in the greeting the time is up


def test_a_refused_recipient_is_a_failure(mail_server: tuple[Controller, Inbox], engine: Engine) -> None:
    controller, inbox = mail_server
    inbox.refused = "nobody@example.org"
    deliver = SmtpOutbox("127.0.0.1", "iess@example.org", ("nobody@example.org",), controller.port)
    put(engine)
    with pytest.raises(DeliveryFailed):
        deliver_all(engine, deliver, NOW)
    assert outbox(engine)[0][1] is None


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from surveillance.outbox import SmtpOutbox, deliver_all
from warehouse.engine import open_engine

send = SmtpOutbox("127.0.0.1", "iess@example.org", ("lead@example.org",), int(sys.argv[2]))

def send_and_die(message):
    send(message)
    os.kill(os.getpid(), signal.SIGKILL)

deliver_all(open_engine(sys.argv[1]), send_and_die, datetime(2026, 11, 23, tzinfo=UTC))
"""


def test_killed_between_sending_and_marking_it_is_the_same_message_again(
    mail_server: tuple[Controller, Inbox], warehouse_url: str, engine: Engine
) -> None:
    controller, inbox = mail_server
    put(engine)
    done = subprocess.run([sys.executable, "-c", KILLED, warehouse_url, str(controller.port)], check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert outbox(engine) == [(0, None, None)]  # not marked, and not locked: the lock went with the process
    send = SmtpOutbox("127.0.0.1", "iess@example.org", ("lead@example.org",), controller.port)
    assert deliver_all(engine, send, NOW) == [MESSAGE.id]
    assert deliver_all(engine, send, NOW) == []
    ids = [email.message_from_bytes(mail.content, policy=email.policy.default)["Message-ID"] for mail in inbox.mails]
    assert ids == [MESSAGE.message_id] * 2  # by which the receiver drops the second


def test_two_deliverers_at_once_send_each_message_once(engine: Engine) -> None:
    with engine.begin() as connection:
        for i in range(12):
            enqueue(connection, replace(MESSAGE, id=f"alert-{i:02d}"), "weekly-1")
    sent: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deliver_all(engine, lambda message: sent.append(message.id), NOW), range(4)))
    assert sorted(sent) == [f"alert-{i:02d}" for i in range(12)]
