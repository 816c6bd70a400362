"""How fast cohorts are generated, how wide they are, and that memory does not grow with them.

`python benchmarks/synthetic_speed.py [INFANTS]` prints one line a width: infants a second, kB an infant, peak memory.
Each cohort is made in a process of its own, so that the peak is its own.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from synthetic.generate import generate
from synthetic.options import Site, SynthOptions

SITES = (Site("harbor", "America/New_York"), Site("mesa", "America/Denver"))


def measure(width: str, infants: int, *, compress: bool) -> str:
    options = SynthOptions(infants=infants, sites=SITES, width=width, compress=compress)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = generate(Path(folder), options)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{width:9} {'gzip' if compress else 'plain'}: {infants:,} infants in {seconds:.1f} s, "
        f"{infants / seconds:,.0f}/s, {report.bytes / infants / 1000:.1f} kB an infant, peak {peak:.0f} MB"
    )


def main() -> None:
    if len(sys.argv) == 4:
        print(measure(sys.argv[1], int(sys.argv[2]), compress=sys.argv[3] == "gzip"))
        return
    infants = sys.argv[1] if len(sys.argv) > 1 else "20000"
    for width, packing in (("lean", "plain"), ("realistic", "plain"), ("lean", "gzip")):
        subprocess.run([sys.executable, __file__, width, infants, packing], check=True)


if __name__ == "__main__":
    main()
