"""Where messages go: the settings of delivery, and the deliverer that they mean outside Airflow.

In Airflow the DAGs deliver through Airflow's own notifiers (`dags.notifying`), with the credentials of a connection.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from pipeline.credentials import credential

if TYPE_CHECKING:
    from collections.abc import Callable

    from surveillance.outbox import Message

    Deliver = Callable[[Message], None]

Channel = Literal["file", "smtp", "slack", "apprise"]


class NotifyOptions(BaseModel):
    """`to`, `escalate_to` and `clinical_to` are e-mail addresses, Slack channels or Apprise tags, by channel.

    `clinical_to` gets the daily work-list message, `escalate_to` alerts that nobody acknowledged; both default to `to`.
    With `connection` the DAGs use that Airflow connection and its credentials.
    """

    model_config = ConfigDict(extra="forbid")

    channel: Channel = "file"
    connection: str = ""
    to: tuple[str, ...] = ()
    escalate_to: tuple[str, ...] = ()
    clinical_to: tuple[str, ...] = ()
    sender: str = "iess@localhost"
    host: str = "localhost"
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    starttls: bool = False
    user: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _whole(self) -> NotifyOptions:
        if self.channel in ("smtp", "slack") and not self.to:
            raise ValueError(f"the channel {self.channel} needs someone in `to`")
        if self.channel in ("slack", "apprise") and not self.connection:
            raise ValueError(f"the channel {self.channel} needs the Airflow `connection` that holds its credentials")
        return self

    def recipients(self, kind: str) -> tuple[str, ...]:
        """Who gets messages of that kind."""
        own = {"escalation": self.escalate_to, "worklist": self.clinical_to}.get(kind, ())
        return own or self.to

    def secret(self) -> str | None:
        """The password of the mail server, from the environment or from a file that only its owner may read."""
        return credential(self.password, self.password_file)


def deliverer(options: NotifyOptions, outbox_dir: Path) -> Deliver | None:
    """What delivers outside Airflow; None where only Airflow can, so that messages wait in the outbox for its DAGs."""
    from surveillance.outbox import FileOutbox, SmtpOutbox

    if options.channel == "file":
        return FileOutbox(outbox_dir)
    if options.channel != "smtp":
        return None

    def deliver(message: Message) -> None:
        SmtpOutbox(
            options.host,
            options.sender,
            options.recipients(message.kind),
            port=options.port,
            user=options.user,
            password=options.secret(),
            starttls=options.starttls,
            timeout_seconds=options.timeout_seconds,
        )(message)

    return deliver
