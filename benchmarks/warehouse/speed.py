"""Speed of the warehouse: `python -m benchmarks.warehouse.speed [--resources N] [--infants N] [--runs N] ...`.

Starts a PostgreSQL of its own in a temporary folder and prints one Markdown table (docs/benchmarks.md has one of them):
what issue 5 asks for beside what was measured. `seconds` is the shortest of the runs; `CPU` is what this process and
the server's processes used in that run, which on a machine that others use too says what it would take alone. Nothing
fails when a machine is slow.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import psutil
from sqlalchemy import Engine, text

from benchmarks.warehouse.infants import mapped_infants
from fhir_mapping.model import LedgerLine, Resource
from fhir_mapping.select import Selection
from fhir_source.landing import Manifest
from warehouse import staging
from warehouse.copying import copy_rows
from warehouse.embedded import embedded_server
from warehouse.engine import open_engine
from warehouse.fingerprint import warehouse_hash
from warehouse.load import load
from warehouse.migrate import upgrade

HASH_KEY = b"0123456789abcdef0123456789abcdef"
GUIDE = Path(__file__).parents[2] / "docs" / "analyst-guide.md"
SITES = 12
AT_ONCE = 100_000  # resources a pull, when many are only there to be held


@dataclass
class Meter:
    """Times steps and prints a table row for each. `folder` is the server's, by which its processes are known."""

    folder: Path

    def run(self, what: str, step: Callable[[], object], *, count: int = 0, asked: str = "", runs: int = 1) -> None:
        """`step` is run `runs` times; the shortest counts. `count`: rows or resources, for a rate."""
        best, used = float("inf"), 0.0
        for _ in range(runs):
            before, began = self._used(), time.perf_counter()
            step()
            seconds = time.perf_counter() - began
            if seconds < best:
                best, used = seconds, self._used() - before
        rate = f"{count / best:,.0f} /s" if count else ""
        print(f"| {what} | {best:,.3f} | {used:,.2f} | {rate} | {asked} |", flush=True)

    def _used(self) -> float:
        """CPU seconds of this process and of the server's."""
        mine = os.times()
        total = mine.user + mine.system
        for process in psutil.process_iter():
            try:
                if process.name().startswith("postgres") and Path(process.cwd()) == self.folder:
                    taken = process.cpu_times()
                    total += taken.user + taken.system
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return total


def resource(n: int) -> Resource:
    """An Encounter of 1 kB; ten an infant, and 500 practitioners."""
    body = {
        "resourceType": "Encounter",
        "id": f"e{n:07}",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"},
        "status": "finished",
        "subject": {"reference": f"Patient/p{n // 10:06}"},
        "participant": [{"individual": {"reference": f"Practitioner/d{n % 500}"}}],
        "period": {"start": "2026-01-02T08:00:00Z", "end": "2026-01-02T09:00:00Z"},
        "text": {"status": "generated", "div": "x" * 630},
    }
    line = orjson.dumps(body)
    return Resource(
        "Encounter", f"e{n:07}", "1", "2026-01-01T00:00:00Z", body, "e.ndjson", n, hashlib.sha256(line).hexdigest()
    )


def pull(source: str, day: int, resources: list[Resource]) -> tuple[Manifest, Selection]:
    instant = date.fromordinal(date(2026, 1, 1).toordinal() + day)
    ledger = {"Encounter": LedgerLine(received=len(resources), in_scope=len(resources))} if resources else {}
    manifest = Manifest(source, f"{instant:%Y%m%d}T000000Z", "files", None, f"{instant}T00:00:00Z", "R4", True, ())
    return manifest, Selection(resources, ledger, [], [], instant, frozenset())


def write(copy: Any, ready: bytes) -> None:
    """In parts of 64 kB, as psycopg sends rows."""
    for start in range(0, len(ready), 1 << 16):
        copy.write(ready[start : start + (1 << 16)])


