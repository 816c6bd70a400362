"""What mapping costs, in one table: `python benchmarks/mapping.py --infants 20000 --infants 200000 [--cumulus VENV]`.

For each size and share of IESS a synthetic export of realistic width is written; then, in a process of its own,
(a) the limit: DuckDB parses the same bytes once and counts the resources, (b) the whole path from NDJSON to timelines,
ledger, quarantine and conformance, (c) the whole path on 1% of the lines, as a pull of that share. Start-up (imports,
models, a first small folder) is left out of these and told apart. CPU is of the process and its workers; peak memory is
that of the process tree, sampled. On a machine that others use too, wall time is theirs as well: compare CPU.

`--cumulus VENV` (an environment with cumulus-etl 4.3.6 and cumulus-library 6.3.7) runs their chain on the first of
the exports: cumulus-etl to NDJSON, then `core` of cumulus-library on DuckDB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil

#: Mimics that carry an epilepsy code or reach neurology are a tenth of the generator's usual shares, which describe a
#: neurology clinic: here a health system's infants are meant, most of whom are well.
RATES = {
    "other.other_epilepsy": 0.006,
    "other.ruled_out": 0.0015,
    "other.late_onset_spasms": 0.0005,
    "other.neurology_follow_up": 0.003,
    "other.well": 0.399,
}
COLUMNS = (
    *("what", "GB", "resources", "of the cohort", "rows", "limit: wall s", "CPU s", "whole: wall s", "CPU s"),
    *("x limit, wall", "x limit, CPU", "1%: wall s", "CPU s", "of the whole, CPU", "peak MB", "start-up s"),
)


@dataclass(frozen=True)
class Cost:
    """Seconds of a piece of work, wall and CPU, and what it returned."""

    wall: float
    cpu: float
    result: Any = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infants", type=int, action="append", help="repeatable; default 20000")
    parser.add_argument("--iess", type=float, action="append", help="share, repeatable; default 0.001 and 0.02")
    parser.add_argument("--data", type=Path, help="keep and reuse the synthetic exports in this folder")
    parser.add_argument("--repeats", type=int, default=3, help="the run of least CPU time of so many counts")
    parser.add_argument("--cumulus", type=Path, metavar="VENV", help="compare with cumulus-etl and cumulus-library")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.repeats)))
        return
    with tempfile.TemporaryDirectory(prefix="iess-bench-") as temporary:
        base = options.data or Path(temporary)
        exports = [
            (infants, share, export(base, infants, share))
            for infants in options.infants or [20_000]
            for share in options.iess or [0.001, 0.02]
        ]
        print(machine())
        print("\n" + line(COLUMNS) + "\n" + line("---" for _ in COLUMNS), flush=True)
        for infants, share, folder in exports:
            print(line(row(f"{infants:,} infants, {share:.1%} IESS", folder, options.repeats)), flush=True)
        if options.cumulus:
            infants, share, folder = exports[0]
            name = f"Cumulus on {infants:,} infants, {share:.1%} IESS"
            print(line(cumulus(name, folder, options.cumulus, Path(temporary))), flush=True)


def machine() -> str:
    """When and where: without it no figure means anything."""
    import duckdb

    cpu = next((one for one in Path("/proc/cpuinfo").read_text().splitlines() if one.startswith("model name")), "")
    memory = psutil.virtual_memory().total / 1e9
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores ({cpu.partition(': ')[2]}), {memory:.0f} GB, Python "
        f"{platform.python_version()}, DuckDB {duckdb.__version__}; load average before the run {load}."
    )


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def export(base: Path, infants: int, share: float) -> Path:
    """A synthetic export of one site, made unless it is there."""
    from synthetic.generate import generate
    from synthetic.options import SynthOptions

    folder = base / f"{infants}-{share}"
    if not folder.is_dir():
        making = base / f"{infants}-{share}.making"
        shutil.rmtree(making, ignore_errors=True)
        generate(making, SynthOptions(infants=infants, iess_share=share, width="realistic", rates=RATES))
        making.rename(folder)
    (site,) = (path for path in folder.iterdir() if path.is_dir())
    return site


def row(name: str, folder: Path, repeats: int) -> list[str]:
    """The figures of one export, from a process of its own."""
    command = [sys.executable, __file__, "--measure", str(folder), "--repeats", str(repeats)]
    peak, cost = watched(command)
    found = json.loads(cost.result)
    limit, whole, part = (Cost(*found[of]) for of in ("limit", "whole", "increment"))
    return [
        *(name, f"{found['bytes'] / 1e9:.2f}", f"{found['lines']:,}", f"{found['cohort']:,}", f"{found['rows']:,}"),
        *(f"{limit.wall:.2f}", f"{limit.cpu:.2f}", f"{whole.wall:.2f}", f"{whole.cpu:.2f}"),
        *(f"{whole.wall / limit.wall:.1f}", f"{whole.cpu / limit.cpu:.1f}"),
        *(f"{part.wall:.2f}", f"{part.cpu:.2f}", f"{part.cpu / whole.cpu:.1%}"),
        *(f"{peak:.0f}", f"{found['start_up']:.1f}"),
    ]


def cumulus(name: str, folder: Path, environment: Path, temporary: Path) -> list[str]:
    """The chain of Cumulus on the same export: its start-up is in its figures, of a few seconds."""
    out = temporary / "cumulus"
    etl = [
        *(str(environment / "bin" / "cumulus-etl"), str(folder), str(out / "etl"), str(out / "phi")),
        *("--output-format", "ndjson", "--allow-missing-resources"),
        *("--export-group", "benchmark", "--export-timestamp", "2026-01-01"),
    ]
    library = [
        *(str(environment / "bin" / "cumulus-library"), "build", "--target", "core", "--db-type", "duckdb"),
        *("--database", str(out / "db"), "--load-ndjson-dir", str(out / "etl"), str(out / "counts")),
    ]
    peaks, costs = zip(*(watched(command) for command in (etl, library)), strict=True)
    size = sum(path.stat().st_size for path in folder.glob("*.ndjson"))
    lines = sum(path.read_bytes().count(b"\n") for path in folder.glob("*.ndjson"))
    wall, cpu = sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs)
    cells = dict.fromkeys(range(len(COLUMNS)), "")
    cells |= {0: name, 1: f"{size / 1e9:.2f}", 2: f"{lines:,}", 7: f"{wall:.2f}", 8: f"{cpu:.2f}"}
    cells |= {14: f"{max(peaks):.0f}", 15: "in it"}
    return list(cells.values())


def watched(command: list[str]) -> tuple[float, Cost]:
    """Runs a command: the peak memory (MB) of its process tree, sampled, and its time with what it printed."""
    began, before = time.perf_counter(), os.times()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed)
        tree, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            peak = max(peak, resident(tree))
            time.sleep(0.1)
        if process.returncode:
            raise SystemExit(f"{command[0]} ended with {process.returncode}")
        after = os.times()
        printed.seek(0)
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return peak / 1e6, Cost(time.perf_counter() - began, cpu, printed.read())


def resident(root: psutil.Process) -> int:
    total = 0
    for process in [root, *children(root)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def children(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """All figures of one export, in this process."""
    began = time.perf_counter()
    import duckdb

    from fhir_mapping.files import find_files
    from fhir_mapping.model import MappingSettings
    from fhir_mapping.run import map_folder

    settings = MappingSettings("bench", timezone="America/New_York", as_of=date(2026, 1, 1))
    files = find_files(folder)
    paths = [str(file.path) for file in files]
    with tempfile.TemporaryDirectory(prefix="iess-bench-") as name:
        small, increment, out = Path(name) / "small", Path(name) / "increment", Path(name) / "out.csv"
        thin(folder, small, 500)
        map_folder(small, out, settings)
        start_up = time.perf_counter() - began
        thin(folder, increment, 100)

        def count() -> int:
            with duckdb.connect() as connection:
                found = connection.execute("SELECT count(*) FROM read_ndjson_objects(?)", [paths]).fetchone()
            return int(found[0]) if found else 0

        limit = least(count, repeats)
        whole = least(lambda: map_folder(folder, out, settings), repeats)
        part = least(lambda: map_folder(increment, out, settings), repeats)
    report = whole.result
    return {
        "bytes": sum(file.path.stat().st_size for file in files),
        "lines": limit.result,
        "cohort": sum(entry.in_scope for entry in report.ledger.values()),
        "rows": report.rows,
        "limit": (limit.wall, limit.cpu),
        "whole": (whole.wall, whole.cpu),
        "increment": (part.wall, part.cpu),
        "start_up": start_up,
    }


def least(work: Callable[[], Any], repeats: int) -> Cost:
    """The run of least CPU time (this process and its workers)."""
    found = []
    for _ in range(repeats):
        began, before = time.perf_counter(), sum(os.times()[:4])
        result = work()
        found.append(Cost(time.perf_counter() - began, sum(os.times()[:4]) - before, result))
    return min(found, key=lambda cost: cost.cpu)


def thin(folder: Path, target: Path, every: int) -> None:
    """A folder with every so manieth line of each file: as much to read as a pull of that share."""
    target.mkdir()
    for path in sorted(folder.glob("*.ndjson")):
        with path.open("rb") as lines, (target / path.name).open("wb") as out:
            out.writelines(line for number, line in enumerate(lines) if number % every == 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
