"""What `iess map` costs on each engine: `python benchmarks/mapping_engines.py --infants 20000 --infants 100000`.

For each size a synthetic export is written (as `benchmarks/mapping.py` does), then mapped once by DuckDB, by Spark on
this machine and by Spark's cluster of local processes, each in a process of its own with everything it starts: imports,
the Java machine, the executors. Wall time is that of the process; CPU time and peak memory are those of the process and
of all it started, sampled five times a second. The rows must be the same, or this fails. Needs PySpark and Java 17.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SHARE = 0.02
LANES = {"DuckDB": "", "Spark, local[2]": "local[2]", "Spark, local-cluster[2,1,1024]": "local-cluster[2,1,1024]"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--infants", type=int, action="append", help="repeatable; default 20000")
    parser.add_argument("--data", type=Path, help="keep and reuse the synthetic exports in this folder")
    options = parser.parse_args()
    from benchmarks.mapping import export

    with tempfile.TemporaryDirectory(prefix="iess-bench-") as temporary:
        print("| infants | GB | engine | wall s | CPU s | peak MB | of it Python |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for infants in options.infants or [20_000]:
            folder = export(options.data or Path(temporary), infants, SHARE)
            size = sum(path.stat().st_size for path in folder.glob("*.ndjson")) / 1e9
            written = set()
            for name, master in LANES.items():
                out = Path(temporary) / f"{infants}.csv"
                wall, cpu, peak, python = run(folder, out, master)
                written.add(out.read_bytes())
                print(
                    f"| {infants:,} | {size:.2f} | {name} | {wall:.0f} | {cpu:.0f} | {peak:.0f} | {python:.0f} |",
                    flush=True,
                )
            if len(written) > 1:
                raise SystemExit("the engines disagree")


def run(folder: Path, out: Path, master: str) -> tuple[float, float, float, float]:
    """Wall seconds, CPU seconds, peak memory of everything and of Python alone (MB) of one `iess map`."""
    command = [sys.executable, "-m", "pipeline.cli.main", "map", str(folder), "--out", str(out), "--json"]
    command += ["--engine", "spark"] if master else []
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, "IESS_SPARK_MASTER": master}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    watched, cpu, peak, python = psutil.Process(process.pid), dict[int, float](), 0, 0
    while process.poll() is None:
        resident = 0
        for one in [watched, *watched.children(recursive=True)]:
            try:
                cpu[one.pid] = sum(one.cpu_times()[:2])
                memory = one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            resident += memory
            if "python" in one.name():
                python = max(python, memory)
        peak = max(peak, resident)
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"iess map ended with {process.returncode}")
    return time.perf_counter() - began, sum(cpu.values()), peak / 1e6, python / 1e6


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
