"""The report's pictures: Vega-Lite specifications over the same data that the tables beneath show, rendered to SVG.

Tests look at a figure's data and specification, never at its pixels. Colours are Okabe and Ito's, safe for colour-blind
readers, the same for a group everywhere, and never green against red.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import altair as alt

_PALETTE = ("#0072B2", "#E69F00", "#56B4E9", "#CC79A7", "#F0E442", "#000000", "#D55E00", "#999999")
#: Groups that are drawn in every report get the same colour in every report.
COLOURS = {
    "White infants": _PALETTE[0],
    "Black infants": _PALETTE[1],
    "Hispanic infants": _PALETTE[2],
    "Asian infants": _PALETTE[3],
    "infants of more than one race": _PALETTE[4],
    "American Indian or Alaska Native infants": _PALETTE[5],
    "Native Hawaiian or Pacific Islander infants": _PALETTE[6],
    "infants of another race": "#666666",
    "race and ethnicity unknown": _PALETTE[7],
}
_WIDTH, _HEIGHT = 640, 260
#: A legend with longer names has them beneath each other.
_LONG_LABEL = 45


@dataclass(frozen=True)
class Figure:
    """A picture with what it takes to do without it: a title, a text alternative, and its data as a table."""

    key: str
    title: str
    alternative: str
    note: str
    svg: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def svg_of(chart: alt.Chart | alt.LayerChart) -> str:
    """The chart as an SVG element, without the declaration, scaling to the page."""
    import vl_convert

    svg = str(vl_convert.vegalite_to_svg(chart.to_dict()))
    svg = svg[svg.index("<svg") :]
    # The figure around it carries the text alternative.
    return svg.replace("<svg ", '<svg aria-hidden="true" style="max-width:100%;height:auto" ', 1)


def _colour(groups: Sequence[str]) -> Any:
    import altair as alt

    spare = [colour for colour in _PALETTE if colour not in {COLOURS.get(group) for group in groups}]
    range_ = [COLOURS.get(group) or spare[i % len(spare)] for i, group in enumerate(groups)]
    scale = alt.Scale(domain=list(groups), range=range_)
    columns = 1 if any(len(group) > _LONG_LABEL for group in groups) else 2
    legend = alt.Legend(title=None, orient="bottom", labelLimit=700 // columns, columns=columns)
    return alt.Color("group:N", scale=scale, legend=legend)


def waiting_curve(data: pd.DataFrame, *, threshold: int, horizon: int, y_title: str) -> alt.LayerChart:
    """Share still waiting by day and group: columns `group, day, waiting` (shares from 0 to 1)."""
    import altair as alt

    groups = list(dict.fromkeys(data["group"]))
    x = alt.X(
        "day:Q",
        title="days",
        scale=alt.Scale(domain=[0, horizon]),
        axis=alt.Axis(values=list(range(0, horizon + 1, 7))),
    )
    y = alt.Y("waiting:Q", title=y_title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    # The dash tells the groups apart where colour doesn't print.
    dash = alt.StrokeDash("group:N", legend=None, sort=groups)
    # Straight between the days that are known: what lies between them isn't.
    lines = alt.Chart(data).mark_line(point=True, strokeWidth=2).encode(x, y, _colour(groups), dash)
    rule = alt.Chart(pd.DataFrame({"day": [threshold]})).mark_rule(strokeDash=[4, 4], color="#444").encode(x="day:Q")
    return _sized(alt.layer(lines, rule))


def forest(data: pd.DataFrame, *, x_title: str) -> alt.LayerChart:
    """Differences with intervals: columns `label, estimate, low, high` (shares from -1 to 1)."""
    import altair as alt

    y = alt.Y("label:N", title=None, sort=list(data["label"]), axis=alt.Axis(labelLimit=360))
    base = alt.Chart(data).encode(y)
    percent = alt.Axis(format="+%")
    bars = base.mark_rule(strokeWidth=2, color=_PALETTE[0]).encode(
        alt.X("low:Q", title=x_title, axis=percent), alt.X2("high:Q")
    )
    points = base.mark_square(color=_PALETTE[0], opacity=1, size=90).encode(alt.X("estimate:Q", title=x_title))
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color="#444", strokeDash=[4, 4]).encode(x="x:Q")
    return _sized(alt.layer(bars, points, zero), height=max(80, 28 * len(data)))


def evidence_path(data: pd.DataFrame, limits: pd.DataFrame) -> alt.LayerChart:
    """The weekly statistic: columns `group, week, log10_m, signal`; `limits` has `week, log10_limit`."""
    import altair as alt

    groups = list(dict.fromkeys(data["group"]))
    x = alt.X("week:T", title="week", axis=alt.Axis(format="%b %Y", tickCount=10))
    y = alt.Y("log10_m:Q", title="evidence (one up: ten times as much)")
    dash = alt.StrokeDash("group:N", legend=None, sort=groups)
    lines = alt.Chart(data).mark_line(strokeWidth=1.5).encode(x, y, _colour(groups), dash)
    limit = alt.Chart(limits).mark_line(color="#444", strokeDash=[4, 4], interpolate="step-after")
    flags = alt.Chart(data[data["signal"]]).mark_point(shape="triangle-up", size=90, filled=True, color="#000")
    return _sized(alt.layer(lines, limit.encode(x, alt.Y("log10_limit:Q")), flags.encode(x, y)))


def _sized(chart: alt.LayerChart, height: int = _HEIGHT) -> alt.LayerChart:
    sized: alt.LayerChart = chart.properties(width=_WIDTH, height=height, background="white").configure_axis(
        labelFontSize=12, titleFontSize=12, gridColor="#eee"
    )
    return sized
