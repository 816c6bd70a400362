"""Lines of every kind that readers may disagree on, drawn with a seed: what the exact reading says of them is right."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.fhir_mapping_input.input_folders import ICD

KINDS = (
    *("Patient", "Condition", "Encounter", "Coverage", "Appointment", "PractitionerRole", "Observation"),
    *("Foo", "Practitioner", "Bundle"),
)
IDS = ("1", "2", "3", "a-b", "é")
ODD_IDS = ('q"', "x\u2028y", "", 5, None, {"a": 1})
REFERENCES = (
    *("Patient/{}", "Patient/{}", "Patient/{}", "https://x.org/fhir/Patient/{}", "Patient/{}/_history/1"),
    *("urn:uuid:{}", "Patient/{} ", "Group/{}", "Patient/{}?x", "#p"),
)
UPDATED = (
    *("2024-01-01T00:00:00Z", "2024-01-01T05:00:00+06:00", "2024-01-01T00:00:00.1234567Z", "2025-02-03"),
    *("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00", "2024-06-30T23:59:60Z", "2024-02-30", "2024-13-01"),
    *("2025-03-01 10:00:00", "20260101", "2024-01-01T00:00Z", "2024-01-01T24:00:00Z", "2027-01-01T00:00:00+18:00"),
    *("x", 7),
)
TEXTS = ("infantile spasm", "infantile\u00a0spasms", "infantile\tspasms", "West's syndrome", "IESS", "élIESS", "cough")
CODES = ("G40.822", "G40.409", "R56.9", "J05.0", " G40.822 ")
#: No double, no text that UTF-8 can hold, and what only looks like the end of an object.
VALUES = (1e400, float("nan"), 1e300, 10**400, "\ud800", "\U0001f600", "a}b", "} {", "x\x01")
SIGNS = "{}[],:\"'\\ 0eE\x0b\ufeff\u2028\x85"
JUNK = (
    *(b"", b" ", b"\t\x0b", b"\xff", b"\x00", b"[]", b'"x"', b"null", b"{}", b"{", b"\xe2\x80\xa8", b"\xc2\x85"),
    *(b"\xef\xbb\xbf", b'{"resourceType":"Patient"}', b"[" * 2000, b'{"a":' * 1500 + b"1" + b"}" * 1500),
)


def lines(draw: Random, count: int) -> list[bytes]:
    """So many lines: half of them whole resources, the others spoilt in one way or another."""
    return [_line(draw).replace(b"\n", b" ") for _ in range(count)]


def _line(draw: Random) -> bytes:
    text, kind = json.dumps(_resource(draw), ensure_ascii=draw.random() < 0.7), draw.random()
    if kind > 0.9:
        return draw.choice(JUNK)
    if kind > 0.8:
        text = draw.choice(_repeated(text))
    elif kind > 0.55:
        text = _mistyped(draw, text)
    return text.encode("utf-8", "surrogatepass")


def _repeated(text: str) -> tuple[str, ...]:
    return (
        *(f"{text},{text}", text + text, f"{text}]", f"{text}}}", f"{text} x}}", f"{text}]}}", f"{text[:-1]},}}"),
        *(f"[{text}]", f"{text}\r", f" {text}\t", f"\x0b{text}", f"\ufeff{text}", f"{text}//x}}", f"/*c*/{text}"),
        *(f'{text},{{"id":"end"}}', text.replace('"id"', '"ID"'), text.replace('"id"', '"i\\u0064"')),
        f'{text[:-1]},"id":"1"}}',
    )


def _mistyped(draw: Random, text: str) -> str:
    signs = list(text)
    for _ in range(draw.choice((1, 1, 2))):
        place, what = draw.randrange(len(signs)), draw.random()
        signs[place : place + (what > 0.35)] = [] if what > 0.7 else [draw.choice(SIGNS)]
    return "".join(signs)


def _resource(draw: Random) -> dict[str, Any]:
    kind = draw.choice(KINDS) if draw.random() < 0.97 else draw.choice((5, None, ["Patient"], ""))
    body: dict[str, Any] = {"resourceType": kind, "id": draw.choice(IDS if draw.random() < 0.85 else ODD_IDS)}
    if draw.random() < 0.5:
        meta = {"lastUpdated": draw.choice(UPDATED), "versionId": draw.choice("123")}
        body["meta"] = meta if draw.random() < 0.9 else draw.choice(("x", None, [1], 5))
    for name in ("subject", "patient", "beneficiary", "for"):
        if draw.random() < (0.8 if name == "subject" else 0.2):
            body[name] = _reference(draw)
    if kind == "Condition":
        coded = {"coding": [{"system": ICD, "code": draw.choice(CODES)}]}
        body["code"] = draw.choice((coded, {"text": draw.choice(TEXTS)}, "infantile spasm"))
    if kind == "Patient":
        body["identifier"] = [{"system": "s", "value": draw.choice("123")}]
        if draw.random() < 0.3:
            body["link"] = [{"type": "replaced-by", "other": {"reference": f"Patient/{draw.choice('123')}"}}]
    if draw.random() < 0.1:
        body["n"] = draw.choice(VALUES)
    return body


def _reference(draw: Random) -> Any:
    kind = draw.random()
    if kind < 0.7:
        return {"reference": draw.choice(REFERENCES).format(draw.choice("123"))}
    if kind < 0.85:
        return {"identifier": {"system": "s", "value": draw.choice("123")}}
    return draw.choice(("Patient/1", None, 5, [{"reference": "Patient/1"}], {"reference": 5}, {}))
