"""One spelling for each system and code: what real records write in many ways."""

from __future__ import annotations

import re

ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_9_CM = "http://hl7.org/fhir/sid/icd-9-cm"
ICD_10_WHO = "http://hl7.org/fhir/sid/icd-10"
SNOMED_CT = "http://snomed.info/sct"
CDC_RACE = "urn:oid:2.16.840.1.113883.6.238"
MONDO = "http://purl.obolibrary.org/obo/mondo.owl"
ORPHANET = "http://www.orpha.net"
HPO = "http://human-phenotype-ontology.org"
NUCC = "http://nucc.org/provider-taxonomy"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
ICD_10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"

#: Systems whose codes carry a dot that many records leave out.
DOTTED = frozenset({ICD_10_CM, ICD_10_WHO, ICD_9_CM})
#: Systems whose codes are written in capitals, and found in both cases.
_CAPITALS = frozenset({NUCC, ICD_10_PCS, HCPCS})
_NDC_SEGMENTS = (5, 4, 2)  # labeler, product, package: the 11 digits that claims use
_PREFIXED = {MONDO: "MONDO", ORPHANET: "ORPHA", HPO: "HP"}
_DIGITS = re.compile(r"\d+")


def normal_uri(uri: str) -> str:
    """A system's URI for comparison: no version, no trailing slash, http, an OID always as `urn:oid:`; lower case."""
    text = uri.strip().partition("|")[0].rstrip("/").lower()
    if text.startswith("https://"):
        text = "http://" + text[8:]
    if text[:2] in {"1.", "2."} and text.replace(".", "").isdigit():
        text = "urn:oid:" + text
    return text


def normal_code(system: str, code: str) -> str:
    """The code as the value sets spell it. `system` is the preferred URI.

    ICD codes get their dot and capitals (`g40822` is G40.822), CDC race numbers their hyphen (`20545` is 2054-5,
    only in that system), ontology ids their prefix, drug numbers (NDC) the 11 digits of claims; all lose surrounding
    white space.
    """
    text = code.strip()
    if system in (ICD_10_CM, ICD_10_WHO):
        return _dotted(text.upper(), 3)
    if system == ICD_9_CM:
        return _dotted(text.upper(), 4 if text[:1] in "Ee" else 3)
    if system == CDC_RACE:
        return f"{text[:4]}-{text[4]}" if len(text) == 5 and text.isdigit() else text
    if system in _PREFIXED:
        digits = _DIGITS.search(text)
        return f"{_PREFIXED[system]}:{digits.group()}" if digits else text
    if system == NDC:
        return _ndc(text)
    return text.upper() if system in _CAPITALS else text


def _ndc(text: str) -> str:
    """`62559-860-11` as 62559086011: each segment padded to its width. Ten digits without hyphens stay as they are."""
    number, star, _ = text.partition("*")
    if "-" not in number:
        return text
    segments = zip(number.split("-"), _NDC_SEGMENTS, strict=False)
    return "".join(segment.zfill(width) for segment, width in segments) + star


def _dotted(text: str, head: int) -> str:
    plain = text.replace(".", "").replace(" ", "")
    return plain if len(plain) <= head else f"{plain[:head]}.{plain[head:]}"
