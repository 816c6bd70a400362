"""Referrals: which ServiceRequests ask for a neurologist, and which of them are one referral (clinical.md 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fhir_mapping import neurology
from fhir_mapping.chart import words_of
from fhir_mapping.conditions import contained_reasons, reason_roles
from fhir_mapping.dates import DateRange, earliest
from fhir_mapping.elements import Unreadable, concept_of, date_at, obj, objs, start_of, status, text
from fhir_mapping.releases import REQUEST_OCCURRENCE, order_details, reasons, request_code, task_performers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

Aim = Literal["neurology", "eeg", "other", "none"]
Evidence = Literal["coded", "specialty", "text"]

COUNTED_STATUS = frozenset({"active", "on-hold", "completed", "revoked", "ended"})  # `ended`: R6, of the last two
COUNTED_INTENT = frozenset({"order", "original-order", "instance-order", "filler-order", "reflex-order"})
_NO_TASK = frozenset({"draft", "entered-in-error", "rejected", "cancelled", "failed"})
_RANK: dict[Evidence, int] = {"coded": 0, "specialty": 1, "text": 2}
#: Systems of tests and procedures: a code of theirs that no value set lists is not "unmapped", it is something else.
_TEST_SYSTEMS = ("http://loinc.org", "http://www.ama-assn.org/go/cpt")


@dataclass(frozen=True, eq=False)
class Order:
    """One ServiceRequest that counts."""

    resource: Resource
    aim: Aim
    evidence: Evidence
    authored: DateRange | None
    occurrence: DateRange | None
    encounter: tuple[str, str] | None
    status: str
    reason_roles: frozenset[str]
    reason_conditions: frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Chain:
    """Orders that are one referral: an order and its instances (`basedOn`), a referral and what replaced it."""

    orders: tuple[Order, ...]  # by date, undated last
    when: DateRange | None
    dated_by: Order | None
    rule: str
    aim: Aim
    evidence: Evidence
    replacements: int

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(order.resource.id for order in self.orders)


def read_order(resource: Resource, chart: Chart) -> Order | None:
    """The ServiceRequest as an order; None when it does not count: a plan, a draft, an error, a prohibition."""
    body = resource.body
    written, intent = status(body), status(body, "intent")
    if body.get("doNotPerform") is True:
        return None
    aim, evidence = _aim(resource, chart)
    concepts, references = reasons(body)
    why = reason_roles([*concepts, *contained_reasons(references, resource, chart)], chart)
    parent = "referral_generic" in chart.roles_of([request_code(body)])  # of an order that says to whom
    if aim == "none" and not parent and not any(role.startswith("iess_") for role in why) and not references:
        return None
    if written not in COUNTED_STATUS or intent not in COUNTED_INTENT:
        if written in {"", "unknown"} or not intent:
            chart.flags.add("referral_status_unknown")
        return None
    authored = _authored(body, chart)
    encounter = chart.same_target(body.get("encounter") or body.get("context"), "Encounter")
    if chart.after_horizon(authored) or (authored is None and encounter and encounter[1] in chart.future_visits):
        chart.flags.add("date_after_horizon")
        return None  # not asked yet on that day
    targets = (chart.same_target(reference, "Condition") for reference in references)
    return Order(
        resource,
        aim,
        evidence,
        chart.plausible(authored),
        _occurrence(body, chart) if aim == "eeg" else None,
        encounter,
        written,
        why,
        frozenset(target for target in targets if target),
    )


def _authored(body: Json, chart: Chart) -> DateRange | None:
    try:
        return date_at(body.get("authoredOn"), "ServiceRequest.authoredOn", chart.timezone)
    except Unreadable as error:
        if not obj(body.get("encounter")):
            raise error
        chart.flags.add("date_unreadable")
        return None


def _occurrence(body: Json, chart: Chart) -> DateRange | None:
    """When the test was done, for an EEG order; never the date of a referral."""
    try:
        return chart.plausible(start_of(body, "ServiceRequest", REQUEST_OCCURRENCE, chart.timezone))
    except Unreadable:
        return None


def _aim(resource: Resource, chart: Chart) -> tuple[Aim, Evidence]:
    """What is asked for, and by what evidence: a code, else the specialty of who is asked, else the text."""
    body = resource.body
    code = request_code(body)
    roles = chart.roles_of([code])
    if "referral_neurology" in roles:
        return "neurology", "coded"
    if roles & {"referral_eeg", "eeg", "eeg_setup", "eeg_professional"}:
        return "eeg", "coded"
    if "referral_other" in roles:
        return "other", "coded"
    words = _own_words(code, roles, chart)
    if neurology.names_eeg(words) and not neurology.names_neurology(words):
        return "eeg", "text"
    if _is_test(body, code, roles, words, chart):
        return "none", "text"
    found = _asked(resource, chart)
    if found.verdict == "neurology" and not neurology.names_other_specialty(words):
        return "neurology", "specialty"
    if neurology.names_neurology(words):
        return "neurology", "text"
    if "referral_generic" in roles and _display_names_neurology(code):
        chart.flags.add("display_only_referral")
    asks_for_someone = "referral_generic" in roles or neurology.about_a_person(words) or not (words or roles)
    if found.verdict == "other" and asks_for_someone:
        return "other", "specialty"
    elsewhere = "referral_generic" not in roles and neurology.names_referral(words)
    return ("other", "text") if elsewhere else ("none", "text")


def _own_words(code: Json, roles: frozenset[str], chart: Chart) -> str:
    """code.text and order names of the site's own codes. A display is not trusted for a code that we know (G13)."""
    local = [coding for coding in objs(code.get("coding")) if chart.codes.system(text(coding.get("system"))) is None]
    return words_of([{"text": code.get("text"), "coding": local}])


