"""How a task calls a step of `pipeline`: settings, credentials from the Airflow connection, failures by type."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from fhir_source.airflow.failures import no_retry_when_useless
from fhir_source.airflow.hook import FhirHook
from fhir_source.errors import IessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from fhir_source.source import Source
    from pipeline.clock import Clock
    from pipeline.settings import Settings


class StepFailed(RuntimeError):
    """A step failed in a way that no type of ours describes; the message of the cause is not repeated."""


def call(step: Callable[..., Any], *args: Any) -> Any:
    """The step's record as plain JSON for an XCom. A terminal failure is not retried, a transient one is.

    Errors of ours hold no PHI. Any other exception keeps its type and loses its message, because Airflow copies
    messages into logs, callbacks and e-mails, and a library's message may quote a resource.
    """
    try:
        with no_retry_when_useless():
            result = step(*args)
    except (IessError, AirflowFailException):
        raise
    except Exception as error:  # noqa: BLE001
        where = error.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        place = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else "unknown place"
        raise StepFailed(f"{type(error).__name__} at {place}") from None
    return asdict(result) if is_dataclass(result) and not isinstance(result, type) else result


def settings() -> Settings:
    """The installation's settings (`IESS_CONFIG`, `IESS_` variables)."""
    from pipeline.settings import load_settings

    return load_settings()


def connection(name: str) -> str:
    """The id of the connection in which the credentials of a source may be."""
    return f"fhir_{name}"


def source(name: str) -> Source:
    """The source of the settings with the credentials of the connection `fhir_<name>`, when there is one."""
    base = settings().source(name)
    try:
        return FhirHook(connection(name)).source(base)
    except AirflowNotFoundException:
        return base


def clock() -> Clock:
    """The settings' fixed instant (a replay), else the instant at which this DAG run was due.

    `run_after` is the one time that every kind of run has: scheduled, triggered by an asset, manual and `dag.test()`.
    A retry of a task sees the same instant, hence the same pull id.
    """
    from pipeline.clock import Clock

    fixed = settings().now
    if fixed is not None:
        return Clock.read(fixed)
    run = get_current_context()["dag_run"]
    return Clock.read(run.run_after)


def as_of() -> date:
    """The run's `as_of` parameter, else the clock's day."""
    from datetime import date

    asked = get_current_context()["params"].get("as_of")
    return date.fromisoformat(asked) if asked else clock().today


def name_map_index(source_name: str) -> None:
    """Show this mapped task under its source's name (its `map_index_template` is `{{ source_name }}`)."""
    get_current_context()["source_name"] = source_name  # type: ignore[typeddict-unknown-key]
