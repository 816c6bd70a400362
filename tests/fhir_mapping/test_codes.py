"""The value sets themselves: no duplicates, right systems, roles that don't contradict each other, our own words."""

from __future__ import annotations

import re
from datetime import date
from itertools import combinations
from pathlib import Path

import pytest

from fhir_mapping import codes
from fhir_mapping.codes.checks import contradictions, shaped
from fhir_mapping.codes.loader import EVIDENCE, SET_VERSION
from fhir_mapping.codes.normal import ICD_10_CM, normal_code
from fhir_source.errors import SettingsError

CODES = codes.load()
CPT = "http://www.ama-assn.org/go/cpt"
KNOWN_HASH = "e40baa0b"

#: Roles that one code may hold together, and why.
OVERLAPS = {
    frozenset({"iess_definite", "header"}),  # the header of a definite code, flagged
    frozenset({"iess_ambiguous", "concern_a"}),  # other epilepsy is a concern until it is a case
    frozenset({"iess_ambiguous", "concern_a_unless_newborn"}),
    frozenset({"iess_ambiguous", "seizure"}),
    frozenset({"iess_ambiguous", "iess_unspecific"}),  # the least specific of the ambiguous
    frozenset({"iess_unspecific", "concern_a"}),
    frozenset({"iess_unspecific", "concern_a_unless_newborn"}),
    frozenset({"iess_unspecific", "seizure"}),
    frozenset({"iess_ambiguous", "etiology_dee"}),  # the encephalopathy names its cause
    frozenset({"concern_a", "seizure"}),
    frozenset({"concern_a_unless_newborn", "seizure"}),
    frozenset({"not_iess", "concern_a"}),  # Lennox-Gastaut and Dravet: epilepsy, not ours
    frozenset({"not_iess", "seizure"}),
    frozenset({"etiology_kcnq2", "concern_a"}),
    frozenset({"etiology_kcnq2", "seizure"}),
    frozenset({"race_white", "race_mena"}),  # White by the 1997 categories, MENA by those of 2024
    frozenset({"payer_public", "managed_public"}),  # Medicaid that an insurer runs
}


def test_no_row_twice() -> None:
    keys = [(row.system, row.code, row.role) for row in CODES.rows]
    assert len(set(keys)) == len(keys)


def test_every_row_is_told_apart_and_sourced() -> None:
    for row in CODES.rows:
        assert row.label.strip() == row.label != ""
        assert row.evidence in EVIDENCE
        assert row.source
        assert row.since is None or row.until is None or row.since <= row.until


def test_codes_have_the_shape_of_their_system() -> None:
    assert [row for row in CODES.rows if not shaped(row)] == []


def test_no_code_contradicts_itself() -> None:
    assert contradictions(CODES.rows) == []


def test_codes_are_spelled_as_lookups_spell_them() -> None:
    for row in CODES.rows:
        if not row.code.endswith("*") and ".." not in row.code:
            assert normal_code(row.system, row.code) == row.code


def test_every_system_is_its_own_preferred_spelling() -> None:
    for row in CODES.rows:
        assert CODES.system(row.system) == row.system
        for spelling in CODES.spellings(row.system):
            assert CODES.system(spelling) == row.system


def test_roles_overlap_only_where_it_is_meant() -> None:
    for system, code in {(row.system, row.code) for row in CODES.rows if ".." not in row.code}:
        roles = {role for role in CODES.roles(system, code.rstrip("*")) if not role.startswith("ga_weeks_")}
        for pair in combinations(sorted(roles), 2):
            assert frozenset(pair) in OVERLAPS, (system, code, pair)


def test_no_descriptor_of_the_owner_of_cpt() -> None:
    """CPT rows are named in words of ours: a few, shared by many codes, and none of the owner's phrases."""
    labels = {row.label for row in CODES.rows if row.system == CPT}
    assert len(labels) <= 11
    owners = re.compile(r"electroencephalogram|recording|monitoring|technologist|physician|including|minutes", re.I)
    assert not [label for label in labels if owners.search(label)]


def test_the_set_has_one_version_for_one_content() -> None:
    """A changed row needs a new SET_VERSION: then renew the hash here."""
    assert CODES.version == f"{SET_VERSION}+{KNOWN_HASH}"


def test_cohort_pairs_are_exact_codes() -> None:
    pairs = CODES.pairs("iess_definite", "iess_ambiguous", "iess_probable", "iess_late_onset")
    assert (ICD_10_CM, "G40.822") in pairs
    assert (ICD_10_CM, "G40.42") not in pairs
    assert not [code for _, code in pairs if code.endswith("*")]


def test_searches_ask_for_every_spelling() -> None:
    found = CODES.search_pairs("iess_definite")
    for form in ("G40.822", "G40822", "g40.822", "g40822"):
        assert (ICD_10_CM, form) in found
        assert ("urn:oid:2.16.840.1.113883.6.90", form) in found
    assert ("http://snomed.info/sct", "28055006") in found
    assert found == sorted(set(found))
    assert all("iess_definite" in CODES.roles(system, code) for system, code in found)


