"""Languages as servers write them: by the codes of ISO 639-2 (both the T and the B ones), by tags, and in words."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from fhir_mapping import codes
from fhir_mapping.assemble import infant_records
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappingSettings
from tests.fhir_mapping.case_files import as_resource

CODES = codes.load()
SETTINGS = MappingSettings(source="case", as_of=date(2024, 12, 31))
#: The list of the Library of Congress (ISO 639-2 code, then ISO 639-1 code), as far as hospitals here meet it.
THREE_LETTERS = [
    "eng",
    "en",
    "spa",
    "es",
    "por",
    "pt",
    "hat",
    "ht",
    "zho",
    "zh",
    "chi",
    "zh",
    "vie",
    "vi",
    "ara",
    "ar",
    "rus",
    "ru",
    "fra",
    "fr",
    "fre",
    "fr",
    "som",
    "so",
    "kor",
    "ko",
    "tgl",
    "tl",
    "pol",
    "pl",
    "hin",
    "hi",
    "ben",
    "bn",
    "urd",
    "ur",
    "deu",
    "de",
    "ger",
    "de",
    "ita",
    "it",
    "jpn",
    "ja",
    "khm",
    "km",
    "nep",
    "ne",
    "amh",
    "am",
    "swa",
    "sw",
    "tha",
    "th",
]
IN_WORDS = {
    "English": "en",
    "Spanish": "es",
    "Portuguese": "pt",
    "Haitian Creole": "ht",
    "Chinese": "zh",
    "Mandarin": "zh",
    "Cantonese": "zh",
    "Vietnamese": "vi",
    "Arabic": "ar",
    "Russian": "ru",
    "French": "fr",
    "Somali": "so",
    "Korean": "ko",
    "Tagalog": "tl",
    "Polish": "pl",
    "Hindi": "hi",
    "Bengali": "bn",
    "Urdu": "ur",
    "German": "de",
    "Italian": "it",
    "Spanish; Castilian": "es",
}


def language_of(told: dict[str, Any]) -> str:
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "2024-01-10", "communication": [{"language": told}]}
    case = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p"},
        "recordedDate": "2024-06-01",
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "G40.822"}]},
    }
    (record,) = infant_records([as_resource(patient), as_resource(case)])
    row = map_infant(record, SETTINGS, CODES).row
    assert row is not None
    return row.language


@pytest.mark.parametrize(("written", "tag"), list(zip(THREE_LETTERS[::2], THREE_LETTERS[1::2], strict=True)))
def test_three_letters(written: str, tag: str) -> None:
    system = "http://terminology.hl7.org/CodeSystem/iso639-2"
    assert language_of({"coding": [{"system": system, "code": written.upper()}]}) == tag


@pytest.mark.parametrize(("words", "tag"), IN_WORDS.items())
def test_in_words(words: str, tag: str) -> None:
    assert language_of({"text": words}) == tag


@pytest.mark.parametrize(
    ("written", "tag"),
    [("es-419", "es"), ("pt_BR", "pt"), ("zh-Hant-TW", "zh"), ("ase", "ase"), ("und", "unknown"), ("??", "unknown")],
)
def test_tags(written: str, tag: str) -> None:
    assert language_of({"coding": [{"system": "urn:ietf:bcp:47", "code": written}]}) == tag
