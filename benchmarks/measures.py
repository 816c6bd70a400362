"""How long one weekly `measure` takes: `python -m benchmarks.measures [--infants 600 2000]`. CPU, rows.

No database: what PostgreSQL adds is one COPY of the rows (about 1 s for 20,000).
"""

from __future__ import annotations

import argparse
import time
from datetime import timedelta

from surveillance.cohort import as_known, data_through
from surveillance.measures.definitions import measures
from surveillance.results import result_rows
from surveillance.settings import SurveillanceSettings
from tests.surveillance.timelines import START, timelines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--infants", type=int, nargs="+", default=[100, 600, 2000])
    parser.add_argument("--sites", type=int, default=3)
    options = parser.parse_args()
    print("infants  rows    seconds of CPU")
    for infants in options.infants:
        cohort = timelines(infants, weeks=104, sites=options.sites, odds_ratio=2)
        as_of = START + timedelta(weeks=106)
        begun = time.process_time()
        rows = result_rows(
            as_known(cohort, as_of),
            measures(),
            as_of=as_of,
            settings=SurveillanceSettings(),
            through=data_through(cohort),
        )
        print(f"{infants:7d}  {len(rows):6d}  {time.process_time() - begun:.1f}")


if __name__ == "__main__":
    main()
