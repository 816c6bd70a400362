"""The words of an alert: counts and days, how sure, what it is not. Plain language, no blame, no PHI."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from textwrap import fill
from typing import TYPE_CHECKING, Any

from surveillance.measures.registry import Chart, Measure, measures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from surveillance.settings import SurveillanceSettings

#: How a group is spoken of. People, never labels.
GROUPS = {
    "hispanic": "Hispanic infants",
    "nh_aian": "American Indian or Alaska Native infants",
    "nh_asian": "Asian infants",
    "nh_black": "Black infants",
    "nh_mena": "Middle Eastern or North African infants",
    "nh_multiracial": "infants of more than one race",
    "nh_nhopi": "Native Hawaiian or Pacific Islander infants",
    "nh_other": "infants of another race",
    "nh_white": "White infants",
    "public": "infants with public insurance",
    "private": "infants with private insurance",
    "military": "infants with military insurance",
    "self_pay": "infants without insurance (self-pay)",
    "not_en": "infants of families with another language than English",
    "en": "infants of English-speaking families",
}
#: Values that mean something in their dimension only.
_OF_DIMENSION = {
    ("sex", "female"): "girls",
    ("sex", "male"): "boys",
    ("bipoc", "yes"): "BIPOC infants (derived)",
    ("bipoc", "no"): "infants who are not BIPOC (derived)",
    ("interpreter", "yes"): "infants of families who need an interpreter",
    ("interpreter", "no"): "infants of families who need no interpreter",
}
DIMENSION_NAMES = {
    "race_ethnicity": "race and ethnicity",
    "bipoc": "BIPOC (derived)",
    "payer": "insurance",
    "language_group": "language",
    "interpreter": "interpreter need",
    "sex": "sex",
    "source": "site",
}
#: What a failed check means.
CHECKS = {
    "load_complete": "a site has sent nothing lately",
    "completeness": "the group is known for fewer infants than before",
    "lag_difference": "records of these infants arrive later than the count waited for",
    "freeze_error": "more outcomes of one group than of the other were corrected afterwards",
    "leave_one_site_out": "the difference rests on one site",
    "unknown_range": "infants of unknown group could undo the difference",
    "time_agrees": "days waited and the share over seven days point different ways",
}
_WIDTH = 100


@dataclass(frozen=True)
class Item:
    """One alert as a message tells it."""

    alert_id: str
    status: str
    kind: str
    chart: Chart
    measure: Measure
    facts: Mapping[str, Any]
    signals: int
    due_on: date | None


def group_name(dimension: str, value: str) -> str:
    """The group in words."""
    fallback = f"infants with {DIMENSION_NAMES.get(dimension, dimension)} {value.replace('_', ' ')}"
    fallback = _OF_DIMENSION.get((dimension, value), fallback)
    return GROUPS.get(value, fallback) if dimension != "source" else f"infants at {value}"


def subject(items: Sequence[Item]) -> str:
    """Subject line: what was found, of how many."""
    first = items[0]
    held = all(item.status == "held" for item in items)
    who = group_name(first.chart.dimension, first.chart.group)
    late = all(item.kind == "escalated" for item in items)
    what = "Held for data checks" if held else "Please look"
    if late:
        what = "Held for data checks, and nobody has looked yet" if held else "Nobody has looked yet"
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    found = f"{who} waited longer" if first.measure.kind != "share" else f"a difference for {who}"
    return f"[IESS] {what}: {found}, {first.measure.title.lower()}{more}"


def body(
    items: Sequence[Item],
    *,
    as_of: date,
    through: Mapping[str, date],
    waiting: int,
    settings: SurveillanceSettings,
) -> str:
    """The message's text. `waiting` is how many infants are on the work list today."""
    parts = [paragraph for item in items for paragraph in (*_finding(item, show_counts=settings.message_counts), "")]
    reaches = min(through.values(), default=as_of)
    parts += [
        "What this is not: an adjusted comparison, a judgement of any clinician or site, or proof of a cause. It says "
        "that the records show a difference that is unlikely to be chance, and that someone should look.",
        f"Data reach to {_day(reaches)} ({_sites(len(through))}). Infants are counted once they are diagnosed, 7 days "
        f"past the start of the clock, and another {settings.lag_range(list(through))} days on, so that late records "
        "don't look like late care.",
    ]
    if waiting:
        parts.append(_waiting(waiting, settings))
    due = min((item.due_on for item in items if item.due_on), default=None)
    late = due is not None and due < as_of
    until = f" {'Nobody acknowledged it by' if late else 'Please acknowledge by'} {_day(due)}." if due else ""
    parts.append(f"Owner: {settings.owner}.{until}")
    return "\n\n".join(fill(part, _WIDTH) for part in parts if part) + "\n"


def _waiting(waiting: int, settings: SurveillanceSettings) -> str:
    who = "1 infant is" if waiting == 1 else f"{waiting} infants are"
    link = f" They are listed for those who may see them: {settings.worklist_link}" if settings.worklist_link else ""
    return (
        f"Today {who} waiting longer than {settings.waiting_hours} hours for neurology, or more than 7 days after "
        f"diagnosis for treatment.{link}"
    )


