"""`iess run` as a user runs it: whole, twice, killed in between, and over bad input."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import Run, answer, ledger_adds_up

pytestmark = pytest.mark.integration

ZONE = ("--site-timezone", "America/New_York")


def test_a_folder_ends_in_a_report_and_twice_in_the_same_warehouse(iess: Run, hospital: Path, tmp_path: Path) -> None:
    assert iess("db", "upgrade").returncode == 0
    first = answer(iess("run", hospital, *ZONE, "--json"))
    assert ledger_adds_up(first["loaded"][0]["ledger"])
    everyone = [line for line in first["weekly"]["delays"] if line["measure"] == "I2" and line["dimension"] == "all"]
    assert everyone[0]["infants"] > 30
    assert Path(first["weekly"]["report"]).read_text().startswith("<!doctype html>")
    before = iess("db", "hash").stdout

    again = answer(iess("run", hospital, *ZONE, "--json", IESS_NOW="2026-01-05T08:00:00Z"))
    ledger = again["loaded"][0]["ledger"]
    assert ledger_adds_up(ledger)
    assert sum(row["loaded"] for row in ledger) == 0, "nothing changed, so nothing is loaded"
    assert again["weekly"]["delays"] == first["weekly"]["delays"]
    assert before != "", "the hash is printed"

    status = answer(iess("status", "--json"))
    assert [(source["source"], source["waiting"]) for source in status["sources"]] == [("harbor", 0)]


def test_a_not_migrated_database_is_named_and_left_alone(iess: Run, hospital: Path) -> None:
    done = iess("run", hospital, *ZONE)
    assert done.returncode == 21
    assert "iess db upgrade" in done.stderr


def test_a_database_that_is_down_is_one_clear_message(iess: Run, hospital: Path) -> None:
    done = iess("run", hospital, IESS_DATABASE_URL="postgresql+psycopg://nobody:secret@127.0.0.1:9/iess")
    assert done.returncode == 20
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_read_is_quarantined_and_the_rest_is_loaded(iess: Run, copied: Path) -> None:
    conditions = copied / "Condition.ndjson"
    lines = conditions.read_bytes().splitlines()
    spoilt = [
        b'{"resourceType": "Condition", "id"',
        b'{"resourceType": "Condition"}',
        b'{"resourceType": "Frog", "id": "1"}',
    ]
    conditions.write_bytes(b"\n".join([*spoilt, *lines]) + b"\n")
    (copied / "Empty.ndjson").write_bytes(b"")
    iess("db", "upgrade")
    loaded = answer(iess("run", copied, *ZONE, "--json"))["loaded"][0]["ledger"]
    assert ledger_adds_up(loaded)
    assert sum(row["quarantined"] for row in loaded) == len(spoilt)


@pytest.mark.parametrize(("kind", "code"), [("truncated", 15), ("nothing", 15), ("missing", 10)])
def test_a_folder_that_cannot_be_read_loads_nothing(iess: Run, copied: Path, kind: str, code: int) -> None:
    if kind == "truncated":
        file = copied / "Condition.ndjson"
        packed = gzip.compress(file.read_bytes())
        file.unlink()
        (copied / "Condition.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    else:
        for file in copied.iterdir():
            file.unlink()
        if kind == "missing":
            copied.rmdir()
    iess("db", "upgrade")
    done = iess("run", copied, *ZONE)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert answer(iess("status", "--json"))["sources"] == []


def test_an_unknown_source_or_folder_is_said(iess: Run) -> None:
    done = iess("run", "nowhere")
    assert done.returncode == 10
    assert "nowhere" in done.stderr


@pytest.mark.slow
def test_killed_at_random_moments_and_run_again_it_is_the_same_warehouse(
    iess: Run, hospital: Path, tmp_path: Path, database_url: str
) -> None:
    iess("db", "upgrade")
    chance = random.Random(5)  # noqa: S311 - moments to kill at, not secrets
    environment = {
        **os.environ,
        "IESS_HOME": str(tmp_path / "home"),
        "IESS_DATABASE_URL": database_url,
        "IESS_HASH_KEY": "a key for tests, long enough to be taken",
        "IESS_NOW": "2026-01-05T07:00:00Z",
    }
    killed = 0
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli.main", "run", str(hospital), *ZONE],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.5, 9))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed > 0
    answer(iess("run", hospital, *ZONE, "--json"))
    after = iess("db", "hash").stdout
    pulls = answer(iess("status", "--json"))["sources"]
    assert [source["waiting"] for source in pulls] == [0]

    other = tmp_path / "undisturbed"
    answer(iess("run", hospital, *ZONE, "--json", IESS_HOME=str(other)))
    assert iess("db", "hash").stdout == after
