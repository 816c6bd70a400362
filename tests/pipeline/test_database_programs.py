"""`iess db exec`: psql and pg_dump on the embedded database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

Exec = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exec:
    """`iess db exec ARGUMENTS` with a home of its own."""
    monkeypatch.delenv("IESS_DATABASE_URL", raising=False)
    (tmp_path / "iess.toml").write_text('home = "home"\n')

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline.cli.main", "--config", "iess.toml", "db", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("upgrade").returncode == 0
    return lambda *arguments: run("exec", *arguments)


def test_a_role_is_taken_a_backup_written_and_the_exit_code_is_the_programs(execute: Exec, tmp_path: Path) -> None:
    refused = execute("--role", "iess_analyst", "psql", "-c", "SELECT * FROM ops.pull")
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr
    # The server's own pg_dump, not one of this machine that may be older than the server.
    dumped = execute("pg_dump", "-Fc", "-f", "iess.dump")
    assert (dumped.returncode, dumped.stderr) == (0, "")
    assert (tmp_path / "iess.dump").stat().st_size > 0
    assert execute("no-such-program").returncode == 2
