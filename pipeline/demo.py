"""The demo: two synthetic hospitals on a real FHIR server, through the whole system.

What it starts, it stops. It owns its folder and begins by emptying it, so that a second run gives the same warehouse.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from fhir_source.errors import SettingsError
from pipeline import steps, weekly
from pipeline.airflow_home import AirflowFailed, create_metadata_database, environment, run_airflow
from pipeline.clock import Clock
from pipeline.database import database_url, open_warehouse
from pipeline.records import Loaded
from pipeline.settings import load_settings
from synthetic.fhir_server import FhirServer
from synthetic.generate import generate
from synthetic.options import Site, SynthOptions
from warehouse.fingerprint import warehouse_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.records import Weekly
    from pipeline.settings import Settings

    Progress = Callable[[str, int], None]
    Say = Callable[[str], None]

SITES = (Site("riverside", "America/New_York"), Site("lakeside", "America/Chicago"))
#: 400 infants with IESS over two years among 1,500 others; from the first week on, Black infants have six times the
#: odds of waiting more than 7 days for a neurologist (Abath 2024 found about five).
COHORT = SynthOptions(
    infants=1900,
    iess_share=400 / 1900,
    seed=2026,
    start=date(2024, 7, 1),
    end=date(2026, 6, 30),
    sites=SITES,
    dimension="race_ethnicity",
    group=("nh_black",),
    odds_ratio=6.0,
    rates={"race.nh_black": 0.25, "race.nh_white": 0.41},
)
#: The Monday after the data ends: the demo's clock.
NOW = datetime(2026, 7, 6, 7, 0, tzinfo=UTC)
MARKER = ".iess-demo"


@dataclass(frozen=True)
class DemoReport:
    """What the demo ends with."""

    loaded: list[Loaded]
    weekly: Weekly
    warehouse_hash: str
    resources: int
    infants: int


@dataclass(frozen=True)
class Hospitals:
    """The two FHIR servers of the demo, running, and the settings that name them."""

    config: Path
    settings: Settings
    resources: int


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


def empty(home: Path) -> None:
    """Make the demo's folder, or empty it when it is the demo's. Any other folder is left alone (SettingsError)."""
    if home.exists() and any(home.iterdir()) and not (home / MARKER).exists():
        raise SettingsError("The folder is not empty and not the demo's", file=str(home), next_step="name another")
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def hospitals(home: Path, *, say: Say, progress: Progress) -> Iterator[Hospitals]:
    """Two FHIR servers on loopback, loaded with the cohort (once), and the settings that name them."""
    home.mkdir(parents=True, exist_ok=True)
    (home / MARKER).touch()
    cohort = home / "cohort"
    loaded_before = (cohort / "truth.csv").exists()
    if not loaded_before:
        generate(cohort, COHORT, progress=lambda count: progress("infants generated", count))
    with ExitStack() as stack:
        servers = [
            (site, stack.enter_context(FhirServer(home / "servers" / site.name, smart="RS384"))) for site in SITES
        ]
        resources = 0
        if not loaded_before:
            say("Two FHIR servers (sekmet-fhir) with SMART Backend Services, being loaded")
            with ThreadPoolExecutor(len(servers)) as pool:
                reports = pool.map(
                    lambda pair: pair[1].load(
                        cohort / pair[0].name, progress=lambda count: progress(f"loaded into {pair[0].name}", count)
                    ),
                    servers,
                )
                resources = sum(report.loaded for report in reports)
        config = _write_settings(home, servers)
        yield Hospitals(config, load_settings(config), resources)


def _write_settings(home: Path, servers: list[tuple[Site, FhirServer]]) -> Path:
    lines = [f'home = "."\nnow = "{NOW.isoformat()}"\n']
    for site, server in servers:
        lines.append(
            f'[sources.{site.name}]\nkind = "search"\nurl = "{server.base_url}"\ntimezone = "{site.timezone}"\n'
            f'[sources.{site.name}.auth]\nkind = "smart"\nclient_id = "{server.client_id}"\n'
            f'token_url = "{server.token_url}"\nprivate_key_file = "{server.private_key_path.relative_to(home)}"\n'
        )
    config = home / "iess.toml"
    config.write_text("\n".join(lines), encoding="utf-8")
    key = home / "hash.key"
    if not key.exists():
        # A key that everybody knows, for infants that nobody bore: the same hashes at every run.
        key.touch(mode=0o600)
        key.write_text("demo", encoding="ascii")
    return config


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
        code = process.wait()
    if code:
        raise AirflowFailed("The DAGs did not all succeed", file=str(log), next_step="read that log")


def _summary(settings: Settings, resources: int) -> DemoReport:
    clock = Clock.read(settings.now)
    with open_warehouse(settings) as engine:
        fingerprint = warehouse_hash(engine)
    loaded = [found for name in sorted(settings.sources) for found in steps.ledgers(settings, name)]
    summary = weekly.summary(settings, clock.today)
    return DemoReport(loaded, summary, fingerprint, resources, COHORT.infants)
