"""What mapping costs: `python benchmarks/mapping.py --infants 20000 --infants 200000`.

For each size and share of IESS: a synthetic export of realistic width is written, then one process measures, warm,
(a) the limit: DuckDB parses the same bytes once and counts the resources, (b) the selection, (c) the whole path from
NDJSON to timelines, ledger, quarantine and conformance, and (d) the whole path on 1% of the infants. Peak memory is
that of the process and of its workers together. Start-up (imports, models) is measured once and printed apart.

For comparison: cumulus-etl 4.3.6 to NDJSON and cumulus-library 6.3.7 `core` on DuckDB took 82 s and up to 2.9 GB for
220,000 resources on two cores; the last column is what the whole path makes of as many.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

CUMULUS_RESOURCES = 220_000
#: Mimics that carry an epilepsy code or reach neurology are a tenth of the generator's usual shares, which describe a
#: neurology clinic: here a health system's infants are meant, most of whom are well.
RATES = {
    "other.other_epilepsy": 0.006,
    "other.ruled_out": 0.0015,
    "other.late_onset_spasms": 0.0005,
    "other.neurology_follow_up": 0.003,
    "other.well": 0.399,
}
HEADER = (
    "infants | IESS | GB | lines | cohort | rows | limit s | select s | x limit | whole s | x limit | x limit (CPU) "
    "| MB/s | 1% s | 1% / whole | peak MB | start-up s | 220k resources s"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infants", type=int, action="append", help="repeatable; default 20000")
    parser.add_argument("--iess", type=float, action="append", help="share, repeatable; default 0.001 and 0.02")
    parser.add_argument("--data", type=Path, help="keep and reuse the synthetic exports in this folder")
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of so many runs counts")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.repeats)))
        return
    with tempfile.TemporaryDirectory(prefix="iess-bench-") as temporary:
        base = options.data or Path(temporary)
        print(HEADER)
        for infants in options.infants or [20_000]:
            for share in options.iess or [0.001, 0.02]:
                folder = export(base, infants, share)
                print(" | ".join(row(infants, share, folder, options.repeats)), flush=True)


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


def row(infants: int, share: float, folder: Path, repeats: int) -> list[str]:
    command = [sys.executable, __file__, "--measure", str(folder), "--repeats", str(repeats)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    limit, whole = found["limit"], found["whole"]
    return [
        f"{infants:,}", f"{share:.1%}", f"{found['bytes'] / 1e9:.2f}", f"{found['lines']:,}", f"{found['cohort']:,}",
        f"{found['rows']:,}", f"{limit:.2f}", f"{found['select']:.2f}",
        f"{found['select'] / limit:.1f}", f"{whole:.2f}",
        f"{whole / limit:.1f}",
        f"{found['whole_cpu'] / found['limit_cpu']:.1f}", f"{found['bytes'] / 1e6 / whole:.0f}",
        f"{found['increment']:.2f}",
        f"{found['increment'] / whole:.1%}", f"{found['peak_mb']:.0f}", f"{found['start_up']:.1f}",
        f"{whole / found['lines'] * CUMULUS_RESOURCES:.2f}",
    ]  # fmt: skip


def measure(folder: Path, repeats: int) -> dict[str, Any]:
    """All figures of one export, in this process."""
    began = time.perf_counter()
    import duckdb

    from fhir_mapping.codes import load
    from fhir_mapping.model import MappingSettings
    from fhir_mapping.run import map_folder
    from fhir_mapping.select import find_files, select

    settings = MappingSettings("bench", timezone="America/New_York", as_of=date(2026, 1, 1))
    files = find_files(folder)
    with tempfile.TemporaryDirectory(prefix="iess-bench-") as name:
        small, increment, out = Path(name) / "small", Path(name) / "increment", Path(name) / "out.csv"
        thin(folder, small, 5_000)
        map_folder(small, out, settings)
        start_up = time.perf_counter() - began
        thin(folder, increment, 100)
        paths = [str(file.path) for file in files]

        def count() -> int:
            with duckdb.connect() as connection:
                found = connection.execute("SELECT count(*) FROM read_ndjson_objects(?)", [paths]).fetchone()
            return int(found[0]) if found else 0

        limit, limit_cpu, lines = fastest(count, repeats)
        selected, selected_cpu, selection = fastest(lambda: select(files, settings, load()), repeats)
        whole, whole_cpu, report = fastest(lambda: map_folder(folder, out, settings), repeats)
        one_percent, _, _ = fastest(lambda: map_folder(increment, out, settings), repeats)
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "bytes": sum(file.path.stat().st_size for file in files),
        "lines": lines,
        "cohort": len(selection.resources),
        "rows": report.rows,
        "limit": limit,
        "select": selected,
        "whole": whole,
        "limit_cpu": limit_cpu,
        "select_cpu": selected_cpu,
        "whole_cpu": whole_cpu,
        "increment": one_percent,
        "peak_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 2 * workers) / 1024,
        "start_up": start_up,
    }


def fastest(work: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """Least wall time, least CPU time (this process and its workers), and the result."""
    wall, cpu, result = float("inf"), float("inf"), None
    for _ in range(repeats):
        began, before = time.perf_counter(), sum(os.times()[:4])
        result = work()
        wall, cpu = min(wall, time.perf_counter() - began), min(cpu, sum(os.times()[:4]) - before)
    return wall, cpu, result


def thin(folder: Path, target: Path, every: int) -> None:
    """A folder with every so manieth line of each file: as much to read as a pull of that share."""
    target.mkdir()
    for path in sorted(folder.glob("*.ndjson")):
        with path.open("rb") as lines, (target / path.name).open("wb") as out:
            out.writelines(line for number, line in enumerate(lines) if number % every == 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
