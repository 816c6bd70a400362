"""Every line is accounted for once, whatever it is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fhir_mapping.codes import load
from fhir_mapping.ledger import balances
from fhir_mapping.model import LedgerLine, MappingSettings
from fhir_mapping.select import Selection, find_files, select
from fhir_source.errors import UnreadableInput
from tests.fhir_mapping_input.input_folders import concept, condition, infant, of, resource, write


def selected(folder: Path, **options: Any) -> Selection:
    selection = select(find_files(folder), MappingSettings("site"), load(), **options)
    assert all(balances(line) for line in selection.ledger.values()), selection.ledger
    assert select(find_files(folder), MappingSettings("site"), load(), typed_from=1, **options) == selection
    return selection


BAD_LINES = {
    b"{broken": "not_json",
    b'{"resourceType": "Patient", "id": "x"': "not_json",
    b"plain text": "not_json",
    b"\x00\x00": "not_json",
    b'{"resourceType": "Patient", "id": "a\x00b"}': "not_json",
    b'{"resourceType": "Patient", "id": "x", "name": "\xff"}': "not_utf8",
    b'{"resourceType": "Patient", "id": "x", "name": "\\ud800"}': "not_json",
    b"[1, 2]": "not_an_object",
    b"17": "not_an_object",
    b"null": "not_an_object",
    b"{}": "no_resource_type",
    b'{"id": "x"}': "no_resource_type",
    b'{"resourceType": 5, "id": "x"}': "no_resource_type",
    b'{"resourceType": "Pateint", "id": "x"}': "unknown_type",
    b'{"resourceType": "Patient"}': "no_id",
    b'{"resourceType": "Observation"}': "no_id",
    b'{"resourceType": "Patient", "id": ""}': "no_id",
    b'{"resourceType": "Patient", "id": 5}': "no_id",
    b'{"resourceType": "Patient", "id": null}': "no_id",
}


def test_each_bad_line_is_quarantined_with_its_number_and_reason(tmp_path: Path) -> None:
    good = infant()
    write(tmp_path, "bad.ndjson", [good[0], *BAD_LINES, b"", b"  ", *good[1:]])
    selection = selected(tmp_path)
    found = [(entry.line, entry.reason) for entry in selection.quarantined]
    assert found == [(number, reason) for number, reason in enumerate(BAD_LINES.values(), start=2)]
    assert all(entry.file == "bad.ndjson" for entry in selection.quarantined)
    assert sum(line.received for line in selection.ledger.values()) == len(BAD_LINES) + 3
    assert selection.ledger["unknown"] == LedgerLine(received=14, quarantined=14)
    assert selection.ledger["Patient"] == LedgerLine(received=5, in_scope=1, quarantined=4)
    assert selection.infants == {"p1"}
    assert [resource.line for resource in selection.resources] == [23, 24, 1]


def test_no_value_of_a_bad_line_is_repeated(tmp_path: Path) -> None:
    write(tmp_path, "bad.ndjson", [b'{"resourceType": "Janedoe", "id": "x"}', b"Jane Doe born 2024-01-01"])
    for entry in selected(tmp_path).quarantined:
        assert "ane" not in entry.message
        assert "2024" not in entry.message


def test_deep_nesting_is_quarantined(tmp_path: Path) -> None:
    deep = b'{"resourceType":"Patient","id":"p1","x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    write(tmp_path, "a.ndjson", [deep, *infant()[1:]])
    (entry,) = selected(tmp_path).quarantined
    assert (entry.line, entry.reason) == (1, "too_deep")


@pytest.mark.parametrize(
    "line",
    [
        b'{"resourceType":"Encounter","id":"z","subject":{"reference":"Patient/p1"},}',
        b'{"resourceType":"Encounter","id":"z","subject":{"reference":"Patient/p1"},"n":NaN}',
    ],
)
def test_what_only_duckdb_takes_for_json_is_refused_when_selected(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, "a.ndjson", [*infant(), line])
    assert [(entry.line, entry.reason) for entry in selected(tmp_path).quarantined] == [(4, "not_json")]


def test_byte_order_mark_windows_ends_and_missing_last_end(tmp_path: Path) -> None:
    lines = [json.dumps(item).encode() for item in infant()]
    (tmp_path / "a.ndjson").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
    selection = selected(tmp_path)
    assert [(resource.type, resource.line) for resource in selection.resources] == [
        ("Condition", 2),
        ("Encounter", 3),
        ("Patient", 1),
    ]


def test_same_id_in_different_types_and_files(tmp_path: Path) -> None:
    write(tmp_path, "b/one.ndjson", [resource("Patient", "1")])
    write(tmp_path, "a/two.jsonl.gz", [condition("1", "1"), resource("Encounter", "1", subject=of("1"))])
    selection = selected(tmp_path)
    assert [resource.reference for resource in selection.resources] == ["Condition/1", "Encounter/1", "Patient/1"]
    assert [resource.file for resource in selection.resources] == ["a/two.jsonl.gz", "a/two.jsonl.gz", "b/one.ndjson"]


VERSIONS = [
    ({"updated": "2024-01-02T00:00:00Z"}, {"updated": "2024-01-01T23:00:00-05:00"}, 1),  # an instant, not a text
    ({"updated": "2024-01-02T00:00:00Z"}, {"updated": "2024-01-01T00:00:00Z"}, 0),
    ({"version": "10"}, {"version": "9"}, 0),  # a number, not a text
    ({"version": "x"}, {"version": "w"}, 1),  # not numbers: the later one
    ({"updated": "2024-01-02T00:00:00Z", "version": "1"}, {"version": "2"}, 0),
    ({}, {}, 1),
]


@pytest.mark.parametrize(("first", "second", "newest"), VERSIONS)
def test_the_newest_version_wins(tmp_path: Path, first: dict[str, Any], second: dict[str, Any], newest: int) -> None:
    versions = [
        resource("Encounter", "v", subject=of("p1"), priority={"text": str(number)}, **meta)
        for number, meta in enumerate((first, second))
    ]
    write(tmp_path, "a.ndjson", [*infant(), *versions])
    selection = selected(tmp_path)
    (kept,) = [one for one in selection.resources if one.id == "v"]
    assert kept.body["priority"]["text"] == str(newest)
    assert selection.ledger["Encounter"].superseded == 1


def test_identical_copies_are_superseded_inside_and_outside_the_cohort(tmp_path: Path) -> None:
    write(tmp_path, "a.ndjson", [*infant(), *infant(), resource("Patient", "x"), resource("Patient", "x")])
    ledger = selected(tmp_path).ledger
    assert ledger["Patient"] == LedgerLine(received=4, in_scope=1, out_of_scope=1, superseded=2)
    assert ledger["Condition"] == LedgerLine(received=2, in_scope=1, superseded=1)


def test_only_the_newest_version_of_a_diagnosis_selects(tmp_path: Path) -> None:
    corrected = condition("c-p1", "p1", "J05.0", updated="2024-08-01T00:00:00Z")
    write(tmp_path, "a.ndjson", [*infant(), corrected])
    selection = selected(tmp_path)
    assert selection.infants == frozenset()
    assert selection.ledger["Condition"] == LedgerLine(received=2, out_of_scope=1, superseded=1)


def deleting(*urls: str, **meta: str) -> dict[str, Any]:
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries, **({"meta": meta} if meta else {})}


def test_deleted_resources_are_gone(tmp_path: Path) -> None:
    visit = resource("Encounter", "v", subject=of("p1"), updated="2024-01-01T00:00:00Z")
    write(tmp_path, "a.ndjson", [*infant(), visit, resource("Encounter", "x")])
    write(tmp_path, "deleted/d.ndjson", [deleting("Encounter/v", "Encounter/x", "Condition/elsewhere")])
    selection = selected(tmp_path)
    assert "v" not in {one.id for one in selection.resources}
    assert selection.deleted == [("Condition", "elsewhere"), ("Encounter", "v"), ("Encounter", "x")]
    assert selection.ledger["Encounter"] == LedgerLine(received=3, in_scope=1, deleted=2)
    assert selection.ledger["Bundle"] == LedgerLine(received=1, deleted=1)


def test_a_resource_made_again_after_its_deletion_stays(tmp_path: Path) -> None:
    again = resource("Encounter", "v", subject=of("p1"), updated="2024-03-01T00:00:00Z")
    write(tmp_path, "a.ndjson", [*infant(), again, deleting("Encounter/v", lastUpdated="2024-02-01T00:00:00Z")])
    selection = selected(tmp_path)
    assert "v" in {one.id for one in selection.resources}
    assert selection.deleted == []


def test_bundles_and_single_resources_are_read_too(tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [{"fullUrl": f"urn:uuid:{body['id']}", "resource": body} for body in infant()]
    del entries[2]["resource"]["id"]  # a transaction's resource is known by its fullUrl
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (tmp_path / "bundle.json").write_text(json.dumps(bundle, indent=2))
    (tmp_path / "one.json").write_text(json.dumps(resource("Coverage", "v", beneficiary=of("p1")), indent=1))
    selection = selected(tmp_path)
    assert [one.reference for one in selection.resources] == [
        "Condition/c-p1",
        "Coverage/v",
        "Encounter/e-p1",
        "Patient/p1",
    ]
    assert selection.ledger["Bundle"] == LedgerLine(received=1, out_of_scope=1)


def test_empty_files_are_fine_and_empty_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").write_bytes(b"")
    (tmp_path / "empty.ndjson.gz").write_bytes(gzip.compress(b""))
    assert selected(tmp_path).resources == []
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UnreadableInput, match="nothing to read"):
        find_files(tmp_path / "nothing")
    with pytest.raises(UnreadableInput, match="no such folder"):
        find_files(tmp_path / "missing")


@pytest.mark.parametrize("typed_from", [1, 10**9])
def test_a_truncated_gzip_file_stops_the_run(tmp_path: Path, typed_from: int) -> None:
    path = write(tmp_path, "a.ndjson.gz", [*infant(), *(resource("Patient", f"q{n}") for n in range(500))])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UnreadableInput, match="cut short") as caught:
        select(find_files(tmp_path), MappingSettings("site"), load(), typed_from=typed_from)
    assert caught.value.file == "a.ndjson.gz"


def test_a_resource_of_forty_megabytes_and_ten_thousand_codings(tmp_path: Path) -> None:
    noise = [{"system": "urn:x", "code": str(number)} for number in range(10_000)]
    many = resource("Condition", "c1", subject=of("p1"), code={"coding": [*noise, *concept("G40.822")["coding"]]})
    large = resource("DiagnosticReport", "r", subject=of("p1"), presentedForm=[{"data": "A" * 40_000_000}])
    write(tmp_path, "a.ndjson", [resource("Patient", "p1"), many, large])
    selection = selected(tmp_path)
    assert [one.reference for one in selection.resources] == ["Condition/c1", "DiagnosticReport/r", "Patient/p1"]


def test_numbers_out_of_range_are_quarantined_and_empty_arrays_are_not(tmp_path: Path) -> None:
    line = b'{"resourceType":"Coverage","id":"%s","beneficiary":{"reference":"Patient/p1"},"extension":[],"order":%s}'
    numbers = {b"huge": b"9" * 400, b"infinite": b"1e999", b"large": b"9" * 30, b"small": b"-1e-999"}
    write(tmp_path, "a.ndjson", [*infant(), *(line % number for number in numbers.items())])
    selection = selected(tmp_path)
    assert [one.id for one in selection.resources if one.type == "Coverage"] == ["large", "small"]
    assert [(entry.line, entry.reason) for entry in selection.quarantined] == [(4, "not_json"), (5, "not_json")]
