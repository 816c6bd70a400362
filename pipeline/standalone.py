"""Airflow standalone beside the embedded PostgreSQL: what `make airflow` runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

from pipeline.airflow_home import AirflowFailed, create_metadata_database, environment, run_airflow
from pipeline.database import database_url, open_warehouse
from pipeline.settings import DEFAULT_POOL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from pipeline.settings import Settings

READY_SECONDS = 180


def run_standalone(settings: Settings, config: Path, *, port: int, say: Callable[[str], None]) -> None:
    """Run until interrupted. Raises `AirflowFailed` when Airflow ends by itself or is not up in three minutes."""
    signal.signal(signal.SIGTERM, _interrupted)  # by default it would end this process, and leave Airflow's behind
    with ExitStack() as stack:
        url = stack.enter_context(database_url(settings))
        with open_warehouse(settings):
            say("The warehouse is up and migrated.")
        create_metadata_database(url)
        variables = environment(settings, config, url, port=port)
        log = settings.home / "airflow" / "standalone.log"
        say("Preparing Airflow's metadata database ...")
        run_airflow(["airflow", "db", "migrate"], variables, log)
        for pool in sorted(set(settings.pools()) - {DEFAULT_POOL}):
            # A task whose pool doesn't exist is never run. One slot: no two tasks ask the same server at once.
            run_airflow(["airflow", "pools", "set", pool, "1", "IESS sources", "--include-deferred"], variables, log)
        process = _start(variables, log)
        stack.callback(_stop, process)
        _wait_until_up(process, port, log)
        user, password = _credentials(settings)
        say(f"Airflow: http://127.0.0.1:{port}  user: {user}  password: {password}")
        say("Unpause the DAGs iess_pull, iess_timeline and iess_weekly_equity there. Ctrl-C stops everything.")
        _wait(process, log)


def _start(variables: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        # A session of its own: standalone leaves its children behind when only the parent is stopped.
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_up(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AirflowFailed("Airflow ended before it was up", file=str(log), next_step="read that log")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            health = {}  # not listening yet: that is what is being waited for
        if health.get("scheduler", {}).get("status") == "healthy":
            return
        time.sleep(1)
    raise AirflowFailed(f"Airflow was not up within {READY_SECONDS} seconds", file=str(log), next_step="read that log")


def _credentials(settings: Settings) -> tuple[str, str]:
    """User and password that the simple auth manager made up for this home."""
    file = settings.home / "airflow" / "simple_auth_manager_passwords.json.generated"
    users: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return next(iter(users.items()))


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    try:
        code = process.wait()
    except KeyboardInterrupt:
        return
    raise AirflowFailed(f"Airflow ended with {code}", file=str(log), next_step="read that log")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: asked first, then made to."""
    for sign, patience in ((signal.SIGINT, 15), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sign)
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
        # The parent is gone; its children get the same sign until the group is empty.
