"""What broken senders send, through the whole path: a row, a flag or a quarantine entry; no crash, nothing dropped."""

from __future__ import annotations

import csv
import os
import tempfile
import time
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fhir_mapping.ledger import balances
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import MapReport, map_folder
from tests.fhir_mapping.test_fuzz import JUNK, mangled
from tests.fhir_mapping_input.input_folders import Json, condition, infant, of, resource, write

SETTINGS = MappingSettings("harbor", timezone="America/New_York", as_of=date(2025, 6, 30))
NEUROLOGY = {"coding": [{"system": "http://snomed.info/sct", "code": "306263000"}]}
#: How long the whole path is fuzzed, in seconds.
SECONDS = float(os.environ.get("IESS_FUZZ_SECONDS", "60"))


def mapped(folder: Path, lines: list[Any]) -> tuple[MapReport, list[dict[str, str]]]:
    """Map these lines; every one of them is accounted for."""
    write(folder / "in", "a.ndjson", lines)
    report = map_folder(folder / "in", folder / "rows.csv", SETTINGS)
    assert sum(line.received for line in report.ledger.values()) == len(lines)
    assert all(balances(line) for line in report.ledger.values())
    assert sum(line.quarantined for line in report.ledger.values()) == report.quarantined
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as stream:
        return report, list(csv.DictReader(stream))


def order(identity: str, **elements: Any) -> Json:
    return resource(
        "ServiceRequest", identity, status="active", intent="order", subject=of("p1"), code=NEUROLOGY, **elements
    )


def visit(identity: str, day: object, **elements: Any) -> Json:
    whose = {"subject": of("p1"), **elements}
    return resource("Encounter", identity, status="finished", period={"start": day}, **whose)


#: What the infant was seen for, at the visit `east`.
SPASMS = condition("seen-for", "p1", code="R25.8", encounter={"reference": "Encounter/east"})
NOISE = [{"system": "https://codes.example.org", "code": str(number)} for number in range(10_000)]
BESIDE: dict[str, list[Json]] = {
    "40 MB": [resource("DiagnosticReport", "r", subject=of("p1"), presentedForm=[{"data": "A" * 40_000_000}])],
    "10,000 codings": [
        resource("Condition", "many", subject=of("p1"), code={"coding": NOISE}),
        visit("many", "2024-06-25", type=[{"coding": NOISE}], reasonCode=[{"coding": NOISE}]),
        order("many", authoredOn="2024-07-02", reasonCode=[{"coding": NOISE}]),
    ],
    "cyclic basedOn": [
        order("a", authoredOn="2024-07-02", basedOn=[{"reference": "ServiceRequest/b"}]),
        order("b", authoredOn="2024-07-03", basedOn=[{"reference": "ServiceRequest/a"}]),
        order("self", authoredOn="2024-07-04", basedOn=[{"reference": "ServiceRequest/self"}]),
    ],
    "cyclic replaces": [
        order(f"c{n}", authoredOn="2024-07-02", replaces=[{"reference": f"ServiceRequest/c{(n + 1) % 500}"}])
        for n in range(500)
    ],
    "link loops": [
        resource("Patient", "p2", link=[{"type": "replaced-by", "other": of("p3")}]),
        resource("Patient", "p3", link=[{"type": "replaces", "other": of("p2")}, {"type": "refer", "other": of("p2")}]),
        condition("c-p2", "p2", code="G40.822", recordedDate="2024-07-01"),
    ],
    "parts of itself": [visit("w", "2024-06-26", partOf={"reference": "Encounter/w"})],
    "years 0001 and 9999": [
        visit("first", "0001-01-01", updated="0001-01-01T00:00:00+14:00"),
        visit("last", "9999-12-31T23:59:59+14:00", updated="9999-12-31T23:59:59-12:00"),
        condition("old", "p1", recordedDate="0001-01-01T00:00:00+14:00", onsetDateTime="0001"),
        condition("far", "p1", recordedDate="9999-12-31T23:59:59.999-12:00", onsetDateTime="9999-12"),
        order("never", authoredOn="0000-00-00"),
    ],
    "offsets": [visit("east", "2024-06-21T13:00:00+14:00"), visit("west", "2024-06-21T00:00:00-12:00")],
    "ids across types": [visit("p1", "2024-06-24"), condition("p1", "p1", code="R25.2"), order("p1")],
    "references": [
        visit(f"form{n}", "2024-06-27", subject=subject, participant=[{"individual": subject}], serviceProvider=subject)
        for n, subject in enumerate(
            [
                of("p1"),
                {"reference": "https://fhir.example.org/r4/Patient/p1"},
                {"reference": "Patient/p1/_history/3"},
                {"reference": "urn:uuid:p1"},
                {"reference": "#p1"},
                {"reference": "Patient?identifier=urn:mrn|1"},
                {"identifier": {"system": "urn:mrn", "value": "1"}},
                {"type": "Patient", "identifier": {"value": "1"}},
                {"display": "Baby"},
                {"reference": "Patient/nobody"},
                {"reference": "Patient/"},
                {"reference": 7},
                {"reference": ""},
            ]
        )
    ],
}


