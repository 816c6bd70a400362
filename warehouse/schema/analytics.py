"""Schema `analytics`: infants without identifiers, for analysts."""

from __future__ import annotations

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fhir_mapping.contract import INTERVALS
from warehouse.schema.base import Base, source_key

#: The days of who still waits are counted to here: as far as the charts follow waits (`docs/measures.md`).
LONGEST_OPEN_WAIT_DAYS = 90


class InfantInterval(Base):
    """One wait of one infant, current state."""

    __tablename__ = "infant_interval"
    __table_args__ = (
        CheckConstraint("days_low <= days_high", name="low_before_high"),
        {
            "schema": "analytics",
            # One interval is what nearly every question is about, and a partition of its own is ten times less to read.
            "postgresql_partition_by": "LIST (interval_name)",
            "comment": (
                "Waits between two milestones, without identifiers, current state. Grain: infant and interval. "
                "No date finer than the year; days are counted from exact dates before that was coarsened."
            ),
        },
    )
    interval_name: Mapped[str] = mapped_column(
        primary_key=True, comment="name of the interval: provider_to_neurology (primary), diagnosis_to_first_line ..."
    )
    source: Mapped[str] = source_key()
    infant_key: Mapped[str] = mapped_column(
        primary_key=True,
        comment="keyed hash that stands for the infant (HMAC-SHA256, hex); the key is not in the database",
    )
    cohort: Mapped[str] = mapped_column(
        comment="definite, probable, possible or text_only; measures take definite and probable"
    )
    year: Mapped[int | None] = mapped_column(
        comment="calendar year of the infant's first provider visit, else of the first milestone after it: one year an "
        "infant; empty when not known"
    )
    age_months: Mapped[int | None] = mapped_column(
        comment="age at the first provider visit, completed months; empty when not known"
    )
    sex: Mapped[str] = mapped_column(comment="male, female, other or unknown")
    race_ethnicity: Mapped[str] = mapped_column(comment="mutually exclusive group, or declined, or unknown")
    bipoc: Mapped[str] = mapped_column(comment="yes, no or unknown; derived, for comparison with Abath 2024 only")
    payer: Mapped[str] = mapped_column(comment="at the first provider visit: public, private ... or unknown")
    language: Mapped[str] = mapped_column(comment="preferred language, BCP-47 primary subtag, or unknown")
    interpreter: Mapped[str] = mapped_column(comment="interpreter needed: yes, no or unknown")
    spd15: Mapped[str] = mapped_column(
        comment="group by the 2024 standard (SPD-15): as race_ethnicity, with nh_mena; or unknown"
    )
    caregiver_race_ethnicity: Mapped[str] = mapped_column(
        comment="of the caregivers taken together, as race_ethnicity; unknown when not told"
    )
    caregiver_bipoc: Mapped[str] = mapped_column(comment="of the caregivers: yes when any is, no when none, or unknown")
    prematurity: Mapped[str] = mapped_column(
        comment="extremely_preterm (under 28 completed weeks), very_preterm (28-31), moderate_to_late_preterm (32-36), "
        "term, or unknown: no code of gestational age, as most infants born at term"
    )
    etiology_group: Mapped[str] = mapped_column(
        comment="genetic, tsc, structural_congenital, structural_acquired, metabolic, infectious, other, multiple, or "
        "unknown: no cause on record"
    )
    deprivation_quintile: Mapped[int | None] = mapped_column(
        comment="of the home's area at the first provider visit: 1 (least) to 5 (most deprived); empty when not known"
    )
    detour_referrals: Mapped[int | None] = mapped_column(
        comment="referrals to other specialties before the one to neurology, count; 3 stands for 3 or more"
    )
    orphan_referrals: Mapped[int | None] = mapped_column(
        comment="neurology referrals that led to no visit, count; 3 stands for 3 or more"
    )
    no_shows: Mapped[int | None] = mapped_column(comment="missed neurology appointments, count; 3 stands for 3 or more")
    pathway: Mapped[str] = mapped_column(comment="referred, ed_inpatient, no_referral_record or pre_existing_neurology")
    status: Mapped[str] = mapped_column(
        comment="event, censored (still waiting: days so far, at most 90), competing, not_applicable or missing"
    )
    delayed: Mapped[str] = mapped_column(
        comment="over 7 days: yes, no, indeterminate (a partial date), pending (waiting 7 days or less), not_applicable"
    )
    days_low: Mapped[int | None] = mapped_column(comment="fewest days waited; empty when missing or not applicable")
    days_high: Mapped[int | None] = mapped_column(
        comment="most days waited; equal to days_low when both dates are exact"
    )


#: Partition of `infant_interval` by interval name.
PARTITIONS = {interval.name: f"infant_interval_{interval.name}" for interval in INTERVALS}
