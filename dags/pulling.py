"""One source's pull as a task: an export is waited for in the triggerer, everything else runs in the worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowNotFoundException

from dags import calls
from fhir_source.airflow.operator import ExportOrder, FhirBulkExportOperator
from fhir_source.airflow.trigger import FhirExportTrigger, to_plain

if TYPE_CHECKING:
    from airflow.sdk import Context

    from fhir_source.source import Source


class SourceExportTrigger(FhirExportTrigger):
    """Waits for the export of a source of the settings; the credentials are found as the worker finds them."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "dags.pulling.SourceExportTrigger", super().serialize()[1]

    async def authorised(self, source: Source) -> Source:
        """From the connection, else from the settings (files and environment, read in a thread)."""
        try:
            return await super().authorised(source)
        except AirflowNotFoundException:
            settings = await asyncio.to_thread(calls.settings)
            return replace(source, auth=(await asyncio.to_thread(settings.source, source.name)).auth)


class PullSource(FhirBulkExportOperator):
    """Lands one source of the settings, by name; returns `pipeline.records.Pulled` as plain JSON."""

    def __init__(self, *, source_name: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source_name = source_name

    def execute(self, context: Context) -> Any:
        """Kind `bulk` defers until the export is finished; the others are pulled at once."""
        from pipeline import steps

        source = calls.source(self.source_name)
        if source.kind == "bulk":
            return calls.call(super().execute, context)
        return calls.call(steps.pull, calls.settings(), source, calls.clock())

    def execute_complete(self, context: Context, event: dict[str, str]) -> Any:
        """The export is finished, gone or failed."""
        return calls.call(super().execute_complete, context, event)

    def order(self, context: Context) -> ExportOrder:
        """The next pull of the source, since its watermark."""
        from pipeline import steps

        settings, source = calls.settings(), calls.source(self.source_name)
        wanted = steps.next_pull(settings, source, calls.clock())
        return ExportOrder(source, settings.landing_root, wanted.pull_id, wanted.since, calls.connection(source.name))

    def trigger(self, order: ExportOrder, status_url: str) -> SourceExportTrigger:
        """What waits."""
        return SourceExportTrigger(to_plain(order.source), status_url, order.fhir_conn_id)

    def land(self, order: ExportOrder, export: dict[str, Any] | None) -> Any:
        """Land the finished export as any other pull."""
        from pipeline import steps
        from pipeline.records import NextPull

        begun = NextPull(order.pull_id, order.since)
        return calls.call(lambda: steps.pull(calls.settings(), order.source, calls.clock(), begun=begun, export=export))
