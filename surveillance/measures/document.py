"""`docs/measures.md`, made from the registry: `python -m surveillance.measures.document > docs/measures.md`."""

from __future__ import annotations

# ruff: noqa: E501 - lines of a page
import sys

from surveillance.measures.definitions import Measure, measures
from surveillance.measures.dimensions import DIMENSIONS_BY_NAME
from surveillance.measures.registry import default_charts

_HEAD = """# Measures

Made from `surveillance/measures/measures.toml`, `dimensions.csv` and `charts.csv` by `python -m
surveillance.measures.document`; a test fails when this page is stale. A change of meaning is a new version; old results
keep theirs. What an estimator does, and how to run it on data of your own, is in [statistics.md](statistics.md).

All measures count the adverse outcome, so that higher is worse. The population is confirmed IESS (cohort `definite` or
`probable`, with a diagnosis), looking backward from the diagnosis: cohorts by week of first contact hold only the fast ones
at first. An infant counts once **matured**: diagnosed, past the threshold, and past the time in which late records arrive
(`maturity_lag_days`, or what was learned for the source). Until then it is *pending*, and no failure. A wait of more than 7
days is late: 8 is, 7 is not.

Every estimate carries its counts (eligible, matured, late, pending, undecided by partial dates, events, censored, competing,
unknown group), interval and its kind, method, adjustment, data-through date, and the reason where it can't be given.

An infant transferred in from elsewhere (flag `left_truncated`) saw the first provider there, on an unknown day; so did one
whose first visit on record is the neurologist's, with the diagnosis (`no_prodromal_visit`, not in an emergency department).
Waits that start or end with the first provider are undecided for both: from the visit here they would be 0 days, and in
time. Their number is in `quality_flags` (`first_visit_unobserved`). Waits that start at an earlier known day count infants
transferred in as at risk from their first contact here on (delayed entry). Pairs, and the further
strata that are another reading of a first one (SPD-15, the caregivers'), are estimated for the whole network and all of the
past; all others in every scope and window.
"""

_ESTIMATES = """## Estimates

| estimand | what it is | interval |
| --- | --- | --- |
| `prop` | late of the matured and decided | Wilson |
| `median` | median wait, Kaplan-Meier | log-log (Brookmeyer and Crowley) |
| `surv_7`, `surv_14`, `surv_28` | share still waiting after so many days | log-log |
| `rmst_28` | mean days waited in the first 28 days | normal, the estimator's own variance |
| `cif1_7`, `cif2_7`, `cif1_28`, `cif2_28` | event, competing event by that day, where there are competing events (Aalen-Johansen) | log-log, the variance of cmprsk |
| `rd` | difference in the share late, group minus reference | Newcombe; within sites: Mantel-Haenszel, Sato |
| `rmst_diff_28` | extra days waited in the first 28 days | normal |
| `rr` | ratio of the shares | Koopman; within sites: Mantel-Haenszel, Greenland and Robins |
| `or` | odds ratio: conditional maximum likelihood; mid-P median unbiased; within sites: Mantel-Haenszel, conditional over all sites | exact; mid-P; Robins, Breslow and Greenland |
| `hr` | hazard ratio of the event (below 1: slower), Cox with Efron's ties, strata by site; with Firth's penalty where events are few; of the registered groups, in every measure | Wald on the log; profile under Firth |
| `rd_standardised` | difference over the same mix of clinical need and site (g-computation) | sandwich |
| `bgv`, `bgsd`, `cov`, `idisu`, `idisw`, `mdmu`, `mdmw`, `mdbu`, `mdbw`, `theil`, `mld`, `par`, `paf` | inequality over the groups of a dimension, with the value that chance alone gives (`null_expectation`) | parametric bootstrap |
| `bgv_corrected` | the between-group variance less what chance gives | none |
| `aci`, `rci`, `sii`, `rii`, `sii_linear`, `rii_linear` | inequality over groups with an order (deprivation quintiles) | parametric bootstrap |
| `prop_shrunk` | the share, drawn towards the whole (beta-binomial), for display only | posterior |
| `rd_bounds` | least and greatest difference over who the infants of unknown group may be (estimate: of the known); and over plausible ways to share them out (estimate: shared out as the known are) | none |

`se` is the standard error of the estimate; of a ratio, that of its logarithm.

| scope | what it is |
| --- | --- |
| `network` | all sites together; the whole difference between two groups |
| `site:<source>` | one site |
| `within-site` | stratified by site and by earlier neurology care: what is left when infants of the same site are compared |
| `between-site` | `network` minus `within-site`: what comes about by who goes to which site |

Windows are `cumulative` (all that has matured) and `rolling` (matured in the last 52 whole weeks).

The primary difference is unadjusted, or adjusted for clinical need only (age at the first provider visit, a code of
prematurity, etiology on record, earlier neurology care). Insurance, language, distance and site are ways in which a
difference comes about; they are never adjusted away in it, but in a second model whose `adjustment_set` says `mechanism`.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _section(measure: Measure) -> list[str]:
    left_out = [*measure.exclude_pathways, *(f"{n}: {', '.join(v)}" for n, v in measure.exclude_values.items())]
    if measure.age_days_at_diagnosis:
        left_out.append("diagnosed outside {} to {} days of age".format(*measure.age_days_at_diagnosis))
    rows = [
        ("version", str(measure.version)),
        ("valid", f"from {measure.valid_from}" + (f" to {measure.valid_to}" if measure.valid_to else "")),
        ("numerator", measure.numerator),
        ("denominator", measure.denominator),
        ("clock", f"`{measure.clock_start}` to `{measure.clock_stop}`" if measure.clock_stop else f"`{measure.index}`"),
        ("threshold", f"more than {measure.threshold_days} days" if measure.timed else "none"),
        ("competing events", ", ".join(measure.competing_events) if measure.timed else "none"),
        ("left out", "; ".join(left_out) or "nobody"),
        ("direction", measure.direction),
        ("matured", measure.maturity),
        ("estimates", "of time and of shares" if measure.kind == "interval" else "of shares"),
        ("in releases", "yes" if measure.released else "no: close to another measure, whose small cells it would give"),
        ("source", measure.source or "this project"),
    ]
    lines = [f"### {measure.id}: {measure.title}", "", "| | |", "| --- | --- |"]
    return [*lines, *(f"| {name} | {_cell(text)} |" for name, text in rows), ""]


def document() -> str:
    """The page's text."""
    lines = [_HEAD, "## Measures", ""]
    for measure in measures().values():
        lines += _section(measure)
    lines += [
        _ESTIMATES,
        "## Strata",
        "",
        "| dimension | reference | in releases | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in DIMENSIONS_BY_NAME.items():
        reference, released = f"`{one.reference}`" if one.reference else "none", "yes" if one.use == "charted" else "no"
        lines.append(f"| `{name}` | {reference} | {released} | {_cell(one.meaning)} |")
    lines += [
        "",
        "`unknown`, `declined` and `undetermined` are rows of their own, in no comparison. References are fixed: the best of "
        "several groups is partly luck.",
        "",
        "## Charts",
        "",
        "What a warehouse begins with, registered before the data are seen; `iess charts` adds and retires. Each alerting chart "
        "raises the limit of all: A = 52 K / B weeks for K of them and a budget of B false alerts a year. A supporting chart is "
        "shown, and alerts nobody. `binary`: late or not; `time-to-event`: days waited.",
        "",
        "| measure | dimension | group | reference | scope | version | role | why |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for chart in default_charts():
        comparison = (chart.measure, chart.dimension, chart.group, chart.reference, chart.scope)
        cells = (*comparison, chart.version, chart.role, chart.rationale)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