def _display_names_neurology(code: Json) -> bool:
    return neurology.names_neurology(words_of([{"coding": code.get("coding")}]))


def _is_test(body: Json, code: Json, roles: frozenset[str], words: str, chart: Chart) -> bool:
    """A laboratory, imaging or other test, even when a neurologist performs it."""
    if "referral_generic" in roles or "consultation" in roles:
        return False
    if "category_not_referral" in chart.roles_of(objs(body.get("category"))) or neurology.names_test(words):
        return True
    systems = {chart.codes.system(text(coding.get("system"))) for coding in objs(code.get("coding"))}
    return bool(systems & set(_TEST_SYSTEMS)) and not neurology.about_a_person(words)


def _asked(resource: Resource, chart: Chart) -> neurology.Specialty:
    """The specialty asked: performerType, performer, order details, location, in that order; neurology wins."""
    body = resource.body
    found = [neurology.of_concepts([item], chart) for item in objs(body.get("performerType"))]
    found += [neurology.of_actor(item, resource, chart) for item in objs(body.get("performer"))]
    found += [neurology.of_concepts([item], chart) for item in order_details(body)]
    for item in objs(body.get("locationReference")) + objs(body.get("location")):
        reference = obj(item.get("reference")) or item
        found.append(neurology.of_name(chart.resolve(reference, resource, "Location"), chart))
    verdicts = {item.verdict for item in found}
    if "neurology" in verdicts or ("ambiguous" in verdicts and chart.settings.ambiguous_specialty):
        return neurology.Specialty("neurology")
    if "ambiguous" in verdicts:
        chart.flags.add("ambiguous_specialty")
        return neurology.UNKNOWN
    asked = [neurology.of_concepts([item], chart).verdict for item in objs(body.get("performerType"))]
    asked += [neurology.of_actor(item, resource, chart).verdict for item in objs(body.get("performer"))]
    return neurology.Specialty("other") if "other" in asked else neurology.UNKNOWN


# Chains --------------------------------------------------------------------------------------------------------


