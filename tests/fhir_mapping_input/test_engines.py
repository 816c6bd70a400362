"""What every engine must find alike, and what is said when one isn't there. Spark's own tests: tests/spark."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_mapping.codes import load
from fhir_mapping.model import MappingSettings
from fhir_mapping.select import find_files, select
from fhir_source.errors import SettingsError
from tests.fhir_mapping_input.input_folders import concept, infant, of, resource, write

BLANKS = [" ", "\u00a0", "\u2007", "\u2009", "\u202f", "-", "_"]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("typed_from", [0, 10**9], ids=["typed", "exact"])
def test_any_blank_may_stand_between_words_and_in_codes(tmp_path: Path, blank: str, typed_from: int) -> None:
    told = [{"text": f"Infantile{blank}spasms"}, {"text": f"West{blank}syndrome"}]
    if blank.isspace():
        told.append(concept(f"G40.822{blank}"))
    patients = [resource("Patient", str(number), birthDate="2024-01-10") for number in range(len(told))]
    conditions = [
        resource("Condition", f"c{number}", subject=of(str(number)), code=code) for number, code in enumerate(told)
    ]
    write(tmp_path, "Patient.ndjson", patients)
    write(tmp_path, "Condition.ndjson", conditions)
    selection = select(find_files(tmp_path), MappingSettings("s"), load(), typed_from=typed_from)
    assert selection.infants == {str(number) for number in range(len(told))}


def test_an_unknown_engine_is_a_wrong_setting(tmp_path: Path) -> None:
    write(tmp_path, "a.ndjson", infant())
    with pytest.raises(SettingsError, match="duckdb, spark"):
        select(find_files(tmp_path), MappingSettings("s"), load(), engine="flink")


def test_spark_without_pyspark_is_one_clear_line(tmp_path: Path) -> None:
    write(tmp_path / "in", "a.ndjson", infant())
    code = "import sys; sys.modules['pyspark'] = None; from pipeline.cli.main import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "map",
            str(tmp_path / "in"),
            "--out",
            str(tmp_path / "o.csv"),
            "--engine",
            "spark",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 10
    assert "PySpark is not installed" in done.stderr
    assert "[spark]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o.csv").exists()
