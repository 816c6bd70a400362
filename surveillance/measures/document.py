"""`docs/measures.md`, made from the registry: `python -m surveillance.measures.document > docs/measures.md`."""

from __future__ import annotations

# ruff: noqa: E501 - lines of a page
import sys

from surveillance.measures.registry import DIMENSIONS, REFERENCES, Measure, default_charts, measures

_HEAD = """# Measures

Made from `surveillance/measures/measures.toml` and `charts.csv` by `python -m surveillance.measures.document`; a test fails
when this page is stale. A change of meaning is a new version; old results keep theirs.

All measures count the adverse outcome, so that higher is worse. The population is confirmed IESS (cohort `definite` or
`probable`, with a diagnosis), looking backward from the diagnosis: cohorts by week of first contact hold only the fast ones
at first. An infant counts once **matured**: diagnosed, past the threshold, and past the time in which late records arrive
(`maturity_lag_days`, or what was learned for the source). Until then it is *pending*, and no failure. A wait of more than 7
days is late: 8 is, 7 is not.

Every estimate carries its counts (eligible, matured, late, pending, undecided by partial dates, events, censored, competing,
unknown group), interval and its kind, method, adjustment, data-through date, and the reason where it can't be given.
"""

_ESTIMATES = """## Estimates

| estimand | what it is | interval |
| --- | --- | --- |
| `prop` | late of the matured and decided | Wilson |
| `median` | median wait, Kaplan-Meier | log-log (Brookmeyer and Crowley) |
| `surv_7`, `surv_14`, `surv_28` | share still waiting after so many days | log-log |
| `rmst_28` | mean days waited in the first 28 days | normal, the estimator's own variance |
| `cif1_28`, `cif2_28` | event, competing event by day 28, where there are competing events (Aalen-Johansen) | log-log, Aalen's variance |
| `rd` | difference in the share late, group minus reference | Newcombe; within sites: Mantel-Haenszel, Sato |
| `rmst_diff_28` | extra days waited in the first 28 days | normal |
| `rr` | ratio of the shares | Koopman |
| `or` | odds ratio: conditional maximum likelihood; mid-P median unbiased; within sites: Mantel-Haenszel | exact; mid-P; Robins, Breslow and Greenland |
| `hr` | hazard ratio of the event (below 1: slower), Cox with Efron's ties, strata by site; Firth's penalty under 10 events a parameter | normal on the log; profile under Firth |
| `rd_standardised` | difference over the same mix of age and site (g-computation) | bootstrap |
| `bgv`, `bgsd`, `idisu`, `idisw`, `theil`, `mld` | inequality over the groups of a dimension, with the value that chance alone gives (`null_expectation`) | parametric bootstrap |
| `prop_shrunk` | the share, drawn towards the whole (beta-binomial), for display only | posterior |
| `rd_bounds` | least and greatest difference over who the infants of unknown group may be | none |

The primary difference is unadjusted, or adjusted for clinical need only. Insurance, language, distance and site are ways in
which a difference comes about, and are never adjusted away in it.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(measure: Measure) -> list[str]:
    rows = [
        ("version", str(measure.version)),
        ("numerator", measure.numerator),
        ("denominator", measure.denominator),
        ("clock", f"`{measure.clock_start}` to `{measure.clock_stop}`" if measure.clock_stop else "none"),
        ("threshold", f"more than {measure.threshold_days} days" if measure.kind == "interval" else "none"),
        ("competing events", ", ".join(measure.competing_events) if measure.kind == "interval" else "none"),
        ("left out", ", ".join(measure.exclude_pathways) or "nobody"),
        ("direction", measure.direction),
        ("valid from", measure.valid_from.isoformat()),
        ("source", measure.source or "this project"),
    ]
    lines = [f"### {measure.id}: {measure.title}", "", "| | |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {_cell(text)} |" for name, text in rows), ""]


def document() -> str:
    """The page's text."""
    lines = [_HEAD, "## Measures", ""]
    for measure in measures().values():
        lines += _section(measure)
    lines += [_ESTIMATES, "## Strata", "", "| dimension | reference |", "| --- | --- |"]
    lines += [f"| `{name}` | {f'`{REFERENCES[name]}`' if REFERENCES[name] else 'none'} |" for name in DIMENSIONS]
    lines += [
        "",
        "`language_group` is derived from the preferred language; `bipoc` is derived, and never shown without the groups that "
        "it collapses. `unknown`, `declined` and `undetermined` are rows of their own, in no comparison.",
        "",
        "## Charts",
        "",
        "Registered before the data are seen. Each raises the limit of all: A = 52 K / B weeks for K alerting charts and a budget "
        "of B false alerts a year.",
        "",
        "| measure | dimension | group | reference | scope | role | why |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for chart in default_charts():
        cells = (chart.measure, chart.dimension, chart.group, chart.reference, chart.scope, chart.role, chart.rationale)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