def _finding(item: Item, *, show_counts: bool) -> list[str]:
    facts, chart = item.facts, item.chart
    group = group_name(chart.dimension, chart.group)
    reference = group_name(chart.dimension, chart.reference)
    since = _day(date.fromisoformat(facts["since"]))
    counts = f"{facts['x']} of {facts['n_group']} v {facts['y']} of {facts['n_reference']} {item.measure.late_title}"
    days = _days(facts)
    if not show_counts:
        counts, days = item.measure.late_title, ""
    lines = [
        f"Since about the week of {since}, {group} waited longer than {reference}: {counts}{days}."
        if item.measure.kind != "share"
        else f"Since about the week of {since}, {group} compared with {reference}: {counts}.",
        _certainty(facts),
        f"Sites: {_by_site(facts)}. {_unknown(facts, chart)} Measure {item.measure.key}, chart {chart.id}, "
        f"alert {item.alert_id}, {_standing(item)}.",
    ]
    failed = [gate for gate in facts["gates"] if gate["verdict"] == "failed"]
    if failed:
        checks = "; ".join(f"{CHECKS.get(gate['gate'], gate['gate'])} ({gate['detail']})" for gate in failed)
        lines.append(f"Held, because a data check failed, and not yet to be read as a difference in care: {checks}.")
    return lines


def _days(facts: Mapping[str, Any]) -> str:
    mine, theirs = facts["median_group"], facts["median_reference"]
    return f"; median {mine:g} v {theirs:g} days" if mine is not None and theirs is not None else ""


def _certainty(facts: Mapping[str, Any]) -> str:
    years = facts["years_between_false"]
    every = "year" if round(years) == 1 else "years"
    return (
        f"How sure: evidence {facts['m']:.0f} against a limit of {facts['limit']:.0f}; chance alone gives a signal "
        f"like this less than once in {years:.0f} {every} on this chart, and at most {facts['budget']:g} a year over "
        f"all {facts['charts']} charts together. {_ratio(facts)}{_others(facts)}"
    )


def _ratio(facts: Mapping[str, Any]) -> str:
    """The ratio over all weeks with its interval, and of what: a hazard ratio is the worse below 1."""
    ratio, low, high = facts["ratio"], facts["cs_low"], facts["cs_high"]
    interval = f"{low or 0.0:.1f} to {'no upper bound' if high is None else f'{high:.1f}'}"
    holds = f"over all weeks; the interval {interval} holds however often one looks"
    _, dimension, _, reference, *_ = facts["chart_id"].split(":")
    them = group_name(dimension, reference)
    if facts["version"] == "time-to-event":
        daily = "can't be compared" if ratio is None else f"was about {ratio:.1f} times that of {them}"
        return f"On any day, the chance that a wait ended {daily} (hazard ratio {holds})."
    odds = "can't be compared" if ratio is None else f"were about {ratio:.1f} times those of {them}"
    return f"The odds {odds} (odds ratio {holds})."


def _others(facts: Mapping[str, Any]) -> str:
    """Where else the same shows for these groups, and where not: other ways of counting, and other measures."""
    measure = str(facts["chart_id"]).split(":")[0]
    shows: dict[str, bool] = {}
    for other in facts["others"]:
        if other["says"] in _SHOWS:
            place = _place(other["chart"], measure)
            shows[place] = shows.get(place, False) or _SHOWS[other["says"]]
    said = (("The same shows in", True), ("It doesn't show in", False))
    parts = [(words, [place for place, there in shows.items() if there == which]) for words, which in said]
    return "".join(f" {words} {'; '.join(places)}." for words, places in parts if places)


#: What another chart says, and whether it shows the difference; one that is undecided says neither.
_SHOWS = {"supports": True, "contradicts": False, "not there": False}


def _place(chart: str, measure: str) -> str:
    """A chart in words: how else it counts the same measure, or what else it measures."""
    of, _, _, _, scope, *version = chart.split(":")
    if of != measure:
        return f'"{measures()[of].title.lower()}"' if of in measures() else of
    return f"{_WAYS[bool(version)]}, {'site by site' if scope == 'within-site' else 'all sites taken together'}"


_WAYS = {False: "the share that was late", True: "the days waited"}


def _unknown(facts: Mapping[str, Any], chart: Chart) -> str:
    total = facts["unknown"] + facts["n_group"] + facts["n_reference"]
    share = facts["unknown"] / total if total else 0.0
    return f"{DIMENSION_NAMES[chart.dimension].capitalize()} unknown: {share:.0%}."


def _by_site(facts: Mapping[str, Any]) -> str:
    """At which sites the group's share is the larger. No counts: of one site they are small."""
    larger: list[str] = []
    others: list[str] = []
    for site, (x, n, y, m) in sorted(facts["sites"].items()):
        (larger if n and m and x / n > y / m else others).append(site)
    parts = [f"{way} at {', '.join(sites)}" for way, sites in (("this way round", larger), ("not so", others)) if sites]
    return "; ".join(parts)


def _standing(item: Item) -> str:
    again = f", signal {item.signals} of this alert" if item.signals > 1 else ""
    return f"status {item.status}{again}"


def _sites(count: int) -> str:
    return "1 site" if count == 1 else f"{count} sites"


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
