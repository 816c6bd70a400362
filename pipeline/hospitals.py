"""The demo's two hospitals: a synthetic cohort on real FHIR servers on loopback, and the settings that name them."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from fhir_source.errors import SettingsError
from pipeline.settings import load_settings
from synthetic.fhir_server import FhirServer
from synthetic.generate import generate
from synthetic.options import Site, SynthOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
#: The cohort conforms (tests hold that), so that the server need not check it while it is loaded: twice as fast.
_FAST = {"validation": {"inbound": "off"}}


@dataclass(frozen=True)
class Hospitals:
    """The two FHIR servers of the demo, running, and the settings that name them."""

    config: Path
    settings: Settings
    resources: int


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
            (site, stack.enter_context(FhirServer(home / "servers" / site.name, smart="RS384", extra=_FAST)))
            for site in SITES
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
                resources = sum(report.total for report in reports)
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
        key.write_text("demo" * 16, encoding="ascii")
    return config
