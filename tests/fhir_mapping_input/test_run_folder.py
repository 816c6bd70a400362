"""`map_folder`: what is written, and when nothing is."""

from __future__ import annotations

import csv
import hashlib
import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fhir_mapping.contract import COLUMNS
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_source.errors import SettingsError, UnreadableInput
from synthetic.generate import generate
from synthetic.options import Dirt, SynthOptions
from tests.fhir_mapping_input.input_folders import condition, infant, of, resource, write

SETTINGS = MappingSettings("harbor", timezone="America/New_York", as_of=date(2026, 1, 1))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 infants with IESS among 120, with every kind of dirt."""
    out = tmp_path_factory.mktemp("cohort")
    dirt = Dirt(0.02, 0.05, 0.03, 0.03, 0.05, 0.1)
    generate(out, SynthOptions(infants=120, iess_share=1 / 3, seed=7, dirt=dirt, compress=True))
    return out


def test_a_dirty_cohort_is_mapped_and_every_line_accounted_for(cohort: Path, tmp_path: Path) -> None:
    report = map_folder(cohort, tmp_path / "rows.csv", SETTINGS)
    rows = table(tmp_path / "rows.csv")
    assert list(rows[0]) == [column.name for column in COLUMNS]
    with (cohort / "truth.csv").open(encoding="utf-8") as stream:
        sick = {row["infant"] for row in csv.DictReader(stream) if row["cohort"] == "definite"}
    assert len(sick) >= 30
    assert sick <= {row["infant"] for row in rows}
    assert report.rows == len(rows)
    assert [row["infant"] for row in rows] == sorted(row["infant"] for row in rows)
    ledger = table(tmp_path / "rows.csv.ledger.csv")
    for line in ledger:
        counts = {name: int(value) for name, value in line.items() if name != "type"}
        assert counts.pop("received") == sum(counts.values()), line
    quarantined = table(tmp_path / "rows.csv.quarantine.csv")
    assert len(quarantined) == sum(int(line["quarantined"]) for line in ledger) == report.quarantined > 0
    assert all(entry["reason"] and entry["file"] and int(entry["line"]) > 0 for entry in quarantined)
    assert report.nonconforming
    rates = table(tmp_path / "rows.csv.rates.csv")
    for kind, broken in report.nonconforming.items():
        (of_all,) = [one for one in rates if (one["dimension"], one["type"]) == ("all", kind)]
        assert (int(of_all["nonconformant"]), of_all["source"]) == (broken, "harbor")
    assert sum(int(one["quarantined"]) for one in rates if one["dimension"] == "all") == report.quarantined
    groups = {one["group"] for one in rates if one["dimension"] == "race_ethnicity"}
    assert groups == {row["race_ethnicity"] for row in rows}
    patients = [one for one in rates if (one["dimension"], one["type"]) == ("payer", "Patient")]
    assert sum(int(one["judged"]) for one in patients) >= len(rows)  # merged-away ones are judged too
    evidence = json.loads(rows[0]["evidence"])
    assert all(len(found) == 2 for found in evidence.values())


def test_same_input_same_bytes_whatever_the_names_of_other_folders(cohort: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        map_folder(cohort, tmp_path / name / "rows.csv", SETTINGS)
        map_folder(cohort, tmp_path / name / "rows.parquet", SETTINGS)
    digests = [
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((tmp_path / name).iterdir())]
        for name in ("one", "two")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 14


def test_parquet_holds_typed_columns(cohort: Path, tmp_path: Path) -> None:
    map_folder(cohort, tmp_path / "rows.parquet", SETTINGS)
    found = pq.read_table(tmp_path / "rows.parquet")
    assert found.column_names == [column.name for column in COLUMNS]
    types = {column.name: str(found.schema.field(column.name).type) for column in COLUMNS}
    assert types["birth_date"] == "date32[day]"
    assert types["days_provider_to_neurology_low"] == "int32"
    assert types["evidence"] == "string"


def test_nothing_is_written_when_something_cannot_be_read(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    write(folder, "a.ndjson", list(infant()))
    path = write(folder, "b.ndjson.gz", list(infant("p2")))
    path.write_bytes(path.read_bytes()[:-9])
    out.mkdir()
    with pytest.raises(UnreadableInput, match="cut short"):
        map_folder(folder, out / "rows.csv", SETTINGS)
    with pytest.raises(SettingsError, match="must end in"):
        map_folder(folder, out / "rows.xlsx", SETTINGS)
    with pytest.raises(UnreadableInput, match="no such folder"):
        map_folder(tmp_path / "none", out / "rows.csv", SETTINGS)
    assert list(out.iterdir()) == []


def test_merged_and_missing_patients_are_counted(tmp_path: Path) -> None:
    merged = resource("Patient", "old", link=[{"type": "replaced-by", "other": of("p1")}])
    write(tmp_path / "in", "a.ndjson", [*infant(), merged, condition("c9", "nobody")])
    (tmp_path / "in" / "empty.ndjson").touch()
    report = map_folder(tmp_path / "in", tmp_path / "rows.csv", SETTINGS)
    assert {"merged_away": 1, "no_patient_resource": 1}.items() <= report.excluded.items()
    counted = {line["reason"]: int(line["infants"]) for line in table(tmp_path / "rows.csv.excluded.csv")}
    assert counted == report.excluded
    assert report.empty_files == ("empty.ndjson",)


def test_the_horizon_is_the_latest_update_or_else_the_latest_record(tmp_path: Path) -> None:
    settings = MappingSettings("harbor", timezone="America/New_York")
    write(tmp_path / "a", "a.ndjson", list(infant()))
    assert map_folder(tmp_path / "a", tmp_path / "a.csv", settings).as_of == date(2024, 7, 1)
    stamped = resource("Patient", "x", updated="2024-09-01T02:00:00Z")
    write(tmp_path / "b", "a.ndjson", [*infant(), stamped])
    assert map_folder(tmp_path / "b", tmp_path / "b.csv", settings).as_of == date(2024, 8, 31)