@pytest.mark.parametrize(
    ("system", "code", "role"),
    [
        ("http://hl7.org/fhir/sid/icd-10-cm|2024", "G40.822", "iess_definite"),
        ("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "J0801", "drug_acth"),
        ("2.16.840.1.113883.6.96", "28055006", "iess_definite"),
        ("URN:OID:2.16.840.1.113883.6.90", "g40824", "iess_definite"),
        ("http://nucc.org/provider-taxonomy", "2084n0402x", "specialty_neurology"),
        ("http://www.orpha.net", "ORPHA:697160", "iess_definite"),
    ],
)
def test_spellings_of_systems(system: str, code: str, role: str) -> None:
    assert role in CODES.roles(system, code)


def test_the_longest_family_decides() -> None:
    sopt = "https://nahdo.org/sopt"
    assert CODES.roles(sopt, "3119") == {"payer_military"}
    assert CODES.roles(sopt, "3712") == {"payer_public"}
    assert CODES.roles(sopt, "35") == {"payer_public"}
    assert CODES.roles(sopt, "391") == {"payer_private"}


def test_a_code_in_its_time() -> None:
    assert CODES.valid_on(CPT, "95951", date(2019, 12, 31))
    assert not CODES.valid_on(CPT, "95951", date(2020, 1, 1))
    assert not CODES.valid_on(CPT, "95711", date(2019, 12, 31))


# A site's own rows -----------------------------------------------------------------------------------------------


def _local(folder: Path, *lines: str) -> Path:
    path = folder / "local.csv"
    path.write_text("\n".join(["system,code,label,role", *lines]) + "\n", encoding="utf-8")
    return path


def test_a_site_adds_and_withdraws_codes(tmp_path: Path) -> None:
    local = codes.load(
        _local(
            tmp_path,
            "https://fhir.example.org/codeSet/200,4711,Our neurology referral,referral_neurology",
            "urn:oid:2.16.840.1.113883.6.90,g40803,Not ambiguous here,-",
            "http://www.nlm.nih.gov/research/umls/rxnorm,35873,Stiripentol,drug_stiripentol",
        )
    )
    assert local.roles("https://fhir.example.org/codeSet/200", "4711") == {"referral_neurology"}
    assert "iess_ambiguous" not in local.roles(ICD_10_CM, "G40.803")
    assert "iess_ambiguous" in CODES.roles(ICD_10_CM, "G40.803")
    assert local.roles("http://www.nlm.nih.gov/research/umls/rxnorm", "35873") == {"drug_stiripentol"}
    assert local.version != CODES.version


def test_a_site_withdraws_one_code_of_a_family(tmp_path: Path) -> None:
    assert CODES.roles(ICD_10_CM, "G24.1") == {"concern_a"}
    local = codes.load(_local(tmp_path, "http://hl7.org/fhir/sid/icd-10-cm,G24.1,No concern of ours,-"))
    assert local.roles(ICD_10_CM, "G24.1") == frozenset()
    assert local.roles(ICD_10_CM, "g242") == {"concern_a"}


def test_a_site_gives_a_shipped_code_another_meaning_only_once_it_is_withdrawn(tmp_path: Path) -> None:
    anew = "http://hl7.org/fhir/sid/icd-10-cm,R55,A faint is a mimic here,concern_b"
    with pytest.raises(SettingsError, match="R55 is both concern_a and concern_b"):
        codes.load(_local(tmp_path, anew))
    local = codes.load(_local(tmp_path, "http://hl7.org/fhir/sid/icd-10-cm,R55,Not ours,-", anew))
    assert local.roles(ICD_10_CM, "R55") == {"concern_b"}


@pytest.mark.parametrize(
    "rows",
    [
        ("http://x,1,One,iess_definite", "http://x,1,Two,not_iess"),
        ("http://x,1,One,drug_acth", "http://x,1,Two,drug_vigabatrin"),
        ("http://x,1,One,payer_public", "http://x,1,Two,payer_private"),
        ("http://x,1,One,specialty_neurology", "http://x,1,Two,specialty_other"),
    ],
)
def test_roles_that_contradict_each_other_are_an_error(rows: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="1 is both"):
        codes.load(_local(tmp_path, *rows))


@pytest.mark.parametrize(
    "line",
    [
        "http://x,1,Label,no_such_role",
        ",1,Label,eeg",
        "http://x,,Label,eeg",
        "http://x,1..z,Label,eeg",
        "http://loinc.org,28055006,A code of another system,iess_definite",
        "urn:oid:2.16.840.1.113883.6.96,G40.822,A code of another system,iess_definite",
        "http://hl7.org/fhir/sid/icd-10-cm,345.60,A code of another system,iess_definite",
    ],
)
def test_a_wrong_row_is_an_error_of_the_settings(line: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="row 2 of the local value set"):
        codes.load(_local(tmp_path, line))


def test_a_row_that_ends_before_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "local.csv"
    path.write_text("system,code,label,role,since,until\nhttp://x,1,L,eeg,2024-02-01,2024-01-31\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="row 2 of the local value set ends before it begins"):
        codes.load(path)


def test_a_wrong_file_is_an_error_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "local.csv"
    path.write_text("code,label\n1,x\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no column system, role"):
        codes.load(path)
    with pytest.raises(SettingsError, match="can't be read"):
        codes.load(tmp_path / "none.csv")
