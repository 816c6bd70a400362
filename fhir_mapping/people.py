"""Who the infant is: race and ethnicity, language, interpreter, sex, and the caregivers' race (clinical.md 1.8)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhir_mapping.elements import Unreadable, date_at, extensions, obj, objs, text
from fhir_mapping.observations import interpreter_answers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhir_mapping.chart import Chart
    from fhir_mapping.dates import DateRange
    from fhir_mapping.elements import Json
    from fhir_mapping.model import RaceStandard, Resource

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
INTERPRETER_REQUIRED = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
RACES = ("aian", "asian", "black", "nhopi", "white", "other")
#: Text that names a category; used only when the site asks for it (`race_text`), and counted in any case (G32).
_RACE_TEXT = (
    ("aian", re.compile(r"american indian|alaska native", re.I)),
    ("nhopi", re.compile(r"hawaiian|pacific islander", re.I)),
    ("black", re.compile(r"\bblack\b|african american", re.I)),
    ("asian", re.compile(r"\basian\b", re.I)),
    ("white", re.compile(r"\bwhite\b|caucasian", re.I)),
)
_HISPANIC_TEXT = re.compile(r"hispanic|latin[oax]", re.I)
_NOT_HISPANIC_TEXT = re.compile(r"\b(?:not|non)[\s-]+(?:hispanic|latin[oax])", re.I)
_SEXES = frozenset({"male", "female", "other"})
_ISO_639_2 = {
    "eng": "en", "spa": "es", "por": "pt", "hat": "ht", "zho": "zh", "chi": "zh", "vie": "vi", "ara": "ar", "rus": "ru",
    "fra": "fr", "fre": "fr", "som": "so", "kor": "ko", "tgl": "tl", "pol": "pl", "hin": "hi", "ben": "bn", "urd": "ur",
    "deu": "de", "ger": "de", "ita": "it", "jpn": "ja", "khm": "km", "nep": "ne", "amh": "am", "swa": "sw", "tha": "th",
}  # fmt: skip
_LANGUAGE_TEXT = {
    "english": "en", "spanish": "es", "portuguese": "pt", "haitian creole": "ht", "chinese": "zh", "mandarin": "zh",
    "cantonese": "zh", "vietnamese": "vi", "arabic": "ar", "russian": "ru", "french": "fr", "somali": "so",
    "korean": "ko",
    "tagalog": "tl", "polish": "pl", "hindi": "hi", "bengali": "bn", "urdu": "ur", "german": "de", "italian": "it",
    "japanese": "ja", "khmer": "km", "nepali": "ne", "amharic": "am", "swahili": "sw", "thai": "th",
}  # fmt: skip
_NO_LANGUAGE = frozenset({"und", "unk", "zxx", "mul", "mis"})
_SUBTAG = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True)
class Identity:
    """Race and ethnicity as recorded: every category chosen, and what was said in their stead."""

    races: frozenset[str] = frozenset()  # of RACES
    mena: bool = False  # Middle Eastern or North African, of the 2024 standard (SPD-15)
    hispanic: bool | None = None
    asked: bool = False  # asked, and not answered
    null: bool = False  # recorded as unknown
    null_ethnicity: bool = False
    text_mappable: bool = False
    null_with_value: bool = False  # breaks us-core-23
    resource: Resource | None = field(default=None, repr=False)

    @property
    def known(self) -> bool:
        return bool(self.races) or self.hispanic is not None or self.mena

    @property
    def category(self) -> str:
        """Mutually exclusive, by the 1997 categories."""
        return _exclusive(self, [race for race in RACES if race in self.races])

    @property
    def spd15(self) -> str:
        """Mutually exclusive, by the 2024 standard: MENA apart from White."""
        races = [race for race in RACES if race in self.races and not (race == "white" and self.mena)]
        return _exclusive(self, [*races, "mena"] if self.mena else races)

    def by(self, standard: RaceStandard) -> str:
        return self.spd15 if standard == "spd15" else self.category

    @property
    def bipoc(self) -> str:
        """Against White and not Hispanic, as Abath 2024 did; unknown is neither."""
        if self.hispanic or self.races - {"white"}:
            return "yes"
        return "no" if self.category == "nh_white" else "unknown"

    @property
    def alone_or_in_combination(self) -> str:
        """Every category chosen, for counts that add up to more than the infants."""
        chosen = [race for race in RACES if race in self.races]
        return "+".join([*(["hispanic"] if self.hispanic else []), *chosen, *(["mena"] if self.mena else [])])


def _exclusive(identity: Identity, races: Sequence[str]) -> str:
    if identity.hispanic:
        return "hispanic"
    if not races:
        return "declined" if identity.asked else "unknown"
    if identity.null_ethnicity and identity.hispanic is None:
        # Recorded as unknown whether Hispanic: no "not Hispanic" category can be claimed.
        return "unknown"
    return f"nh_{races[0]}" if len(races) == 1 else "nh_multiracial"


def identity_of(resource: Resource, chart: Chart) -> Identity:
    """US Core race and ethnicity of a Patient or RelatedPerson. A missing ethnicity is not a Hispanic one (flagged)."""
    race_roles, race_text = _extension(resource.body, "us-core-race", chart)
    ethnicity_roles, ethnicity_text = _extension(resource.body, "us-core-ethnicity", chart)
    races = {role.removeprefix("race_") for role in race_roles if role.startswith("race_")}
    mena = "mena" in races
    races.discard("mena")
    hispanic = _hispanic(ethnicity_roles | race_roles)
    nulls = {"null_asked", "null_unknown"}
    mappable = not races and any(pattern.search(race_text) for _, pattern in _RACE_TEXT)
    if chart.settings.race_text:
        races |= {name for name, pattern in _RACE_TEXT if mappable and pattern.search(race_text)}
        if hispanic is None and ethnicity_text:
            hispanic = _hispanic_text(ethnicity_text)
    return Identity(
        frozenset(races),
        mena,
        hispanic,
        "null_asked" in race_roles,
        "null_unknown" in race_roles,
        bool(ethnicity_roles & nulls) and hispanic is None,
        mappable,
        bool(race_roles & nulls) and bool(races),
        resource,
    )


def _hispanic(roles: frozenset[str]) -> bool | None:
    if "ethnicity_hispanic" in roles:
        return True
    return False if "ethnicity_not_hispanic" in roles else None


def _hispanic_text(words: str) -> bool | None:
    if _NOT_HISPANIC_TEXT.search(words):
        return False
    return True if _HISPANIC_TEXT.search(words) else None


def _extension(body: Json, name: str, chart: Chart) -> tuple[frozenset[str], str]:
    """(roles of every ombCategory and detailed coding, text)."""
    roles: set[str] = set()
    words: list[str] = []
    for extension in extensions(body, f"{US_CORE}/{name}"):
        for part in objs(extension.get("extension")):
            coding = obj(part.get("valueCoding"))
            roles |= chart.codes.roles(text(coding.get("system")), text(coding.get("code")))
            words.append(text(part.get("valueString")))
    return frozenset(roles), " ".join(words)


def infant_identity(chart: Chart) -> Identity:
    """The surviving patient's, or the first of the merged records that tells."""
    found = [identity_of(patient, chart) for patient in chart.patients]
    identity = next((item for item in found if item.known), next((item for item in found if item.asked), found[0]))
    if identity.text_mappable:
        chart.flags.add("race_text_mappable")
    if identity.null_with_value:
        chart.flags.add("race_null_with_value")
    if identity.races and identity.hispanic is None and not identity.null_ethnicity:
        chart.flags.add("ethnicity_missing")
    return identity


