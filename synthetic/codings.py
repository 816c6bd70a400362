"""Code numbers and code systems that the synthetic records use, with our own short texts.

Written from the clinical specification, not from `fhir_mapping`: the generator must not share the tables of the rules
that it tests. CPT numbers carry no descriptor, since those are the American Medical Association's.
"""

from __future__ import annotations

from typing import Any

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
CPT = "http://www.ama-assn.org/go/cpt"
PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NUCC = "http://nucc.org/provider-taxonomy"
SOPT = "https://nahdo.org/sopt"
RACE = "urn:oid:2.16.840.1.113883.6.238"
NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SERVICE_TYPE = "http://terminology.hl7.org/CodeSystem/service-type"
CLINICAL_STATUS = "http://terminology.hl7.org/CodeSystem/condition-clinical"
VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CATEGORY = "http://terminology.hl7.org/CodeSystem/condition-category"
UCUM = "http://unitsofmeasure.org"
LOCAL = "urn:oid:2.16.840.1.113883.3.9999.1"  # a hospital's own order catalogue

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
CORE = "http://hl7.org/fhir/StructureDefinition/"

PEDIATRICS, EMERGENCY, HOSPITALIST = "208000000X", "2080P0204X", "208M00000X"
GASTROENTEROLOGY, NEUROSURGERY = "2080P0206X", "207T00000X"
CHILD_NEUROLOGY, NEUROLOGY = "2084N0402X", "2084N0400X"

#: ICD-10-CM codes under which spasms not yet recognised are written down (tier A), with weights.
PAROXYSMAL = (
    ("R25.8", "Abnormal involuntary movements, other", 22),
    ("R25.9", "Abnormal involuntary movements", 12),
    ("R25.1", "Tremor", 6),
    ("R25.2", "Cramp and spasm", 12),
    ("R25.3", "Fasciculation", 3),
    ("R29.2", "Abnormal reflex", 8),
    ("R40.4", "Transient alteration of awareness", 5),
    ("R56.9", "Convulsions, unspecified", 18),
    ("G25.3", "Myoclonus", 8),
    ("G25.83", "Benign shuddering attacks", 3),
    ("R68.13", "BRUE", 3),
)
#: Mimics that spasms are taken for (tier B), and that very many infants have.
MIMICS = (
    ("K21.9", "Reflux without esophagitis", 46),
    ("R10.83", "Colic", 24),
    ("K59.00", "Constipation", 12),
    ("R68.12", "Fussy infant", 10),
    ("R11.10", "Vomiting", 8),
)
#: How a definite IESS diagnosis is coded: a list of codings and a text, with weights.
DEFINITE = (
    (((ICD10, "G40.822"),), "Infantile spasms", 44),
    (((ICD10, "G40.824"),), "Infantile spasms, intractable", 8),
    (((ICD10, "G40.821"),), "Epileptic spasms", 2),
    (((ICD10, "G40.823"),), "Epileptic spasms, intractable", 2),
    (((ICD10, "G40822"),), "Infantile spasms", 5),
    (((ICD10, "g40.822"),), "Infantile spasms", 2),
    (((ICD10, "G40.82"),), "Epileptic spasms", 1),
    ((("urn:oid:2.16.840.1.113883.6.90", "G40.822"),), "Infantile spasms", 3),
    (((SNOMED, "28055006"), (ICD10, "G40.822")), "West syndrome", 16),
    (((SNOMED, "28055006"),), "West syndrome", 7),
    (((SNOMED, "230417001"), (ICD10, "G40.824")), "Symptomatic West syndrome", 4),
    (((SNOMED, "230416005"),), "Cryptogenic West syndrome", 2),
    (((LOCAL, "DX-48213"), (SNOMED, "28055006")), "Infantile spasms", 4),
)
#: First-line drugs: name in the timeline's contract -> RxNorm codes.
FIRST_LINE = {
    "acth": (("376", "Corticotropin"), ("309541", "Corticotropin 80 units/mL gel")),
    "oral_steroid": (("8638", "Prednisolone"), ("8640", "Prednisone")),
    "vigabatrin": (("14851", "Vigabatrin"), ("250820", "Vigabatrin 500 mg powder"), ("199521", "Vigabatrin 500 mg")),
}
OTHER_DRUGS = {
    "levetiracetam": "114477",
    "topiramate": "38404",
    "zonisamide": "39998",
    "valproate": "40254",
    "clobazam": "21241",
    "clonazepam": "2598",
    "phenobarbital": "8134",
}
DEXAMETHASONE = "3264"
OMB = {
    "nh_aian": "1002-5",
    "nh_asian": "2028-9",
    "nh_black": "2054-5",
    "nh_nhopi": "2076-8",
    "nh_white": "2106-3",
    "nh_other": "2131-1",
}
OMB_TEXT = {
    "1002-5": "American Indian or Alaska Native",
    "2028-9": "Asian",
    "2054-5": "Black or African American",
    "2076-8": "Native Hawaiian or Other Pacific Islander",
    "2106-3": "White",
    "2131-1": "Other Race",
}
#: SOPT codes seen for each payer group.
PAYER_CODES = {
    "public": ("21", "22", "2", "361", "23"),
    "private": ("512", "511", "5", "613", "6"),
    "military": ("311", "3111"),
    "self_pay": ("81",),
    "undetermined": ("71", "79"),
}


def coding(system: str, code: str, text: str | None = None) -> dict[str, Any]:
    return {"system": system, "code": code, "display": text} if text else {"system": system, "code": code}


def concept(system: str, code: str, text: str | None = None) -> dict[str, Any]:
    """A CodeableConcept with one coding. `text` goes to `text` only: displays belong to the code systems' owners."""
    return {"coding": [{"system": system, "code": code}], "text": text} if text else {"coding": [coding(system, code)]}
