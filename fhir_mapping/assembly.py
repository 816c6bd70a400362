"""The milestones of one case, put together: the row, its flags, its evidence, and what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fhir_mapping import people
from fhir_mapping.beside import Told, attributes_of
from fhir_mapping.cases import Case, onset_of, reports_of_case, suspicion_of
from fhir_mapping.chart import Chart, Milestone
from fhir_mapping.contract import TimelineRow
from fhir_mapping.coverage import payer_on
from fhir_mapping.facts import Facts, first_of
from fhir_mapping.first_line import Treatment, withheld_first_line
from fhir_mapping.first_provider import FirstProvider, concerns, first_provider
from fhir_mapping.links import referral_links
from fhir_mapping.model import MappedInfant, MilestoneEvent
from fhir_mapping.timeline import (
    booked_of,
    censoring_of,
    detours,
    pathway_of,
    referral_of,
    waits_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from fhir_mapping.cases import DatedCase
    from fhir_mapping.model import Milestone as MilestoneName
    from fhir_mapping.model import ReferralLink
    from fhir_mapping.timeline import Censoring, Referral

_RETRO_DAYS = 60


class Assembly:
    """The milestones of one case, put together in the order in which they depend on each other."""

    def __init__(
        self,
        chart: Chart,
        facts: Facts,
        cases: Sequence[DatedCase],
        case: Case,
        eeg: Milestone | None,
        treatment: Treatment,
    ) -> None:
        self.chart, self.facts, self.case, self.eeg, self.treatment = chart, facts, case, eeg, treatment
        self.diagnosis = case.diagnosis
        self.neurology = first_of(facts.contacts)
        members = {id(item) for item in case.members}
        told = [item for item in cases if id(item) in members or item.diagnosis.case in {"definite", "text"}]
        reports = reports_of_case(facts, frozenset(item.diagnosis.resource.id for item in told))
        self.onset = onset_of(told, reports, self.diagnosis, chart)
        self.suspected = suspicion_of(cases, facts, self.diagnosis)
        self.provider = self._first_provider()
        m1 = self.provider.strict
        self.referral: Referral = referral_of(facts, m1, chart)
        self.detours = detours(facts, m1, self.referral.milestone, self.neurology)
        self.booked = booked_of(facts, self.referral.milestone, m1)
        self.censoring: Censoring = censoring_of(facts, m1, chart)
        self.pathway = pathway_of(facts, m1, self.referral, self.neurology)
        self.milestones: dict[str, Milestone | None] = {
            "onset": self.onset,
            "first_provider": m1,
            "suspected": self.suspected,
            "referral": self.referral.milestone,
            "booked": self.booked,
            "neurology": self.neurology,
            "eeg": eeg,
            "diagnosis": self.diagnosis,
            "first_line": treatment.first_line,
            "first_treatment": treatment.first,
        }

    def _first_provider(self) -> FirstProvider:
        chart, index = self.chart, self.case.index
        signals = [item.when for item in (self.eeg, self.neurology) if item is not None]
        first = min([*([index] if index else []), *signals], key=lambda when: when.sort_key, default=None)
        case_ids = frozenset(item.diagnosis.resource.id for item in self.case.members)
        found = concerns(self.facts, case_ids, chart)
        return first_provider(found, first, index, self.onset.when if self.onset else None, chart)

    def mapped(self) -> MappedInfant:
        self._flag()
        links = referral_links(self.facts, self.chart)
        row = self._row()
        return MappedInfant(
            self.chart.record.infant,
            row,
            None,
            tuple(self._events()),
            tuple(self.chart.quarantined.values()),
            attributes_of(self._told(links), self.facts, self.chart),
            links,
        )

    def _told(self, links: Sequence[ReferralLink]) -> Told:
        return Told(
            self.provider,
            self.diagnosis,
            self.referral,
            self.booked,
            self.detours,
            self.treatment.first_line,
            orphan_referrals=sum(not link.visit for link in links),
            orphan_visits=sum(not link.referral for link in links),
        )

    # The row -------------------------------------------------------------------------------------------------

    def _row(self) -> TimelineRow:
        chart, birth = self.chart, self.chart.birth
        m1 = self.provider.strict
        identity = people.infant_identity(chart)
        anchor = m1 or self.diagnosis
        payer, cover = payer_on(self.facts.covers, anchor.when if anchor else self.case.index, chart)
        waits = waits_of(self.milestones, self.pathway, self.censoring, chart)
        evidence = {
            name: [item.resource.versioned, item.rule] for name, item in self.milestones.items() if item is not None
        }
        if self.censoring.resource is not None:
            evidence["censored"] = [self.censoring.resource.versioned, self.censoring.rule]
        if identity.resource is not None and (identity.known or identity.asked or identity.null):
            evidence["race_ethnicity"] = [identity.resource.versioned, "P1"]
        if cover is not None:
            evidence["payer"] = [cover.resource.versioned, "P2"]
        day = self._day
        return TimelineRow(
            source=chart.settings.source,
            infant=chart.record.infant,
            cohort=self.case.cohort,
            birth_date=birth.day if birth else None,
            sex=people.sex_of(chart),
            onset_low=self.onset.when.low if self.onset else None,
            onset_high=self.onset.when.high if self.onset else None,
            first_provider=day("first_provider"),
            suspected=day("suspected"),
            referral=day("referral"),
            booked=day("booked"),
            neurology=day("neurology"),
            eeg=day("eeg"),
            diagnosis=day("diagnosis"),
            first_line=day("first_line"),
            first_line_drug=self.treatment.first_line.detail if self.treatment.first_line else None,
            first_treatment=day("first_treatment"),
            first_treatment_drug=self.treatment.first.detail if self.treatment.first else None,
            censored_on=self.censoring.day,
            pathway=self.pathway,
            referral_evidence=self.referral.milestone.certainty
            if self.referral.milestone
            else (self.referral.chain.evidence if self.referral.chain else None),
            age_days=(m1.when.low - birth.low).days if m1 and birth and birth.exact and m1.when.exact else None,
            race_ethnicity=identity.by(chart.settings.race_standard),
            bipoc=identity.bipoc,
            payer=payer,
            language=people.language_of(chart),
            interpreter=people.interpreter_of(chart, (visit.resource for visit in self.facts.visits)),
            waits=waits,
            flags=tuple(sorted(chart.flags)),
            evidence=evidence,
        )

    def _day(self, name: str) -> date | None:
        """The day of a milestone; none, and a flag, when the record doesn't say which day (never padded)."""
        item = self.milestones[name]
        if item is None:
            return None
        if not item.when.exact:
            self.chart.flags.add("partial_date")
        return item.when.day

    # Flags ---------------------------------------------------------------------------------------------------

    def _flag(self) -> None:
        flags, provider, treatment = self.chart.flags, self.provider, self.treatment
        if provider.strict is None:
            flags.add("no_first_provider")
        elif provider.strict.rule == "M1.2":
            flags.add("no_prodromal_visit")
        if provider.strict is not None and provider.strict.certainty == "condition_date":
            flags.add("condition_date_as_visit")
        episode = provider.concern.episode if provider.concern else None
        if episode is not None and any(visit.from_elsewhere for visit in episode.visits):
            flags.add("left_truncated")
        if self.detours:
            flags.add("detour_referral")
        if treatment.first_line is not None:
            if treatment.first_line.rule.startswith("M8.3"):
                flags.add("ordered_not_given")
            if treatment.first_line.rule.startswith("M8.4"):
                flags.add("treatment_reported")
            if treatment.before_first_line:
                flags.add("nonstandard_first")
            if treatment.before_first_line > 1:
                flags.add("standard_after_second")
        elif treatment.first is not None:
            flags.add("nonstandard_first")
        self._flag_conditions()
        self._flag_refusals()

    def _flag_conditions(self) -> None:
        flags, treated = self.chart.flags, self.treatment.first
        for item in self.case.members:
            recorded = item.diagnosis.recorded
            if item.rule != "M7.3" or treated is None or recorded is None:
                continue
            if (recorded.low - treated.when.high).days > _RETRO_DAYS:
                flags.add("retro_recorded")
        if self.case.cohort in {"probable", "possible"} and all(item.diagnosis.suspected for item in self.case.members):
            flags.add("unconfirmed_only")

    def _flag_refusals(self) -> None:
        if "caregiver_refused" in withheld_first_line(self.chart):
            self.chart.flags.add("first_line_refused")

    # Beside the row ------------------------------------------------------------------------------------------

    def _events(self) -> list[MilestoneEvent]:
        named = {
            **self.milestones,
            "first_provider_supported": self.provider.supported,
            "first_provider_broad": self.provider.broad,
        }
        found = [self._event(name, item) for name, item in named.items() if item is not None]
        found += [self._event("detour_referral", item) for item in self.detours]
        return found

    def _event(self, name: str, item: Milestone) -> MilestoneEvent:
        return MilestoneEvent(
            self.chart.record.infant,
            cast("MilestoneName", name),
            item.when.low,
            item.when.high,
            item.when.precision,
            item.rule,
            item.certainty,
            item.resource.type,
            item.resource.id,
            item.resource.version_id,
            item.detail,
        )
