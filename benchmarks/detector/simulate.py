"""The detector's promises, simulated: `python benchmarks/detector/simulate.py [null|power|sequence|speed ...]`.

* null: at most B false alerts a year over a family of 36 charts (A = 52 * 36 / B), whatever the baseline does.
* power: median weeks to detection within 10% of the design's table 3, at 100, 500 and 2,000 cases a year.
* sequence: the confidence sequence ever misses the true odds ratio in at most 5% of ten-year charts.
* speed: ten years of 36 charts in under 10 seconds.

`results.md` beside this file holds the last full run (`--charts 1500`).
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from surveillance.detector import Block, detect_frame, limit_of, run_chart
from surveillance.power import WEEKS_A_YEAR, Scenario, false_alerts, signals, weeks_to_detection
from surveillance.sequence import confidence_sequence

LIMIT = 1040.0
FAMILY = 36
VOLUMES = (100, 500, 2000)


def _odds_ratio(hazard_ratio: float, late: float = 0.40) -> float:
    """The odds ratio of being late that goes with a hazard ratio."""
    of_group = late**hazard_ratio
    return of_group / (1 - of_group) / (late / (1 - late))


#: Median weeks to detection at 100, 500 and 2,000 cases a year (1,500 charts a cell).
TABLE_3 = {
    "OR 2, late 40%, shares 20/60": (Scenario(0, 0.20, 0.60), (114, 38, 14)),
    "OR 2.38, late 25%, shares 20/60": (Scenario(0, 0.20, 0.60, late=0.25, odds_ratio=2.38), (92, 29, 11)),
    "OR 4.98, late 40%, shares 20/60": (Scenario(0, 0.20, 0.60, odds_ratio=4.98), (44, 13, 5)),
    "OR 2, late 40%, shares 45/45": (Scenario(0, 0.45, 0.45), (96, 30, 10)),
    "OR 2, late 40%, shares 10/58": (Scenario(0, 0.10, 0.58), (159, 53, 21)),
    **{
        f"days waited, HR {hazard:.2f}": (
            Scenario(0, 0.20, 0.60, odds_ratio=_odds_ratio(hazard), version="time-to-event"),
            expected,
        )
        for hazard, expected in {0.61: (94, 28, 9), 0.70: (126, 44, 14), 0.50: (62, 18, 6)}.items()
    },
}


def _at(scenario: Scenario, cases: float) -> Scenario:
    return replace(scenario, cases=cases)


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
    "ten unlike sites, group in the slow ones": Scenario(0, 0.20, 0.60, sites=10, site_spread=0.5),
    "days waited": Scenario(0, 0.20, 0.60, version="time-to-event"),
    "days waited, season and drift": Scenario(0, 0.20, 0.60, baseline=_season, version="time-to-event"),
}


def null_rates(charts: int) -> None:
    """False alerts a year over a family of 36 charts with a budget of one."""
    print(f"{'no difference':42} {'cases':>5} {'a year, 36 charts':>18}  (at most 1)")
    for name, scenario in NULLS.items():
        for cases in VOLUMES:
            rate = FAMILY * false_alerts(_at(scenario, cases), limit_of(FAMILY, 1.0), charts=charts, seed=11)
            print(f"{name:42} {cases:5d} {rate:18.2f}", flush=True)
    shifted = signals(_at(NULLS["slower for all, 40% to 55%"], 500), LIMIT, weeks=312, charts=charts, seed=9)
    share = sum(any(260 <= week < 312 for week in chart) for chart in shifted) / charts
    print(f"a chart alarms within a year of a common shift, 500 a year: {share:.1%} (table 2: 3-4%)")


def detection(charts: int) -> None:
    """Median weeks at the limit 1040, with the interval of the simulated median."""
    print(f"{'difference':32} {'cases':>5} {'median':>6} {'95% of it':>12} {'table 3':>7}")
    for name, (scenario, expected) in TABLE_3.items():
        for cases, published in zip(VOLUMES, expected, strict=True):
            waits = np.sort(weeks_to_detection(_at(scenario, cases), LIMIT, charts=charts, seed=7))
            half = 0.98 * math.sqrt(charts)
            low, high = waits[int(max(0, charts / 2 - half))], waits[int(min(charts - 1, charts / 2 + half))]
            middle, interval = float(np.median(waits)), f"{low:.0f}-{high:.0f}"
            print(f"{name:32} {cases:5d} {middle:6.0f} {interval:>12} {published:7d}", flush=True)


SEQUENCES = {
    "no difference, shares 20/60": Scenario(0, 0.20, 0.60, odds_ratio=1.0),
    "OR 2, shares 20/60": Scenario(0, 0.20, 0.60),
    "OR 4.98, shares 20/60": Scenario(0, 0.20, 0.60, odds_ratio=4.98),
    "OR 2, group of 5%": Scenario(0, 0.05, 0.60),
}


def coverage(charts: int) -> None:
    print(f"{'truth':32} {'cases':>5} {'ever missed':>12}  (at most 5%)")
    for name, scenario in SEQUENCES.items():
        for cases in VOLUMES:
            print(f"{name:32} {cases:5d} {ever_missed(_at(scenario, cases), charts):12.1%}", flush=True)


def ever_missed(scenario: Scenario, charts: int, *, weeks: int = 520, seed: int = 5) -> float:
    """Share of ten-year charts whose confidence sequence misses the true odds ratio in any week."""
    odds = scenario.odds_ratio * scenario.late / (1 - scenario.late)
    missed = 0
    for chart in range(charts):
        rng = np.random.default_rng([seed, chart])
        shares = (scenario.group_share, scenario.reference_share)
        n, m = (rng.poisson(scenario.cases / WEEKS_A_YEAR * share, weeks) for share in shares)
        x, y = rng.binomial(n, odds / (1 + odds)), rng.binomial(m, scenario.late)
        weekly = [[(("", ""), Block(*row))] for row in np.stack([x, n, y, m], axis=-1).tolist()]
        steps = run_chart(weekly, [math.inf] * weeks)
        low, high = confidence_sequence([step.blocks for step in steps])
        missed += bool(((low > scenario.odds_ratio) | (high < scenario.odds_ratio)).any())
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
    parser.add_argument("parts", nargs="*", default=["null", "power", "sequence", "speed"])
    parser.add_argument("--charts", type=int, default=300, help="simulated charts a cell")
    told = parser.parse_args()
    if "null" in told.parts:
        null_rates(told.charts)
    if "power" in told.parts:
        detection(told.charts)
    if "sequence" in told.parts:
        coverage(told.charts)
    if "speed" in told.parts:
        print(f"ten years of 36 charts: {seconds_for_36_charts():.1f} processor seconds (at most 10)")


if __name__ == "__main__":
    main()
