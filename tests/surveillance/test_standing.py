"""The report's sentences: nothing small, nothing to be taken for more than it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import pytest

from surveillance.measures.registry import Chart
from surveillance.report.standing import alert_lines, outward
from surveillance.settings import SurveillanceSettings
from tests.surveillance.test_gates import CHART, FACTS

CHARTS = {CHART.id: CHART}


def live(status: str = "open", **facts: Any) -> pd.DataFrame:
    row = {
        "alert_id": "abc",
        "chart_id": CHART.id,
        "status": status,
        "assignee": "Dr Lee",
        "due_on": date(2025, 6, 16),
        "facts": replace(FACTS, **facts).as_json(),
    }
    return pd.DataFrame([row])


def test_an_alert_in_words() -> None:
    [line] = alert_lines(live(x=30, n_group=60, y=40, n_reference=120), CHARTS, SurveillanceSettings())
    assert line.headline == "Black infants waited longer than White infants: first provider to neurologist"
    assert "30 of 60 v 40 of 120" in line.counts
    assert "The odds of being late were about 5.4 times those of White infants (1.2 to 32.0 times)" in line.sure
    assert "at most 1 alert a year over all 12 comparisons" in line.sure
    assert "nobody has taken it yet; to be acknowledged by 16 June 2025" in line.standing


@pytest.mark.parametrize("small", [{"x": 5}, {"x": 55}, {"y": 3}, {"y": 115}])
def test_small_counts_and_small_complements_are_left_out(small: dict[str, Any]) -> None:
    told: dict[str, Any] = {"x": 30, "n_group": 60, "y": 40, "n_reference": 120, **small}
    [line] = alert_lines(live(**told), CHARTS, SurveillanceSettings())
    assert "in the alert itself" in line.counts
    assert " of 60" not in line.counts
    [shown] = alert_lines(live(**told), CHARTS, SurveillanceSettings(suppression=False))
    assert " of 60" in shown.counts


def test_a_held_alert_says_why_and_that_it_is_no_difference_in_care() -> None:
    failed = {"gate": "lag_difference", "verdict": "failed", "detail": "95% recorded within 25 days (nh_black)"}
    [line] = alert_lines(live("held", gates=[failed]), CHARTS, SurveillanceSettings())
    assert line.checks == ["records of these infants arrive later than the count waited for"]
    assert "may come from the records and not from care" in line.standing


def test_days_waited_are_told_the_right_way_round() -> None:
    days: Chart = replace(CHART, version="time-to-event")
    row = live(version="time-to-event", ratio=0.42, cs_low=0.24, cs_high=0.71).assign(chart_id=days.id)
    [line] = alert_lines(row, {days.id: days}, SurveillanceSettings())
    assert "the chance that a wait ended was about 0.4 times that of White infants" in line.sure
    assert "(0.2 to 0.8 times)" in line.sure


def test_intervals_are_rounded_outward() -> None:
    assert outward(1.19, 3.01) == ("1.1", "3.1")
    assert outward(None, None) == ("0", "any number of")
