"""Tables of clinical, analytics and ops.

Revision: 0001, after None.
"""

from __future__ import annotations

# ruff: noqa: E501 - comments are columns' documentation, one line each
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


SCHEMAS = ("clinical", "analytics", "published", "ops")
INTERVALS = (
    "onset_to_provider",
    "provider_to_neurology",
    "provider_to_referral",
    "referral_to_neurology",
    "neurology_to_first_line",
    "provider_to_eeg",
    "eeg_to_first_line",
    "diagnosis_to_first_line",
    "onset_to_first_line",
    "provider_to_first_line",
)


def upgrade() -> None:
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    op.create_table(
        "infant_interval",
        sa.Column(
            "interval_name",
            sa.Text(),
            nullable=False,
            comment="name of the interval: provider_to_neurology (primary), diagnosis_to_first_line ...",
        ),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column(
            "infant_key",
            sa.Text(),
            nullable=False,
            comment="keyed hash that stands for the infant (HMAC-SHA256, hex); the key is not in the database",
        ),
        sa.Column(
            "cohort",
            sa.Text(),
            nullable=False,
            comment="definite, probable, possible or text_only; measures take definite and probable",
        ),
        sa.Column(
            "year",
            sa.Integer(),
            nullable=True,
            comment="calendar year of the interval's first milestone; empty when not known",
        ),
        sa.Column(
            "age_months",
            sa.Integer(),
            nullable=True,
            comment="age at the first provider visit, completed months; empty when not known",
        ),
        sa.Column("sex", sa.Text(), nullable=False, comment="male, female, other or unknown"),
        sa.Column(
            "race_ethnicity", sa.Text(), nullable=False, comment="mutually exclusive group, or declined, or unknown"
        ),
        sa.Column(
            "bipoc",
            sa.Text(),
            nullable=False,
            comment="yes, no or unknown; derived, for comparison with Abath 2024 only",
        ),
        sa.Column(
            "payer", sa.Text(), nullable=False, comment="at the first provider visit: public, private ... or unknown"
        ),
        sa.Column(
            "language", sa.Text(), nullable=False, comment="preferred language, BCP-47 primary subtag, or unknown"
        ),
        sa.Column("interpreter", sa.Text(), nullable=False, comment="interpreter needed: yes, no or unknown"),
        sa.Column(
            "pathway",
            sa.Text(),
            nullable=False,
            comment="referred, ed_inpatient, no_referral_record or pre_existing_neurology",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="event, censored (still waiting: days so far), competing, not_applicable or missing",
        ),
        sa.Column(
            "delayed",
            sa.Text(),
            nullable=False,
            comment="over 7 days: yes, no, indeterminate (a partial date), pending (waiting 7 days or less), not_applicable",
        ),
        sa.Column(
            "days_low", sa.Integer(), nullable=True, comment="fewest days waited; empty when missing or not applicable"
        ),
        sa.Column(
            "days_high",
            sa.Integer(),
            nullable=True,
            comment="most days waited; equal to days_low when both dates are exact",
        ),
        sa.CheckConstraint("days_low <= days_high", name=op.f("ck_infant_interval_low_before_high")),
        sa.PrimaryKeyConstraint("interval_name", "source", "infant_key", name=op.f("pk_infant_interval")),
        schema="analytics",
        comment="Waits between two milestones, without identifiers, current state. Grain: infant and interval. No date finer than the year; days are counted from exact dates before that was coarsened.",
        postgresql_partition_by="LIST (interval_name)",
    )
    op.create_table(
        "gate_failure",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("layer", sa.Text(), nullable=False, comment="staged, timeline, metrics or freshness"),
        sa.Column("rule_id", sa.Text(), nullable=False, comment="id of the rule in expectations/catalogue.csv"),
        sa.Column("n", sa.Integer(), nullable=False, comment="ordinal of the failing row, from 1"),
        sa.Column(
            "key", sa.ARRAY(sa.Text()), nullable=False, comment="key of the failing row, in the rule's key columns"
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "layer", "rule_id", "n", name=op.f("pk_gate_failure")),
        schema="clinical",
        comment="Keys of rows that failed a rule. Grain: pull, layer, rule and row.",
    )
    op.create_table(
        "infant_key",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column(
            "infant_key",
            sa.Text(),
            nullable=False,
            comment="HMAC-SHA256 of source and infant, hex; the key is not in the database",
        ),
        sa.PrimaryKeyConstraint("source", "infant", name=op.f("pk_infant_key")),
        schema="clinical",
        comment="Which keyed hash stands for which infant. Grain: source, infant.",
    )
    op.create_index("uq_infant_key_infant_key", "infant_key", ["infant_key"], unique=True, schema="clinical")
    op.create_table(
        "milestone_event",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column("n", sa.Integer(), nullable=False, comment="ordinal within the infant, from 1"),
        sa.Column(
            "milestone",
            sa.Text(),
            nullable=False,
            comment="onset, first_provider, suspected, referral, booked, neurology ...",
        ),
        sa.Column("low", sa.Date(), nullable=False, comment="first day that it can have been; local date of the site"),
        sa.Column("high", sa.Date(), nullable=False, comment="last day that it can have been; local date of the site"),
        sa.Column("precision", sa.Text(), nullable=False, comment="day, month, year or interval"),
        sa.Column("rule", sa.Text(), nullable=False, comment="id of the rule in docs/timeline.md"),
        sa.Column(
            "certainty", sa.Text(), nullable=False, comment="how sure the rule is: coded, specialty, text, status ..."
        ),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column("version_id", sa.Text(), nullable=False, comment="version of the resource that was read"),
        sa.Column(
            "detail", sa.Text(), nullable=False, comment="drug or class, one of our codes; never text of the record"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull that led to this row"),
        sa.CheckConstraint("low <= high", name=op.f("ck_milestone_event_low_before_high")),
        sa.PrimaryKeyConstraint("source", "infant", "n", name=op.f("pk_milestone_event")),
        schema="clinical",
        comment="Evidence for milestones, current state. Grain: infant, milestone, rule, resource.",
    )
    op.create_index(
        "ix_milestone_event_resource",
        "milestone_event",
        ["source", "resource_type", "resource_id"],
        unique=False,
        schema="clinical",
    )
    op.create_table(
        "quarantine",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="1 for the first load of the pull, more for replays"
        ),
        sa.Column("n", sa.Integer(), nullable=False, comment="ordinal within pull and attempt, from 1"),
        sa.Column(
            "stage",
            sa.Text(),
            nullable=False,
            comment="select (a line that was not taken) or map (the resource is stored, and may be replayed)",
        ),
        sa.Column("file", sa.Text(), nullable=False, comment="name of the landed file"),
        sa.Column("line", sa.Integer(), nullable=False, comment="line in the file, from 1; 0 when not known"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type; empty when not known"),
        sa.Column(
            "resource_id",
            sa.Text(),
            nullable=False,
            comment="FHIR resource id, unique within source and type; empty when not known",
        ),
        sa.Column("infant", sa.Text(), nullable=True, comment="surviving Patient id, for stage map; else empty"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="code: not_json, no_id, unknown_type, unreadable_element ..."
        ),
        sa.Column("path", sa.Text(), nullable=False, comment="FHIR path of the element; empty for the whole line"),
        sa.Column("message", sa.Text(), nullable=False, comment="what is wrong, without the value"),
        sa.PrimaryKeyConstraint("source", "pull_id", "attempt", "n", name=op.f("pk_quarantine")),
        schema="clinical",
        comment="Lines and elements that could not be used, without their values. Grain: pull, attempt and finding. `iess quarantine` lists and replays them.",
    )
    op.create_table(
        "referral_timeline",
        sa.Column("source", sa.Text(), nullable=False, comment="name of the source, one site"),
        sa.Column("infant", sa.Text(), nullable=False, comment="the surviving Patient id after Patient.link merges"),
        sa.Column(
            "valid_from",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="instant from which this was what was known: the pull's transaction time",
        ),
        sa.Column(
            "valid_to",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="instant from which it no longer was, exclusive; empty for the current row",
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull that opened the row"),
        sa.Column(
            "closed_by",
            sa.Text(),
            nullable=True,
            comment="id of the pull that closed the row; empty for the current row",
        ),
        sa.Column(
            "content_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the contract's columns but censored_on, hex",
        ),
        sa.Column("cohort", sa.Text(), nullable=False, comment="definite, probable, possible or text_only"),
        sa.Column(
            "birth_date",
            sa.Date(),
            nullable=True,
            comment="Patient.birthDate; empty when only partly known; local date of the site",
        ),
        sa.Column("sex", sa.Text(), nullable=False, comment="Patient.gender, or unknown"),
        sa.Column(
            "onset_low",
            sa.Date(),
            nullable=True,
            comment="M0, first day that onset can have been; empty when not recorded; local date of the site",
        ),
        sa.Column(
            "onset_high",
            sa.Date(),
            nullable=True,
            comment="M0, last day that onset can have been; local date of the site",
        ),
        sa.Column(
            "first_provider", sa.Date(), nullable=True, comment="M1 by the strict rule (Tier A); local date of the site"
        ),
        sa.Column("suspected", sa.Date(), nullable=True, comment="M2, IESS first suspected; local date of the site"),
        sa.Column(
            "referral",
            sa.Date(),
            nullable=True,
            comment="M3, first neurology referral of the chain; local date of the site",
        ),
        sa.Column(
            "booked",
            sa.Date(),
            nullable=True,
            comment="M4, day the neurology appointment was made; local date of the site",
        ),
        sa.Column(
            "neurology",
            sa.Date(),
            nullable=True,
            comment="M5, first neurology contact by any route; local date of the site",
        ),
        sa.Column("eeg", sa.Date(), nullable=True, comment="M6, first diagnostic EEG; local date of the site"),
        sa.Column(
            "diagnosis", sa.Date(), nullable=True, comment="M7, first confirmed IESS diagnosis; local date of the site"
        ),
        sa.Column(
            "first_line", sa.Date(), nullable=True, comment="M8, start of first-line treatment; local date of the site"
        ),
        sa.Column("first_line_drug", sa.Text(), nullable=True, comment="acth, oral_steroid or vigabatrin"),
        sa.Column(
            "first_treatment",
            sa.Date(),
            nullable=True,
            comment="M8b, start of any antiseizure medicine; local date of the site",
        ),
        sa.Column("first_treatment_drug", sa.Text(), nullable=True, comment="which one"),
        sa.Column(
            "censored_on",
            sa.Date(),
            nullable=True,
            comment="MC: as-of date or data-through date, death, second birthday, transfer out; local date of the site",
        ),
        sa.Column(
            "pathway",
            sa.Text(),
            nullable=False,
            comment="referred, ed_inpatient, no_referral_record or pre_existing_neurology",
        ),
        sa.Column(
            "referral_evidence", sa.Text(), nullable=True, comment="coded, specialty or text; empty without a referral"
        ),
        sa.Column("age_days", sa.Integer(), nullable=True, comment="chronological age at M1, days; days"),
        sa.Column(
            "race_ethnicity",
            sa.Text(),
            nullable=False,
            comment="mutually exclusive: hispanic, nh_aian, nh_asian, nh_black, nh_nhopi, nh_white, nh_multiracial, nh_other, declined, unknown",
        ),
        sa.Column(
            "bipoc",
            sa.Text(),
            nullable=False,
            comment="yes, no or unknown; derived, for comparison with Abath 2024 only",
        ),
        sa.Column(
            "payer",
            sa.Text(),
            nullable=False,
            comment="at M1: public, private, military, self_pay, other, undetermined, unknown",
        ),
        sa.Column(
            "language", sa.Text(), nullable=False, comment="preferred language, BCP-47 primary subtag, or unknown"
        ),
        sa.Column("interpreter", sa.Text(), nullable=False, comment="interpreter needed: yes, no or unknown"),
        sa.Column(
            "days_onset_to_provider_low",
            sa.Integer(),
            nullable=True,
            comment="I1, spasm onset to first provider: fewest days; days",
        ),
        sa.Column("days_onset_to_provider_high", sa.Integer(), nullable=True, comment="I1: most days; days"),
        sa.Column(
            "status_onset_to_provider",
            sa.Text(),
            nullable=True,
            comment="I1: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_onset_to_provider",
            sa.Text(),
            nullable=True,
            comment="I1 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_neurology_low",
            sa.Integer(),
            nullable=True,
            comment="I2, first provider to neurologist (primary): fewest days; days",
        ),
        sa.Column("days_provider_to_neurology_high", sa.Integer(), nullable=True, comment="I2: most days; days"),
        sa.Column(
            "status_provider_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_referral_low",
            sa.Integer(),
            nullable=True,
            comment="I2a, first provider to referral: fewest days; days",
        ),
        sa.Column("days_provider_to_referral_high", sa.Integer(), nullable=True, comment="I2a: most days; days"),
        sa.Column(
            "status_provider_to_referral",
            sa.Text(),
            nullable=True,
            comment="I2a: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_referral",
            sa.Text(),
            nullable=True,
            comment="I2a over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_referral_to_neurology_low",
            sa.Integer(),
            nullable=True,
            comment="I2b, referral to neurologist: fewest days; days",
        ),
        sa.Column("days_referral_to_neurology_high", sa.Integer(), nullable=True, comment="I2b: most days; days"),
        sa.Column(
            "status_referral_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2b: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_referral_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2b over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_neurology_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I3, neurologist to first-line treatment: fewest days; days",
        ),
        sa.Column("days_neurology_to_first_line_high", sa.Integer(), nullable=True, comment="I3: most days; days"),
        sa.Column(
            "status_neurology_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I3: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_neurology_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I3 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_eeg_low",
            sa.Integer(),
            nullable=True,
            comment="I4, first provider to first EEG: fewest days; days",
        ),
        sa.Column("days_provider_to_eeg_high", sa.Integer(), nullable=True, comment="I4: most days; days"),
        sa.Column(
            "status_provider_to_eeg",
            sa.Text(),
            nullable=True,
            comment="I4: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_eeg",
            sa.Text(),
            nullable=True,
            comment="I4 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_eeg_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I5, first EEG to first-line treatment: fewest days; days",
        ),
        sa.Column("days_eeg_to_first_line_high", sa.Integer(), nullable=True, comment="I5: most days; days"),
        sa.Column(
            "status_eeg_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I5: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_eeg_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I5 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_diagnosis_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I6, diagnosis to first-line treatment (AAN): fewest days; days",
        ),
        sa.Column("days_diagnosis_to_first_line_high", sa.Integer(), nullable=True, comment="I6: most days; days"),
        sa.Column(
            "status_diagnosis_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I6: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_diagnosis_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I6 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_onset_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I7, lead time: onset to first-line: fewest days; days",
        ),
        sa.Column("days_onset_to_first_line_high", sa.Integer(), nullable=True, comment="I7: most days; days"),
        sa.Column(
            "status_onset_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I7: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_onset_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I7 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I8, first provider to first-line treatment: fewest days; days",
        ),
        sa.Column("days_provider_to_first_line_high", sa.Integer(), nullable=True, comment="I8: most days; days"),
        sa.Column(
            "status_provider_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I8: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I8 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "flags",
            sa.Text(),
            nullable=False,
            comment="sorted, semicolon between; each is documented in docs/timeline.md",
        ),
        sa.Column(
            "evidence",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=True,
            comment="milestone -> [resource type/id/version, rule id]",
        ),
        sa.CheckConstraint(
            "(valid_to IS NULL) = (closed_by IS NULL)", name=op.f("ck_referral_timeline_closed_by_a_pull")
        ),
        sa.CheckConstraint("valid_from < valid_to", name=op.f("ck_referral_timeline_valid_from_before_valid_to")),
        sa.PrimaryKeyConstraint("source", "infant", "valid_from", name=op.f("pk_referral_timeline")),
        schema="clinical",
        comment="The referral timeline (docs/timeline.md) and its history. Grain: source, infant, span of knowledge. An infant has one row without valid_to at most; who left the cohort has none.",
    )
    op.create_index(
        "uq_referral_timeline_current",
        "referral_timeline",
        ["source", "infant"],
        unique=True,
        schema="clinical",
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.create_table(
        "resource",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column("version_id", sa.Text(), nullable=False, comment="meta.versionId, empty when the server gave none"),
        sa.Column(
            "last_updated", sa.Text(), nullable=False, comment="meta.lastUpdated as the server wrote it; may be empty"
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the same as an instant, by which versions are ordered; for a deletion, when it was known",
        ),
        sa.Column(
            "version_number", sa.BigInteger(), nullable=False, comment="versionId as a number where it is one, else -1"
        ),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="transaction time of the pull that brought this version",
        ),
        sa.Column(
            "sha256", sa.Text(), nullable=False, comment="SHA-256 of the line as received, hex; empty for a deletion"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull that brought this version"),
        sa.Column(
            "deleted", sa.Boolean(), nullable=False, comment="true when the server said that the resource was deleted"
        ),
        sa.Column(
            "quarantined",
            sa.Boolean(),
            nullable=False,
            comment="true when the mapping could not read what it needs; counted as quarantined in the ledger",
        ),
        sa.Column(
            "infant",
            sa.Text(),
            nullable=True,
            comment="Patient id that the resource belongs to, before merges; empty when shared, or known by identifier only",
        ),
        sa.Column(
            "reference_keys",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="what the resource refers to or is known by: Type/id, or Patient?system|value",
        ),
        sa.Column(
            "nonconformant_paths",
            sa.ARRAY(sa.Text()),
            nullable=True,
            comment="FHIR paths that break the specification; {} conforms, empty was not judged",
        ),
        sa.Column(
            "body",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=True,
            comment="the resource as JSON text; empty when deleted",
        ),
        sa.CheckConstraint("deleted = (body IS NULL)", name=op.f("ck_resource_deleted_has_no_body")),
        sa.PrimaryKeyConstraint("source", "resource_type", "resource_id", name=op.f("pk_resource")),
        schema="clinical",
        comment="Newest known version of each resource of the cohort. Grain: source, type, id.",
    )
    op.create_index(
        "ix_resource_infant",
        "resource",
        ["source", "infant"],
        unique=False,
        schema="clinical",
        postgresql_where=sa.text("infant IS NOT NULL"),
    )
    op.create_index(
        "ix_resource_references",
        "resource",
        ["reference_keys"],
        unique=False,
        schema="clinical",
        postgresql_using="gin",
    )
    op.create_table(
        "site_access",
        sa.Column("role_name", sa.Text(), nullable=False, comment="PostgreSQL role, a login or a group"),
        sa.Column("source", sa.Text(), nullable=False, comment="name of the source, or * for all of them"),
        sa.PrimaryKeyConstraint("role_name", "source", name=op.f("pk_site_access")),
        schema="clinical",
        comment="Row-level security: which role reads which sites. Grain: role, source.",
    )
    op.create_table(
        "stg_conformance",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column(
            "paths", sa.ARRAY(sa.Text()), nullable=False, comment="FHIR paths that break the specification; {} conforms"
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "resource_type", "resource_id", name=op.f("pk_stg_conformance")),
        schema="clinical",
        comment="Verdict of the FHIR models on a staged resource. Grain: pull, type, id.",
    )
    op.create_table(
        "stg_deletion",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.PrimaryKeyConstraint("source", "pull_id", "resource_type", "resource_id", name=op.f("pk_stg_deletion")),
        schema="clinical",
        comment="Resources that a pull says were deleted. Grain: pull, type, id.",
    )
    op.create_table(
        "stg_event",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column("n", sa.Integer(), nullable=False, comment="ordinal within the infant, from 1"),
        sa.Column(
            "milestone",
            sa.Text(),
            nullable=False,
            comment="onset, first_provider, suspected, referral, booked, neurology ...",
        ),
        sa.Column("low", sa.Date(), nullable=False, comment="first day that it can have been; local date of the site"),
        sa.Column("high", sa.Date(), nullable=False, comment="last day that it can have been; local date of the site"),
        sa.Column("precision", sa.Text(), nullable=False, comment="day, month, year or interval"),
        sa.Column("rule", sa.Text(), nullable=False, comment="id of the rule in docs/timeline.md"),
        sa.Column("certainty", sa.Text(), nullable=False, comment="how sure the rule is"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column("version_id", sa.Text(), nullable=False, comment="version of the resource that was read"),
        sa.Column("detail", sa.Text(), nullable=False, comment="drug or class, one of our codes"),
        sa.PrimaryKeyConstraint("source", "pull_id", "infant", "n", name=op.f("pk_stg_event")),
        schema="clinical",
        comment="Milestone evidence of the infants that a pull touched. Grain: pull, infant, n.",
    )
    op.create_table(
        "stg_infant",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("infant", sa.Text(), nullable=False, comment="surviving Patient id"),
        sa.Column(
            "excluded", sa.Text(), nullable=True, comment="why the infant has no timeline; empty for those with one"
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "infant", name=op.f("pk_stg_infant")),
        schema="clinical",
        comment="Infants that were mapped for a pull. Grain: pull, infant.",
    )
    op.create_table(
        "stg_quarantine",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("stage", sa.Text(), nullable=False, comment="select or map"),
        sa.Column("n", sa.Integer(), nullable=False, comment="ordinal within pull and stage, from 1"),
        sa.Column("file", sa.Text(), nullable=False, comment="name of the landed file"),
        sa.Column("line", sa.Integer(), nullable=False, comment="line in the file, from 1; 0 when not known"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type; empty when not known"),
        sa.Column(
            "resource_id",
            sa.Text(),
            nullable=False,
            comment="FHIR resource id, unique within source and type; empty when not known",
        ),
        sa.Column("infant", sa.Text(), nullable=True, comment="surviving Patient id, for stage map; else empty"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="code: not_json, no_id, unknown_type, unreadable_element ..."
        ),
        sa.Column("path", sa.Text(), nullable=False, comment="FHIR path of the element; empty for the whole line"),
        sa.Column("message", sa.Text(), nullable=False, comment="what is wrong, without the value"),
        sa.PrimaryKeyConstraint("source", "pull_id", "stage", "n", name=op.f("pk_stg_quarantine")),
        schema="clinical",
        comment="What could not be used of a pull. Grain: pull, stage and finding.",
    )
    op.create_table(
        "stg_resource",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column("version_id", sa.Text(), nullable=False, comment="meta.versionId, empty when the server gave none"),
        sa.Column(
            "last_updated", sa.Text(), nullable=False, comment="meta.lastUpdated as the server wrote it; may be empty"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True, comment="the same as an instant"),
        sa.Column(
            "version_number", sa.BigInteger(), nullable=False, comment="versionId as a number where it is one, else -1"
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the line as received, hex"),
        sa.Column(
            "infant",
            sa.Text(),
            nullable=True,
            comment="Patient id that the resource belongs to, before merges; empty when shared, or known by identifier only",
        ),
        sa.Column(
            "reference_keys",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="what the resource refers to or is known by: Type/id, or Patient?system|value",
        ),
        sa.Column("file", sa.Text(), nullable=False, comment="name of the landed file"),
        sa.Column("line", sa.Integer(), nullable=False, comment="line in the file, from 1"),
        sa.Column("body", postgresql.JSON(astext_type=sa.Text()), nullable=False, comment="the resource as JSON text"),
        sa.PrimaryKeyConstraint("source", "pull_id", "resource_type", "resource_id", name=op.f("pk_stg_resource")),
        schema="clinical",
        comment="Resources of a pull before its load. Grain: pull, type, id.",
    )
    op.create_table(
        "stg_timeline",
        sa.Column("source", sa.Text(), nullable=False, comment="name of the source, one site"),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("infant", sa.Text(), nullable=False, comment="the surviving Patient id after Patient.link merges"),
        sa.Column(
            "content_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the contract's columns but censored_on, hex",
        ),
        sa.Column("cohort", sa.Text(), nullable=False, comment="definite, probable, possible or text_only"),
        sa.Column(
            "birth_date",
            sa.Date(),
            nullable=True,
            comment="Patient.birthDate; empty when only partly known; local date of the site",
        ),
        sa.Column("sex", sa.Text(), nullable=False, comment="Patient.gender, or unknown"),
        sa.Column(
            "onset_low",
            sa.Date(),
            nullable=True,
            comment="M0, first day that onset can have been; empty when not recorded; local date of the site",
        ),
        sa.Column(
            "onset_high",
            sa.Date(),
            nullable=True,
            comment="M0, last day that onset can have been; local date of the site",
        ),
        sa.Column(
            "first_provider", sa.Date(), nullable=True, comment="M1 by the strict rule (Tier A); local date of the site"
        ),
        sa.Column("suspected", sa.Date(), nullable=True, comment="M2, IESS first suspected; local date of the site"),
        sa.Column(
            "referral",
            sa.Date(),
            nullable=True,
            comment="M3, first neurology referral of the chain; local date of the site",
        ),
        sa.Column(
            "booked",
            sa.Date(),
            nullable=True,
            comment="M4, day the neurology appointment was made; local date of the site",
        ),
        sa.Column(
            "neurology",
            sa.Date(),
            nullable=True,
            comment="M5, first neurology contact by any route; local date of the site",
        ),
        sa.Column("eeg", sa.Date(), nullable=True, comment="M6, first diagnostic EEG; local date of the site"),
        sa.Column(
            "diagnosis", sa.Date(), nullable=True, comment="M7, first confirmed IESS diagnosis; local date of the site"
        ),
        sa.Column(
            "first_line", sa.Date(), nullable=True, comment="M8, start of first-line treatment; local date of the site"
        ),
        sa.Column("first_line_drug", sa.Text(), nullable=True, comment="acth, oral_steroid or vigabatrin"),
        sa.Column(
            "first_treatment",
            sa.Date(),
            nullable=True,
            comment="M8b, start of any antiseizure medicine; local date of the site",
        ),
        sa.Column("first_treatment_drug", sa.Text(), nullable=True, comment="which one"),
        sa.Column(
            "censored_on",
            sa.Date(),
            nullable=True,
            comment="MC: as-of date or data-through date, death, second birthday, transfer out; local date of the site",
        ),
        sa.Column(
            "pathway",
            sa.Text(),
            nullable=False,
            comment="referred, ed_inpatient, no_referral_record or pre_existing_neurology",
        ),
        sa.Column(
            "referral_evidence", sa.Text(), nullable=True, comment="coded, specialty or text; empty without a referral"
        ),
        sa.Column("age_days", sa.Integer(), nullable=True, comment="chronological age at M1, days; days"),
        sa.Column(
            "race_ethnicity",
            sa.Text(),
            nullable=False,
            comment="mutually exclusive: hispanic, nh_aian, nh_asian, nh_black, nh_nhopi, nh_white, nh_multiracial, nh_other, declined, unknown",
        ),
        sa.Column(
            "bipoc",
            sa.Text(),
            nullable=False,
            comment="yes, no or unknown; derived, for comparison with Abath 2024 only",
        ),
        sa.Column(
            "payer",
            sa.Text(),
            nullable=False,
            comment="at M1: public, private, military, self_pay, other, undetermined, unknown",
        ),
        sa.Column(
            "language", sa.Text(), nullable=False, comment="preferred language, BCP-47 primary subtag, or unknown"
        ),
        sa.Column("interpreter", sa.Text(), nullable=False, comment="interpreter needed: yes, no or unknown"),
        sa.Column(
            "days_onset_to_provider_low",
            sa.Integer(),
            nullable=True,
            comment="I1, spasm onset to first provider: fewest days; days",
        ),
        sa.Column("days_onset_to_provider_high", sa.Integer(), nullable=True, comment="I1: most days; days"),
        sa.Column(
            "status_onset_to_provider",
            sa.Text(),
            nullable=True,
            comment="I1: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_onset_to_provider",
            sa.Text(),
            nullable=True,
            comment="I1 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_neurology_low",
            sa.Integer(),
            nullable=True,
            comment="I2, first provider to neurologist (primary): fewest days; days",
        ),
        sa.Column("days_provider_to_neurology_high", sa.Integer(), nullable=True, comment="I2: most days; days"),
        sa.Column(
            "status_provider_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_referral_low",
            sa.Integer(),
            nullable=True,
            comment="I2a, first provider to referral: fewest days; days",
        ),
        sa.Column("days_provider_to_referral_high", sa.Integer(), nullable=True, comment="I2a: most days; days"),
        sa.Column(
            "status_provider_to_referral",
            sa.Text(),
            nullable=True,
            comment="I2a: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_referral",
            sa.Text(),
            nullable=True,
            comment="I2a over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_referral_to_neurology_low",
            sa.Integer(),
            nullable=True,
            comment="I2b, referral to neurologist: fewest days; days",
        ),
        sa.Column("days_referral_to_neurology_high", sa.Integer(), nullable=True, comment="I2b: most days; days"),
        sa.Column(
            "status_referral_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2b: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_referral_to_neurology",
            sa.Text(),
            nullable=True,
            comment="I2b over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_neurology_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I3, neurologist to first-line treatment: fewest days; days",
        ),
        sa.Column("days_neurology_to_first_line_high", sa.Integer(), nullable=True, comment="I3: most days; days"),
        sa.Column(
            "status_neurology_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I3: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_neurology_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I3 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_eeg_low",
            sa.Integer(),
            nullable=True,
            comment="I4, first provider to first EEG: fewest days; days",
        ),
        sa.Column("days_provider_to_eeg_high", sa.Integer(), nullable=True, comment="I4: most days; days"),
        sa.Column(
            "status_provider_to_eeg",
            sa.Text(),
            nullable=True,
            comment="I4: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_eeg",
            sa.Text(),
            nullable=True,
            comment="I4 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_eeg_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I5, first EEG to first-line treatment: fewest days; days",
        ),
        sa.Column("days_eeg_to_first_line_high", sa.Integer(), nullable=True, comment="I5: most days; days"),
        sa.Column(
            "status_eeg_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I5: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_eeg_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I5 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_diagnosis_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I6, diagnosis to first-line treatment (AAN): fewest days; days",
        ),
        sa.Column("days_diagnosis_to_first_line_high", sa.Integer(), nullable=True, comment="I6: most days; days"),
        sa.Column(
            "status_diagnosis_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I6: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_diagnosis_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I6 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_onset_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I7, lead time: onset to first-line: fewest days; days",
        ),
        sa.Column("days_onset_to_first_line_high", sa.Integer(), nullable=True, comment="I7: most days; days"),
        sa.Column(
            "status_onset_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I7: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_onset_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I7 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "days_provider_to_first_line_low",
            sa.Integer(),
            nullable=True,
            comment="I8, first provider to first-line treatment: fewest days; days",
        ),
        sa.Column("days_provider_to_first_line_high", sa.Integer(), nullable=True, comment="I8: most days; days"),
        sa.Column(
            "status_provider_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I8: event, censored, competing, not_applicable, missing",
        ),
        sa.Column(
            "delayed_provider_to_first_line",
            sa.Text(),
            nullable=True,
            comment="I8 over 7 days: yes, no, indeterminate, pending or not_applicable",
        ),
        sa.Column(
            "flags",
            sa.Text(),
            nullable=False,
            comment="sorted, semicolon between; each is documented in docs/timeline.md",
        ),
        sa.Column(
            "evidence",
            postgresql.JSON(astext_type=sa.Text()),
            nullable=True,
            comment="milestone -> [resource type/id/version, rule id]",
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "infant", name=op.f("pk_stg_timeline")),
        schema="clinical",
        comment="Timelines of the infants that a pull touched, before its load. Grain: pull, infant.",
    )
    op.create_table(
        "stg_unchanged",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type"),
        sa.Column("resource_id", sa.Text(), nullable=False, comment="FHIR resource id, unique within source and type"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the line as received, hex"),
        sa.Column(
            "infant",
            sa.Text(),
            nullable=True,
            comment="Patient id that the resource belongs to, before merges; empty when shared, or known by identifier only",
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "resource_type", "resource_id", name=op.f("pk_stg_unchanged")),
        schema="clinical",
        comment="Resources of a pull that the warehouse holds just so. Grain: pull, type, id.",
    )
    op.create_table(
        "erasure",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column(
            "owner_hash",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of the salt and the erased Patient id or identifier, hex",
        ),
        sa.Column(
            "salt", sa.Text(), nullable=False, comment="salt of this row, hex; outlives a change of the hash key"
        ),
        sa.Column(
            "erased_at", sa.DateTime(timezone=True), nullable=False, comment="instant of the erasure, as passed in"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="why, in words without PHI"),
        sa.Column("rows_deleted", sa.Integer(), nullable=False, comment="rows deleted with it, over all tables, count"),
        sa.PrimaryKeyConstraint("source", "owner_hash", name=op.f("pk_erasure")),
        schema="ops",
        comment="Infants erased on request, so that a later pull does not bring them back. Grain: owner key.",
    )
    op.create_table(
        "gate_result",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("layer", sa.Text(), nullable=False, comment="staged, timeline, metrics or freshness"),
        sa.Column("rule_id", sa.Text(), nullable=False, comment="id of the rule in expectations/catalogue.csv"),
        sa.Column("severity", sa.Text(), nullable=False, comment="critical, warning or info"),
        sa.Column("status", sa.Text(), nullable=False, comment="pass, fail, or error when the rule could not be run"),
        sa.Column("judged_rows", sa.Integer(), nullable=True, comment="rows that the rule judged, count"),
        sa.Column("failing_rows", sa.Integer(), nullable=False, comment="rows that failed it, count"),
        sa.Column("threshold", sa.Double(), nullable=True, comment="share of judged rows that may fail, 0 to 1"),
        sa.Column(
            "error",
            sa.Text(),
            nullable=True,
            comment="SQLSTATE and class of what went wrong; empty unless status is error",
        ),
        sa.Column("catalogue_version", sa.Text(), nullable=True, comment="hash of the catalogue that was run"),
        sa.PrimaryKeyConstraint("source", "pull_id", "layer", "rule_id", name=op.f("pk_gate_result")),
        schema="ops",
        comment="Results of the expectations, counts only. Grain: pull, layer, rule.",
    )
    op.create_table(
        "hash_key",
        sa.Column("singleton", sa.Boolean(), nullable=False, comment="always true: there is one row"),
        sa.Column(
            "fingerprint",
            sa.Text(),
            nullable=False,
            comment="first 16 hex digits of an HMAC under the key; tells keys apart",
        ),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_hash_key")),
        schema="ops",
        comment="Fingerprint of the key that infant keys are made with. Grain: one row.",
    )
    op.create_table(
        "ledger",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="1 for the first load of the pull, more for replays"
        ),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type; empty when not known"),
        sa.Column("received", sa.Integer(), nullable=False, comment="lines received, count"),
        sa.Column(
            "loaded", sa.Integer(), nullable=False, comment="lines that became the current version of a resource, count"
        ),
        sa.Column("unchanged", sa.Integer(), nullable=False, comment="lines that say what is already held, count"),
        sa.Column(
            "superseded", sa.Integer(), nullable=False, comment="lines older than what is held or came with them, count"
        ),
        sa.Column("deleted", sa.Integer(), nullable=False, comment="deletions, count"),
        sa.Column(
            "out_of_scope",
            sa.Integer(),
            nullable=False,
            comment="lines of other types, or of patients outside the cohort, count",
        ),
        sa.Column(
            "quarantined",
            sa.Integer(),
            nullable=False,
            comment="lines that could not be used, count; why: clinical.quarantine",
        ),
        sa.CheckConstraint(
            "least(received, loaded, unchanged, superseded, deleted, out_of_scope, quarantined) >= 0",
            name=op.f("ck_ledger_counts"),
        ),
        sa.CheckConstraint(
            "received = loaded + unchanged + superseded + deleted + out_of_scope + quarantined",
            name=op.f("ck_ledger_conservation"),
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "attempt", "resource_type", name=op.f("pk_ledger")),
        schema="ops",
        comment="What became of each received line: received = loaded + unchanged + superseded + deleted + out_of_scope + quarantined. Grain: pull, attempt, type.",
    )
    op.create_table(
        "pull",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="1 for the first load of the pull, more for replays"
        ),
        sa.Column("sequence", sa.Integer(), nullable=False, comment="ordinal of the load within the source, from 1"),
        sa.Column("kind", sa.Text(), nullable=False, comment="search, bulk or files"),
        sa.Column("since", sa.Text(), nullable=True, comment="instant since which changes were asked for; empty: all"),
        sa.Column(
            "transaction_time",
            sa.Text(),
            nullable=False,
            comment="server's own time up to which the pull is whole, as written",
        ),
        sa.Column(
            "known_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="instant from which the warehouse knew it: the transaction time, but never before an earlier load's",
        ),
        sa.Column("fhir_version", sa.Text(), nullable=False, comment="R4 or R5"),
        sa.Column(
            "timezone",
            sa.Text(),
            nullable=True,
            comment="IANA zone of the site's local dates at the time; empty when not told",
        ),
        sa.Column(
            "complete", sa.Boolean(), nullable=False, comment="false when the server said that the pull is not whole"
        ),
        sa.Column("data_through", sa.Date(), nullable=True, comment="last local date that the pull has data for"),
        sa.Column("infants", sa.Integer(), nullable=False, comment="infants that the pull touched, count"),
        sa.Column(
            "timelines_opened", sa.Integer(), nullable=False, comment="timeline rows that the load opened, count"
        ),
        sa.Column(
            "timelines_closed", sa.Integer(), nullable=False, comment="timeline rows that the load closed, count"
        ),
        sa.Column(
            "loaded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="instant of the load, the database's clock",
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", "attempt", name=op.f("pk_pull")),
        schema="ops",
        comment="Loads of pulls. Grain: source, pull, attempt; a replay is a further attempt.",
    )
    op.create_index("uq_pull_sequence", "pull", ["source", "sequence"], unique=True, schema="ops")
    op.create_table(
        "purge",
        sa.Column(
            "purged_at", sa.DateTime(timezone=True), nullable=False, comment="instant of the purge, as passed in"
        ),
        sa.Column("what", sa.Text(), nullable=False, comment="table, or landing for raw files"),
        sa.Column(
            "before", sa.DateTime(timezone=True), nullable=False, comment="what was older than this instant was removed"
        ),
        sa.Column("rows_deleted", sa.Integer(), nullable=False, comment="rows or files removed, count"),
        sa.Column("reason", sa.Text(), nullable=False, comment="the policy that asked for it"),
        sa.PrimaryKeyConstraint("purged_at", "what", name=op.f("pk_purge")),
        schema="ops",
        comment="What retention removed. Grain: purge and table.",
    )
    op.create_table(
        "schema_state",
        sa.Column("singleton", sa.Boolean(), nullable=False, comment="always true: there is one row"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="SHA-256 of the SQL that made them, hex"),
        sa.PrimaryKeyConstraint("singleton", name=op.f("pk_schema_state")),
        schema="ops",
        comment="Version of the views, grants and policies in place. Grain: one row.",
        info={"wall_clock": True},
    )
    op.create_table(
        "stg_ledger",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column("resource_type", sa.Text(), nullable=False, comment="FHIR resource type; empty when not known"),
        sa.Column("received", sa.Integer(), nullable=False, comment="lines received, count"),
        sa.Column("in_scope", sa.Integer(), nullable=False, comment="newest versions of the cohort's resources, count"),
        sa.Column("out_of_scope", sa.Integer(), nullable=False, comment="lines of other types or patients, count"),
        sa.Column(
            "superseded", sa.Integer(), nullable=False, comment="older or repeated versions within the pull, count"
        ),
        sa.Column("deleted", sa.Integer(), nullable=False, comment="deletions, count"),
        sa.Column("quarantined", sa.Integer(), nullable=False, comment="lines that could not be used, count"),
        sa.PrimaryKeyConstraint("source", "pull_id", "resource_type", name=op.f("pk_stg_ledger")),
        schema="ops",
        comment="What selection made of each received line. Grain: pull, type.",
    )
    op.create_table(
        "stg_pull",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull, a sortable instant: 20261123T070000Z"),
        sa.Column(
            "transaction_time",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="server's instant up to which the pull is whole",
        ),
        sa.Column("data_through", sa.Date(), nullable=True, comment="last local date that the pull has data for"),
        sa.Column("timezone", sa.Text(), nullable=True, comment="IANA zone that local dates were counted in"),
        sa.Column(
            "mapped_after",
            sa.Integer(),
            nullable=True,
            comment="sequence of the source's last load when its infants were mapped; empty when not mapped yet",
        ),
        sa.PrimaryKeyConstraint("source", "pull_id", name=op.f("pk_stg_pull")),
        schema="ops",
        comment="Pulls that are staged. Grain: source, pull.",
    )
    op.create_table(
        "watermark",
        sa.Column(
            "source", sa.Text(), nullable=False, comment="name of the source: one FHIR server or folder, one site"
        ),
        sa.Column(
            "transaction_time",
            sa.Text(),
            nullable=False,
            comment="server's instant from which to ask next, as it wrote it",
        ),
        sa.Column(
            "instant", sa.DateTime(timezone=True), nullable=False, comment="the same as an instant; never goes back"
        ),
        sa.Column("pull_id", sa.Text(), nullable=False, comment="id of the pull that moved it"),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_watermark")),
        schema="ops",
        comment="Up to when each source is loaded. Grain: source.",
    )
    for interval in INTERVALS:
        op.execute(
            f"CREATE TABLE analytics.infant_interval_{interval} "
            f"PARTITION OF analytics.infant_interval FOR VALUES IN ('{interval}')"
        )


def downgrade() -> None:
    op.drop_table("watermark", schema="ops")
    op.drop_table("stg_pull", schema="ops")
    op.drop_table("stg_ledger", schema="ops")
    op.drop_table("schema_state", schema="ops")
    op.drop_table("purge", schema="ops")
    op.drop_index("uq_pull_sequence", table_name="pull", schema="ops")
    op.drop_table("pull", schema="ops")
    op.drop_table("ledger", schema="ops")
    op.drop_table("hash_key", schema="ops")
    op.drop_table("gate_result", schema="ops")
    op.drop_table("erasure", schema="ops")
    op.drop_table("stg_unchanged", schema="clinical")
    op.drop_table("stg_timeline", schema="clinical")
    op.drop_table("stg_resource", schema="clinical")
    op.drop_table("stg_quarantine", schema="clinical")
    op.drop_table("stg_infant", schema="clinical")
    op.drop_table("stg_event", schema="clinical")
    op.drop_table("stg_deletion", schema="clinical")
    op.drop_table("stg_conformance", schema="clinical")
    op.drop_table("site_access", schema="clinical")
    op.drop_index("ix_resource_references", table_name="resource", schema="clinical", postgresql_using="gin")
    op.drop_index(
        "ix_resource_infant", table_name="resource", schema="clinical", postgresql_where=sa.text("infant IS NOT NULL")
    )
    op.drop_table("resource", schema="clinical")
    op.drop_index(
        "uq_referral_timeline_current",
        table_name="referral_timeline",
        schema="clinical",
        postgresql_where=sa.text("valid_to IS NULL"),
    )
    op.drop_table("referral_timeline", schema="clinical")
    op.drop_table("quarantine", schema="clinical")
    op.drop_index("ix_milestone_event_resource", table_name="milestone_event", schema="clinical")
    op.drop_table("milestone_event", schema="clinical")
    op.drop_index("uq_infant_key_infant_key", table_name="infant_key", schema="clinical")
    op.drop_table("infant_key", schema="clinical")
    op.drop_table("gate_failure", schema="clinical")
    op.drop_table("infant_interval", schema="analytics")
    # `ops` stays: it holds the revision itself.
    for schema in ("published", "analytics", "clinical"):
        op.execute(f"DROP SCHEMA {schema}")
