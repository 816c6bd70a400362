"""A Bulk Data export as a deferrable task: waiting takes no worker slot, and a retry re-attaches to the running
export.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

    The export's status URL is kept in the pull's folder and in the task's state store before the first look at it: a
    retry re-attaches to the running export, on whatever machine it runs.
    Override `order` to decide at run time which export is meant, `trigger` to say where the triggerer finds the
    credentials, `land` to do more with what comes; or give `source` and the rest.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.landing = landing
        self.pull_id = pull_id
        self.since = since
        self.fhir_conn_id = fhir_conn_id

    def order(self, context: Context) -> ExportOrder:
        """The export of this run. Asked once: what it says is kept with the export."""
        if self.source is None:
            raise errors.SettingsError("The operator has no source", next_step="give source, or override order")
        source = FhirHook(self.fhir_conn_id).source(self.source) if self.fhir_conn_id else self.source
        return ExportOrder(source, self.landing, self.pull_id, self.since, self.fhir_conn_id)

    def trigger(self, order: ExportOrder, status_url: str) -> FhirExportTrigger:
        """What waits."""
        return FhirExportTrigger(to_plain(order.source), status_url, order.fhir_conn_id)

    def land(self, order: ExportOrder, export: dict[str, Any] | None) -> Any:
        """Download the finished export, or find that its pull is committed; the task's result."""
        manifest = pull(
            order.source,
            LandingZone(order.landing),
            pull_id=order.pull_id,
            since=order.since,
            now=datetime.now(UTC),  # kind `bulk` takes the server's time, never this one
            cohort_codes=(),
            export=export,
        )
        return {"source": manifest.source, "pull_id": manifest.pull_id, "counts": manifest.counts}

    def execute(self, context: Context) -> Any:
        """Start or attach, then defer."""
        with no_retry_when_useless():
            order, export = self._begun(context)
            facts = start_export(
                order.source,
                LandingZone(order.landing),
                pull_id=order.pull_id,
                since=order.since,
                remembered=export,
            )
            if facts is None:
                return self.land(order, export)
            context["task_state_store"].set(_KEY, {"pull_id": order.pull_id, "since": order.since, "export": facts})
        return self.defer(
            trigger=self.trigger(order, facts["status_url"]),
            method_name="execute_complete",
            timeout=timedelta(hours=order.source.export_hours) + _MARGIN,
        )

    def execute_complete(self, context: Context, event: dict[str, str]) -> Any:
        """The trigger fired: land the files, start anew when the export is gone, or fail by the type of what went
        wrong.
        """
        with no_retry_when_useless():
            kind = _BY_NAME.get(event.get("error", ""), errors.PullIncomplete)
            order, export = self._begun(context)
            if event["state"] == "gone" or kind is ExportFailed:
                forget_export(order.source, LandingZone(order.landing), pull_id=order.pull_id)
                context["task_state_store"].delete(_KEY)
            if event["state"] == "failed":
                raise kind(event["what"])
            if event["state"] == "finished":
                return self.land(order, export)
        return self.execute(context)

    def _begun(self, context: Context) -> tuple[ExportOrder, dict[str, Any] | None]:
        """The order, as it was when the export was started; and what was kept of the export."""
        order = self.order(context)
        kept: Any = context["task_state_store"].get(_KEY)
        if not kept:
            return order, None
        return replace(order, pull_id=kept["pull_id"], since=kept["since"]), kept["export"]
