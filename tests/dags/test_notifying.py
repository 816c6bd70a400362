"""Delivery through Airflow's own notifiers: a real mail server on loopback, and what Slack and Apprise are handed."""

from __future__ import annotations

import email
import email.policy
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration

SEND = """
import json, sys
from pathlib import Path
from dags.notifying import deliverer, notifiers
from pipeline.notifying import NotifyOptions
from surveillance.outbox import Message

message = Message("alert-0123", "alert", "Please look", "10 of 20 v 5 of <30>\\n")
smtp = NotifyOptions(channel="smtp", connection="iess_alerts", to=("lead@example.org",), sender="iess@example.org")
deliverer(smtp, Path("."))(message)
slack = NotifyOptions(channel="slack", connection="iess_slack", to=("#iess", "#lead"))
apprise = NotifyOptions(channel="apprise", connection="iess_apprise", to=("leads",))
told = [(type(n).__name__, getattr(n, "channel", None), getattr(n, "text", None), getattr(n, "title", None),
         getattr(n, "body", None), getattr(n, "tag", None))
        for options in (slack, apprise) for n in notifiers(options, message)]
print("JSON" + json.dumps(told))
"""


class Inbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(envelope)
        return "250 OK"


def test_airflows_notifiers_carry_the_message_and_its_id(tmp_path: Path) -> None:
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    controller = Controller(inbox, hostname="127.0.0.1", port=port, ready_timeout=30)
    controller.start()
    extra = "%7B%22disable_ssl%22%3A+true%2C+%22disable_tls%22%3A+true%7D"
    try:
        done = subprocess.run(
            [sys.executable, "-c", SEND],
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "AIRFLOW_HOME": str(tmp_path),
                "AIRFLOW_CONN_IESS_ALERTS": f"smtp://127.0.0.1:{port}/?__extra__={extra}",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        controller.stop()
    assert done.returncode == 0, done.stderr[-2000:]
    assert [mail.rcpt_tos for mail in inbox.mails] == [["lead@example.org"]]
    mail = email.message_from_bytes(inbox.mails[0].content, policy=email.policy.default)
    assert (mail["Subject"], mail["Message-ID"]) == ("Please look", "<alert-0123@iess-referral-watch.invalid>")
    body = mail.get_body(("html",))
    assert body is not None
    assert "10 of 20 v 5 of &lt;30&gt;" in body.get_content()
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("JSON")).removeprefix("JSON"))
    text = "*Please look*\n10 of 20 v 5 of <30>\n\n`alert-0123`"
    assert told == [
        ["SlackNotifier", "#iess", text, None, None, None],
        ["SlackNotifier", "#lead", text, None, None, None],
        ["AppriseNotifier", None, None, "Please look", "10 of 20 v 5 of <30>\n\nalert-0123", ["leads"]],
    ]