def chains(orders: Iterable[Order], visits_when: dict[str, DateRange], chart: Chart) -> list[Chain]:
    """Group orders by `replaces` and `basedOn`; both may be cyclic or dangling. Sorted by date, undated last.

    An order that doesn't say to whom belongs to what names it. A referral to neurology that replaces one to another
    specialty, or that an EEG led to, is one of its own: the other was a detour (G22) or a test.
    """
    members = sorted(orders, key=lambda order: order.resource.id)
    position = {order.resource.id: index for index, order in enumerate(members)}
    leader = list(range(len(members)))

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    replaced: dict[int, set[str]] = {}
    for index, order in enumerate(members):
        for name in ("replaces", "basedOn"):
            for other in _named_orders(order.resource.body.get(name), order.resource, chart):
                if other in position and position[other] != index and _alike(order, members[position[other]]):
                    leader[find(index)] = find(position[other])
                    if name == "replaces":
                        replaced.setdefault(index, set()).add(other)
    groups: dict[int, list[int]] = {}
    for index in range(len(members)):
        groups.setdefault(find(index), []).append(index)
    found = [
        _chain([members[i] for i in group], sum(len(replaced.get(i, ())) for i in group), visits_when)
        for group in groups.values()
        if any(members[i].aim != "none" for i in group)
    ]
    return sorted(found, key=lambda item: (item.when is None, item.when.sort_key if item.when else (), min(item.ids)))


def _alike(order: Order, other: Order) -> bool:
    return order.aim == other.aim or "none" in (order.aim, other.aim)


def _named_orders(value: object, holder: Resource, chart: Chart) -> list[str]:
    names: list[str] = []
    for reference in objs(value):
        target = chart.same_target(reference, "ServiceRequest")
        if target is None:
            resolved = chart.resolve(reference, holder, "ServiceRequest")
            names += [resolved.id] if resolved is not None and resolved.type == "ServiceRequest" else []
        elif target[0] in {"ServiceRequest", ""}:
            names.append(target[1])
    return names


def _chain(orders: list[Order], replacements: int, visits_when: dict[str, DateRange]) -> Chain:
    """One referral: dated by the first order of it, else by the encounter of one, flagged by its rule (M3.2)."""
    aims = {order.aim for order in orders}
    aim: Aim = next((name for name in ("neurology", "eeg", "other") if name in aims), "none")
    evidence = min((order.evidence for order in orders if order.aim == aim), key=_RANK.__getitem__)
    dated: list[tuple[DateRange, Order]] = [(order.authored, order) for order in orders if order.authored is not None]
    rule = "M3.1"
    if not dated:
        rule = "M3.2"
        dated = [
            (visits_when[order.encounter[1]], order)
            for order in orders
            if order.encounter is not None and order.encounter[1] in visits_when
        ]
    dated.sort(key=lambda item: (item[0].sort_key, item[1].resource.id))
    when = earliest(item[0] for item in dated)
    in_order = [order for _, order in dated]
    in_order += [order for order in orders if order not in in_order]
    return Chain(tuple(in_order), when, dated[0][1] if dated else None, rule, aim, evidence, replacements)


# Tasks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ReferralTask:
    """A Task that carries out a referral (BSeR and other referral loops): a date when the request has none."""

    resource: Resource
    when: DateRange
    requests: frozenset[str]  # ids of the ServiceRequests that it fulfils
    neurology: bool  # by itself: its code, text or performer


def read_task(resource: Resource, chart: Chart) -> ReferralTask | None:
    body = resource.body
    if status(body) in _NO_TASK or status(body, "intent") in {"proposal", "plan", "option"}:
        return None
    named = [*_named_orders(body.get("focus"), resource, chart), *_named_orders(body.get("basedOn"), resource, chart)]
    concepts, actors = task_performers(body)
    performers = [neurology.of_concepts([item], chart) for item in concepts]
    performers += [neurology.of_actor(item, resource, chart) for item in actors]
    words = f"{words_of([concept_of(body.get('code'))])} ; {text(body.get('description'))}"
    own = any(item.verdict == "neurology" for item in performers) or neurology.names_neurology(words)
    if not named and not own:
        return None
    if own and not named and neurology.names_test(words):
        return None
    when = chart.plausible(date_at(body.get("authoredOn"), "Task.authoredOn", chart.timezone))
    return ReferralTask(resource, when, frozenset(named), own) if when is not None else None
