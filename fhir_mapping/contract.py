"""The timeline's contract: one row an infant and episode, what mapping hands to everything after it.

The column names are fixed, since analysts and other programs read them. `COLUMNS` is the one list of them: the CSV and
Parquet files of `iess map`, the table `clinical.referral_timeline` and the data dictionary are all made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

ColumnType = Literal["text", "date", "int", "json"]
Status = Literal["event", "censored", "competing", "not_applicable", "missing"]
Delayed = Literal["yes", "no", "indeterminate", "pending", "not_applicable"]
CohortClass = Literal["definite", "probable", "possible", "text_only"]
Pathway = Literal["referred", "ed_inpatient", "no_referral_record", "pre_existing_neurology"]

#: A wait of more than this many days is delayed: 8 is, 7 is not (Abath 2024; Hussain 2017; the AAN measure).
DELAY_THRESHOLD_DAYS = 7


@dataclass(frozen=True)
class Column:
    """One column: its name, SQL type family, unit and meaning."""

    name: str
    type: ColumnType
    meaning: str


@dataclass(frozen=True)
class IntervalDefinition:
    """A wait between two milestones, both columns of the contract (`onset` stands for onset_low and onset_high)."""

    name: str
    label: str  # the short name of clinical.md: I1, I2, I2a ...
    start: str
    stop: str
    meaning: str


INTERVALS: tuple[IntervalDefinition, ...] = (
    IntervalDefinition("onset_to_provider", "I1", "onset", "first_provider", "spasm onset to first provider"),
    IntervalDefinition(
        "provider_to_neurology",
        "I2",
        "first_provider",
        "neurology",
        "first provider to neurologist (primary)",
    ),
    IntervalDefinition("provider_to_referral", "I2a", "first_provider", "referral", "first provider to referral"),
    IntervalDefinition("referral_to_neurology", "I2b", "referral", "neurology", "referral to neurologist"),
    IntervalDefinition(
        "neurology_to_first_line", "I3", "neurology", "first_line", "neurologist to first-line treatment"
    ),
    IntervalDefinition("provider_to_eeg", "I4", "first_provider", "eeg", "first provider to first EEG"),
    IntervalDefinition("eeg_to_first_line", "I5", "eeg", "first_line", "first EEG to first-line treatment"),
    IntervalDefinition(
        "diagnosis_to_first_line", "I6", "diagnosis", "first_line", "diagnosis to first-line treatment (AAN)"
    ),
    IntervalDefinition("onset_to_first_line", "I7", "onset", "first_line", "lead time: onset to first-line"),
    IntervalDefinition(
        "provider_to_first_line",
        "I8",
        "first_provider",
        "first_line",
        "first provider to first-line treatment",
    ),
)
INTERVALS_BY_NAME = {interval.name: interval for interval in INTERVALS}


@dataclass(frozen=True)
class Wait:
    """A measured interval, in whole days between local calendar dates.

    `low == high` when both ends are exact days. `censored`: low = high = days waited until the censor date.
    `missing` and `not_applicable` have no days.
    """

    status: Status
    delayed: Delayed
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class TimelineRow:
    """One infant's referral timeline. Field names are the contract's, but for `waits`, four columns each."""

    source: str
    infant: str
    cohort: CohortClass
    birth_date: date | None
    sex: str
    onset_low: date | None
    onset_high: date | None
    first_provider: date | None
    suspected: date | None
    referral: date | None
    booked: date | None
    neurology: date | None
    eeg: date | None
    diagnosis: date | None
    first_line: date | None
    first_line_drug: str | None
    first_treatment: date | None
    first_treatment_drug: str | None
    censored_on: date | None
    pathway: Pathway
    referral_evidence: str | None
    age_days: int | None
    race_ethnicity: str
    bipoc: str
    payer: str
    language: str
    interpreter: str
    waits: dict[str, Wait]
    flags: tuple[str, ...] = ()
    evidence: dict[str, list[str]] = field(default_factory=dict)  # milestone -> [Type/id/version, rule id]


_LEADING: tuple[Column, ...] = (
    Column("source", "text", "name of the source (a folder's name for `iess map`)"),
    Column("infant", "text", "the surviving Patient id after Patient.link merges"),
    Column("cohort", "text", "definite, probable, possible or text_only"),
    Column("birth_date", "date", "Patient.birthDate; empty when only partly known"),
    Column("sex", "text", "Patient.gender, or unknown"),
    Column("onset_low", "date", "M0, first day that onset can have been; empty when not recorded"),
    Column("onset_high", "date", "M0, last day that onset can have been"),
    Column("first_provider", "date", "M1 by the strict rule (Tier A)"),
    Column("suspected", "date", "M2, IESS first suspected"),
    Column("referral", "date", "M3, first neurology referral of the chain"),
    Column("booked", "date", "M4, day the neurology appointment was made"),
    Column("neurology", "date", "M5, first neurology contact by any route"),
    Column("eeg", "date", "M6, first diagnostic EEG"),
    Column("diagnosis", "date", "M7, first confirmed IESS diagnosis"),
    Column("first_line", "date", "M8, start of first-line treatment"),
    Column("first_line_drug", "text", "acth, oral_steroid or vigabatrin"),
    Column("first_treatment", "date", "M8b, start of any antiseizure medicine"),
    Column("first_treatment_drug", "text", "which one"),
    Column("censored_on", "date", "MC: as-of date or data-through date, death, second birthday, transfer out"),
    Column("pathway", "text", "referred, ed_inpatient, no_referral_record or pre_existing_neurology"),
    Column("referral_evidence", "text", "coded, specialty or text; empty without a referral"),
    Column("age_days", "int", "chronological age at M1, days"),
    Column(
        "race_ethnicity",
        "text",
        "mutually exclusive: hispanic, nh_aian, nh_asian, nh_black, nh_nhopi, nh_white, nh_multiracial, nh_other, "
        "declined, unknown",
    ),
    Column("bipoc", "text", "yes, no or unknown; derived, for comparison with Abath 2024 only"),
    Column("payer", "text", "at M1: public, private, military, self_pay, other, undetermined, unknown"),
    Column("language", "text", "preferred language, BCP-47 primary subtag, or unknown"),
    Column("interpreter", "text", "interpreter needed: yes, no or unknown"),
)


def _interval_columns() -> tuple[Column, ...]:
    columns: list[Column] = []
    for interval in INTERVALS:
        columns += [
            Column(f"days_{interval.name}_low", "int", f"{interval.label}, {interval.meaning}: fewest days"),
            Column(f"days_{interval.name}_high", "int", f"{interval.label}: most days"),
            Column(
                f"status_{interval.name}",
                "text",
                f"{interval.label}: event, censored, competing, not_applicable, missing",
            ),
            Column(
                f"delayed_{interval.name}",
                "text",
                f"{interval.label} over 7 days: yes, no, indeterminate, pending or not_applicable",
            ),
        ]
    return tuple(columns)


COLUMNS: tuple[Column, ...] = (
    *_LEADING,
    *_interval_columns(),
    Column("flags", "text", "sorted, semicolon between; each is documented in docs/timeline.md"),
    Column("evidence", "json", "milestone -> [resource type/id/version, rule id]"),
)


def record_of(row: TimelineRow) -> dict[str, object]:
    """The row as a flat record in the order of `COLUMNS`; `evidence` stays a dict, `flags` becomes one text."""
    record: dict[str, object] = {column.name: getattr(row, column.name) for column in _LEADING}
    for interval in INTERVALS:
        wait = row.waits[interval.name]
        record[f"days_{interval.name}_low"] = wait.low
        record[f"days_{interval.name}_high"] = wait.high
        record[f"status_{interval.name}"] = wait.status
        record[f"delayed_{interval.name}"] = wait.delayed
    record["flags"] = ";".join(sorted(row.flags))
    record["evidence"] = row.evidence
    return record
