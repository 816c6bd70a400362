"""Spark gives what DuckDB gives, byte for byte, and brings no more than the cohort here."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_mapping.codes import load
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_mapping.select import Selection, find_files, select
from fhir_mapping.spark import EngineFailed, Spark
from fhir_mapping.spark_scan import FOLDER
from fhir_source.errors import UnreadableInput
from fhir_source.source import FhirVersion
from synthetic.generate import generate
from synthetic.options import Dirt, Site, SynthOptions
from tests.fhir_mapping_input.input_folders import condition, infant, of, resource, write
from tests.spark.odd_lines import lines

BLOCK = 65_536  # bytes, as the session of the tests cuts files
pytestmark = [pytest.mark.spark, pytest.mark.slow]

DIRT = Dirt(
    malformed_lines=0.02,
    nonconformant=0.05,
    duplicates=0.02,
    late_updates=0.05,
    entered_in_error=0.05,
    replaced_patients=0.05,
)


def hospital(folder: Path, release: FhirVersion = "R4") -> Path:
    """An untidy export, one of its files compressed, one a Bundle, one that Spark would pass over."""
    options = SynthOptions(
        infants=60,
        iess_share=0.4,
        seed=5,
        sites=(Site("harbor"),),
        fhir_version=release,
        dirt=DIRT,
    )
    generate(folder, options)
    site = folder / "harbor"
    encounters = site / "Encounter.ndjson"
    (site / "Encounter.ndjson.gz").write_bytes(gzip.compress(encounters.read_bytes()))
    encounters.unlink()
    (site / "Coverage.ndjson").rename(site / "_Coverage.ndjson")
    entries = [{"resource": one} for one in infant("in-a-bundle")]
    (site / "one.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    return site


@pytest.mark.parametrize("release", ["R4", "R5"])
def test_every_file_written_is_the_same(session: Any, tmp_path: Path, release: FhirVersion) -> None:
    site = hospital(tmp_path / "in", release)
    settings = MappingSettings("harbor", timezone="America/New_York", fhir_version=release)
    by_duckdb = map_folder(site, tmp_path / "duckdb" / "o.csv", settings)
    by_spark = map_folder(site, tmp_path / "spark" / "o.csv", settings, engine="spark")
    assert by_duckdb.rows > 15
    assert by_duckdb.quarantined > 5
    assert by_spark.ledger == by_duckdb.ledger
    for one, other in zip(by_duckdb.written, by_spark.written, strict=True):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes(), one.name


def test_odd_lines_are_what_the_exact_reading_says(session: Any, tmp_path: Path) -> None:
    """Blank lines, other objects behind the first, byte order marks, surrogates, years beyond Python's, and so on."""
    draw = Random(2026)  # noqa: S311 - drawn, not secret
    for number, name in enumerate(("a.ndjson", "b.ndjson", "c.ndjson.gz")):
        raw = (b"\xef\xbb\xbf" if number == 1 else b"") + b"\n".join(lines(draw, 500)) + (b"\n" if number else b"")
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    files = find_files(tmp_path)
    exact = select(files, MappingSettings("s"), load(), typed_from=10**12)
    assert len(exact.quarantined) > 300
    assert len(exact.resources) > 10
    assert select(files, MappingSettings("s"), load(), engine="spark") == exact


class Counted:
    """Counts what leaves the executors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines = self.rows = 0
        ask, stream = Spark.ask, Spark.stream

        def counted_ask(engine: Spark, query: str) -> list[tuple[Any, ...]]:
            found = ask(engine, query)
            self.rows += len(found)
            return found

        def counted_stream(engine: Spark, query: str) -> Iterator[tuple[Any, ...]]:
            for row in stream(engine, query):
                self.lines += 1
                yield row

        monkeypatch.setattr(Spark, "ask", counted_ask)
        monkeypatch.setattr(Spark, "stream", counted_stream)

    def of(self, folder: Path) -> tuple[Selection, int, int]:
        """The selection of a folder, and how many lines and how many rows of the index came here for it."""
        self.lines = self.rows = 0
        found = select(find_files(folder), MappingSettings("s"), load(), engine="spark")
        return found, self.lines, self.rows


def test_only_what_is_selected_reaches_python(session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    write(tmp_path, "cohort.ndjson", [line for number in range(20) for line in infant(f"p{number}")])
    selected, came, rows = counted.of(tmp_path)
    assert len(selected.resources) == 60
    assert came == 60, "each line of the cohort comes once"
    wells = [
        line
        for number in range(2000)
        for line in (
            resource("Patient", f"well-{number}", birthDate="2024-02-01"),
            condition(f"c-well-{number}", f"well-{number}", "J05.0"),
            resource("Encounter", f"e-well-{number}", subject=of(f"well-{number}"), status="finished"),
        )
    ]
    blocks = write(tmp_path, "well.ndjson", wells).stat().st_size // BLOCK + 1
    among_others, came_then, rows_then = counted.of(tmp_path)
    assert among_others.resources == selected.resources
    assert came_then == came, "6,000 lines more in the export, and not one more here"
    assert rows_then - rows <= blocks + 2, "but for counts"


def test_the_executors_may_see_the_folder_elsewhere(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that the driver has mounted is read from its URL: of these files the driver reads nothing."""
    write(tmp_path / "bucket", "a b.ndjson", infant())
    write(tmp_path / "mounted", "a b.ndjson", [b"what the driver would read"])
    monkeypatch.setenv(FOLDER, f"{tmp_path / 'mounted'}=file://{tmp_path / 'bucket'}")
    found = select(find_files(tmp_path / "mounted"), MappingSettings("s"), load(), engine="spark")
    assert found.infants == {"p1"}
    assert len(found.resources) == 3


