"""Speed of the warehouse: `python benchmarks/warehouse/speed.py [--rows N] [--resources N] [--infants N]`.

Starts a PostgreSQL of its own in a temporary folder and prints one line a figure. What issue 5 asks for stands beside
what was measured; nothing fails when a machine is slow.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import orjson
from sqlalchemy import Engine, text

from fhir_mapping.contract import INTERVALS
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
from warehouse.schema.analytics import InfantInterval

HASH_KEY = b"0123456789abcdef0123456789abcdef"
COARSE = ", ".join(InfantInterval.__table__.columns.keys())
GUIDE = Path(__file__).parents[2] / "docs" / "analyst-guide.md"


@contextmanager
def timed(what: str, count: int | None = None, wanted: str = "") -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds = time.perf_counter() - began
    rate = f"{count / seconds:12,.0f} /s" if count else " " * 15
    print(f"{what:58} {seconds:8.2f} s {rate}   {wanted}", flush=True)


def resource(n: int) -> Resource:
    """An Encounter of 1 kB; ten an infant."""
    body = {
        "resourceType": "Encounter",
        "id": f"e{n}",
        "meta": {"versionId": "1", "lastUpdated": "2026-01-01T00:00:00Z"},
        "status": "finished",
        "subject": {"reference": f"Patient/p{n // 10}"},
        "participant": [{"individual": {"reference": f"Practitioner/d{n % 500}"}}],
        "period": {"start": "2026-01-02T08:00:00Z", "end": "2026-01-02T09:00:00Z"},
        "text": {"status": "generated", "div": "x" * 640},
    }
    line = orjson.dumps(body)
    return Resource(
        "Encounter", f"e{n}", "1", "2026-01-01T00:00:00Z", body, "e.ndjson", n, hashlib.sha256(line).hexdigest()
    )


def pull(pull_id: str, count: int) -> tuple[Manifest, Selection]:
    instant = f"{pull_id[:4]}-{pull_id[4:6]}-{pull_id[6:8]}T00:00:00Z"
    resources = sorted((resource(n) for n in range(count)), key=lambda item: item.id)
    ledger = {"Encounter": LedgerLine(received=count, in_scope=count)}
    manifest = Manifest("north", pull_id, "files", None, instant, "R4", True, ())
    return manifest, Selection(resources, ledger, [], [], date(2026, 1, 2), frozenset())


def narrow_rows(engine: Engine, rows: int) -> None:
    with timed(f"COPY of {rows:,} narrow rows into staging", rows, "asked: 200,000 /s"), engine.begin() as connection:
        columns = ("source", "pull_id", "resource_type", "resource_id")
        copy_rows(
            connection, "clinical.stg_deletion", columns, (("n", "p", "Patient", f"id{n:08}") for n in range(rows))
        )
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE clinical.stg_deletion"))


def resources(engine: Engine, count: int) -> None:
    manifest, selection = pull("20260103T000000Z", count)
    with timed(f"first pull of {count:,} resources of 1 kB, staged", count):
        staging.stage_selection(engine, manifest, selection)
    staging.stage_mapping(engine, "north", manifest.pull_id, [], [])
    with timed(f"first pull of {count:,} resources of 1 kB, loaded", count, "asked: 20,000 /s"):
        load(engine, manifest, hash_key=HASH_KEY)
    later = replace(manifest, pull_id="20260104T000000Z", transaction_time="2026-01-04T00:00:00Z")
    with timed(f"pull of {count:,} resources without a change, staged", count):
        staging.stage_selection(engine, later, selection)
    staging.stage_mapping(engine, "north", later.pull_id, [], [])
    with timed(f"pull of {count:,} resources without a change, loaded", count, "asked: seconds for 1,000,000"):
        load(engine, later, hash_key=HASH_KEY)
    with timed(f"hash of the warehouse with {count:,} resources"):
        warehouse_hash(engine)


def fill(engine: Engine, infants: int) -> None:
    """Timelines made by SQL: only the questions are timed."""
    names = [interval.name for interval in INTERVALS]
    waits = ", ".join(f"days_{name}_low, days_{name}_high, status_{name}, delayed_{name}" for name in names)
    values = ", ".join(
        "(n * 7 + 3) % 40, (n * 7 + 3) % 40, CASE WHEN n % 9 = 0 THEN 'censored' ELSE 'event' END, "
        "CASE WHEN (n * 7 + 3) % 40 > 7 THEN 'yes' WHEN n % 9 = 0 THEN 'pending' ELSE 'no' END"
        for _ in names
    )
    with timed(f"{infants:,} timelines and {10 * infants:,} intervals, made by SQL"), engine.begin() as connection:
        connection.execute(
            text(
                f"""
                INSERT INTO clinical.referral_timeline (source, infant, valid_from, pull_id, content_sha256, cohort,
                       birth_date, sex, first_provider, diagnosis, censored_on, pathway, age_days, race_ethnicity,
                       bipoc, payer, language, interpreter, flags, evidence, {waits})
                SELECT 'site' || n % 12, 'i' || n, TIMESTAMPTZ '2026-01-01 00:00+00', 'p', '', 'definite',
                       DATE '2024-01-01' + n % 700, 'female', DATE '2024-06-01' + n % 700, DATE '2024-06-20' + n % 700,
                       DATE '2026-12-01', 'referred', 180,
                       (ARRAY['nh_black', 'nh_white', 'hispanic', 'nh_asian', 'unknown'])[1 + n % 5], 'unknown',
                       (ARRAY['public', 'private', 'unknown'])[1 + n % 3],
                       (ARRAY['en', 'es', 'so', 'unknown'])[1 + n % 4],
                       (ARRAY['yes', 'no', 'unknown'])[1 + n % 3], '', '{{}}', {values}
                  FROM generate_series(1, :infants) AS n
                """  # noqa: S608 - our own names
            ),
            {"infants": infants},
        )
        connection.execute(
            text(
                "INSERT INTO clinical.infant_key SELECT source, infant, md5(source || infant) FROM clinical.v_timeline"
            )
        )
        connection.execute(
            text(
                f"INSERT INTO analytics.infant_interval ({COARSE}) SELECT {COARSE} FROM clinical.v_interval"  # noqa: S608
            )
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE analytics.infant_interval"))


def questions(engine: Engine, infants: int) -> None:
    fill(engine, infants)
    queries = re.findall(r"^```sql\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)[:10]
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE iess_analyst"))
        for n, query in enumerate(queries, 1):
            with timed(f"question {n} of the analyst's guide, {infants:,} infants", wanted="asked: under 0.20 s"):
                connection.exec_driver_sql(query.replace("%", "%%")).all()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--resources", type=int, default=100_000)
    parser.add_argument("--infants", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded_server(Path(folder) / "postgres") as url:
        engine = open_engine(url)
        upgrade(engine)
        narrow_rows(engine, asked.rows)
        resources(engine, asked.resources)
        questions(engine, asked.infants)
        engine.dispose()


if __name__ == "__main__":
    main()
