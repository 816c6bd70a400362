"""The clinical cases: each ruling of the specification shown by a small record and the row that it must give."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhir_mapping.contract import record_of
from fhir_mapping.run import map_folder
from tests.fhir_mapping.case_files import Scene, as_resource, case_paths, differences, run, scenes

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
    numbers = {path.stem.split("_")[0] for path in case_paths()}
    elsewhere = {"g40", "g41", "g49"}  # suppression, estimates and paging: packages downstream and upstream of mapping
    assert {f"g{number:02}" for number in range(1, 51)} - elsewhere <= numbers
