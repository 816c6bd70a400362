"""How `explain` calls things: the contract's codes in words that a clinician uses."""

from __future__ import annotations

#: Milestones in the order in which those of one day are told.
MILESTONES = {
    "onset": "Onset of symptoms",
    "first_provider": "First provider",
    "suspected": "IESS suspected",
    "detour_referral": "Referral elsewhere",
    "referral": "Referral to neurology",
    "booked": "Neurology appointment made",
    "neurology": "Seen by neurology",
    "eeg": "First EEG",
    "diagnosis": "Diagnosis",
    "first_line": "First-line treatment",
    "first_treatment": "First antiseizure medicine",
}
#: What a wait begins or ends with, when it is not on record.
NOUNS = {
    "onset": "onset of symptoms",
    "first_provider": "first provider",
    "referral": "referral to neurology",
    "neurology": "neurology contact",
    "eeg": "EEG",
    "diagnosis": "confirmed diagnosis",
    "first_line": "first-line treatment",
}
#: Why a wait does not apply, by the way to neurology.
NO_WAIT = {
    "ed_inpatient": "seen in an emergency or admission without a referral",
    "pre_existing_neurology": "known to neurology before",
}
SUSPECTED = "Only suspected: a code of the syndrome that was never confirmed"
COHORTS = {
    "definite": "Definite case: one confirmed code of the syndrome is enough",
    "probable": "Probable case: an ambiguous code with an EEG, first-line treatment or neurology contact beside it",
    "possible": "Possible case: an ambiguous code alone; in no measure by default",
    "text_only": "Named in words only, without a code; in no measure by default",
}
EXCLUDED = {
    "not_iess": "no Condition on record means IESS, or all that did were refuted or entered in error",
    "no_birth_date": "there is no birth date that can be read",
    "age_outside_window": "the age at the first code is outside the window (14 days to 24 months by default)",
    "no_index_date": "nothing on record dates the case",
    "after_as_of": "the case is on record only after the as-of date",
}
PATHWAYS = {
    "referred": "by a referral",
    "ed_inpatient": "through the emergency department or an admission, without a referral",
    "no_referral_record": "no referral on record",
    "pre_existing_neurology": "known to neurology before the first provider for spasms",
}
CLASSES = {
    "AMB": "ambulatory visit",
    "EMER": "emergency visit",
    "IMP": "inpatient stay",
    "ACUTE": "inpatient stay",
    "NONAC": "inpatient stay",
    "OBSENC": "observation stay",
    "SS": "short stay",
    "VR": "virtual visit",
    "HH": "home visit",
}
RACES = {
    "hispanic": "Hispanic or Latino",
    "nh_aian": "American Indian or Alaska Native, not Hispanic",
    "nh_asian": "Asian, not Hispanic",
    "nh_black": "Black or African American, not Hispanic",
    "nh_mena": "Middle Eastern or North African, not Hispanic",
    "nh_multiracial": "More than one race, not Hispanic",
    "nh_nhopi": "Native Hawaiian or Pacific Islander, not Hispanic",
    "nh_other": "Another race, not Hispanic",
    "nh_white": "White, not Hispanic",
    "declined": "Race and ethnicity asked, not answered",
    "unknown": "Race and ethnicity not known",
}
PAYERS = {
    "public": "Public insurance",
    "private": "Private insurance",
    "military": "Military insurance",
    "self_pay": "Self-pay",
    "other": "Another payer",
    "undetermined": "Insurance that may be public or private",
    "unknown": "Insurance not known",
}
DRUGS = {"acth": "ACTH", "oral_steroid": "oral steroid"}
#: Why the AAN measure leaves an infant out.
AAN = {
    "caregiver_refused": "the family refused all three medicines",
    "contraindicated": "all three medicines are contraindicated",
    "metabolic": "an inborn error of metabolism",
    "surgery_first": "resective surgery came first",
}
#: Attributes that are told, in this order, and how.
ABOUT = {
    "etiology": "causes on record",
    "gestational_weeks": "completed weeks at birth",
    "corrected_age_days": "age at the first provider corrected for that, days",
    "caregiver_race_ethnicity": "caregivers' race and ethnicity",
    "spd15": "race and ethnicity by the standard of 2024",
    "detour_referrals": "referrals elsewhere first",
    "detour_days": "days from the first of them to the referral to neurology",
    "referral_chain_length": "referrals in the chain",
    "orphan_referrals": "neurology referrals that led to no visit",
    "no_shows": "missed neurology appointments",
    "days_referral_to_booked": "days from referral to the making of the appointment",
    "days_booked_to_appointment": "days from then to the appointment",
    "days_supported_before_strict": "days by which the first provider is earlier when text-supported mimics count",
    "days_broad_before_strict": "days by which it is earlier when any mimic counts",
    "aan_exclusions": "left out of the AAN measure for",
    "postal_code": "postal code at the first provider",
}
