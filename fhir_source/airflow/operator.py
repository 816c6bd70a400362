"""A Bulk Data export as a deferrable task: waiting takes no worker slot, and a retry re-attaches to the running
export.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from fhir_source import errors
from fhir_source.airflow.failures import no_retry_when_useless
from fhir_source.airflow.hook import FhirHook
from fhir_source.airflow.trigger import FhirExportTrigger, to_plain
from fhir_source.bulk_job import ExportFailed
from fhir_source.landing import LandingZone
from fhir_source.pull import forget_export, pull, start_export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from fhir_source.source import Source

_KEY = "fhir_export"  # in the task's state store
_MARGIN = timedelta(minutes=10)  # the trigger ends by itself at export_hours; the task's timeout is the second line
_BY_NAME: dict[str, type[errors.IessError]] = {
    kind.__name__: kind
    for kind in (*vars(errors).values(), ExportFailed)
    if isinstance(kind, type) and issubclass(kind, errors.IessError)
}


@dataclass(frozen=True)
class ExportOrder:
    """Which export: the source with its credentials, the connection that they come from, the landing zone, the pull."""

    source: Source
    landing: str
    pull_id: str
    since: str | None = None
    fhir_conn_id: str | None = None


class FhirBulkExportOperator(BaseOperator):
    """Start an export, wait for it in the triggerer, land its files; returns `{"source", "pull_id", "counts"}`.

    The export's status URL is kept in the pull's folder and in the task's state store before the first look at it.
    Override
    `order` to decide at run time which export is meant (None: there is nothing to do), or give `source` and the rest.
    With `download=False` only the wait is this task's; a later `pull` with the same id lands the files.
    """

    template_fields: Sequence[str] = ("landing", "pull_id", "since", "fhir_conn_id")

    def __init__(
        self,
        *,
        source: Source | None = None,
        landing: str = "",
        pull_id: str = "",
        since: str | None = None,
        fhir_conn_id: str | None = None,
        download: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.landing = landing
        self.pull_id = pull_id
        self.since = since
        self.fhir_conn_id = fhir_conn_id
        self.download = download

    def order(self, context: Context) -> ExportOrder | None:
        """The export of this run."""
        if self.source is None:
            raise errors.SettingsError("The operator has no source", next_step="give source, or override order")
        source = FhirHook(self.fhir_conn_id).source(self.source) if self.fhir_conn_id else self.source
        return ExportOrder(source, self.landing, self.pull_id, self.since, self.fhir_conn_id)

    def execute(self, context: Context) -> Any:
        """Start or attach, then defer."""
        with no_retry_when_useless():
            order = self.order(context)
            if order is None:
                return None
            store = context.get("task_state_store")
            remembered = store.get(_KEY) if store is not None else None
            facts = start_export(
                order.source,
                LandingZone(order.landing),
                pull_id=order.pull_id,
                since=order.since,
                remembered=remembered if isinstance(remembered, dict) else None,
            )
            if facts is None:
                return self._landed(order)
            if store is not None:
                store.set(_KEY, facts)
        return self.defer(
            trigger=FhirExportTrigger(to_plain(order.source), facts["status_url"], order.fhir_conn_id),
            method_name="execute_complete",
            timeout=timedelta(hours=order.source.export_hours) + _MARGIN,
        )

    def execute_complete(self, context: Context, event: dict[str, str]) -> Any:
        """The trigger fired: land the files, start anew when the export is gone, or fail by the type of what went
        wrong.
        """
        with no_retry_when_useless():
            order = self.order(context)
            kind = _BY_NAME.get(event.get("error", ""), errors.PullIncomplete)
            if order and (event["state"] == "gone" or kind is ExportFailed):
                forget_export(order.source, LandingZone(order.landing), pull_id=order.pull_id)
                store = context.get("task_state_store")
                if store is not None:
                    store.delete(_KEY)
            if event["state"] == "failed":
                raise kind(event["what"])
            if order and event["state"] == "finished":
                return self._landed(order) if self.download else None
        return self.execute(context)

    def _landed(self, order: ExportOrder) -> dict[str, Any]:
        manifest = pull(
            order.source,
            LandingZone(order.landing),
            pull_id=order.pull_id,
            since=order.since,
            now=datetime.now(UTC),  # kind `bulk` takes the server's time, never this one
            cohort_codes=(),
        )
        return {"source": manifest.source, "pull_id": manifest.pull_id, "counts": manifest.counts}
