"""What of a resource its conformance can depend on: resources that are alike are judged once.

Exports repeat themselves: the tenth visit of an infant differs from the ninth in its id, its day and its number. The
models of `fhir.resources` look at the form of these and not at their value, so two resources that differ in nothing
else have the same verdict. A stand-in is put only where all texts that it replaces have one form for every type that
FHIR allows at the place: a calendar day, an instant with seconds and offset, an id, words, a plain number. All else
stays as it is, and is compared byte by byte. `tests/fhir_mapping_input/test_conformance_verdicts.py` holds that
verdicts by likeness are the verdicts of the models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

# Years that end in 0 are left out: the pattern of a year in the models is a peculiar one.
_DAY = (
    rb"(?:19|20)[0-9][1-9]-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    rb"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_CLOCK = rb"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3})?"
_OFFSET = rb"(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"
_ID = rb"[A-Za-z0-9\-.]{1,64}"
_WORDS = rb"[A-Za-z][A-Za-z ,.()'/-]{0,200}"  # nothing that JSON escapes, and no digits

_StandIn = tuple[re.Pattern[bytes], bytes]


def _reference(kind: bytes) -> _StandIn:
    return re.compile(rb'"reference":"%b/%b"' % (kind, _ID)), b'"reference":1' + kind


def _words(element: bytes) -> _StandIn:
    return re.compile(rb'"%b":"%b"' % (element, _WORDS)), b'"%b":1W' % element


#: Patterns of JSON text with their stand-ins, which no JSON can hold. Each pattern begins with a quotation mark, and
#: so with a whole string: one inside of a string has a backslash before it, and an element of that name is no
#: element of FHIR. What tells most resources alike comes first; the rest is only asked of those still unlike.
_STAND_INS: tuple[tuple[_StandIn, ...], ...] = (
    (
        (re.compile(rb'"%bT%b%b"' % (_DAY, _CLOCK, _OFFSET)), b"1T"),
        (re.compile(rb'"%b"' % _DAY), b"1D"),
        (re.compile(rb'"id":"%b"' % _ID), b'"id":1'),
        _reference(b"Patient"),
        _reference(b"Encounter"),
        _reference(b"Practitioner"),
    ),
    (
        *map(_reference, (b"Organization", b"Location", b"Condition", b"ServiceRequest", b"MedicationRequest")),
        *map(_words, (b"display", b"text", b"family", b"city")),
        (re.compile(rb'"given":\["%b"\]' % _WORDS), b'"given":1W'),
        # Identifier.value is a string and Quantity.value a number: digits after a zero, digits, and neither.
        (re.compile(rb'"value":"0[0-9]{1,20}"'), b'"value":1Z'),
        (re.compile(rb'"value":"[1-9][0-9]{0,14}"'), b'"value":1I'),
        (re.compile(rb'"value":"[0-9]{3}-[0-9-]{4,20}"'), b'"value":1P'),
        (re.compile(rb'"value":[1-9][0-9]{0,5}(?=[,}])'), b'"value":1N'),
        (re.compile(rb'"value":(?:0|[1-9][0-9]{0,5})\.[0-9]{1,6}(?=[,}])'), b'"value":1F'),
        (re.compile(rb'"subscriberId":"[A-Za-z0-9-]{1,40}"'), b'"subscriberId":1'),
        (re.compile(rb'"line":\["[A-Za-z0-9][A-Za-z0-9 ,.#\'/-]{0,200}"\]'), b'"line":1W'),
        (re.compile(rb'"postalCode":"[0-9]{5}(?:-[0-9]{4})?"'), b'"postalCode":1W'),
        # A narrative may be any text.
        (re.compile(rb'"div":"<div(?:[^"\\]|\\.)*"'), b'"div":1'),
    ),
)


def likenesses(text: bytes | None) -> Iterator[bytes]:
    """Digests of JSON text, the wider the later: resources with one in common have the same verdict."""
    if text is None:
        return
    for stage in _STAND_INS:
        for pattern, stand_in in stage:
            text = pattern.sub(stand_in, text)
        yield blake2b(text, digest_size=16).digest()