@pytest.mark.parametrize("name", BESIDE)
def test_beside_it_the_infant_has_the_row(name: str, tmp_path: Path) -> None:
    lines = [*infant(), *BESIDE[name]]
    report, rows = mapped(tmp_path, lines)
    (row,) = [row for row in rows if row["infant"] == "p1"]
    assert row["diagnosis"] == "2024-07-01"
    assert report.quarantined == (1 if name == "years 0001 and 9999" else 0)


def test_what_bad_input_says_of_the_infant(tmp_path: Path) -> None:
    """Where it can be read it counts: an order in a cycle is an order, an offset moves a day."""
    _, (cyclic,) = mapped(tmp_path / "cyclic", [*infant(), *BESIDE["cyclic basedOn"]])
    assert cyclic["referral"] == "2024-07-02"
    _, merged = mapped(tmp_path / "merged", [*infant(), *BESIDE["link loops"]])
    assert [row["infant"] for row in merged] == ["p1"]  # the others have no birth date
    ambulatory = [one | {"class": {"code": "AMB"}} for one in BESIDE["offsets"]]
    _, (offsets,) = mapped(tmp_path / "offsets", [*infant()[:2], *ambulatory, SPASMS])
    assert offsets["first_provider"] == "2024-06-20"  # 13:00 at +14:00 is the evening before in New York
    report, (distant,) = mapped(tmp_path / "distant", [*infant(), *BESIDE["years 0001 and 9999"]])
    assert {"date_before_birth", "date_after_horizon"} <= set(distant["flags"].split(";"))
    assert report.ledger["ServiceRequest"].quarantined == 1


@st.composite
def folders(draw: st.DrawFn) -> list[Any]:
    """A mangled record as lines, some of them broken, repeated, with another id or type, or inside a Bundle."""
    _, bodies = draw(mangled())
    lines: list[Any] = []
    for body in bodies:
        fate = draw(st.integers(0, 19))
        if fate == 0:
            text = orjson.dumps(_plain(body))
            text = text[: draw(st.integers(1, len(text)))].replace(b"\n", b"")
            lines.append(text if text.strip() else b"{")
        elif fate == 1:
            lines += [body, body | {"meta": {"lastUpdated": "2024-02-30T00:00:00Z", "versionId": 7}}]
        elif fate == 2:
            lines.append(body | {draw(st.sampled_from(["id", "resourceType"])): draw(st.sampled_from(JUNK))})
        elif fate == 3:
            lines.append({"resourceType": "Bundle", "entry": [{"resource": body}, draw(st.sampled_from(JUNK))]})
        else:
            lines.append(body)
    return [line if isinstance(line, bytes) else orjson.dumps(_plain(line)) for line in lines]


def _plain(body: Any) -> Any:
    """JSON has no NaN."""
    return orjson.loads(orjson.dumps(body))


@settings(
    max_examples=20,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),
)
@given(folders())
def _any_folder_is_mapped(lines: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "in", "a.ndjson", lines)
        report = map_folder(folder / "in", folder / "rows.csv", SETTINGS)
        assert sum(line.received for line in report.ledger.values()) >= len(lines)  # a Bundle and what is in it
        assert all(balances(line) for line in report.ledger.values()), report.ledger
        assert sum(line.quarantined for line in report.ledger.values()) == report.quarantined
        # Every infant of the cohort who has a Patient has a row or is counted with the reason why not.
        told = {"merged_away", "no_patient_resource"}
        without = sum(infants for reason, infants in report.excluded.items() if reason not in told)
        assert report.rows <= report.infants <= report.rows + without


@pytest.mark.slow
def test_a_minute_of_mangled_records() -> None:
    """The same records on every machine, as many as there is time for."""
    end = time.monotonic() + SECONDS
    for number in count():
        seed(number)(_any_folder_is_mapped)()
        if time.monotonic() > end:
            break
