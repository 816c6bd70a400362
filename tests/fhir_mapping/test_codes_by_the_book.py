"""Every code that the clinical specification lists, written down a second time, means what it says there.

The value sets are data: a row lost or moved would change rows of the timeline without a line of code being touched.
"""

from __future__ import annotations

import pytest

from fhir_mapping import codes

CODES = codes.load()
CM, I9, WHO = (f"http://hl7.org/fhir/sid/{name}" for name in ("icd-10-cm", "icd-9-cm", "icd-10"))
SCT, LOINC, CPT = "http://snomed.info/sct", "http://loinc.org", "http://www.ama-assn.org/go/cpt"
RXNORM, NUCC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://nucc.org/provider-taxonomy"
HCPCS, PCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "http://www.cms.gov/Medicare/Coding/ICD10"
SERVICE, CDC = "http://terminology.hl7.org/CodeSystem/service-type", "urn:oid:2.16.840.1.113883.6.238"
SOPT, NULLS = "https://nahdo.org/sopt", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"

BOOK: tuple[tuple[str, str, str], ...] = (
    ("iess_definite", CM, "G40.821 G40.822 G40.823 G40.824 G40.82"),
    ("iess_definite", I9, "345.60 345.61"),
    ("iess_definite", SCT, "28055006 230416005 230417001 290871000119101 290881000119103"),
    ("iess_definite", "http://purl.obolibrary.org/obo/mondo.owl", "MONDO:0018097"),
    ("iess_definite", "http://www.orpha.net", "ORPHA:697160 ORPHA:3451"),
    ("iess_definite", "http://human-phenotype-ontology.org", "HP:0012469 HP:0011097"),
    ("header", CM, "G40.82"),
    (
        "iess_ambiguous",
        CM,
        "G40.401 G40.409 G40.411 G40.419 G93.45 G40.802 G40.89 G40.901 G40.909 G40.919 R56.9 R94.01",
    ),
    ("iess_ambiguous", WHO, "G40.4"),
    ("iess_ambiguous", SCT, "230429005 723125008 1275631007"),
    ("iess_late_onset", SCT, "778063003"),
    ("iess_probable", SCT, "782886007"),
    ("concern_a", CM, "R25.0 R25.1 R25.2 R25.3 R25.8 R25.9 R29.2 R40.4 G25.3 G25.83 G25.89 G25.9 G47.61 G47.69 F98.4"),
    ("concern_a", CM, "R56.00 R56.01 R68.13 R55 G40.209 G40.309 H55.00 H51.8 G24.1 G24.9 M43.6 R94.01"),
    ("concern_a", I9, "781.0 780.31"),
    ("concern_a_unless_newborn", CM, "R56.9"),
    ("newborn_seizure", CM, "P90"),
    ("newborn_seizure", I9, "779.0"),
    ("concern_b", CM, "K21.00 K21.01 K21.9 P78.83 R10.83 R68.11 R68.12 R68.19 R11.10 R11.12 K59.00 K59.09 K52.9"),
    ("concern_b", CM, "R63.30 R63.39"),
    ("concern_c", CM, "R62.0 R62.50 R62.59 F82 F88 F89"),
    ("concern_c", SCT, "609225004"),
    ("etiology_tsc", CM, "Q85.1"),
    ("etiology_tsc", SCT, "7199000"),
    ("etiology_hie", CM, "P91.60 P91.61 P91.62 P91.63 G93.1"),
    ("etiology_stroke", CM, "P91.821 I63.9"),
    ("etiology_down", CM, "Q90.0 Q90.1 Q90.2 Q90.9"),
    ("etiology_malformation", CM, "Q04.3 Q04.5 Q04.6 Q04.8 Q04.0 Q02 Q93.88"),
    ("etiology_infection", CM, "P35.1 G00.9 B00.4 G04.90"),
    ("etiology_trauma", CM, "T74.4XXA"),
    ("etiology_metabolic", CM, "E72.51 E70.0 E74.810 E88.40"),
    ("etiology_cdkl5", CM, "G40.42"),
    ("etiology_kcnq2", CM, "G40.841"),
    ("etiology_dee", CM, "G93.45"),
    ("ga_weeks_28", CM, "P07.31"),
    ("ga_weeks_29", CM, "P07.32"),
    ("ga_weeks_36", CM, "P07.39"),
    ("ga_weeks_27", CM, "P07.21 P07.26"),
    ("referral_neurology", SCT, "306263000 308474002 183901002"),
    ("referral_eeg", SCT, "306276006"),
    ("admission_neurology", SCT, "305379005 305389009"),
    ("referral_generic", SCT, "103696004 3457005 306206005 183515008 306253008 54395008"),
    ("referral_other", SCT, "308482002 183882005 306271001 716634006 183517000 306279004 308469005"),
    ("consultation", CPT, "99242 99243 99244 99245 99252 99253 99254 99255"),
    ("specialty_neurology", NUCC, "2084N0402X 2084N0400X 2084E0001X 2084N0600X"),
    ("specialty_neurology", SCT, "394591006 394538003"),
    ("specialty_neurology", SERVICE, "177 202"),
    ("specialty_other", NUCC, "2084P0800X 2084P0805X 2084S0012X 2084V0102X"),
    ("specialty_other", SERVICE, "216"),
    (
        "eeg",
        CPT,
        "95812 95813 95816 95819 95822 95705 95706 95707 95708 95709 95710 95711 95712 95713 95714 95715 95716",
    ),
    ("eeg", CPT, "95827 95950 95951 95953 95956"),
    ("eeg_setup", CPT, "95700"),
    ("eeg_professional", CPT, "95717 95718 95719 95720 95721 95722 95723 95724 95725 95726"),
    ("eeg", PCS, "4A00X4Z 4A10X4Z"),
    ("eeg", SCT, "54550000"),
    ("eeg", LOINC, "11523-8"),
    ("not_eeg", LOINC, "11524-6"),
    ("drug_acth", RXNORM, "376 309541 1040025 2685293 2685296 2685298 2685299"),
    ("drug_acth", HCPCS, "J0800 J0801 J0802"),
    ("drug_oral_steroid", RXNORM, "8638 8640"),
    ("drug_vigabatrin", RXNORM, "14851 199521 250820"),
    ("drug_not_first_line", RXNORM, "2890 6902 3264 5492"),
    ("race_aian", CDC, "1002-5"),
    ("race_asian", CDC, "2028-9"),
    ("race_black", CDC, "2054-5"),
    ("race_nhopi", CDC, "2076-8"),
    ("race_white", CDC, "2106-3 2118-8 2129-5"),
    ("race_mena", CDC, "2118-8 2119-6 2129-5"),
    ("race_other", CDC, "2131-1"),
    ("ethnicity_hispanic", CDC, "2135-2"),
    ("ethnicity_not_hispanic", CDC, "2186-5"),
    ("null_asked", NULLS, "ASKU"),
    ("null_unknown", NULLS, "UNK"),
    ("interpreter_yes", SCT, "373066001"),
    ("interpreter_no", SCT, "373067005"),
    ("interpreter_observation", LOINC, "54588-9"),
    ("payer_public", SOPT, "1 11 2 21 22 23 25 29 3 33 34 341 36 361 37 3712 38 39"),
    ("payer_military", SOPT, "31 311 3111 3119 312 32 321"),
    ("payer_other", SOPT, "4 41 9 95"),
    ("payer_private", SOPT, "391 5 51 512 6 61"),
    ("payer_undetermined", SOPT, "7 71 72"),
    ("payer_self_pay", SOPT, "8 81 82 821"),
    ("payer_unknown", SOPT, "99 9999"),
)
ASM = {
    "levetiracetam": "114477",
    "topiramate": "38404",
    "zonisamide": "39998",
    "valproate": "40254",
    "clobazam": "21241",
    "clonazepam": "2598",
    "phenobarbital": "8134",
    "lamotrigine": "28439",
    "rufinamide": "69036",
    "felbamate": "24812",
    "cannabidiol": "2045371",
    "oxcarbazepine": "32624",
    "lacosamide": "623400",
    "fenfluramine": "4328",
    "everolimus": "141704",
    "pyridoxine": "684879",
}


@pytest.mark.parametrize(("role", "system", "listed"), BOOK, ids=lambda value: value if " " not in value else "")
def test_a_listed_code_has_its_role(role: str, system: str, listed: str) -> None:
    assert [code for code in listed.split() if role not in CODES.roles(system, code)] == []


@pytest.mark.parametrize(("drug", "code"), ASM.items())
def test_an_antiseizure_medicine_is_known_by_its_code(drug: str, code: str) -> None:
    assert CODES.roles(RXNORM, code) == {f"drug_{drug}"}


@pytest.mark.parametrize("code", ["R25.2", "G40.42", "G40.811", "G40.833", "G40.841", "R29.0", "J98.01"])
def test_what_is_not_the_syndrome_is_no_case(code: str) -> None:
    assert not {role for role in CODES.roles(CM, code) if role.startswith("iess_")}


@pytest.mark.parametrize("code", ["442511009", "770678005", "386537007", "183521002"])
def test_neighbours_in_snomed_ct_are_no_case_and_no_referral(code: str) -> None:
    assert not {role for role in CODES.roles(SCT, code) if role.startswith(("iess_", "referral_"))}
