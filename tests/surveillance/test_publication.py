"""What everyone may read, attacked from the outside: releases a quarter apart, read as the public role, and by eye."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, groupby, pairwise
from math import ceil, floor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fhir.resources.R4B.measurereport import MeasureReport
from sqlalchemy import Engine, text

from surveillance import weekly
from surveillance.settings import SurveillanceSettings
from surveillance.silence import silent_sources
from tests.surveillance.outsider import Outsider
from tests.surveillance.timelines import START, store, timelines
from warehouse.engine import open_engine
from warehouse.rates import rate_of

pytestmark = pytest.mark.integration

LOADED = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = [START + timedelta(weeks=weeks) for weeks in (52, 53, 66, 80)]
SETTINGS = SurveillanceSettings(power_charts=0, measures=("I2", "I6", "ed_route"))
KEY = ["metric_id", "stratum_dimension", "stratum_value"]


@pytest.fixture(scope="module")
def published(module_warehouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Path]]:
    """Four weekly runs over the cohort, three of them releases; site9 should send something, and never does."""
    engine = open_engine(module_warehouse_url)
    out = tmp_path_factory.mktemp("reports")
    cohort = timelines(420, weeks=80, sites=3)
    cohort.loc[cohort.index % 60 == 0, "race_ethnicity"] = "nh_aian"
    cohort.loc[cohort.index % 45 == 1, "payer"] = "self_pay"
    bipoc = {"nh_white": "no", "unknown": "unknown", "declined": "unknown"}
    cohort["bipoc"] = cohort["race_ethnicity"].map(bipoc).fillna("yes")
    store(engine, cohort, LOADED)
    for day in DAYS:
        run_id = f"weekly-{day}"
        weekly.measure(engine, SETTINGS, day, run_id)
        weekly.publish(engine, replace(SETTINGS, sources=("site0", "site9")), day, run_id, out)
    yield engine, out
    engine.dispose()


@pytest.fixture(scope="module")
def read(published: tuple[Engine, Path]) -> pd.DataFrame:
    """All proportions, as the public role reads them."""
    with published[0].begin() as connection:
        connection.execute(text("SET ROLE iess_public"))
        rows = pd.read_sql(
            text("SELECT * FROM published.metric_result WHERE estimand = 'prop' ORDER BY as_of"), connection
        )
        connection.execute(text("RESET ROLE"))
    return rows


@pytest.fixture(scope="module")
def true(published: tuple[Engine, Path]) -> pd.DataFrame:
    query = (
        "SELECT * FROM analytics.metric_result WHERE estimand = 'prop' AND scope = 'network' "
        "AND window_kind = 'cumulative' AND adjustment_set = 'none'"
    )
    with published[0].connect() as connection:
        return pd.read_sql(text(query), connection).set_index(["as_of", *KEY])


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in record.items()} for record in rows.to_dict("records")]


def test_releases_are_a_quarter_apart(read: pd.DataFrame) -> None:
    assert sorted(read["as_of"].unique()) == [DAYS[0], DAYS[2], DAYS[3]]


def test_what_is_shown_is_true(read: pd.DataFrame, true: pd.DataFrame) -> None:
    shown = 0
    for record in records(read):
        for name in ("n_matured", "n_late"):
            if record[f"{name}_state"] == "shown":
                shown += 1
                assert record[name] == true.loc[(record["as_of"], *(record[k] for k in KEY)), name]
    assert shown > 40, "a release that shows nothing protects nobody's interest"


def test_no_difference_that_can_be_read_off_is_small(read: pd.DataFrame) -> None:
    """The same group in two measures of a release, or in two releases of a measure."""
    for name in ("n_matured", "n_late"):
        told = read[read[f"{name}_state"] == "shown"]
        for (_, _), same in told.groupby(["stratum_dimension", "stratum_value"]):
            # Of late infants only those of one measure are the same over time.
            groups = [same] if name == "n_matured" else [mine for _, mine in same.groupby("metric_id")]
            for group in groups:
                for one, other in combinations(records(group), 2):
                    if one["metric_id"] == other["metric_id"] or one["as_of"] == other["as_of"]:
                        assert not 1 <= abs(one[name] - other[name]) <= 10, (one, other)


def inverted(record: dict[str, Any], most: int = 600) -> set[tuple[int, int]]:
    """All pairs (infants, late) that would be shown as this row: by trying every one."""
    seen = tuple(round(100 * record[name]) for name in ("estimate", "ci_low", "ci_high"))
    found = set()
    for n in range(11, most):
        for late in range(max(0, floor((seen[0] - 1) * n / 100)), min(n, ceil((seen[0] + 1) * n / 100)) + 1):
            rate = rate_of(late, n)
            if (rate.share, rate.low, rate.high) == seen and not {late, n - late} & set(range(1, 11)):
                found.add((n, late))
    return found


def test_a_share_without_counts_can_be_no_small_number_for_sure(read: pd.DataFrame, true: pd.DataFrame) -> None:
    """Inverting the rounded share and its interval leaves many counts, and the true ones among them."""
    alone = read[(read["estimate_state"] == "shown") & (read["n_matured_state"] == "suppressed")]
    assert len(alone) > 8
    for record in records(alone.iloc[::2]):
        pairs = inverted(record)
        real = true.loc[(record["as_of"], *(record[k] for k in KEY))]
        assert (real["n_matured"], real["n_late"]) in pairs
        assert len({n for n, _ in pairs}) > 1
        assert max(n for n, _ in pairs) > 10


def test_bounds_by_sums_leave_every_small_count_open(read: pd.DataFrame, true: pd.DataFrame) -> None:
    """Intervals pushed through the sums of each table until nothing moves: other reasoning than ours."""
    small = 0
    for (as_of, metric_id), table in read.groupby(["as_of", "metric_id"]):
        bounds: dict[tuple[str, str], tuple[float, float]] = {}
        for record in records(table):
            shown = record["n_matured_state"] == "shown"
            bounds[record["stratum_dimension"], record["stratum_value"]] = (
                (record["n_matured"], record["n_matured"])
                if shown
                else (0.0 if record["n_matured_state"] == "missing" else 1.0, 1e6)
            )
        for _ in range(6):
            for dimension, found in groupby(sorted(bounds), key=lambda cell: cell[0]):
                parts = [cell for cell in found if dimension != "all"]
                for cell in parts:
                    others = [bounds[other] for other in parts if other != cell]
                    low = max(bounds[cell][0], bounds["all", "all"][0] - sum(high for _, high in others))
                    high = min(bounds[cell][1], bounds["all", "all"][1] - sum(low for low, _ in others))
                    bounds[cell] = (low, high)
        sizes: dict[Any, int] = true["n_matured"].to_dict()
        for cell, (_, high) in bounds.items():
            at = (as_of, metric_id, *cell)
            if 1 <= sizes.get(at, 0) <= 10:
                small += 1
                assert high > 10, at
    assert small > 8


def small(count: int) -> bool:
    return 1 <= count <= 10


def test_a_reader_with_a_solver_narrows_no_small_count(read: pd.DataFrame, true: pd.DataFrame) -> None:
    """Three releases together, in whole numbers; by an attack that shares nothing with the project's own."""
    outsider, found = Outsider(read), 0
    released = read.set_index(["as_of", *KEY]).index
    for record in records(true[true.index.isin(released)].reset_index()):
        at = (record["as_of"], *(record[name] for name in KEY))
        counts = {"n": record["n_matured"], "late": record["n_late"], "in_time": record["n_matured"] - record["n_late"]}
        for figure in (figure for figure, count in counts.items() if small(count)):
            low, high = outsider.range([(*at, figure)])
            found += 1
            assert low <= counts[figure] <= 10 < high, (at, figure, low, high)
    assert found > 50


