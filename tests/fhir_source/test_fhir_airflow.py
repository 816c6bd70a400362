"""The connection type, the hook, and the deferrable export, with Airflow's own classes and the real FHIR server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fhir_source.errors import PullIncomplete
from fhir_source.landing import LandingZone
from fhir_source.source import Auth, Source
from tests.fhir_source.conftest import PULL, QUICK
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, at, status
from tests.fhir_source.test_pull_bulk import EVERYTHING

if TYPE_CHECKING:
    from airflow.triggers.base import TriggerEvent

    from fhir_source.airflow.hook import FhirHook
    from fhir_source.airflow.operator import FhirBulkExportOperator
    from fhir_source.airflow.trigger import FhirExportTrigger
    from synthetic.fhir_server import FhirServer

pytestmark = pytest.mark.integration

PEM = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Defines the connection `fhir_site`, as an environment variable does, and gives its hook."""

    def define(**fields: Any) -> FhirHook:
        from fhir_source.airflow.hook import FhirHook

        monkeypatch.setenv("AIRFLOW_CONN_FHIR_SITE", json.dumps({"conn_type": "fhir", **fields}))
        return FhirHook("fhir_site")

    return define


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"login": "app", "password": PEM}, Auth(kind="smart", client_id="app", private_key=PEM)),
        ({"login": "app", "password": '{"kty":"RSA"}'}, Auth("smart", "app", private_key='{"kty":"RSA"}')),
        ({"login": "me", "password": "pw"}, Auth(kind="basic", username="me", secret="pw")),
        ({"password": "tok"}, Auth(kind="bearer", secret="tok")),
        ({}, Auth()),
        (
            {
                "login": "app",
                "password": "pw",
                "extra": {"auth": "client_secret", "token_url": "https://t/x", "scope": "a b"},
            },
            Auth(kind="client_secret", client_id="app", secret="pw", token_url="https://t/x", scope="a b"),
        ),
    ],
    ids=["smart", "jwk", "basic", "bearer", "none", "client secret"],
)
def test_the_hook_adds_credentials_to_the_settings(fields: dict[str, Any], expected: Auth, connection: Any) -> None:
    hook = connection(host="https://fhir.example.org/r4", **fields)
    base = Source(name="site", kind="bulk", url="https://old.example.org", page_size=17)
    merged = hook.source(base)
    assert merged == replace(base, url="https://fhir.example.org/r4", auth=expected)
    assert asyncio.run(hook.asource(base)) == merged
    assert "pw" not in repr(merged)
    assert "PRIVATE" not in repr(merged)


def test_the_test_button(server: FhirServer, connection: Any) -> None:
    good, message = connection(host=server.base_url).test_connection()
    assert good
    assert "FHIR R4" in message
    bad, message = connection(host="http://127.0.0.1:9/fhir").test_connection()
    assert not bad
    assert "could not be made to answer" in message
    unknown, message = connection(host=server.base_url, extra={"auth": "magic"}).test_connection()
    assert not unknown
    assert "auth is none of" in message


def test_airflow_finds_the_connection_type() -> None:
    from airflow.sdk import BaseHook
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    hook = ProvidersManagerTaskRuntime().hooks["fhir"]  # type: ignore[no-untyped-call]
    assert hook
    assert hook.hook_name == "FHIR server"
    from fhir_source.airflow.hook import FhirHook

    assert issubclass(FhirHook, BaseHook)


