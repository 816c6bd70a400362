"""Which referral led to which visit, and how sure; what is left over on either side is an orphan (issue: point 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_mapping.elements import objs
from fhir_mapping.model import ReferralLink

if TYPE_CHECKING:
    from fhir_mapping.chart import Chart, Milestone
    from fhir_mapping.facts import Facts
    from fhir_mapping.referrals import Chain

LINKED, INFERRED, ORPHAN_REFERRAL, ORPHAN_VISIT = "L1", "L2", "L3", "L4"
#: How counts of them are called.
LINK_NAMES = {
    LINKED: "linked_by_reference",
    INFERRED: "linked_by_time",
    ORPHAN_REFERRAL: "orphan_referrals",
    ORPHAN_VISIT: "orphan_visits",
}


def referral_links(facts: Facts, chart: Chart) -> tuple[ReferralLink, ...]:
    """Each neurology referral with its visit: by reference (directly, or through the appointment), else by time.

    A referral that no reference ties takes the first neurology contact on or after its day that no other referral
    has. Visits and referrals without a partner are listed too.
    """
    referrals = [chain for chain in facts.chains if chain.aim == "neurology"]
    free = list(facts.contacts)
    found: list[ReferralLink] = []
    pending: list[Chain] = []
    for chain in referrals:
        visit = next((item for item in free if chain.ids & _named_by(item, facts, chart)), None)
        if visit is None:
            pending.append(chain)
        else:
            free.remove(visit)
            found.append(ReferralLink(_of(chain), visit.resource.versioned, LINKED, "linked"))
    for chain in pending:
        visit = next((item for item in free if chain.when is not None and item.when.high >= chain.when.low), None)
        if visit is None:
            found.append(ReferralLink(_of(chain), "", ORPHAN_REFERRAL, "none"))
        else:
            free.remove(visit)
            found.append(ReferralLink(_of(chain), visit.resource.versioned, INFERRED, "inferred"))
    found += [ReferralLink("", visit.resource.versioned, ORPHAN_VISIT, "none") for visit in free]
    return tuple(found)


def _of(chain: Chain) -> str:
    return chain.orders[0].resource.versioned


def _named_by(contact: Milestone, facts: Facts, chart: Chart) -> set[str]:
    """Ids of the ServiceRequests that a contact says it carries out."""
    body = contact.resource.body
    named = {
        target[1]
        for name in ("basedOn", "incomingReferral")
        for target in (chart.same_target(item, "ServiceRequest") for item in objs(body.get(name)))
        if target
    }
    booked = (chart.same_target(item, "Appointment") for item in objs(body.get("appointment")))
    appointments = {target[1] for target in booked if target}
    for item in facts.appointments:
        if item.resource.id in appointments:
            named |= item.orders
    return named
