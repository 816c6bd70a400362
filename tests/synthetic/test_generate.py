"""Cohorts on disk: same options, same bytes; FHIR that the models accept; dirt that is counted; memory that stays."""

from __future__ import annotations

import csv
import gzip
import hashlib
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from fhir_source.errors import SettingsError
from synthetic.generate import SynthReport, generate, infants
from synthetic.options import Dirt, Site, SynthOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_source.source import FhirVersion
    from synthetic.options import Style, Width

TWO_SITES = (Site("harbor", "America/New_York"), Site("mesa", "America/Denver", share=0.5))
SMALL = SynthOptions(infants=240, iess_share=0.5, seed=7, sites=TWO_SITES)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _resources(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*/*.ndjson")):
        for line in path.read_bytes().splitlines():
            yield orjson.loads(line)


def test_same_options_same_bytes(tmp_path: Path) -> None:
    options = replace(SMALL, compress=True, dirt=Dirt(0.01, 0.01, 0.01, 0.05, 0.1, 0.1))
    generate(tmp_path / "a", options)
    generate(tmp_path / "b", options)
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")
    generate(tmp_path / "b", replace(options, seed=8))
    assert _digests(tmp_path / "a") != _digests(tmp_path / "b")


def test_one_folder_a_site_and_the_truth_beside(tmp_path: Path) -> None:
    done: list[int] = []
    report = generate(tmp_path, SMALL, progress=done.append)
    assert sum(done) == report.infants == 240
    assert report.iess == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["harbor", "mesa", "truth.csv"]
    assert {path.suffix for path in tmp_path.glob("*/*")} == {".ndjson"}
    truth = _truth(tmp_path)
    assert len(truth) == 240
    assert {row["site"] for row in truth} == {"harbor", "mesa"}
    assert sum(row["kind"] == "iess" for row in truth) == 120


def test_ids_are_unique_across_sites_and_references_resolve(tmp_path: Path) -> None:
    generate(tmp_path, SMALL)
    found = Counter(f"{resource['resourceType']}/{resource['id']}" for resource in _resources(tmp_path))
    assert max(found.values()) == 1
    for resource in _resources(tmp_path):
        assert set(_references(resource)) <= set(found)


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


@pytest.mark.parametrize(("width", "style"), [("lean", "us_core"), ("lean", "bare"), ("realistic", "us_core")])
@pytest.mark.parametrize(("release", "package"), [("R4", "fhir.resources.R4B"), ("R5", "fhir.resources")])
def test_every_resource_conforms(
    tmp_path: Path, release: FhirVersion, package: str, width: Width, style: Style
) -> None:
    sites = (Site("harbor", style=style),)
    options = replace(SMALL, infants=120, iess_share=0.9, fhir_version=release, width=width, sites=sites)
    generate(tmp_path, options)
    model_of = import_module(package).get_fhir_model_class
    for resource in _resources(tmp_path):
        model_of(resource["resourceType"]).model_validate(resource)


def test_r4_and_r5_tell_the_same_truth(tmp_path: Path) -> None:
    generate(tmp_path / "r4", SMALL)
    generate(tmp_path / "r5", replace(SMALL, fhir_version="R5"))
    assert _truth(tmp_path / "r4") == _truth(tmp_path / "r5")
    assert _digests(tmp_path / "r4") != _digests(tmp_path / "r5")


def test_nothing_is_on_record_after_the_end(tmp_path: Path) -> None:
    options = replace(SMALL, end=date(2024, 3, 31))
    generate(tmp_path, options)
    truth = _truth(tmp_path)
    milestones = ("first_provider", "referral", "neurology", "eeg", "diagnosis", "first_line")
    assert max(row[name] for row in truth for name in milestones) <= "2024-03-31"
    waiting = [row for row in truth if row["kind"] == "iess" and row["first_provider"] and not row["neurology"]]
    assert waiting, "a short period must leave some infants waiting"
    for resource in _resources(tmp_path):
        assert resource["meta"]["lastUpdated"][:10] <= "2024-04-01"  # midnight UTC at the latest
        if resource["resourceType"] != "Appointment":
            written = resource.get("recordedDate") or resource.get("authoredOn") or ""
            assert written[:10] <= "2024-04-01"


def test_cohorts_of_two_days_are_two_exports_of_the_same_hospitals(tmp_path: Path) -> None:
    first_day, second_day = date(2024, 9, 30), date(2024, 10, 28)
    dense = replace(SMALL, iess_share=1.0, start=date(2024, 8, 1), end=date(2024, 12, 31))
    for fhir_version in ("R4", "R5"):
        exports = []
        for day in (first_day, second_day):
            out = tmp_path / fhir_version / day.isoformat()
            generate(out, replace(dense, as_of=day, fhir_version=fhir_version))
            exports.append({f"{r['resourceType']}/{r['id']}": r for r in _resources(out)})
        before, after = exports
        assert set(before) < set(after)
        changed = [key for key, resource in before.items() if _without_meta(resource) != _without_meta(after[key])]
        assert {key.split("/")[0] for key in changed} >= {"ServiceRequest", "Appointment"}
        for key in changed:
            assert after[key]["meta"]["versionId"] == "2"
            assert before[key]["meta"]["versionId"] == "1"
        for key in [*changed, *(set(after) - set(before))]:
            if after[key]["resourceType"] in ("Patient", "RelatedPerson", "Coverage"):
                continue  # an infant not yet born
            assert after[key]["meta"]["lastUpdated"][:10] > "2024-09-29"


def _without_meta(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "meta"}


def test_dirt_is_counted_and_leaves_the_truth_alone(tmp_path: Path) -> None:
    generate(tmp_path / "clean", SMALL)
    dirt = Dirt(
        malformed_lines=0.02,
        nonconformant=0.03,
        duplicates=0.02,
        late_updates=0.1,
        entered_in_error=0.2,
        replaced_patients=0.1,
    )
    report = generate(tmp_path / "dirty", replace(SMALL, dirt=dirt))
    assert _truth(tmp_path / "clean") == _truth(tmp_path / "dirty")
    assert set(report.dirt) == {
        "malformed_lines",
        "nonconformant",
        "duplicates",
        "late_updates",
        "entered_in_error",
        "replaced_patients",
    }
    assert _count_dirt(tmp_path / "dirty", report) == report.dirt


def _count_dirt(folder: Path, report: SynthReport) -> Counter[str]:
    """Counts what was added by looking at the files alone."""
    model_of = import_module("fhir.resources.R4B").get_fhir_model_class
    found: Counter[str] = Counter()
    versions: dict[str, list[dict[str, Any]]] = {}
    seen: set[bytes] = set()
    lines = [line for path in sorted(folder.glob("*/*.ndjson")) for line in path.read_bytes().splitlines()]
    assert len(lines) == report.resources.total()
    for line in lines:
        try:
            resource = orjson.loads(line)
        except orjson.JSONDecodeError:
            found["malformed_lines"] += 1
            continue
        if line in seen:
            found["duplicates"] += 1
            continue
        seen.add(line)
        versions.setdefault(f"{resource['resourceType']}/{resource['id']}", []).append(resource)
    for held in versions.values():
        newest = max(held, key=lambda resource: int(resource["meta"]["versionId"]))
        found["late_updates"] += len(held) - 1
        found["replaced_patients"] += newest["resourceType"] == "Patient" and newest["id"].endswith(".old")
        found["entered_in_error"] += "entered-in-error" in (newest.get("status"), _verification(newest))
        try:
            model_of(newest["resourceType"]).model_validate(newest)
        except ValueError:
            found["nonconformant"] += 1
    return found


def _verification(resource: dict[str, Any]) -> str:
    codings = resource.get("verificationStatus", {}).get("coding", [{}])
    return str(codings[0].get("code", ""))


def test_memory_does_not_grow_with_the_cohort(tmp_path: Path) -> None:
    peaks = []
    for count in (300, 1500):
        tracemalloc.start()
        generate(tmp_path / str(count), replace(SMALL, infants=count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Caches of local times by day are full after some hundred infants; five times the infants need no more than that.
    assert peaks[1] < peaks[0] + 4_000_000


def test_compressed_files_hold_the_same_lines(tmp_path: Path) -> None:
    generate(tmp_path / "plain", SMALL)
    generate(tmp_path / "packed", replace(SMALL, compress=True))
    plain = {p.name: p.read_bytes() for p in (tmp_path / "plain" / "mesa").iterdir()}
    packed = {p.name[: -len(".gz")]: gzip.decompress(p.read_bytes()) for p in (tmp_path / "packed" / "mesa").iterdir()}
    assert plain == packed


def test_writes_over_an_earlier_cohort_only(tmp_path: Path) -> None:
    generate(tmp_path / "a", SMALL)
    generate(tmp_path / "a", replace(SMALL, infants=10, compress=True))
    assert {path.suffix for path in (tmp_path / "a").glob("*/*")} == {".gz"}
    other = tmp_path / "b"
    other.mkdir()
    (other / "precious.txt").write_text("kept")
    with pytest.raises(SettingsError, match="not empty"):
        generate(other, SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iess_share": 1.5}, "iess_share"),
        ({"end": date(2023, 1, 1)}, "end must be after start"),
        ({"sites": ()}, "there must be a site"),
        ({"sites": (Site("a b"),)}, "name"),
        ({"sites": (Site("a", "Mars/Olympus"),)}, "time zone"),
        ({"odds_ratio": 2.0, "hazard_ratio": 0.5}, "set one"),
        ({"dimension": "shoe_size"}, "dimension"),
        ({"dirt": Dirt(duplicates=2)}, "dirt"),
        ({"rates": {"no_such_rate": 1.0}}, "no_such_rate"),
    ],
)
def test_wrong_options_are_one_clear_line(change: dict[str, Any], message: str) -> None:
    options = replace(SMALL, **change)
    with pytest.raises(SettingsError, match=message) as caught:
        _ask_for(options)
    assert "\n" not in str(caught.value)


def _ask_for(options: SynthOptions) -> None:
    options.check()
    next(infants(options))
