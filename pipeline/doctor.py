"""What `iess doctor` looks at: settings, database, disk, and each source."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fhir_source.errors import IessError, SourceUnreachable
from fhir_source.probe import ServerReport, probe
from pipeline.database import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.settings import Settings

Verdict = Literal["ok", "warning", "problem"]
#: A network of a few hospitals lands some hundred megabytes a day.
FEW_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Check:
    """One finding. `exit_code` is that of the error which a command would end with."""

    name: str
    verdict: Verdict
    detail: str
    exit_code: int = 0


def examine(settings: Settings) -> Iterator[Check]:
    """Every check, in order, each by itself: one problem doesn't hide the next."""
    yield _disk(settings)
    yield _writable("landing zone", settings.landing_root)
    yield _writable("reports", str(settings.report_dir))
    yield _warehouse(settings)
    if not settings.sources:
        yield Check("sources", "warning", "the settings name none; add [sources.<name>] to iess.toml")
    for name in sorted(settings.sources):
        yield from _source(settings, name)


def _disk(settings: Settings) -> Check:
    folder = settings.home.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "ok" if free >= FEW_BYTES else "warning"
    return Check("disk", verdict, f"{free / 1024**3:.1f} GiB free where `home` is")


def _writable(name: str, place: str) -> Check:
    if "://" in place:
        return Check(name, "ok", "an object store: it is tried at the first pull")
    folder = Path(place)
    while not folder.exists():
        folder = folder.parent
    if os.access(folder, os.W_OK | os.X_OK):
        return Check(name, "ok", place)
    return Check(name, "problem", f"{place} can't be written", exit_code=10)


def _warehouse(settings: Settings) -> Check:
    kind = "embedded PostgreSQL" if settings.database_url is None else "PostgreSQL of the settings"
    try:
        with open_warehouse(settings) as engine, engine.connect() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    except IessError as error:
        return Check("warehouse", "problem", str(error), exit_code=error.exit_code)
    return Check("warehouse", "ok", f"{kind} {version}, migrated")


def _source(settings: Settings, name: str) -> Iterator[Check]:
    try:
        source = settings.source(name)
    except IessError as error:
        yield Check(name, "problem", str(error), exit_code=error.exit_code)
        return
    report = probe(source)
    for problem in report.problems:
        yield Check(name, "problem", problem, exit_code=SourceUnreachable.exit_code)
    if report.ok and report.files is not None:
        yield Check(name, "ok", f"{report.files} files in {source.url}")
    elif report.ok:
        yield Check(name, "ok", _described(report))


def _described(report: ServerReport) -> str:
    parts = [f"{report.software or 'FHIR server'}, FHIR {report.fhir_version}"]
    if report.token:
        parts.append(f"token with {report.scopes}" if report.scopes else "token")
    if report.clock_skew_seconds is not None:
        parts.append(f"clock {report.clock_skew_seconds:+.0f} s")
    if report.left_out:
        parts.append(f"not offered: {', '.join(report.left_out)}")
    return "; ".join(parts)