class Store(dict[str, Any]):
    """What Airflow keeps for a task between its attempts."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def operator(faulty: FaultyServer, tmp_path: Path) -> FhirBulkExportOperator:
    from fhir_source.airflow.operator import FhirBulkExportOperator

    quick = {**QUICK, "max_poll_seconds": 0.1}
    source = Source(name="site", kind="bulk", url=faulty.base_url, auth=Auth(kind="bearer", secret="s3cret"), **quick)
    return FhirBulkExportOperator(task_id="export", source=source, landing=str(tmp_path / "landing"), pull_id=PULL)


def _defer(operator: FhirBulkExportOperator, store: Store) -> FhirExportTrigger:
    from airflow.sdk.exceptions import TaskDeferred

    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"task_state_store": store})  # type: ignore[typeddict-item]
    assert deferred.value.method_name == "execute_complete"
    trigger: FhirExportTrigger = deferred.value.trigger
    return trigger


def _fire(trigger: FhirExportTrigger) -> dict[str, str]:
    """As the triggerer does it: built anew from what was serialised."""
    from airflow.sdk._shared.module_loading import import_string

    path, arguments = trigger.serialize()
    assert "s3cret" not in json.dumps(arguments)

    async def first() -> TriggerEvent:
        return await anext(aiter(import_string(path)(**json.loads(json.dumps(arguments))).run()))

    event: dict[str, str] = asyncio.run(first()).payload
    return event


def test_an_export_is_waited_for_in_the_triggerer(operator: FhirBulkExportOperator, faulty: FaultyServer) -> None:
    store = Store()
    event = _fire(_defer(operator, store))
    assert event == {"state": "finished"}
    landed = operator.execute_complete({"task_state_store": store}, event)  # type: ignore[typeddict-item]
    assert landed == {"source": "site", "pull_id": PULL, "counts": EVERYTHING}
    assert len(faulty.requests("$export")) == 1
    assert operator.execute({"task_state_store": store}) == landed  # type: ignore[typeddict-item]


def test_a_retry_attaches_to_the_running_export_even_from_another_disk(
    operator: FhirBulkExportOperator, faulty: FaultyServer, tmp_path: Path
) -> None:
    store = Store()
    first = _defer(operator, store)
    operator.landing = str(tmp_path / "another")
    assert _defer(operator, store).status_url == first.status_url
    assert len(faulty.requests("$export")) == 1


def test_an_export_that_is_gone_is_started_anew(operator: FhirBulkExportOperator, faulty: FaultyServer) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    store = Store()
    trigger = _defer(operator, store)
    faulty.faults.append(Fault(at("/bulk-status/"), status(404)))
    event = _fire(trigger)
    assert event == {"state": "gone"}
    with pytest.raises(TaskDeferred):
        operator.execute_complete({"task_state_store": store}, event)  # type: ignore[typeddict-item]
    assert len(faulty.requests("$export")) == 2


@pytest.mark.parametrize(("code", "again"), [(500, 2), (503, 1)], ids=["failed", "server down"])
def test_a_failure_is_told_by_its_type(
    code: int, again: int, operator: FhirBulkExportOperator, faulty: FaultyServer
) -> None:
    from fhir_source.errors import IessError

    store = Store()
    trigger = _defer(operator, store)
    faulty.faults.append(Fault(at("/bulk-status/"), status(code), times=99))
    event = _fire(trigger)
    assert event["state"] == "failed"
    with pytest.raises(IessError) as raised:
        operator.execute_complete({"task_state_store": store}, event)  # type: ignore[typeddict-item]
    assert raised.value.retriable
    assert isinstance(raised.value, PullIncomplete) == (code == 500)
    faulty.faults.clear()
    _defer(operator, store)
    assert len(faulty.requests("$export")) == again


def test_a_terminal_failure_is_not_retried(operator: FhirBulkExportOperator, faulty: FaultyServer) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    faulty.faults.append(Fault(at("$export"), status(403), times=99))
    with pytest.raises(AirflowFailException) as raised:
        operator.execute({"task_state_store": Store()})  # type: ignore[typeddict-item]
    assert "s3cret" not in str(raised.value)


def test_the_landing_zone_is_untouched_by_a_refused_export(
    operator: FhirBulkExportOperator, faulty: FaultyServer
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    faulty.faults.append(Fault(at("$export"), lambda seen, reply: Reply.outcome(400)))
    with pytest.raises(AirflowFailException):
        operator.execute({"task_state_store": Store()})  # type: ignore[typeddict-item]
    assert LandingZone(operator.landing).pulls("site") == []


def test_the_dag_s_task_waits_in_the_triggerer_and_lands_on_another_worker(
    faulty: FaultyServer, tmp_path: Path, warehouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from dags.pulling import PullSource

    config = tmp_path / "iess.toml"
    site = f'kind = "bulk"\nurl = "{faulty.base_url}"\nmax_poll_seconds = 0.1\nmax_wait_seconds = 0.05\n'
    config.write_text(f'home = "one"\n[sources.site]\n{site}pool = "fhir_site"\n')
    for name, value in {
        "IESS_CONFIG": str(config),
        "IESS_NOW": "2026-11-23T07:00:00Z",
        "IESS_DATABASE_URL": warehouse_url,
        "AIRFLOW_CONN_FHIR_SITE": json.dumps({"conn_type": "fhir", "host": faulty.base_url, "password": "s3cret"}),
    }.items():
        monkeypatch.setenv(name, value)
    task, store = PullSource(task_id="pull", source_name="site"), Store()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute({"task_state_store": store})  # type: ignore[typeddict-item]
    assert "s3cret" not in json.dumps(store)
    event = _fire(deferred.value.trigger)
    monkeypatch.setenv("IESS_NOW", "2026-11-23T09:00:00Z")
    monkeypatch.setenv("IESS_LANDING", str(tmp_path / "another"))
    landed = task.execute_complete({"task_state_store": store}, event)  # type: ignore[typeddict-item]
    assert landed["pull_id"] == PULL
    assert landed["counts"] == EVERYTHING
    assert len(faulty.requests("$export")) == 1
    assert {seen.token for seen in faulty.requests("/bulk-status/")} == {"Bearer s3cret"}
