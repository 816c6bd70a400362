"""A small synthetic hospital, an installation of its own for each test, and `iess` as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from synthetic.generate import generate
from synthetic.options import Site, SynthOptions

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Long enough that most infants have matured, small enough to be mapped in a second.
SMALL = SynthOptions(
    infants=120,
    iess_share=0.5,
    seed=11,
    start=date(2025, 1, 1),
    end=date(2025, 12, 31),
    sites=(Site("harbor", "America/New_York"),),
)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of FHIR R4: 60 infants with IESS among 120."""
    out = tmp_path_factory.mktemp("hospital")
    generate(out, SMALL)
    return out / "harbor"


@pytest.fixture
def iess(tmp_path: Path, database_url: str) -> Run:
    """`iess ARGUMENTS` in a process of its own, on an empty database of its own, on 5 January 2026."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("IESS_")},
        "IESS_HOME": str(tmp_path / "home"),
        "IESS_DATABASE_URL": database_url,
        "IESS_HASH_KEY": "a key for tests, long enough to be taken",
        "IESS_NOW": "2026-01-05T07:00:00Z",
        "COLUMNS": "200",
    }

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli.main", *map(str, arguments)],
            env={**environment, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    return run


@pytest.fixture
def copied(hospital: Path, tmp_path: Path) -> Path:
    """A copy of the hospital's folder that a test may spoil."""
    folder = tmp_path / "harbor"
    shutil.copytree(hospital, folder)
    return folder


def ledger_adds_up(ledger: list[dict[str, Any]]) -> bool:
    """received = loaded + unchanged + superseded + deleted + out of scope + quarantined, for every type."""
    parts = ("loaded", "unchanged", "superseded", "deleted", "out_of_scope", "quarantined")
    return bool(ledger) and all(row["received"] == sum(row[part] for part in parts) for row in ledger)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """What a successful `--json` command printed."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
