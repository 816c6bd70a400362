"""Deliver the outbox through Airflow's own notifiers: SMTP, Slack, Apprise; or into files.

The channel and its recipients are settings (`[surveillance.notify]`), the credentials an Airflow connection. Every
message carries its id, by which a receiver drops what a crash between sending and marking made go out twice.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow.sdk import BaseNotifier

    from pipeline.notifying import NotifyOptions
    from surveillance.outbox import Message


def deliverer(options: NotifyOptions, outbox_dir: Path) -> Callable[[Message], None]:
    """What delivers inside Airflow: a notifier where a connection is set, else what delivers outside too."""
    from pipeline import notifying

    outside = None if options.connection else notifying.deliverer(options, outbox_dir)
    if outside is not None:
        return outside

    def deliver(message: Message) -> None:
        for notifier in notifiers(options, message):
            # Airflow fills a notifier's context from a task's; these messages are whole, and take nothing from it.
            notifier.notify({})

    return deliver


def notifiers(options: NotifyOptions, message: Message) -> list[BaseNotifier]:
    """The notifiers of one message. The extra `notify` installs their providers."""
    to = options.recipients(message.kind)
    told: dict[str, Any] = {}
    if options.channel == "smtp":
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        told = {"from_email": options.sender, "subject": message.subject, "smtp_conn_id": options.connection}
        headers = {"Message-ID": message.message_id}
        return [SmtpNotifier(to=list(to), html_content=as_html(message), custom_headers=headers, **told)]
    if options.channel == "slack":
        from airflow.providers.slack.notifications.slack import SlackNotifier

        told = {"slack_conn_id": options.connection, "timeout": round(options.timeout_seconds), "unfurl_links": False}
        return [SlackNotifier(text=as_text(message), channel=channel, username="IESS", **told) for channel in to]
    from airflow.providers.apprise.notifications.apprise import AppriseNotifier

    told = {"title": message.subject, "body": f"{message.body}\n{message.id}", "apprise_conn_id": options.connection}
    return [AppriseNotifier(tag=list(to) if to else "all", **told)]


def as_html(message: Message) -> str:
    """The plain text, kept as it is laid out."""
    return f'<pre style="font:inherit;white-space:pre-wrap">{escape(message.body)}</pre>'


def as_text(message: Message) -> str:
    """Subject, text and id in one, for channels without a subject."""
    return f"*{message.subject}*\n{message.body}\n`{message.id}`"
