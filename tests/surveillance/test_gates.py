"""Each gate, passing, failing and unable to tell; and what the message says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd
import pytest

from surveillance import gates, message
from surveillance.evidence import Facts
from surveillance.measures.registry import Chart, measures
from surveillance.settings import SurveillanceSettings

WEEK = date(2025, 6, 2)
CHART = Chart("I2", "race_ethnicity", "nh_black", "nh_white")
FACTS = Facts(
    chart_id=CHART.id,
    version="binary",
    week=WEEK.isoformat(),
    since="2025-01-06",
    x=17,
    n_group=24,
    y=18,
    n_reference=62,
    sites={"harbor": [17, 24, 18, 62]},
    median_group=12.0,
    median_reference=5.0,
    extra_days=5.0,
    hazard_evidence=40.0,
    risk_difference=0.42,
    odds_ratio=5.9,
    ratio=5.4,
    cs_low=1.2,
    cs_high=32.0,
    m=700.0,
    limit=624.0,
    years_between_false=12.0,
    charts=12,
    budget=1.0,
    unknown=0,
    unknown_late=0,
    horizon=28,
)


def frozen(rows: list[tuple[str, str, str, int, int]], *, week: date = WEEK, prior: str = "no") -> pd.DataFrame:
    """Infants of (source, group, late, how many, weeks before `week`), one row each."""
    made: list[dict[str, object]] = []
    for source, group, late, count, before in rows:
        for _ in range(count):
            entered = week - timedelta(weeks=before)
            made.append(
                {
                    "source": source,
                    "infant": f"i{len(made)}",
                    "week": entered,
                    "matured_on": entered,
                    "late": late,
                    "prior_neurology": prior,
                    "race_ethnicity": group,
                }
            )
    return pd.DataFrame(made)


def test_load_complete() -> None:
    as_of = date(2025, 6, 9)
    assert gates.load_complete({"a": as_of, "b": as_of - timedelta(days=14)}, as_of).verdict == "passed"
    silent = gates.load_complete({"a": as_of, "b": as_of - timedelta(days=15)}, as_of)
    assert (silent.verdict, "b" in silent.detail) == ("failed", True)
    assert gates.load_complete({}, as_of).verdict == "not_evaluable"
    never = gates.load_complete({"a": as_of}, as_of, ["a", "c"])  # configured, and nothing ever came
    assert (never.verdict, never.detail.endswith(": c")) == ("failed", True)


@pytest.mark.parametrize(("unknown_now", "verdict"), [(0, "passed"), (4, "passed"), (9, "failed")])
def test_completeness(unknown_now: int, verdict: str) -> None:
    # 20% unknown in the year before; 10 points more are let through.
    before = [("a", "nh_white", "no", 16, 20), ("a", "unknown", "no", 4, 20)]
    now = [("a", "nh_white", "no", 20 - unknown_now, 2), ("a", "unknown", "no", unknown_now, 2)]
    assert gates.completeness(CHART, frozen(before + now), WEEK).verdict == verdict


def test_completeness_without_a_past_cannot_be_told() -> None:
    assert gates.completeness(CHART, frozen([("a", "nh_white", "no", 9, 2)]), WEEK).verdict == "not_evaluable"


def test_lag_difference() -> None:
    compared = frozen([("a", "nh_black", "yes", 10, 1), ("a", "nh_white", "no", 30, 1)])
    lags = {"nh_black": (25.0, 60), "nh_white": (4.0, 200)}
    assert gates.lag_difference(CHART, lags, compared, [28] * 40).verdict == "passed"
    held = gates.lag_difference(CHART, lags, compared, [14] * 40)
    assert (held.verdict, "25 days (Black infants) and 4 days (White infants)" in held.detail) == ("failed", True)
    # Two infants judged before a longer maturity was learned are 5%; three are more.
    assert gates.lag_difference(CHART, lags, compared, [14] * 2 + [28] * 38).verdict == "passed"
    assert gates.lag_difference(CHART, lags, compared, [14] * 3 + [28] * 37).verdict == "failed"
    assert gates.lag_difference(CHART, {"nh_white": (4.0, 99)}, compared, [14] * 40).verdict == "not_evaluable"


def test_days_that_an_infant_was_given_are_those_of_its_freeze() -> None:
    compared = frozen([("a", "nh_black", "yes", 2, 1)])
    later = compared.assign(matured_on=[day + timedelta(days=11) for day in compared["matured_on"]])
    assert gates.allowed_days(compared, compared, lambda source: 14) == [14, 14]
    assert gates.allowed_days(compared, later, lambda source: 25) == [14, 14]  # a maturity of 25 was learned since


def test_freeze_error() -> None:
    infants = frozen([("a", "nh_black", "yes", 20, 1), ("a", "nh_white", "no", 100, 1)])
    none = infants.iloc[:0][["source", "infant"]]
    assert gates.freeze_error(CHART, infants, none).verdict == "passed"
    both = infants.iloc[[0, 20, 21, 22, 23, 24]][["source", "infant"]]  # 5% of each
    assert gates.freeze_error(CHART, infants, both).verdict == "passed"
    group = infants.iloc[[0]][["source", "infant"]]  # 5% of the group, nobody of the reference
    held = gates.freeze_error(CHART, infants, group)
    assert (held.verdict, "5.0% of Black infants, 0.0% of White infants" in held.detail) == ("failed", True)
    assert gates.freeze_error(CHART, infants.iloc[:20], none).verdict == "not_evaluable"


def test_leave_one_site_out() -> None:
    two = [
        *[("a", "nh_black", "yes", 6, 1), ("a", "nh_black", "no", 2, 1)],
        *[("a", "nh_white", "yes", 5, 1), ("a", "nh_white", "no", 15, 1)],
        *[("b", "nh_black", "yes", 5, 1), ("b", "nh_black", "no", 3, 1)],
        *[("b", "nh_white", "yes", 6, 1), ("b", "nh_white", "no", 14, 1)],
    ]
    assert gates.leave_one_site_out(CHART, frozen(two)).verdict == "passed"
    resting = [*two[:4], ("b", "nh_black", "no", 9, 1), ("b", "nh_white", "yes", 9, 1), ("b", "nh_white", "no", 9, 1)]
    held = gates.leave_one_site_out(CHART, frozen(resting))
    assert (held.verdict, held.detail) == ("failed", "the difference rests on a alone")
    assert gates.leave_one_site_out(CHART, frozen(two[:4])).verdict == "not_evaluable"
    # All of the group late and nobody of the reference: infinite, and the same way round.
    sure = [(s, g, late, 5, 1) for s in "ab" for g, late in (("nh_black", "yes"), ("nh_white", "no"))]
    assert gates.leave_one_site_out(CHART, frozen(sure)).verdict == "passed"


def test_leave_one_site_out_of_a_chart_over_all_sites() -> None:
    # The difference is between the sites: only site a holds infants of the group.
    rows = [("a", "nh_black", "yes", 9, 1), ("b", "nh_white", "no", 9, 1), ("c", "nh_white", "no", 9, 1)]
    total = replace(CHART, scope="total")
    held = gates.leave_one_site_out(total, frozen(rows))
    assert (held.verdict, held.detail) == ("failed", "the difference rests on a alone")
    assert gates.leave_one_site_out(total, frozen([*rows, ("d", "nh_black", "yes", 3, 1)])).verdict == "passed"


def test_unknown_range() -> None:
    assert gates.unknown_range(FACTS).verdict == "passed"
    assert gates.unknown_range(replace(FACTS, unknown=8, unknown_late=3)).verdict == "passed"
    held = gates.unknown_range(replace(FACTS, x=6, n_group=12, y=24, n_reference=60, unknown=60, unknown_late=30))
    assert held.verdict == "failed"
    nobody = replace(FACTS, x=0, n_group=0, y=0, n_reference=0, unknown=3, unknown_late=1)
    assert gates.unknown_range(nobody).verdict == "not_evaluable"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "passed"),
        ({"hazard_evidence": 0.4, "extra_days": 2.0}, "passed"),  # days in all are more, though evidence is thin
        ({"hazard_evidence": 0.4, "extra_days": -1.0}, "failed"),
        ({"hazard_evidence": None}, "not_evaluable"),
        ({"version": "time-to-event", "risk_difference": 0.1}, "passed"),
        ({"version": "time-to-event", "risk_difference": -0.02}, "failed"),
    ],
)
def test_time_agrees(change: dict[str, object], verdict: str) -> None:
    assert gates.time_agrees(replace(FACTS, **change)).verdict == verdict  # type: ignore[arg-type]


def test_the_message_says_which_check_failed() -> None:
    held = gates.load_complete({"b": date(2025, 5, 1)}, date(2025, 6, 9))
    facts = replace(FACTS, gates=[held.as_json()])
    assert facts.held
    item = message.Item("abc", "held", "held", CHART, measures()["I2"], facts.as_json(), 1, date(2025, 6, 16))
    body = message.body(
        [item], as_of=date(2025, 6, 9), through={"b": date(2025, 5, 1)}, waiting=0, settings=SurveillanceSettings()
    )
    told = " ".join(body.split())
    assert "Held, because a data check failed, and not yet to be read as a difference in care" in told
    assert "a site has sent nothing lately (silent for over 14 days by 2025-06-09: b)" in told
    assert message.subject([item]).startswith("[IESS] Held for data checks: ")
    late = replace(item, kind="escalated")
    assert message.subject([late]).startswith("[IESS] Held for data checks, and nobody has looked yet: ")
    assert message.subject([replace(late, status="open")]).startswith("[IESS] Nobody has looked yet: ")


def test_the_message_says_in_words_where_else_it_shows() -> None:
    groups = "race_ethnicity:nh_black:nh_white"
    said = {
        f"I2:{groups}:total": "supports",
        f"I2:{groups}:within-site:time-to-event": "contradicts",
        f"I6:{groups}:within-site": "not there",
        f"I6:{groups}:total": "undecided",
    }
    others = [{"chart": chart, "says": says, "m": 1.0, "limit": 2.0} for chart, says in said.items()]
    facts = replace(FACTS, others=others).as_json()
    item = message.Item("abc", "open", "opened", CHART, measures()["I2"], facts, 1, date(2025, 6, 16))
    body = message.body([item], as_of=date(2025, 6, 9), through={}, waiting=0, settings=SurveillanceSettings())
    told = " ".join(body.split())
    assert "The same shows in the share that was late, all sites taken together." in told
    assert "times those of White infants (odds ratio over all weeks; the interval" in told
    assert 'It doesn\'t show in the days waited, site by site; "diagnosis to first-line treatment".' in told, told


def test_a_share_is_no_wait() -> None:
    chart = replace(CHART, measure="standard_first")
    facts = replace(FACTS, chart_id=chart.id).as_json()
    item = message.Item("abc", "open", "opened", chart, measures()[chart.measure], facts, 1, None)
    assert "a difference for Black infants, " in message.subject([item])