def test_a_reader_with_a_solver_can_tell_no_small_difference(read: pd.DataFrame, true: pd.DataFrame) -> None:
    """Of the same group in two releases that follow each other, and in two measures of the last one."""
    outsider, found, days = Outsider(read), 0, sorted(read["as_of"].unique())
    released = read.set_index(["as_of", *KEY]).index
    for day, metric, dimension, group in true.index.intersection(released):
        others = [(later, metric) for before, later in pairwise(days) if before == day]
        others += [(day, other) for other in SETTINGS.measures if day == days[-1] and other > metric]
        mine = true.loc[(day, metric, dimension, group), "n_matured"]
        for other_day, other in others:
            if (other_day, other, dimension, group) not in true.index:
                continue
            difference = true.loc[(other_day, other, dimension, group), "n_matured"] - mine
            if small(abs(difference)):
                pair = [(day, metric, dimension, group, "n"), (other_day, other, dimension, group, "n")]
                low, high = outsider.range(pair if difference > 0 else pair[::-1])
                found += 1
                assert low <= 0 or high > 10, (pair, difference, low, high)
    assert found > 20


def test_the_weekly_report_between_releases_shows_the_same_figures(published: tuple[Engine, Path]) -> None:
    _, out = published
    first, second = ((out / f"weekly-{day}.html").read_text(encoding="utf-8") for day in DAYS[:2])

    def tables(html: str) -> str:
        return html[html.index("<h2>First provider to neurologist</h2>") : html.index("<h2>How to read this</h2>")]

    assert tables(first).split("evidence-")[0] == tables(second).split("evidence-")[0]
    assert f"release of {DAYS[0]}" in second
    assert "timelines read" not in second


