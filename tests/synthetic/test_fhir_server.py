"""The third-party FHIR server of the demo: started for real, loaded, asked, and gone afterwards."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import jwt
import orjson
import pytest

from fhir_source.errors import UnreadableInput
from synthetic.fhir_server import FhirServer
from synthetic.generate import generate
from synthetic.options import SynthOptions

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def _patients(folder: Path, count: int) -> Path:
    folder.mkdir()
    lines = [orjson.dumps({"resourceType": "Patient", "id": f"p{i}", "gender": "female"}) for i in range(count)]
    lines.append(b"{not json")
    lines.append(orjson.dumps({"resourceType": "Patient", "id": "bad", "birthDate": "not a date"}))
    (folder / "Patient.ndjson").write_bytes(b"\n".join(lines))
    return folder


def _token(server: FhirServer, scope: str) -> str:
    now = int(time.time())
    claims = {
        "iss": server.client_id,
        "sub": server.client_id,
        "aud": server.token_url,
        "exp": now + 200,
        "jti": f"{now}-{scope}",
    }
    assertion = jwt.encode(claims, server.private_key_path.read_text(), algorithm=server.smart)
    answer = httpx.post(
        server.token_url,
        data={
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        },
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_serves_what_was_loaded_to_the_registered_client_only(tmp_path: Path, algorithm: str) -> None:
    sent: list[int] = []
    with FhirServer(tmp_path / "server", smart=algorithm) as server:  # type: ignore[arg-type]
        report = server.load(_patients(tmp_path / "data", 300), progress=sent.append)
        assert (report.loaded["Patient"], report.refused["Patient"], report.unreadable) == (300, 1, 1)
        assert sum(sent) == 301

        assert httpx.get(f"{server.base_url}/Patient").status_code == httpx.codes.UNAUTHORIZED
        headers = {"Authorization": f"Bearer {_token(server, 'system/Patient.rs')}"}
        found = httpx.get(f"{server.base_url}/Patient?_summary=count", headers=headers)
        assert found.json()["total"] == 300
        other = httpx.get(f"{server.base_url}/Condition", headers=headers)
        assert other.status_code == httpx.codes.FORBIDDEN
        assert stat.S_IMODE(server.private_key_path.stat().st_mode) == 0o600
        assert stat.S_IMODE((server.folder / "settings.yaml").stat().st_mode) == 0o600
        assert server.source("a").auth.client_id == server.client_id
        address = server.base_url
    assert not server.running
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/metadata")


def test_takes_a_whole_synthetic_cohort_strictly(tmp_path: Path) -> None:
    cohort = generate(tmp_path / "cohort", SynthOptions(infants=30, iess_share=0.5, compress=True))
    with FhirServer(tmp_path / "server", extra={"validation": {"inbound": "strict"}}) as server:
        report = server.load(cohort.folders[0])
        assert report.loaded == cohort.resources
        assert not report.refused
        found = httpx.get(f"{server.base_url}/Encounter?_summary=count").json()["total"]
        assert found == cohort.resources["Encounter"]
        # The server plays no laboratory or scheduler of its own: it holds what was loaded and nothing else.
        assert httpx.get(f"{server.base_url}/Observation?_summary=count").json()["total"] == 0


def test_keeps_its_data_and_takes_extra_settings(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with FhirServer(folder, extra={"validation": {"inbound": "off"}}) as server:
        assert server.load(_patients(tmp_path / "data", 3)).loaded["Patient"] == 4
    with FhirServer(folder) as again:
        assert httpx.get(f"{again.base_url}/Patient?_summary=count").json()["total"] == 4
        (tmp_path / "empty").mkdir()
        with pytest.raises(UnreadableInput):
            again.load(tmp_path / "empty")


def test_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from synthetic.fhir_server import FhirServer\n"
        "server = FhirServer(Path(sys.argv[1])).start(); print(server.base_url, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "server")], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    address = starter.stdout.readline().decode().strip()
    starter.stdout.close()
    assert httpx.get(f"{address}/metadata").status_code == httpx.codes.OK
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    deadline = time.monotonic() + 20
    gone = False
    while not gone and time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/metadata", timeout=2)
            time.sleep(0.05)
        except httpx.TransportError:
            gone = True
    assert gone, "the server outlived the process that started it"
