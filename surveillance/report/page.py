"""The weekly report: one HTML file, nothing loaded from elsewhere."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from surveillance import alerts, lags, store
from surveillance.measure_report import bundle
from surveillance.measures.registry import measures as registry
from surveillance.publication import missing_sources, release, report_rows
from surveillance.registration import registered
from surveillance.report.content import curve_figure, delays_table, evidence_figure, forest_figure
from surveillance.report.standing import alert_lines, sight, standing_rows
from warehouse.linked import THRESHOLD

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

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
            forest_figure(results, measure),
            curve_figure(results, measure, "race_ethnicity"),
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
        alerts=alert_lines(alerts.alerts(connection), charts, settings),
        standing=standing_rows(charts, weeks),
        sight=sight(connection, charts, settings, as_of),
    )
