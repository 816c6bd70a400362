"""The registries of measures and charts, and the page made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_mapping.contract import INTERVALS
from surveillance.errors import ChartUnknown, MeasuresUnreadable
from surveillance.measures.document import document
from surveillance.measures.registry import Chart, check_charts, default_charts, measures, read_charts, read_measures

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


def test_every_interval_of_the_contract_is_a_measure() -> None:
    assert {measure.interval for measure in measures().values()} >= {interval.name for interval in INTERVALS}


def test_the_charts_that_a_warehouse_begins_with() -> None:
    alerting = [chart for chart in default_charts() if chart.role == "alert"]
    assert 6 <= len(alerting) <= 12  # statistics.md 1.5: pre-register 6 to 12
    assert {chart.scope for chart in alerting} == {"within-site"}
    assert {chart.version for chart in alerting} == {"binary", "time-to-event"}
    assert {chart.scope for chart in default_charts()} == {"within-site", "total"}


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run: python -m surveillance.measures.document > docs/measures.md"
    )


@pytest.mark.parametrize(
    "text",
    [
        "measure",
        "[[measure]]\nid = 'X'\n",
        "[[measure]]\nid='X'\nversion=1\ntitle=''\nlate_title=''\nkind='interval'\nnumerator=''\ndenominator=''\ninterval='a'",
    ],
)
def test_a_malformed_registry_is_refused(text: str) -> None:
    with pytest.raises(MeasuresUnreadable):
        read_measures(text)


@pytest.mark.parametrize(
    "chart",
    [
        Chart("I99", "payer", "public", "private"),
        Chart("I2", "shoe_size", "40", "41"),
        Chart("I2", "payer", "public", "public"),
        Chart("I2", "payer", "unknown", "private"),
    ],
)
def test_a_chart_of_what_does_not_exist_is_refused(chart: Chart) -> None:
    with pytest.raises(ChartUnknown):
        check_charts([chart], measures())


def test_a_chart_registered_twice_is_refused() -> None:
    row = "I2,payer,public,private,within-site,alert,2026-01-05,why\n"
    header = "measure,dimension,group,reference,scope,role,registered_on,rationale\n"
    assert str(read_charts(header + row, measures())[0].registered_on) == "2026-01-05"
    with pytest.raises(ChartUnknown, match="twice"):
        read_charts(header + row + row, measures())
