"""M1, the first provider: the visit at which the concern was first brought to anyone (clinical.md 1.2 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fhir_mapping.cases import visits_of
from fhir_mapping.chart import Milestone, words_of
from fhir_mapping.conditions import CONCERN_TEXT, SPASM_TEXT, Diagnosis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.encounters import Episode, Visit
    from fhir_mapping.facts import Facts
    from fhir_mapping.model import Resource

Tier = Literal["a", "b", "c"]

#: Days before the index in which a visit of each tier can be the first provider.
LOOK_BACK: dict[Tier, int] = {"a": 180, "b": 60, "c": 90}
NEWBORN_DAYS = 28


@dataclass(frozen=True, eq=False)
class Concern:
    """A visit (or a dated encounter diagnosis without its encounter) with what was coded and written there."""

    when: DateRange
    resource: Resource
    roles: frozenset[str]
    words: str
    eligible: bool
    case: bool  # carries a Condition of the case
    episode: Episode | None

    @property
    def certainty(self) -> str:
        return "coded" if self.episode is not None else "condition_date"


def concerns(facts: Facts, case_ids: frozenset[str], chart: Chart) -> list[Concern]:
    """Every episode with the codes of its visits and of the Conditions that belong to them, by date; in a long stay,
    what was recorded later in it stands for itself.

    A Condition without an encounter belongs to a visit of the day on which it was recorded. An encounter diagnosis
    (by its category, or by a reference to an encounter that is not in the data) without any visit stands for one.
    """
    at_visit: dict[str, list[Diagnosis]] = {}
    alone: list[Diagnosis] = []
    found: list[Concern] = []
    episode_of = {visit.resource.id: episode for episode in facts.episodes for visit in episode.visits}
    for diagnosis in facts.diagnoses:
        visits = visits_of(diagnosis, facts) or _same_day(diagnosis, facts)
        for visit in visits:
            day = visit.day_of(diagnosis.recorded, chart.counts_from)
            if day == visit.when:
                at_visit.setdefault(visit.resource.id, []).append(diagnosis)
                continue
            is_case, episode = diagnosis.resource.id in case_ids, episode_of[visit.resource.id]
            found.append(
                Concern(day, visit.resource, diagnosis.roles, diagnosis.words, visit.eligible, is_case, episode)
            )
        if not visits and _stands_for_visit(diagnosis, chart):
            alone.append(diagnosis)
    found += [_of_episode(episode, at_visit, case_ids, chart) for episode in facts.episodes]
    for diagnosis in alone:
        if diagnosis.recorded is not None:
            is_case = diagnosis.resource.id in case_ids
            found.append(
                Concern(diagnosis.recorded, diagnosis.resource, diagnosis.roles, diagnosis.words, True, is_case, None)
            )
    return sorted(found, key=lambda item: (*item.when.sort_key, item.resource.type, item.resource.id))


def _same_day(diagnosis: Diagnosis, facts: Facts) -> tuple[Visit, ...]:
    if diagnosis.encounter is not None or diagnosis.recorded is None or not diagnosis.recorded.exact:
        return ()
    day = diagnosis.recorded.low
    for visit in facts.visits:
        if visit.when.exact and visit.when.low <= day <= (visit.end or visit.when).high:
            return (visit,)
    return ()


def _stands_for_visit(diagnosis: Diagnosis, chart: Chart) -> bool:
    if diagnosis.encounter is None:
        return diagnosis.of_encounter
    # The encounter is here and did not take place (cancelled, entered in error): then there was no visit.
    return not chart.holds("Encounter", diagnosis.encounter[1])


def _of_episode(
    episode: Episode, at_visit: dict[str, list[Diagnosis]], case_ids: frozenset[str], chart: Chart
) -> Concern:
    diagnoses = [diagnosis for visit in episode.visits for diagnosis in at_visit.get(visit.resource.id, ())]
    concepts = [concept for visit in episode.visits for concept in visit.concepts]
    roles = chart.roles_of(concepts).union(*(diagnosis.roles for diagnosis in diagnoses))
    words = " ; ".join([words_of(concepts), *(diagnosis.words for diagnosis in diagnoses)])
    is_case = any(diagnosis.resource.id in case_ids for diagnosis in diagnoses)
    first = episode.first
    return Concern(first.when, first.resource, roles, words, episode.eligible, is_case, episode)


# Rules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstProvider:
    """M1 by the strict rule and by its two sensitivity variants, each with the visit that gave it."""

    strict: Milestone | None
    supported: Milestone | None
    broad: Milestone | None
    concern: Concern | None  # of the strict rule


def first_provider(
    found: list[Concern], index: DateRange | None, diagnosed: DateRange | None, onset: DateRange | None, chart: Chart
) -> FirstProvider:
    """The earliest visit with a Tier A code; else the first with an IESS or seizure code.

    Looks from the onset on when it is known; else back from `index` (the first of diagnosis, EEG and neurology), and,
    when nothing is there, back from the diagnosis: an old EEG or neurology visit is then another matter.
    """
    _flag_late_newborn_codes(found, chart)
    windows = (index, diagnosed)

    def pick(test: Callable[[Concern], bool], tier: Tier) -> Concern | None:
        for anchor in windows:
            for concern in found:
                if concern.eligible and test(concern) and _in_window(concern, tier, anchor, onset, chart):
                    return concern
        return None

    tier_a = pick(lambda item: _tier_a(item, chart), "a")
    with_text = [
        pick(lambda item, tier=tier: _has(item, tier) and bool(CONCERN_TEXT.search(item.words)), tier)  # type: ignore[misc]
        for tier in ("b", "c")
    ]
    without_text = [pick(lambda item, tier=tier: _has(item, tier), tier) for tier in ("b", "c")]  # type: ignore[misc]
    fallback = _first_case_visit(found, diagnosed, onset, chart) if tier_a is None else None
    chosen = tier_a or fallback
    supported = tier_a or _first([*with_text, fallback])
    return FirstProvider(
        _milestone(chosen, "M1.1" if tier_a else "M1.2"),
        _milestone(supported, "M1.3"),
        _milestone(_first([tier_a, *without_text, fallback]), "M1.4"),
        chosen,
    )


def _first(items: Iterable[Concern | None]) -> Concern | None:
    return min(
        (item for item in items if item is not None),
        key=lambda item: (*item.when.sort_key, item.resource.id),
        default=None,
    )


def _milestone(concern: Concern | None, rule: str) -> Milestone | None:
    return Milestone(concern.when, concern.resource, rule, concern.certainty) if concern else None


def _has(concern: Concern, tier: str) -> bool:
    return f"concern_{tier}" in concern.roles


def _tier_a(concern: Concern, chart: Chart) -> bool:
    """A paroxysmal event. P90, and an unspecified seizure of the first 28 days, only with a text that names spasms."""
    if "concern_a" in concern.roles:
        return True
    newborn = _age_at_most(concern.when, NEWBORN_DAYS, chart)
    spasms = bool(SPASM_TEXT.search(concern.words))
    if "concern_a_unless_newborn" in concern.roles and (not newborn or spasms):
        return True
    return "newborn_seizure" in concern.roles and newborn and spasms


def _age_at_most(when: DateRange, days: int, chart: Chart) -> bool:
    return chart.birth is not None and (when.high - chart.birth.low).days <= days


def _flag_late_newborn_codes(found: Iterable[Concern], chart: Chart) -> None:
    for concern in found:
        if "newborn_seizure" in concern.roles and not _age_at_most(concern.when, NEWBORN_DAYS, chart):
            chart.flags.add("newborn_code_late")


def _in_window(concern: Concern, tier: Tier, anchor: DateRange | None, onset: DateRange | None, chart: Chart) -> bool:
    """Whether a visit lies between the onset (or the look-back, or 14 days of age) and the anchor."""
    if anchor is not None and concern.when.low > anchor.high:
        return False
    if onset is not None:
        return concern.when.high >= onset.low
    if anchor is not None and (anchor.low - concern.when.high).days > LOOK_BACK[tier]:
        return False
    if chart.counts_from is not None and concern.when.high < chart.counts_from:
        return bool(SPASM_TEXT.search(concern.words))
    return True


def _first_case_visit(
    found: Iterable[Concern], diagnosed: DateRange | None, onset: DateRange | None, chart: Chart
) -> Concern | None:
    """The first visit that carries the case itself, or a seizure code within reach: no earlier visit was observed."""
    for concern in found:
        seizure = "seizure" in concern.roles and _tier_a(concern, chart)
        if (
            concern.case
            or "iess_definite" in concern.roles
            or (seizure and _in_window(concern, "a", diagnosed, onset, chart))
        ):
            return concern
    return None