def caregiver_identity(chart: Chart) -> Identity | None:
    """The caregivers' race, taken together: any BIPOC caregiver makes them so (clinical.md G31). None when not told."""
    found = [
        item
        for person in chart.record.of("RelatedPerson")
        if person.body.get("active") is not False
        for item in [identity_of(person, chart)]
        if item.known
    ]
    if not found:
        return None
    return Identity(
        frozenset().union(*(item.races for item in found)),
        any(item.mena for item in found),
        True if any(item.hispanic for item in found) else found[0].hispanic,
        resource=found[0].resource,
    )


def caregiver_bipoc(chart: Chart) -> str:
    """yes when any caregiver is BIPOC, no when all that are told are White and not Hispanic, else unknown."""
    told = {
        identity_of(person, chart).bipoc
        for person in chart.record.of("RelatedPerson")
        if person.body.get("active") is not False
    } - {"unknown"}
    return "yes" if "yes" in told else ("no" if told else "unknown")


# Language ------------------------------------------------------------------------------------------------------


def language_of(chart: Chart) -> str:
    """The preferred language's primary subtag. One language without a preference counts; several tell nothing.

    `Patient.language` is the language of the record, and is never read (G39).
    """
    for patient in chart.patients:
        spoken = objs(patient.body.get("communication"))
        preferred = [item for item in spoken if item.get("preferred") is True]
        tags = [_tag(obj(item.get("language"))) for item in preferred or spoken]
        readable = [tag for tag in tags if tag]
        if readable and (preferred or len(set(tags)) == 1):  # en and en-US are one language
            return readable[0]
        if len(spoken) > 1 and not preferred:
            chart.flags.add("language_ambiguous")
    return "unknown"


