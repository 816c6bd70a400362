"""The data-quality page of a network: one HTML file with a heat map of sources by weeks, and the rules that failed.

Fed with rows of `ops.gate_result` and a table of `expectations.completeness.weekly`. It holds sources, weeks, rules and
counts, and no PHI. Pictures are Vega-Lite specifications (testable as data), drawn as SVG without a browser.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from expectations import completeness, rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

#: States of a source in a week, from worst to best, with colour and sign. Told apart by sign as well as by colour.
STATES: dict[str, tuple[str, str]] = {
    "blocked": ("#7b1e3a", "✕"),
    "missing": ("#4d4d4d", "–"),
    "warnings": ("#e08214", "!"),
    "low": ("#f4c26b", "↓"),
    "good": ("#9ecae1", "✓"),
}
_MEANING = {
    "blocked": "a critical rule failed, or a rule could not be run: nothing of that pull was loaded",
    "missing": "no pull: the week is unknown and is not zero",
    "warnings": "loaded, with rows flagged by a warning",
    "low": "loaded, under half of the usual volume",
    "good": "loaded, no warning",
}
_DARK = ("blocked", "missing")
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;padding:.3rem .6rem;"
    "border-bottom:1px solid #ddd;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}"
    "li{list-style:none}li span{display:inline-block;width:1.4rem;text-align:center}"
    "caption{text-align:left;color:#555;padding:.3rem 0}table{display:block;overflow-x:auto}"
    # Fifty weeks shrunk to a page's width can't be read: they scroll, and begin with the newest.
    "figure{margin:1rem 0;overflow-x:auto;direction:rtl}figure svg{display:block;direction:ltr}"
)


def page(results: pd.DataFrame, arrived: pd.DataFrame, *, as_of: date) -> str:
    """The page as HTML.

    `results`: rows of ops.gate_result (source, pull_id, layer, rule_id, severity, status, judged_rows, failing_rows);
    `arrived`: what `completeness.weekly` returns.
    """
    states = weekly_states(results, arrived)
    silent = completeness.silent(arrived)
    notice = f"<p><strong>Silent for two weeks or more:</strong> {escape(', '.join(silent))}.</p>" if silent else ""
    legend = "".join(
        f'<li><span style="background:{colour};color:{"white" if name in _DARK else "black"}">{sign}</span> '
        f"<strong>{name}</strong>: {_MEANING[name]}</li>"
        for name, (colour, sign) in STATES.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>Data quality {as_of}</title>'
        f"<style>{_STYLE}</style></head><body><h1>Data quality, as of {as_of}</h1>{notice}"
        "<p>For those who operate the sources, and not to be passed on: a week of one source holds few infants.</p>"
        f"<h2>Sources by week</h2>{_svg(state_map(states), 'State of each source in each week')}<ul>{legend}</ul>"
        f"<h2>Unknown race and ethnicity</h2>"
        f"{_svg(share_map(arrived, 'unknown_race'), 'Share of infants of unknown race by source and week')}"
        f"<h2>Unknown payer</h2>"
        f"{_svg(share_map(arrived, 'unknown_payer'), 'Share of infants of unknown payer by source and week')}"
        f"<h2>What arrived</h2>{_table(latest(arrived), 'Last week of each source')}"
        f"<h2>Rules that failed</h2>{_table(trend(results), 'Last pull of each source, against the one before')}"
        "</body></html>"
    )


def weekly_states(results: pd.DataFrame, arrived: pd.DataFrame) -> pd.DataFrame:
    """source, week, state (of `STATES`): the worst of what the gate and the volume say of each source's week."""
    if arrived.empty:
        return pd.DataFrame(columns=["source", "week", "state"])
    # A pull that was blocked is not loaded, and its week would look silent: what the gate says comes first.
    of_pulls = _of_pulls(results)
    judged = of_pulls.assign(week=_week_of_pull(of_pulls["pull_id"]), state=_state_of(of_pulls))
    # A later pull of the same week that passed has mended it.
    last = judged[judged["pull_id"] == judged.groupby(["source", "week"])["pull_id"].transform("max")]
    rank = {state: place for place, state in enumerate(STATES)}
    worst = last.assign(rank=last["state"].map(rank)).groupby(["source", "week"])["rank"].min()
    table = arrived[["source", "week", "state"]].set_index(["source", "week"])["state"]
    volume = table.map({"missing": rank["missing"], "low": rank["low"]}).fillna(rank["good"]).astype(int)
    both = pd.DataFrame({"gate": worst.reindex(volume.index), "volume": volume})
    chosen = both["gate"].where(both["gate"] < both["volume"], both["volume"]).astype(int)
    names = list(STATES)
    return chosen.map(lambda place: names[place]).rename("state").reset_index()


