"""The clinical cases: each ruling of the specification shown by a small record and the row that it must give."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_mapping.contract import record_of
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_source.source import IN_SCOPE_TYPES
from tests.fhir_mapping.case_files import Scene, case_paths, differences, run, scenes

SCENES = scenes()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.label)
def test_case(scene: Scene) -> None:
    assert differences(run(scene), scene.expect) == []


@pytest.mark.parametrize("path", case_paths(), ids=lambda path: path.stem)
def test_case_reads_like_documentation(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert set(case) <= {"title", "why", "rulings", "settings", "releases", "resources", "scenes"}
    assert case["title"]
    assert case["why"].endswith(".")
    assert case["rulings"]
    names = [scene["name"] for scene in case["scenes"]]
    assert len(set(names)) == len(names)


def test_every_gotcha_has_a_case() -> None:
    numbers = {path.stem[:3] for path in case_paths()}
    elsewhere = {"g40", "g41"}  # suppression and estimates: packages downstream of mapping
    assert {f"g{number:02}" for number in range(1, 51)} - elsewhere <= numbers


# The same scenes through files -----------------------------------------------------------------------------------


def _renamed(value: Any, prefix: str) -> Any:
    """The element with every literal reference of the scene made its own, so that many scenes share one folder."""
    if isinstance(value, list):
        return [_renamed(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(item, prefix) for key, item in value.items()}
    literal = found.get("reference")
    if isinstance(literal, str) and "/" in literal:
        head, slash, tail = literal.partition("/_history")
        base, _, name = head.rpartition("/")
        found["reference"] = f"{base}/{prefix}{name}{slash}{tail}"
    return found


def _whole(scene: Scene) -> bool:
    """Whether files bring the whole scene: of types that are pulled, and (to share a folder) without urn references."""
    return "urn:uuid" not in json.dumps(scene.resources) and all(
        body["resourceType"] in IN_SCOPE_TYPES for body in scene.resources
    )


@pytest.mark.parametrize("release", ["R4", "R5"])
def test_cases_through_files(release: str, tmp_path: Path) -> None:
    """`iess map` on a folder of all scenes gives the rows that each scene gives alone: the real path, end to end."""
    groups: dict[MappingSettings, dict[str, Scene]] = defaultdict(dict)
    for number, scene in enumerate(item for item in SCENES if item.release == release and _whole(item)):
        groups[scene.settings][f"s{number:04}-"] = scene
    compared = 0
    for number, (settings, members) in enumerate(groups.items()):
        folder = tmp_path / f"in{number}"
        folder.mkdir()
        lines = [
            json.dumps({**_renamed(body, prefix), "id": f"{prefix}{body['id']}"})
            for prefix, scene in members.items()
            for body in scene.resources
        ]
        (folder / "export.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
        out = tmp_path / f"out{number}.csv"
        map_folder(folder, out, replace(settings, source="case"))
        with out.open(encoding="utf-8", newline="") as file:
            rows = {row["infant"]: row for row in csv.DictReader(file)}
        for prefix, scene in members.items():
            alone = run(scene).row
            through_files = rows.get(f"{prefix}{scene.infant}")
            assert (alone is None) == (through_files is None), scene.label
            if alone is not None and through_files is not None:
                compared += 1
                assert _plain(record_of(alone)) == _plain(dict(through_files)), scene.label
    assert compared > 300


def _plain(record: dict[str, Any]) -> dict[str, str]:
    """The row as text, without what a renamed id changes."""
    left = {name: value for name, value in record.items() if name not in {"infant", "evidence", "source"}}
    return {name: "" if value is None else str(value) for name, value in left.items()}


def test_r4_and_r5_give_the_same_rows() -> None:
    """Every column, flag and piece of evidence, not only those that a case names."""
    by_name: dict[tuple[str, str], dict[str, Scene]] = defaultdict(dict)
    for scene in SCENES:
        by_name[scene.case, scene.name][scene.release] = scene
    for name, releases in by_name.items():
        if len(releases) == 2:
            four, five = run(releases["R4"]), run(releases["R5"])
            assert four.row == five.row, name
            assert (four.excluded, four.events, four.links, four.attributes) == (
                five.excluded,
                five.events,
                five.links,
                five.attributes,
            ), name
