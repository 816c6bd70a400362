"""The weekly report: one HTML file, nothing loaded from elsewhere."""

from __future__ import annotations

from datetime import date
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from surveillance import alerts, lags, store
from surveillance.charts import family_size
from surveillance.detector import limit_of
from surveillance.measure_report import bundle
from surveillance.measures.registry import measures as registry
from surveillance.message import group_name
from surveillance.power import scenario_of, weeks_to_detection
from surveillance.publication import missing_sources, release, report_rows
from surveillance.registration import registered
from surveillance.report.content import curve_figure, delays_table, evidence_figure, forest_figure
from warehouse.disclosure import THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from sqlalchemy import Connection, Engine

    from surveillance.charts import ChartRow
    from surveillance.measures.registry import Chart
    from surveillance.settings import SurveillanceSettings

#: Measures with pictures; all others have their table.
PICTURED = ("I2", "I6")


def write_report(engine: Engine, settings: SurveillanceSettings, as_of: date, run_id: str, out_dir: Path) -> Path:
    """Publish the run's results, and write `<run id>.html`; of a release, `<run id>.fhir.json` too."""
    with engine.begin() as connection:
        store.lock(connection)
        release(connection, run_id, settings, missing_sources(connection, run_id, settings))
        html = render(connection, settings, as_of, run_id)
        released = store.results(connection, run_id, published=True)
    out_dir.mkdir(parents=True, exist_ok=True)
    if not released.empty:
        _write(out_dir / f"{run_id}.fhir.json", bundle(released))
    return _write(out_dir / f"{run_id}.html", html)


def _write(path: Path, content: str) -> Path:
    """Written aside and moved, so that no half file is seen."""
    part = path.with_suffix(".part")
    part.write_text(content, encoding="utf-8")
    part.replace(path)
    return path


def render(connection: Connection, settings: SurveillanceSettings, as_of: date, run_id: str) -> str:
    """The report as HTML. Tables, curves and differences are those of the release that stands (`publication`)."""
    run = store.run(connection, run_id)
    results = report_rows(connection, run_id, settings)
    settings = lags.with_learned(settings, lags.current(connection, as_of))
    through = {source: date.fromisoformat(day) for source, day in run["data_through"].items()}
    charts = registered(connection)
    weeks = {chart_id: store.chart_weeks(connection, chart_id) for chart_id in charts}
    sections = []
    reported = set(results["metric_id"])
    for metric_id in PICTURED:
        measure = registry()[metric_id]
        figures = [
            curve_figure(results, measure, "race_ethnicity"),
            forest_figure(results, measure),
            evidence_figure(charts, weeks, measure),
        ]
        sections.append(
            {
                "measure": measure,
                "table": delays_table(results, measure),
                "figures": [
                    {"figure": figure, "svg": Markup(figure.svg)}  # noqa: S704 - rendered by vl-convert from our own data
                    for figure in figures
                    if figure
                ],
            }
        )
    others = [
        delays_table(results, measure)
        for metric_id, measure in registry().items()
        if metric_id not in PICTURED and metric_id in reported
    ]
    environment = Environment(
        loader=PackageLoader("surveillance", "report"), autoescape=select_autoescape(), undefined=StrictUndefined
    )
    template = environment.get_template("page.html")
    return template.render(
        as_of=as_of,
        run=run,
        through=through,
        silent=missing_sources(connection, run_id, settings),
        released_on=max(results["as_of"], default=None),
        settings=settings,
        threshold=THRESHOLD,
        maturity=settings.lag_range(list(through)),
        sections=sections,
        others=others,
        alerts=_alert_lines(alerts.alerts(connection), charts, settings),
        coverage=_sequences(charts, weeks),
        sight=_sight(connection, charts, settings, as_of),
    )


def _alert_lines(
    live: pd.DataFrame, charts: Mapping[str, Chart], settings: SurveillanceSettings
) -> list[dict[str, Any]]:
    lines = []
    for row in live.to_dict("records"):
        chart, facts = charts[row["chart_id"]], row["facts"]
        counts = (facts["x"], facts["n_group"] - facts["x"], facts["y"], facts["n_reference"] - facts["y"])
        small = settings.suppression and any(0 < count <= THRESHOLD for count in counts)
        lines.append(
            {
                "group": group_name(chart.dimension, chart.group),
                "reference": group_name(chart.dimension, chart.reference),
                "measure": registry()[chart.measure],
                "status": row["status"],
                "since": facts["since"],
                "counts": None if small else facts,
                "cs_low": facts["cs_low"],
                "cs_high": facts["cs_high"],
                "gates": [gate for gate in facts["gates"] if gate["verdict"] == "failed"],
                "alert_id": row["alert_id"],
            }
        )
    return lines


def _sequences(charts: Mapping[str, Chart], weeks: Mapping[str, Sequence[ChartRow]]) -> list[dict[str, Any]]:
    """The standing gap of each chart: the anytime-valid interval at its last week."""
    rows = []
    for chart_id, chart in charts.items():
        if weeks[chart_id]:
            last = weeks[chart_id][-1]
            rows.append({"chart": chart, "low": last.cs_low, "high": last.cs_high, "weeks": len(weeks[chart_id])})
    return rows


def _sight(
    connection: Connection, charts: Mapping[str, Chart], settings: SurveillanceSettings, as_of: date
) -> list[dict[str, Any]]:
    """Weeks until each alerting chart would see the odds doubled, simulated for the network's own volume."""
    rows = []
    limit = limit_of(family_size(list(charts.values()), as_of), settings.budget)
    frozen = {metric_id: store.frozen(connection, metric_id) for metric_id in {c.measure for c in charts.values()}}
    for chart in charts.values() if settings.power_charts else ():
        scenario = scenario_of(chart, frozen[chart.measure])
        if chart.role != "alert" or scenario is None:
            continue
        waits = weeks_to_detection(scenario, limit, start=52, charts=settings.power_charts)
        middle = median(waits)
        rows.append({"chart": chart, "cases": round(scenario.cases), "weeks": middle if isfinite(middle) else None})
    return rows
