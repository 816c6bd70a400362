"""The pure commands: `iess map`, `iess synth`, `iess detect`, and how `iess` speaks."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fhir_mapping.contract import COLUMNS
from tests.pipeline.conftest import Run, answer


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_map_writes_the_contract_a_ledger_and_a_quarantine(iess: Run, hospital: Path, tmp_path: Path) -> None:
    out = tmp_path / "timelines.csv"
    report = answer(iess("map", hospital, "--out", out, "--site-timezone", "America/New_York", "--json"))
    timelines = rows(out)
    assert list(timelines[0]) == [column.name for column in COLUMNS]
    assert len(timelines) == report["timelines"] > 40
    for line in rows(tmp_path / "timelines.csv.ledger.csv"):
        received = int(line.pop("received"))
        line.pop("type")
        assert received == sum(map(int, line.values()))
    assert rows(tmp_path / "timelines.csv.quarantine.csv") == []


def test_the_same_input_gives_the_same_bytes(iess: Run, hospital: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for out in (first, second):
        assert iess("map", hospital, "--out", out, "--as-of", "2025-12-31").returncode == 0
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("map", "nowhere", "--out", "x.csv"), 15, "no such folder"),
        (("map", ".", "--out", "x.csv", "--site-timezone", "Mars"), 10, "not an IANA time zone"),
        (("map", ".", "--out", "x.csv", "--fhir-version", "R3"), 2, "R3"),
        (("pull", "nowhere"), 10, "There is no source named 'nowhere'"),
        (("frobnicate",), 2, "No such command"),
        (("synth", "x", "--site", "a=UTC,foo"), 2, "share=NUMBER"),
        (("--config", "none.toml", "status"), 10, "does not exist"),
    ],
)
def test_a_mistake_is_one_clear_message_and_a_documented_code(
    iess: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = iess(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_synth_is_deterministic_and_says_what_it_wrote(iess: Run, tmp_path: Path) -> None:
    options = ("--infants", 40, "--iess-share", 0.5, "--seed", 3, "--site", "a=America/Chicago", "--site", "b")
    for name in ("one", "two"):
        report = answer(iess("synth", tmp_path / name, *options, "--json"))
        assert (report["infants"], report["iess"]) == (40, 20)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.ndjson"))
    assert files
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_synth_exports_the_same_hospital_on_an_earlier_day(iess: Run, tmp_path: Path) -> None:
    options = ("--infants", 40, "--iess-share", 0.5, "--site", "a=America/Chicago,share=2,bare", "--json")
    early = answer(iess("synth", tmp_path / "early", *options, "--as-of", "2025-01-31"))
    late = answer(iess("synth", tmp_path / "late", *options))
    assert 0 < early["infants"] < late["infants"]
    conditions = [json.loads(line) for line in (tmp_path / "early/a/Condition.ndjson").read_text().splitlines()]
    assert conditions
    assert all("meta" not in condition and "category" not in condition for condition in conditions)


def test_detect_runs_the_worked_example(iess: Run, tmp_path: Path) -> None:
    """statistics.md section 3: eight blocks, and M at the eighth."""
    blocks = [
        (2, 3, 3, 8),
        (1, 2, 2, 6),
        (3, 4, 2, 9),
        (0, 1, 4, 7),
        (2, 2, 1, 5),
        (4, 5, 3, 10),
        (3, 4, 2, 8),
        (2, 3, 1, 9),
    ]
    source = tmp_path / "blocks.csv"
    lines = ["week,site,prior_neurology,x,n_group,y,n_reference"]
    lines += [f"{week},a,no,{x},{b},{y},{r}" for week, (x, b, y, r) in enumerate(blocks, 1)]
    source.write_text("\n".join(lines) + "\n")
    out = tmp_path / "chart.csv"
    report = answer(iess("detect", source, "--out", out, "--charts", 9, "--budget", 1, "--json"))
    assert report["limit"] == 468
    chart = rows(out)
    assert list(chart[0]) == ["week", "e_1.5", "e_2", "e_3", "e_5", "m", "limit", "signal", "cs_low", "cs_high"]
    assert float(chart[-1]["m"]) == pytest.approx(558.462863, abs=1e-5)
    # statistics.md prints 1.156, read off a grid; adaptive quadrature of the same mixture gives 1.154955.
    assert float(chart[-1]["cs_low"]) == pytest.approx(1.154955, abs=1e-5)
    assert len(report["signals"]) == 1
