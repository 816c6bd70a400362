"""`make demo`, whole: FHIR servers with SMART, the real DAGs, PostgreSQL, a report, and the alert that it raised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import ledger_adds_up


@pytest.mark.integration
@pytest.mark.slow
def test_the_demo_ends_with_a_ledger_a_table_a_report_and_the_planted_disparity_alerted(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "demo", "--airflow", "--home", str(home), "--json"],
        env={name: value for name, value in os.environ.items() if not name.startswith(("IESS_", "AIRFLOW"))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sorted(pull["source"] for pull in report["loaded"]) == ["lakeside", "riverside"]
    assert all(ledger_adds_up(pull["ledger"]) for pull in report["loaded"])

    weekly = report["weekly"]
    late = {line["group"]: line["share_late"] for line in weekly["delays"] if line["measure"] == "I2"}
    assert late["nh_black"] > late["nh_white"] + 0.2, "the disparity that was planted"
    assert len(weekly["alerts"]) == 1, "one message, however many weeks were worked through"
    assert "Black infants waited longer" in weekly["alerts"][0]
    sent = list((home / "outbox").glob("*.txt"))
    assert len(sent) == 1
    assert "Black infants waited longer" in sent[0].read_text()
    assert Path(weekly["report"]).read_text().count("<svg") >= 3

    logs = (home / "airflow" / "replay.log").read_text(errors="replace")
    key = next((home / "servers").rglob("client_key.pem")).read_text().splitlines()[1]
    assert key not in logs, "no credential in a log"
    assert "BEGIN PRIVATE KEY" not in (home / "iess.toml").read_text()

    again = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "demo", "--home", str(home), "--json"],
        env={name: value for name, value in os.environ.items() if not name.startswith(("IESS_", "AIRFLOW"))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)
    assert second["warehouse_hash"] == report["warehouse_hash"], "with Airflow or without: the same warehouse"
    assert second["weekly"] == weekly