def test_a_source_that_never_sent_anything_is_missing_and_not_zero(
    published: tuple[Engine, Path], read: pd.DataFrame
) -> None:
    _, out = published
    mine = read[(read["stratum_dimension"] == "source") & (read["stratum_value"] == "site9")]
    assert len(mine) == 3 * read["metric_id"].nunique()
    assert set(mine["n_matured_state"]) == set(mine["estimate_state"]) == {"missing"}
    assert mine[["n_matured", "n_late", "estimate"]].isna().all(axis=None)
    assert "site9 has never sent anything" in (out / f"weekly-{DAYS[0]}.html").read_text(encoding="utf-8")
    assert read["quality_flags"].str.contains("missing_source:site9").all()


def test_measure_reports_tell_masked_from_unknown_and_from_zero(
    published: tuple[Engine, Path], read: pd.DataFrame
) -> None:
    _, out = published
    assert sorted(path.name for path in out.glob("*.fhir.json")) == [f"weekly-{DAYS[n]}.fhir.json" for n in (0, 2, 3)]
    bundle = json.loads((out / f"weekly-{DAYS[0]}.fhir.json").read_text(encoding="utf-8"))
    reports = {entry["resource"]["measure"]: entry["resource"] for entry in bundle["entry"]}
    assert len(reports) == read["metric_id"].nunique()
    for report in reports.values():
        MeasureReport.model_validate(report)
    primary = reports["urn:iess-referral-watch:measure:I2|1"]["group"][0]
    rows = read[(read["as_of"] == DAYS[0]) & (read["metric_id"] == "I2")]
    reasons = {"suppressed": "masked", "missing": "unknown"}
    strata = {
        (stratifier["code"][0]["text"], stratum["value"]["text"]): stratum
        for stratifier in primary["stratifier"]
        for stratum in stratifier["stratum"]
    }
    seen = set()
    for record in records(rows[rows["stratum_dimension"] != "all"]):
        denominator = strata[record["stratum_dimension"], record["stratum_value"]]["population"][0]
        state = record["n_matured_state"]
        seen.add(state)
        if state == "shown":
            assert denominator["count"] == record["n_matured"]
        else:
            assert "count" not in denominator
            assert denominator["_count"]["extension"][0]["valueCode"] == reasons[state]
    assert seen == {"shown", "suppressed", "missing"}


def test_silence_is_two_weeks_without_data() -> None:
    day = date(2026, 11, 23)
    through = {"a": day, "b": day - timedelta(days=14), "c": day - timedelta(days=15)}
    assert silent_sources(through, ("a", "d"), day) == {"c": day - timedelta(days=15), "d": None}
