"""The catalogue page is current; the data-quality page says what its rows say."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from expectations import completeness, pages, quality, rules

DOCS = Path(__file__).parents[2] / "docs"
FIRST = date(2026, 11, 2)


def results(*rows: tuple[str, str, str, str, str, int, int]) -> pd.DataFrame:
    columns = ["source", "pull_id", "rule_id", "severity", "status", "judged_rows", "failing_rows"]
    return pd.DataFrame(rows, columns=columns).assign(layer="staged")


def arrived(*pulls: tuple[str, date, int], unknown: int = 0) -> pd.DataFrame:
    first_seen = [("a", FIRST, "unknown" if n < unknown else "nh_white", "public") for n in range(4)]
    return completeness.weekly(
        pd.DataFrame(pulls, columns=["source", "pulled_on", "received"]),
        pd.DataFrame({"source": [], "happened_on": [], "recorded_on": []}),
        pd.DataFrame(first_seen, columns=["source", "first_provider", "race_ethnicity", "payer"]),
        sources=["a", "b"],
        first_week=FIRST,
        last_week=FIRST + timedelta(weeks=2),
    )


PULLS = (("a", FIRST, 10), ("a", FIRST + timedelta(weeks=1), 10), ("b", FIRST, 10))
RESULTS = results(
    ("a", "20261102T070000Z", "ENC-001", "warning", "pass", 10, 0),
    ("a", "20261110T070000Z", "ENC-001", "warning", "fail", 10, 2),
    ("a", "20261117T070000Z", "RES-003", "critical", "fail", 10, 1),
    ("a", "20261117T070000Z", "ENC-001", "warning", "fail", 10, 5),
    ("b", "20261102T070000Z", "RES-003", "critical", "error", 0, 0),
    ("b", "20261103T070000Z", "RES-003", "critical", "pass", 10, 0),
)


def test_the_catalogue_page_is_current() -> None:
    """When this fails: python -m expectations.pages docs/expectations.md"""
    assert (DOCS / "expectations.md").read_text(encoding="utf-8") == pages.catalogue_page()


def test_the_catalogue_page_has_every_rule_and_no_machine_specifics() -> None:
    page = pages.catalogue_page()
    for rule in rules.load().rules:
        assert page.count(f"| {rule.id} |") == 1


def test_the_worst_of_gate_and_volume_is_shown_and_a_later_pull_mends_its_week() -> None:
    states = quality.weekly_states(RESULTS, arrived(*PULLS))
    assert list(states["source"] + ":" + states["state"]) == [
        "a:good",
        "a:warnings",
        "a:blocked",
        "b:good",
        "b:missing",
        "b:missing",
    ]


def test_the_heat_map_holds_every_source_and_week_and_signs_beside_colours() -> None:
    specification = quality.state_map(quality.weekly_states(RESULTS, arrived(*PULLS)))
    values = specification["data"]["values"]
    assert len(values) == 6
    assert values[2] == {"source": "a", "week": "2026-11-16", "state": "blocked", "sign": "✕"}
    scale = specification["layer"][0]["encoding"]["color"]["scale"]
    assert len(set(scale["range"])) == len(scale["domain"]) == len(quality.STATES)
    assert len({sign for _, sign in quality.STATES.values()}) == len(quality.STATES)


def test_a_week_without_a_pull_has_no_share() -> None:
    values = quality.share_map(arrived(*PULLS, unknown=1), "unknown_race")["data"]["values"]
    assert values == [{"source": "a", "week": "2026-11-02", "share": 0.25, "infants": 4}]


def test_the_trend_sets_the_last_pull_against_the_one_before() -> None:
    trend = quality.trend(RESULTS)
    assert trend[["source", "rule", "result", "rows", "share", "share before"]].to_numpy().tolist() == [
        ["a", "RES-003", "fail", "1", "10.0%", ""],
        ["a", "ENC-001", "fail", "5", "50.0%", "20.0%"],
    ]


def test_the_page_is_one_file_that_names_silent_sources_and_draws_its_pictures() -> None:
    html = quality.page(RESULTS, arrived(*PULLS, unknown=1), as_of=date(2026, 11, 23))
    assert html.count("<svg") == 3
    assert "Silent for two weeks or more:</strong> b." in html
    assert "<script" not in html
    assert 'src="http' not in html
    assert html == quality.page(RESULTS, arrived(*PULLS, unknown=1), as_of=date(2026, 11, 23))


def test_an_empty_network_has_a_page_too() -> None:
    none = completeness.weekly(
        pd.DataFrame({"source": [], "pulled_on": [], "received": []}),
        pd.DataFrame({"source": [], "happened_on": [], "recorded_on": []}),
        pd.DataFrame({"source": [], "first_provider": [], "race_ethnicity": [], "payer": []}),
        sources=[],
        first_week=FIRST,
        last_week=FIRST,
    )
    html = quality.page(results(), none, as_of=FIRST)
    assert "No data." in html
    assert "<p>None.</p>" in html


def test_names_are_escaped() -> None:
    odd = RESULTS.assign(rule_id="<b>")
    assert "<b>" not in quality.page(odd, arrived(*PULLS), as_of=FIRST)
