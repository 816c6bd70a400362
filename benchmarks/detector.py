"""The detector's promises, simulated: `python benchmarks/detector.py [--charts N]`.

False alerts must stay under the bound of 52 / limit a chart and year in every situation without a difference; median
weeks to detection must be within 10% of the design's table 3. Ten years of 36 charts must take under 10 seconds.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import pandas as pd

from surveillance.detector import Block, detect_frame
from surveillance.power import WEEKS_A_YEAR, Scenario, false_alerts, signals, weeks_to_detection
from surveillance.sequence import confidence_sequence

LIMIT = 1040.0
BOUND = WEEKS_A_YEAR / LIMIT
VOLUMES = (100, 500, 2000)
#: Median weeks to detection at 100, 500 and 2,000 cases a year (1,500 charts a cell).
TABLE_3 = {
    "OR 2, late 40%, shares 20/60": (Scenario(0, 0.20, 0.60), (114, 38, 14)),
    "OR 2.38, late 25%, shares 20/60": (Scenario(0, 0.20, 0.60, late=0.25, odds_ratio=2.38), (92, 29, 11)),
    "OR 4.98, late 40%, shares 20/60": (Scenario(0, 0.20, 0.60, odds_ratio=4.98), (44, 13, 5)),
    "OR 2, late 40%, shares 45/45": (Scenario(0, 0.45, 0.45), (96, 30, 10)),
    "OR 2, late 40%, shares 10/58": (Scenario(0, 0.10, 0.58), (159, 53, 21)),
}


def _at(scenario: Scenario, cases: float) -> Scenario:
    return Scenario(cases, **{name: value for name, value in vars(scenario).items() if name != "cases"})


def _season(week: int) -> float:
    return 0.35 + 0.12 * math.sin(2 * math.pi * week / WEEKS_A_YEAR) + 0.0003 * week


def _shift(week: int) -> float:
    return 0.55 if week >= 260 else 0.40


NULLS = {
    "steady, shares 20/60": Scenario(0, 0.20, 0.60),
    "group of 5%": Scenario(0, 0.05, 0.60),
    "season of 12 points and drift": Scenario(0, 0.20, 0.60, baseline=_season),
    "slower for all, 40% to 55%": Scenario(0, 0.20, 0.60, baseline=_shift),
    "ten sites": Scenario(0, 0.20, 0.60, sites=10),
}


def null_rates(charts: int) -> pd.DataFrame:
    rows = [
        {"without a difference": name, "cases a year": cases, "false alerts a chart-year": rate, "bound": BOUND}
        for name, scenario in NULLS.items()
        for cases in VOLUMES
        for rate in [false_alerts(_at(scenario, cases), LIMIT, charts=charts, seed=11)]
    ]
    return pd.DataFrame(rows)


def detection(charts: int) -> pd.DataFrame:
    rows = []
    for name, (scenario, expected) in TABLE_3.items():
        for cases, published in zip(VOLUMES, expected, strict=True):
            waits = weeks_to_detection(_at(scenario, cases), LIMIT, charts=charts, seed=7)
            rows.append(
                {"difference": name, "cases a year": cases, "median weeks": np.median(waits), "table 3": published}
            )
    return pd.DataFrame(rows)


def coverage(charts: int, *, cases: int = 500, weeks: int = 520, odds_ratio: float = 2.0, seed: int = 5) -> float:
    """Share of ten-year charts whose confidence sequence ever misses the true odds ratio."""
    rng = np.random.default_rng(seed)
    odds = 0.4 / 0.6 * odds_ratio
    missed = 0
    for _ in range(charts):
        n, m = rng.poisson(cases / 52 * 0.2, weeks), rng.poisson(cases / 52 * 0.6, weeks)
        x, y = rng.binomial(n, odds / (1 + odds)), rng.binomial(m, 0.4)
        blocks = [
            [Block(*row)] if row[1] and row[3] else [] for row in zip(*(v.tolist() for v in (x, n, y, m)), strict=True)
        ]
        low, high = confidence_sequence(blocks)
        missed += bool(((low > odds_ratio) | (high < odds_ratio)).any())
    return missed / charts


def seconds_for_36_charts() -> float:
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(36):
        n, m = rng.poisson(0.4, (520, 5)), rng.poisson(1.2, (520, 5))
        week, site = np.indices(n.shape)
        late = {"x": rng.binomial(n, 0.4).ravel(), "n_group": n.ravel(), "y": rng.binomial(m, 0.4).ravel()}
        columns = {
            "week": week.ravel(),
            "site": site.ravel(),
            "prior_neurology": "no",
            **late,
            "n_reference": m.ravel(),
        }
        frames.append(pd.DataFrame(columns))
    started = time.process_time()
    for frame in frames:
        detect_frame(frame, charts=36)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charts", type=int, default=500, help="simulated charts a cell")
    charts = parser.parse_args().charts
    print(null_rates(charts).to_string(index=False), end="\n\n")
    shifted = signals(_at(NULLS["slower for all, 40% to 55%"], 500), LIMIT, weeks=312, charts=charts, seed=9)
    share = sum(any(260 <= week < 312 for week in chart) for chart in shifted) / charts
    print(f"alarm within a year of a common shift, 500 a year: {share:.1%}", end="\n\n")
    print(detection(charts).to_string(index=False), end="\n\n")
    print(f"confidence sequence ever misses in ten years: {coverage(min(charts, 200)):.1%} (at most 5%)")
    print(f"ten years of 36 charts: {seconds_for_36_charts():.1f} processor seconds")


if __name__ == "__main__":
    main()
