"""The demo: two synthetic hospitals on a real FHIR server, through the whole system.

What it starts, it stops. It owns its folder and begins by emptying it, so that a second run gives the same warehouse.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import steps, weekly
from pipeline.airflow_home import AirflowFailed, create_metadata_database, environment, run_airflow
from pipeline.clock import Clock
from pipeline.database import database_url, open_warehouse
from pipeline.hospitals import COHORT, SITES, empty, hospitals
from warehouse.fingerprint import warehouse_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.records import Loaded, Weekly
    from pipeline.settings import Settings

    Progress = Callable[[str, int], None]
    Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoReport:
    """What the demo ends with."""

    loaded: list[Loaded]
    weekly: Weekly
    warehouse_hash: str
    resources: int
    infants: int


def run_demo(home: Path, *, through_airflow: bool, say: Say, progress: Progress) -> DemoReport:
    """Generate, serve, pull, map, load, measure, alert. Raises IessError."""
    empty(home)
    say(f"A synthetic cohort of {COHORT.infants:,} infants at {len(SITES)} hospitals")
    with hospitals(home, say=say, progress=progress) as running, ExitStack() as stack:
        settings = running.settings
        # One server for the whole demo, rather than one a step.
        url = stack.enter_context(database_url(settings))
        with open_warehouse(settings):
            say("The warehouse: an embedded PostgreSQL, migrated")
        if through_airflow:
            _replay(settings, running.config, url, say=say)
        else:
            _walk(settings, say=say, progress=progress)
        return _summary(settings, running.resources)


def _walk(settings: Settings, *, say: Say, progress: Progress) -> None:
    """What the DAGs do, step by step, without Airflow."""
    clock = Clock.read(settings.now)
    for name in sorted(settings.sources):
        source = settings.source(name)
        pulled = steps.pull(settings, source, clock, progress=progress)
        say(f"Pulled {sum(pulled.counts.values()):,} resources from {name}")
        steps.process_pending(settings, source, clock, progress=progress)
        say(f"Mapped, gated and loaded {name}")
    weekly.run(settings, clock.today, clock, progress=progress)


def _replay(settings: Settings, config: Path, url: str, *, say: Say) -> None:
    """The real DAGs, by `dag.test()`, in a process of their own."""
    create_metadata_database(url)
    variables = environment(settings, config, url)
    log = settings.home / "airflow" / "replay.log"
    say("Airflow's metadata database")
    run_airflow(["airflow", "db", "migrate"], variables, log)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dags.replay"], env=variables, stdout=subprocess.PIPE, stderr=output, text=True
        )
        assert process.stdout is not None  # noqa: S101 - asked for above
        for line in process.stdout:
            word, _, dag = line.strip().partition(" ")
            if word == "start" and dag.startswith("iess_"):
                say(f"DAG {dag}")
            else:
                output.write(line.encode())
        code = process.wait()
    if code:
        raise AirflowFailed("The DAGs did not all succeed", file=str(log), next_step="read that log")


def _summary(settings: Settings, resources: int) -> DemoReport:
    with open_warehouse(settings) as engine:
        fingerprint = warehouse_hash(engine, server_clock=False)
    loaded = [found for name in sorted(settings.sources) for found in steps.loaded(settings, name)]
    run = weekly.latest_run(settings)
    assert run is not None  # noqa: S101 - a run was measured just now
    return DemoReport(loaded, weekly.summary(settings, run), fingerprint, resources, COHORT.infants)
