"""Lines are taken out of a landed pull whole or not at all, wherever the pull is kept."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from fhir_source.landing import LandingZone, Manifest, read_lines
from fhir_source.rewriting import NOTE, take_out
from fhir_source.source import Source

SOURCE = Source(name="lake", kind="files", url="unused")


@pytest.fixture(params=["local", "object store"])
def landing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LandingZone]:
    if request.param == "local":
        yield LandingZone(str(tmp_path / "landing"))
        return
    yield LandingZone(f"memory://{tmp_path.name}", tmp_path / "work")
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def landed(landing: LandingZone, **files: list[bytes]) -> Manifest:
    with landing.begin(SOURCE, "20260105T000000Z") as writer:
        made = []
        for name, lines in files.items():
            with writer.spool(name) as spool:
                spool.write(b"".join(lines), len(lines))
                unit = spool.finish(f"{name}.001.ndjson.gz", name)
            assert unit.file is not None
            made.append(unit.file)
        return writer.commit(
            Manifest("lake", "20260105T000000Z", "files", None, "2026-01-05T00:00:00Z", "R4", True, tuple(made))
        )


def without(mark: bytes) -> object:
    return lambda line: None if mark in line else line.replace(b"<b>", b"")


def lines(landing: LandingZone) -> list[bytes]:
    manifest = landing.manifest("lake", "20260105T000000Z")
    landing.verify(manifest)
    return [line for _, path in landing.everything(manifest) for line in read_lines(path)]


def test_lines_go_and_the_manifest_says_so(landing: LandingZone) -> None:
    manifest = landed(landing, Patient=[b"a\n", b"b\n"], Condition=[b"c of a\n"], Encounter=[b"e<b>\n"])
    assert take_out(landing, manifest, without(b"a")) == 3  # type: ignore[arg-type]
    assert lines(landing) == [b"b\n", b"e\n"]
    after = landing.manifest("lake", "20260105T000000Z")
    assert [(file.path, file.rows) for file in after.files] == [
        ("Patient.001.r1.ndjson.gz", 1),
        ("Condition.001.r1.ndjson.gz", 0),
        ("Encounter.001.r1.ndjson.gz", 1),
    ]
    assert after.notes == (NOTE,)
    take_out(landing, after, without(b"b"))  # type: ignore[arg-type]
    assert landing.manifest("lake", "20260105T000000Z").files[0].path == "Patient.001.r2.ndjson.gz"
    assert lines(landing) == [b"e\n"]
    names = {path.name for path in (landing.folder("lake", "20260105T000000Z")).iterdir()}
    assert names == {"manifest.json", *(file.path for file in landing.manifest("lake", "20260105T000000Z").files)}


def test_nothing_to_take_out_changes_nothing(landing: LandingZone) -> None:
    manifest = landed(landing, Patient=[b"a\n"])
    assert take_out(landing, manifest, without(b"z")) == 0  # type: ignore[arg-type]
    assert landing.manifest("lake", "20260105T000000Z") == manifest


def test_killed_before_or_after_the_manifest_it_ends_the_same(
    landing: LandingZone, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = landed(landing, Patient=[b"a\n", b"b\n"])
    for step in ("publish_again", "prune"):
        with monkeypatch.context() as killed:
            killed.setattr(LandingZone, step, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                take_out(landing, landing.manifest("lake", manifest.pull_id), without(b"a"))  # type: ignore[arg-type]
    take_out(landing, landing.manifest("lake", manifest.pull_id), without(b"a"))  # type: ignore[arg-type]
    assert lines(landing) == [b"b\n"]
    for path in landing.folder("lake", manifest.pull_id).glob("*.gz"):
        assert b"a" not in gzip.decompress(path.read_bytes())
