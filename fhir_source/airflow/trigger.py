"""Waits for a Bulk Data export in the triggerer: asynchronous throughout, and without any secret of its own."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from fhir_source.airflow.hook import FhirHook
from fhir_source.bulk_job import Gone, wait
from fhir_source.errors import IessError
from fhir_source.source import Auth, Source
from fhir_source.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FhirExportTrigger(BaseTrigger):
    """Fires when the export of `status_url` is finished, gone or failed.

    What is serialised: the source's settings without credentials, the connection's id, the status URL. The
    credentials are read from the connection by the triggerer itself.
    """

    def __init__(self, source: dict[str, Any], status_url: str, fhir_conn_id: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.source = source
        self.status_url = status_url
        self.fhir_conn_id = fhir_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "fhir_source.airflow.trigger.FhirExportTrigger",
            {"source": self.source, "status_url": self.status_url, "fhir_conn_id": self.fhir_conn_id},
        )

    async def authorised(self, source: Source) -> Source:
        """The source with its credentials. Override when they are not in a connection; must not block."""
        return await FhirHook(self.fhir_conn_id).asource(source) if self.fhir_conn_id else source

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: `{"state": "finished" | "gone"}`, or `{"state": "failed", "error": <type>, "what":
        <sentence>}`.
        """
        try:
            async with Transport(await self.authorised(from_plain(self.source))) as transport:
                await wait(transport, self.status_url)
            seen = {"state": "finished"}
        except Gone:
            seen = {"state": "gone"}
        except IessError as error:
            seen = {"state": "failed", "error": type(error).__name__, "what": str(error)}
        yield TriggerEvent(seen)  # type: ignore[no-untyped-call]


def to_plain(source: Source) -> dict[str, Any]:
    """A source's settings as plain JSON, without its credentials."""
    plain = {part.name: getattr(source, part.name) for part in fields(source) if part.name != "auth"}
    return {
        name: str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        for name, value in plain.items()
    }


def from_plain(plain: dict[str, Any]) -> Source:
    """The opposite of `to_plain`; the credentials are none."""
    paths = {name: Path(plain[name]) for name in ("ca_file", "client_cert", "client_key") if plain.get(name)}
    sequences = {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
    return replace(Source(**{**plain, **sequences, **paths}), auth=Auth())
