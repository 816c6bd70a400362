"""How fast and how lean a pull is, side by side with smart-fetch in one run.

`python benchmarks/pull.py [--megabytes 200] [--runs 3] [--smart-fetch EXECUTABLE]` prints wall time, CPU time and peak
memory, least and median of the runs, of

1. one Bulk Data export of prepared files from a loopback server: ours, and smart-fetch 1.0.3 (from PyPI, in an
   environment of its own, when no executable is given; `--alone` leaves it out), in turns;
2. a search pull of a cohort from the third-party FHIR server, with one to eight requests at once, beside the server's
   own limit: how fast it gives pages to clients that do nothing with them. (`--infants 0` leaves this out.)

Each pull is a process of its own, so that its peak is its own. The server runs in yet another process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

TYPES = ("Patient", "Encounter", "Condition", "MedicationRequest", "Procedure", "ServiceRequest")
PULL_ID = "20261123T070000Z"


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    peak: float  # MB


def told(costs: list[Cost]) -> str:
    """Least and median of several runs."""

    def both(name: str, digits: int) -> str:
        values = [getattr(cost, name) for cost in costs]
        return f"{min(values):.{digits}f} ({median(values):.{digits}f})"

    return f"{both('wall', 2)} s wall  {both('cpu', 2)} s CPU  {both('peak', 0)} MB peak"


class ExportServer(BaseHTTPRequestHandler):
    """The least of a Bulk Data server: one finished export of the files in `folder`."""

    protocol_version = "HTTP/1.1"
    folder: Path
    counts: dict[str, int]

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        base = f"http://{self.headers['Host']}"
        if path.endswith("/metadata"):
            resources = [{"type": name, "interaction": [{"code": "search-type"}]} for name in TYPES]
            statement = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server"}]}
            statement["rest"] = [{"mode": "server", "resource": resources}]
            self._json(statement)
        elif path.endswith("$export"):
            self._send(202, b"", {"Content-Location": f"{base}/fhir/status"})
        elif path.endswith("/status"):
            output = [
                {"type": name, "url": f"{base}/fhir/files/{name}.ndjson", "count": self.counts[name]} for name in TYPES
            ]
            when = "2026-11-23T07:00:00Z"
            manifest = {"transactionTime": when, "request": "", "requiresAccessToken": False, "output": output}
            self._json({**manifest, "error": [], "deleted": []})
        elif path.startswith("/fhir/files/"):
            self._file(self.folder / path.rsplit("/", 1)[-1])
        else:
            self._send(404, b"{}")

    def do_DELETE(self) -> None:
        self._send(202, b"")

    def log_message(self, *_: object) -> None:
        return

    def _json(self, body: object) -> None:
        self._send(200, json.dumps(body).encode(), {"Content-Type": "application/fhir+json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _file(self, path: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/fhir+ndjson")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        self.wfile.flush()
        with path.open("rb") as stream:
            self.connection.sendfile(stream)


def serve(folder: Path) -> None:
    ExportServer.folder = folder
    ExportServer.counts = {
        name: sum(1 for _ in (folder / f"{name}.ndjson").open("rb")) for name in TYPES if (folder / f"{name}.ndjson")
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), ExportServer)
    print(server.server_address[1], flush=True)
    server.serve_forever()


def prepare(folder: Path, megabytes: int) -> int:
    """Files of the six types, together about so large; the bytes written. Repeats a generated cohort under new ids."""
    from synthetic.generate import generate
    from synthetic.options import Site, SynthOptions

    with tempfile.TemporaryDirectory() as made:
        generate(Path(made), SynthOptions(infants=400, sites=(Site("harbor", "America/New_York"),)))
        sources = {name: sorted(Path(made).rglob(f"{name}*.ndjson")) for name in TYPES}
        rows = {name: b"".join(path.read_bytes() for path in found) for name, found in sources.items()}
    size = sum(map(len, rows.values()))
    times = max(1, megabytes * 1_000_000 // size)
    for name, block in rows.items():
        with (folder / f"{name}.ndjson").open("wb") as stream:
            for number in range(times):
                stream.write(block.replace(b'"id":"', b'"id":"%d-' % number))
    return size * times


def measure(command: list[str], **environment: str) -> Cost:
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{Path(command[0]).name} failed")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def pull_here(kind: str, url: str, landing: str, concurrency: str) -> None:
    """In a process of its own: one pull of ours; the counts go to stderr."""
    from fhir_source.landing import LandingZone
    from fhir_source.pull import pull
    from fhir_source.source import Source

    types = TYPES if kind == "bulk" else Source("x", "search", "").types
    source = Source("bench", kind, url, types=types, concurrency=int(concurrency), page_size=500)  # type: ignore[arg-type]
    codes = [("http://hl7.org/fhir/sid/icd-10-cm", code) for code in ("G40.821", "G40.822", "G40.823", "G40.824")]
    zone = LandingZone(landing)
    pull(source, zone, pull_id=PULL_ID, since=None, now=datetime.now(UTC), cohort_codes=codes)


def bulk(megabytes: int, runs: int, smart_fetch: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        size = prepare(Path(folder), megabytes)
        server = subprocess.Popen([sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/fhir"
            costs: dict[str, list[Cost]] = {}
            for _ in range(runs):
                with tempfile.TemporaryDirectory() as out:
                    command = [sys.executable, __file__, "--pull", "bulk", url, out, "4"]
                    costs.setdefault("this project", []).append(measure(command))
                if smart_fetch:
                    with tempfile.TemporaryDirectory() as out:
                        command = [str(smart_fetch), "bulk", "--fhir-url", url, "--type", ",".join(TYPES)]
                        costs.setdefault("smart-fetch", []).append(measure([*command, out + "/export"]))
            print(f"Bulk Data export of {size / 1e6:.0f} MB in {len(TYPES)} files, {runs} runs: least (median)")
            for name, found in costs.items():
                print(f"  {name:12s}  {told(found)}")
        finally:
            server.kill()


def search(infants: int, runs: int) -> None:
    from fhir_source.landing import LandingZone
    from synthetic.fhir_server import FhirServer
    from synthetic.generate import generate
    from synthetic.options import Site, SynthOptions

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made"
        generate(made, SynthOptions(infants=infants, sites=(Site("harbor", "America/New_York"),)))
        with FhirServer(Path(folder) / "server") as server:
            rows = next(path.parent for path in sorted(made.rglob("Patient*.ndjson*")))
            server.load(rows)
            print(f"Search of the cohort of {infants} infants, {runs} runs: least (median)")
            for concurrency in (1, 2, 4, 8):
                costs, asked, rows = [], 0, 0
                for turn in range(runs):
                    out = f"{folder}/landing-{concurrency}-{turn}"
                    before = _requests(server.log_path)
                    command = [sys.executable, __file__, "--pull", "search", server.base_url, out, str(concurrency)]
                    costs.append(measure(command))
                    rows = Counter(LandingZone(out).manifest("bench", PULL_ID).counts).total()
                    asked = _requests(server.log_path) - before
                limit = max(_limit(server.base_url, concurrency) for _ in range(runs))
                print(
                    f"  {concurrency} at once  {told(costs)}; {rows} resources in {asked} requests "
                    f"({1000 * asked / rows:.1f} a thousand); the server's limit: {limit:.0f} resources a second"
                )


def _limit(base: str, clients: int) -> float:
    """Resources a second that the server gives to so many clients at once, each paging through types of its own."""
    import httpx

    def page_through(name: str) -> int:
        rows, url = 0, f"{base}/{name}?_count=500"
        with httpx.Client(trust_env=False, timeout=60) as client:
            while url:
                body = client.get(url).json()
                rows += len(body.get("entry", []))
                url = next((link["url"] for link in body.get("link", []) if link["relation"] == "next"), "")
        return rows

    started = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        rows = sum(pool.map(page_through, (*TYPES, "Coverage", "DiagnosticReport", "Appointment", "RelatedPerson")))
    return rows / (time.perf_counter() - started)


def _requests(log: Path) -> int:
    return log.read_bytes().count(b" HTTP/1.1")


def install(folder: Path) -> Path:
    """smart-fetch in an environment of its own: its dependencies don't fit beside ours."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin/pip", "install", "-q", "smart-fetch==1.0.3"], check=True)
    return folder / "bin/smart-fetch"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--infants", type=int, default=300, help="of the search pull")
    parser.add_argument("--smart-fetch", type=Path, help="its executable")
    parser.add_argument("--alone", action="store_true", help="without smart-fetch")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--pull", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    elif given.pull:
        pull_here(*given.pull)
    else:
        with tempfile.TemporaryDirectory() as folder:
            other = None if given.alone else given.smart_fetch or install(Path(folder))
            if given.megabytes:
                bulk(given.megabytes, given.runs, other)
        if given.infants:
            search(given.infants, given.runs)


if __name__ == "__main__":
    main()