def state_map(states: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite specification of the heat map of states."""
    values = [
        {"source": source, "week": str(week), "state": state, "sign": STATES[str(state)][1]}
        for source, week, state in states[["source", "week", "state"]].itertuples(index=False)
    ]
    colour = {
        "field": "state",
        "type": "nominal",
        "scale": {"domain": list(STATES), "range": [colour for colour, _ in STATES.values()]},
        # The list below the picture says what they mean.
        "legend": None,
    }
    sign = {"field": "sign", "type": "nominal"}
    return _heat_map(
        values,
        colour,
        sign,
        ["source", "week", "state"],
        _white_where("datum.state == 'blocked' || datum.state == 'missing'"),
    )


def share_map(arrived: pd.DataFrame, column: str) -> dict[str, Any]:
    """Vega-Lite specification of a heat map of shares; a week without infants, or without a pull, is an empty cell."""
    known = arrived[arrived[column].notna()]
    values = [
        {"source": source, "week": str(week), "share": round(float(share), 4), "infants": int(infants)}
        for source, week, share, infants in known[["source", "week", column, "infants"]].itertuples(index=False)
    ]
    colour = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "scheme": "oranges"},
        # The share stands in each cell; a colour bar would carry an id that counts up from drawing to drawing.
        "legend": None,
    }
    share = {"field": "share", "type": "quantitative", "format": ".0%"}
    return _heat_map(values, colour, share, ["infants"], _white_where("datum.share > 0.6"))


def _white_where(dark: str) -> dict[str, Any]:
    return {"condition": {"test": dark, "value": "white"}, "value": "black"}


def _heat_map(
    values: list[dict[str, Any]],
    colour: dict[str, Any],
    text: dict[str, Any],
    tooltip: list[str],
    text_colour: dict[str, Any],
) -> dict[str, Any]:
    axes = {
        "x": {"field": "week", "type": "ordinal", "title": "week (Monday)", "axis": {"labelAngle": -60}},
        # Beside the newest week, where a page too narrow for all of them begins.
        "y": {"field": "source", "type": "nominal", "title": None, "axis": {"orient": "right"}},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": values},
        "width": {"step": 28},
        "height": {"step": 28},
        "encoding": axes,
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "white"},
                "encoding": {"color": colour, "tooltip": [{"field": field} for field in tooltip]},
            },
            {
                "mark": {"type": "text", "fontSize": 9},
                "encoding": {"text": text, "color": text_colour},
            },
        ],
    }


def latest(arrived: pd.DataFrame) -> pd.DataFrame:
    """The last week of each source, in words and rounded figures."""
    last = arrived.sort_values("week").groupby("source").tail(1).sort_values("source")
    return pd.DataFrame(
        {
            "source": last["source"],
            "week": last["week"].astype(str),
            "state": last["state"],
            "lines received": last["received"].map(_number),
            "expected": last["expected"].map(_number),
            "lag, median days": last["lag_median"].map(_number),
            "lag, 95th percentile": last["lag_p95"].map(_number),
            "unknown race": last["unknown_race"].map(_percent),
            "unknown payer": last["unknown_payer"].map(_percent),
        }
    )


def trend(results: pd.DataFrame) -> pd.DataFrame:
    """Rules that failed in the last pull of each source, worst first, with the share now and the time before."""
    results = _of_pulls(results)
    pulls = results[["source", "pull_id"]].drop_duplicates().sort_values("pull_id")
    newest_first = pulls.iloc[::-1].groupby("source").cumcount()
    place = pulls.assign(place=newest_first)
    ranked = results.merge(place, on=["source", "pull_id"])
    ranked["share"] = ranked["failing_rows"] / ranked["judged_rows"].where(ranked["judged_rows"] > 0)
    now = ranked[(ranked["place"] == 0) & (ranked["status"] != "pass")]
    before = ranked[ranked["place"] == 1].set_index(["source", "rule_id"])["share"]
    titles = {rule.id: rule.title for rule in rules.load().rules}
    order = {severity: place for place, severity in enumerate(("critical", "warning", "info"))}
    now = now.sort_values(["source", "rule_id"]).sort_values("severity", key=lambda s: s.map(order), kind="stable")
    earlier = before.reindex(pd.MultiIndex.from_frame(now[["source", "rule_id"]]))
    return pd.DataFrame(
        {
            "source": now["source"].to_list(),
            "rule": now["rule_id"].to_list(),
            "what must hold": [titles.get(rule, "no longer in the catalogue") for rule in now["rule_id"]],
            "severity": now["severity"].to_list(),
            "result": now["status"].to_list(),
            "rows": [_number(n) for n in now["failing_rows"]],
            "share": [_percent(share) for share in now["share"]],
            "share before": [_percent(share) for share in earlier],
        }
    )


def _of_pulls(results: pd.DataFrame) -> pd.DataFrame:
    """Results over pulls; those over a weekly run (metrics, freshness) have run ids and instants in their place."""
    return results[results["layer"].isin(("staged", "timeline"))]


def _state_of(results: pd.DataFrame) -> pd.Series:
    fails, broken = results["status"] == "fail", results["status"] == "error"
    state = pd.Series("good", index=results.index)
    state[fails & (results["severity"] == "warning")] = "warnings"
    state[broken | (fails & (results["severity"] == "critical"))] = "blocked"
    return state


def _week_of_pull(pull_ids: pd.Series) -> pd.Series:
    days = pd.to_datetime(pull_ids.str[:8], format="%Y%m%d")
    return (days - pd.to_timedelta(days.dt.day_of_week, unit="D")).dt.date


def _svg(specification: dict[str, Any], description: str) -> str:
    import vl_convert

    if not specification["data"]["values"]:
        return "<p>No data.</p>"
    drawing = str(vl_convert.vegalite_to_svg(specification))
    return f'<figure role="img" aria-label="{escape(description)}">{drawing}</figure>'


def _table(table: pd.DataFrame, caption: str) -> str:
    if table.empty:
        return "<p>None.</p>"
    head = "".join(f"<th>{escape(str(column))}</th>" for column in table.columns)
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in table.itertuples(index=False))
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: Sequence[object]) -> str:
    return "".join(f"<td>{escape(str(cell))}</td>" for cell in row)


def _number(value: object) -> str:
    return "missing" if pd.isna(value) else f"{float(value):g}"  # type: ignore[call-overload, arg-type]


def _percent(value: object) -> str:
    return "" if pd.isna(value) else f"{float(value):.1%}"  # type: ignore[call-overload, arg-type]
