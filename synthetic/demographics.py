"""Patient, RelatedPerson and Coverage of one infant, in R4."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from synthetic.codings import (
    CORE,
    NULL_FLAVOR,
    OMB,
    OMB_TEXT,
    PAYER_CODES,
    RACE,
    SOPT,
    US_CORE,
    coding,
    concept,
)
from synthetic.directory import reference

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.people import Person

_HISPANIC, _NOT_HISPANIC = ("2135-2", "Hispanic or Latino"), ("2186-5", "Not Hispanic or Latino")
#: What stands in the text of a race extension without codes, where it names a race.
TEXT_OF_RACE = {"nh_black": "Black", "nh_white": "White", "nh_asian": "Asian"}
_YES, _NO = ("373066001", "Yes"), ("373067005", "No")


def race_extensions(person: Person) -> list[Fhir]:
    """us-core-race and us-core-ethnicity as registration recorded them; none when it did not."""
    if person.race_record == "missing":
        return []
    if person.race_record == "text_only":
        text = TEXT_OF_RACE.get(person.race_ethnicity, "See registration form")
        return [_extension("race", [], text), _extension("ethnicity", [], text)]
    if person.race_record in ("declined", "unknown"):
        code, text = ("ASKU", "Asked but unknown") if person.race_record == "declined" else ("UNK", "Unknown")
        nothing = coding(NULL_FLAVOR, code, text)
        return [_extension("race", [nothing], text), _extension("ethnicity", [nothing], text)]
    hispanic = person.race_ethnicity == "hispanic"
    groups = [g for g in person.second_race.split("+") if g] or ([] if hispanic else [person.race_ethnicity])
    codes = [OMB[group] for group in groups]
    made = []
    if codes:
        races = [coding(RACE, code, OMB_TEXT[code]) for code in codes]
        made.append(_extension("race", races, ", ".join(OMB_TEXT[code] for code in codes)))
    code, text = _HISPANIC if hispanic else _NOT_HISPANIC
    made.append(_extension("ethnicity", [coding(RACE, code, text)], text))
    return made


def _extension(name: str, categories: list[Fhir], text: str) -> Fhir:
    parts: list[Fhir] = [{"url": "ombCategory", "valueCoding": category} for category in categories]
    return {"url": f"{US_CORE}us-core-{name}", "extension": [*parts, {"url": "text", "valueString": text}]}


def interpreter_extension(person: Person) -> Fhir | None:
    """us-core-interpreter-needed of US Core 8, which some sites already fill on Patient or Encounter."""
    if person.interpreter == "unknown":
        return None
    code, text = _YES if person.interpreter == "yes" else _NO
    return {
        "url": f"{US_CORE}us-core-interpreter-needed",
        "valueCoding": coding("http://snomed.info/sct", code, text),
    }


def interpreter_on_encounter(person: Person) -> bool:
    return person.index % 3 == 0


def write_patient(chart: Chart, person: Person, birth: date, death: date | None) -> Fhir:
    extensions = race_extensions(person)
    extensions.append({"url": f"{US_CORE}us-core-birthsex", "valueCode": "F" if person.sex == "female" else "M"})
    interpreter = interpreter_extension(person)
    if interpreter and not interpreter_on_encounter(person):
        if person.index % 3 == 1:
            interpreter = {"url": f"{CORE}patient-interpreterRequired", "valueBoolean": person.interpreter == "yes"}
        extensions.append(interpreter)
    body: dict[str, Any] = {
        "extension": extensions,
        "identifier": [
            {
                "use": "usual",
                "type": concept("http://terminology.hl7.org/CodeSystem/v2-0203", "MR"),
                "system": f"urn:oid:2.16.840.1.113883.3.9999.{person.site + 2}",
                "value": f"{person.index:08d}",
            }
        ],
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "telecom": [{"system": "phone", "value": f"555-01{person.index % 100:02d}", "use": "home"}],
        "gender": person.sex,
        "birthDate": birth.isoformat(),
        "address": [
            {
                "use": "home",
                "line": [f"{person.index % 900 + 1} Main Street"],
                "city": "Springfield",
                "state": "MA",
                "postalCode": f"0{1000 + person.index * 37 % 1700}",
                "country": "US",
                "period": {"start": birth.isoformat()},
            }
        ],
    }
    if person.language != "unknown":
        tag = {"en": "en-US", "es": "es-MX"}.get(person.language) if person.index % 4 == 0 else None
        spoken = concept("urn:ietf:bcp:47", tag or person.language)
        body["communication"] = [{"language": spoken, "preferred": True}]
        if person.language != "en":
            body["language"] = "en"  # of the resource, not of the family
            if person.index % 2:
                body["communication"].insert(0, {"language": concept("urn:ietf:bcp:47", "en"), "preferred": False})
    if death:
        body["deceasedDateTime"] = death.isoformat()
    return chart.add("Patient", birth, body, "us-core-patient", changed=death)


def write_mother(chart: Chart, person: Person, birth: date) -> None:
    body: Fhir = {
        "extension": race_extensions(person),
        "active": True,
        "patient": chart.subject,
        "relationship": [concept("http://terminology.hl7.org/CodeSystem/v3-RoleCode", "MTH", "mother")],
        "name": [{"family": person.family, "given": [person.mother]}],
    }
    if not body["extension"]:
        del body["extension"]
    chart.add("RelatedPerson", birth, body, "us-core-relatedperson")


def write_coverage(
    chart: Chart, person: Person, birth: date, draw: Random, *, second: bool = False, waiver_from: date | None = None
) -> None:
    """Coverage from birth on; `second` adds Medicaid behind a private plan, `waiver_from` replaces the private plan."""
    if person.payer == "unknown":
        return
    ends = waiver_from if waiver_from and person.payer == "private" and waiver_from <= chart.stop else None
    code = draw.choice(PAYER_CODES[person.payer])
    _coverage(chart, code, person.payer, birth, birth, ends, order=1)
    if person.payer == "private" and second:
        _coverage(chart, "21", "public", birth, birth, None, order=2)
    if ends:
        _coverage(chart, "29", "public", ends, ends, None, order=1)


def _coverage(chart: Chart, code: str, payer: str, written: date, start: date, end: date | None, order: int) -> None:
    period = {"start": start.isoformat()}
    if end:
        period["end"] = (end - timedelta(days=1)).isoformat()
    body: Fhir = {
        "status": "active",
        "type": concept(SOPT, code),
        "subscriberId": f"M{chart.patient_id}-{code}",
        "beneficiary": chart.subject,
        "relationship": concept("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "child"),
        "period": period,
        "payor": [reference("Organization", chart.prefix, f"payer-{payer.replace('_', '-')}")],
        "order": order,
    }
    chart.add("Coverage", written, body, "us-core-coverage", changed=end)