def _tag(concept: Json) -> str | None:
    for coding in objs(concept.get("coding")):
        tag = re.split(r"[-_]", text(coding.get("code")).lower())[0]
        if _SUBTAG.fullmatch(tag) and tag not in _NO_LANGUAGE:
            return _ISO_639_2.get(tag, tag)
    words = text(concept.get("text")).lower()
    return _LANGUAGE_TEXT.get(words) or _LANGUAGE_TEXT.get(words.split(";")[0].strip())


def interpreter_of(chart: Chart, visits: Iterable[Resource]) -> str:
    """Whether an interpreter is needed: by the Patient, else by any visit or Observation (yes before no)."""
    said = [answer for patient in chart.patients for answer in _interpreter(patient, chart)]
    said = said or [answer for visit in visits for answer in _interpreter(visit, chart)] + interpreter_answers(chart)
    return "yes" if "yes" in said else ("no" if "no" in said else "unknown")


def _interpreter(resource: Resource, chart: Chart) -> list[str]:
    answers: list[str] = []
    for extension in extensions(resource.body, f"{US_CORE}/us-core-interpreter-needed"):
        coding = obj(extension.get("valueCoding"))
        roles = chart.codes.roles(text(coding.get("system")), text(coding.get("code")))
        answers += [role.removeprefix("interpreter_") for role in roles if role.startswith("interpreter_")]
    for extension in extensions(resource.body, INTERPRETER_REQUIRED):
        if isinstance(extension.get("valueBoolean"), bool):
            answers.append("yes" if extension["valueBoolean"] else "no")
    return answers


def sex_of(chart: Chart) -> str:
    """Patient.gender when it is one of the administrative genders, else unknown."""
    for patient in chart.patients:
        said = text(patient.body.get("gender")).lower()
        if said in _SEXES:
            return said
    return "unknown"


def address_holds(address: Json, day: DateRange, timezone: str) -> bool:
    """Whether an address was in use on a day, by its period; an unreadable period doesn't hold."""
    period = obj(address.get("period"))
    try:
        start = date_at(period.get("start"), "Patient.address.period.start", timezone)
        end = date_at(period.get("end"), "Patient.address.period.end", timezone)
    except Unreadable:
        return False
    return (start is None or start.low <= day.high) and (end is None or day.low <= end.high)