def narrow_rows(engine: Engine, meter: Meter, rows: int, runs: int) -> None:
    """COPY of four short texts a row: into staging as the load does it, and of ready bytes, which is the limit."""
    columns = ("source", "pull_id", "resource_type", "resource_id")
    made = [("n", "p", "Patient", f"id{n:08}") for n in range(rows)]
    ready = "".join("\t".join(row) + "\n" for row in made).encode()

    def staged() -> None:
        with engine.begin() as connection:
            copy_rows(connection, "clinical.stg_deletion", columns, made)
            connection.rollback()

    def plain(table: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE UNLOGGED TABLE bare (a text, b text, c text, d text)"))
            driver = connection.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                write(copy, ready)
            connection.rollback()

    meter.run(f"COPY of {rows:,} narrow rows into staging", staged, count=rows, asked="200,000 /s", runs=runs)
    meter.run("the same as ready bytes", lambda: plain("clinical.stg_deletion"), count=rows, asked="limit", runs=runs)
    meter.run("the same without a primary key", lambda: plain("bare"), count=rows, asked="limit", runs=runs)


def first_pulls(engine: Engine, meter: Meter, count: int, runs: int) -> None:
    """First pulls of sites, one site a run."""
    made = [resource(n) for n in range(count)]
    pulls = [pull(f"first{n}", 1, made) for n in range(runs)]
    ready = "".join(orjson.dumps(one.body).decode().replace("\\", "\\\\") + "\n" for one in made).encode()

    def plain() -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE bare (body json)"))
            driver = connection.connection.driver_connection
            with driver.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                write(copy, ready)
            connection.rollback()

    def step(do: Callable[[Manifest, Selection], object]) -> Callable[[], object]:
        remaining = iter(pulls)
        return lambda: do(*next(remaining))

    def both(manifest: Manifest, selection: Selection) -> None:
        staging.stage_selection(engine, manifest, selection)
        staging.stage_mapping(engine, manifest.source, manifest.pull_id, [], [])

    what = f"first pull of {count:,} resources of 1 kB"
    meter.run(f"{what}: staged", step(both), count=count, runs=runs)
    meter.run(
        f"{what}: loaded, one transaction",
        step(lambda manifest, _: load(engine, manifest, hash_key=HASH_KEY)),
        count=count,
        asked="20,000 /s",
        runs=runs,
    )
    meter.run("plain COPY of the same JSON into one column, no index", plain, count=count, asked="limit", runs=runs)


def unchanged(engine: Engine, meter: Meter, count: int, runs: int) -> None:
    """A source that holds `count` resources is pulled whole again, and nothing has changed."""
    held: list[Resource] = []
    for day, start in enumerate(range(0, count, AT_ONCE), 1):
        part = [resource(n) for n in range(start, min(start + AT_ONCE, count))]
        manifest, selection = pull("whole", day, part)
        staging.stage_selection(engine, manifest, selection)
        staging.stage_mapping(engine, "whole", manifest.pull_id, [], [])
        load(engine, manifest, hash_key=HASH_KEY)
        # What has not changed is known by its hash: the bodies are let go, for a million take 4 GB.
        held += [replace(one, body={}) for one in part]
    settle(engine)
    days = iter(range(1000, 1000 + runs))

    def again() -> None:
        manifest, selection = pull("whole", next(days), held)
        staging.stage_selection(engine, manifest, selection)
        staging.stage_mapping(engine, "whole", manifest.pull_id, [], [])
        load(engine, manifest, hash_key=HASH_KEY)

    what = f"pull of {count:,} resources without a change: staged and loaded"
    meter.run(what, again, count=count, asked="seconds", runs=runs)


def timelines(engine: Engine, meter: Meter, count: int) -> None:
    """Timelines of `count` infants at twelve sites, staged and loaded as those of real infants are."""
    sites = mapped_infants(count, SITES)
    pulls = []
    for source in sites:
        manifest, selection = pull(source, 1, [])
        staging.stage_selection(engine, manifest, selection)
        pulls.append(manifest)

    def stage() -> None:
        for source, infants in sites.items():
            staging.stage_mapping(engine, source, pulls[0].pull_id, infants, [])

    meter.run(f"{count:,} infants' timelines: staged", stage, count=count)
    meter.run(
        f"{count:,} infants' timelines: loaded, with {10 * count:,} intervals",
        lambda: [load(engine, manifest, hash_key=HASH_KEY) for manifest in pulls],
        count=count,
    )
    settle(engine)


def questions(engine: Engine, meter: Meter, infants: int, runs: int) -> None:
    queries = re.findall(r"^```sql\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[:10]
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE iess_analyst"))
        for n, query in enumerate(queries, 1):
            asked = query.replace("%", "%%")
            meter.run(
                f"question {n} of the analyst's guide, {infants:,} infants",
                lambda sql=asked: connection.exec_driver_sql(sql).all(),
                asked="0.200 s",
                runs=runs,
            )


def settle(engine: Engine) -> None:
    """What autovacuum does within a minute of a load."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--resources", type=int, default=100_000)
    parser.add_argument("--unchanged", type=int, default=1_000_000)
    parser.add_argument("--infants", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("narrow", "first", "unchanged", "infants"))
    given = parser.parse_args()
    wanted = {given.only} if given.only else {"narrow", "first", "unchanged", "infants"}
    with tempfile.TemporaryDirectory() as folder, embedded_server(Path(folder) / "postgres") as url:
        engine, meter = open_engine(url), Meter(Path(folder).resolve() / "postgres")
        upgrade(engine)
        print(f"Load of the machine before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores.\n")
        print("| what | seconds | CPU | rate | asked |\n| --- | ---: | ---: | ---: | --- |", flush=True)
        if "narrow" in wanted:
            narrow_rows(engine, meter, given.rows, given.runs)
        if "first" in wanted:
            first_pulls(engine, meter, given.resources, given.runs)
        if "infants" in wanted:
            timelines(engine, meter, given.infants)
            questions(engine, meter, given.infants, max(given.runs, 5))
        if "unchanged" in wanted:
            unchanged(engine, meter, given.unchanged, given.runs)
            meter.run("hash of the warehouse with all of the above", lambda: warehouse_hash(engine))
        print(f"\nLoad of the machine after: {os.getloadavg()[0]:.1f}.")
        engine.dispose()


if __name__ == "__main__":
    main()