def test_a_damaged_file_is_named(session: Any, tmp_path: Path) -> None:
    whole = write(tmp_path, "Condition.ndjson.gz", [condition(str(n), str(n)) for n in range(5000)])
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(UnreadableInput, match="Condition"):
        select(find_files(tmp_path), MappingSettings("s"), load(), engine="spark")


def test_what_only_the_executors_miss_can_be_tried_again(
    session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.ndjson", infant())
    monkeypatch.setenv(FOLDER, f"{tmp_path}=file://{tmp_path / 'elsewhere'}")
    with pytest.raises(EngineFailed, match="each node sees the files") as raised:
        select(find_files(tmp_path), MappingSettings("s"), load(), engine="spark")
    assert raised.value.retriable
    assert "p1" not in str(raised.value)


# -- as a user runs it ------------------------------------------------------------------------------------------------


def iess(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`iess` in a process of its own, with a Spark of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *map(str, arguments)],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_a_cluster_of_two_workers_gives_the_same(tmp_path: Path) -> None:
    """Driver, two workers and their executors are processes of their own, as on a cluster of machines."""
    site = hospital(tmp_path / "in")
    zone = ("--site-timezone", "America/New_York")
    here = iess("map", site, "--out", tmp_path / "duckdb" / "o.csv", *zone)
    assert here.returncode == 0, here.stderr
    master = {"IESS_SPARK_MASTER": "local-cluster[2,1,1024]"}
    there = iess("map", site, "--out", tmp_path / "spark" / "o.csv", *zone, "--engine", "spark", **master)
    assert there.returncode == 0, there.stderr
    duckdb, spark = (
        {one.name: one.read_bytes() for one in (tmp_path / name).iterdir()} for name in ("duckdb", "spark")
    )
    assert {"o.csv", "o.csv.ledger.csv", "o.csv.quarantine.csv"} < duckdb.keys()
    assert spark == duckdb


@pytest.mark.parametrize(
    "wrong",
    [{"JAVA_HOME": "/nowhere"}, {"IESS_SPARK_MASTER": "the-big-machine"}],
    ids=["no Java", "no such master"],
)
def test_a_spark_that_does_not_start_is_one_clear_line(tmp_path: Path, wrong: dict[str, str]) -> None:
    write(tmp_path / "in", "a.ndjson", infant())
    done = iess("map", tmp_path / "in", "--out", tmp_path / "o.csv", "--engine", "spark", **wrong)
    assert done.returncode == 10, done.stderr
    assert "Spark does not start" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o.csv").exists()
    assert shutil.which("java"), "Java is there: it is the settings that are wrong"


@pytest.mark.integration
def test_the_setting_is_enough_for_the_pipeline(tmp_path: Path, warehouse_url: str, database_url: str) -> None:
    """A landed pull is selected on Spark because iess.toml says so, and the warehouse holds the same."""
    site = hospital(tmp_path / "in")
    hashes = []
    for engine, url in (("duckdb", warehouse_url), ("spark", database_url)):
        home = tmp_path / engine
        home.mkdir()
        (home / "iess.toml").write_text(
            f'home = "{home}"\n[mapping]\nengine = "{engine}"\n'
            f'[sources.harbor]\nkind = "files"\nurl = "{site}"\ntimezone = "America/New_York"\n'
        )
        variables = {
            "IESS_CONFIG": str(home / "iess.toml"),
            "IESS_DATABASE_URL": url,
            "IESS_HASH_KEY": "a key for tests, long enough to be taken",
            "IESS_NOW": "2026-01-05T07:00:00Z",
            "IESS_SPARK_MASTER": "local[2]",
        }
        for command in (("db", "upgrade"), ("pull", "harbor"), ("load", "harbor"), ("db", "hash")):
            done = iess(*command, **variables)
            assert done.returncode == 0, done.stderr
            java_ran = "JAVA_TOOL_OPTIONS" in done.stderr  # every Java machine says that it heeds them
            assert java_ran == ((engine, command[0]) == ("spark", "load"))
        hashes.append(done.stdout)
    assert hashes[0] == hashes[1] != ""
