"""Folders of files: NDJSON plain and packed, Bundles, layouts of other tools, and what can't be read."""

from __future__ import annotations

import errno
import gzip
import io
import os
import zipfile
from typing import TYPE_CHECKING, Any

import fsspec
import orjson
import pyarrow
import pytest

from fhir_source.errors import (
    LandingDamaged,
    LandingUnreachable,
    PullInProgress,
    SettingsError,
    SourceUnreachable,
    UnreadableInput,
)
from fhir_source.landing import LandingZone, Manifest, read_lines
from fhir_source.probe import probe
from fhir_source.pull import pull
from fhir_source.source import Source
from tests.fhir_source import cohort
from tests.fhir_source.conftest import NOW, PULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES = [b'{"resourceType":"Patient","id":"a"}', b'{"resourceType":"Patient","id":"b"}']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def copying(landing: LandingZone) -> Callable[..., Manifest]:
    def run(url: object, pull_id: str = PULL, **given: Any) -> Manifest:
        source = Source(name="site", kind="files", url=str(url))
        return pull(source, landing, **{"pull_id": pull_id, "since": None, "now": NOW, "cohort_codes": (), **given})

    return run


def zstd(data: bytes) -> bytes:
    packed: bytes = pyarrow.Codec("zstd").compress(data, asbytes=True)
    return packed


def landed(landing: LandingZone, manifest: Manifest) -> dict[str, list[bytes]]:
    return {file.origin or "": list(read_lines(path)) for file, path in landing.paths(manifest)}


def test_lines_keep_their_numbers_and_their_bytes(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    text = b'\n{"resourceType":"Patient","id":"a"}\nnot json \xff\n\n  {"id":"b","resourceType":"Patient"}\r\n{"cut": '
    (folder / "Patient.ndjson").write_bytes(text)
    manifest = copying(folder)
    assert landed(landing, manifest) == {"Patient.ndjson": io.BytesIO(text + b"\n").readlines()}
    assert manifest.counts == {"Patient": 2, "unknown": 2}
    [file] = manifest.files
    assert (file.rows, file.type) == (4, None)
    landing.verify(manifest)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["Patient.ndjson", "Patient.000.ndjson.gz", "deep/er/x.jsonl.zst"])
def test_packed_files_are_known_by_their_bytes(
    pack: Callable[[bytes], bytes], name: str, folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(b"\n".join(LINES)))
    manifest = copying(folder)
    assert landed(landing, manifest) == {name: [line + b"\n" for line in LINES]}
    assert manifest.counts == {"Patient": 2}


def test_several_gzip_members_are_one_file(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    (folder / "Patient.ndjson.gz").write_bytes(b"".join(gzip.compress(line + b"\n") for line in LINES))
    assert copying(folder).counts == {"Patient": 2}


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused_and_nothing_is_committed(
    pack: Callable[[bytes], bytes], share: float, folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    packed = pack(os.urandom(3000).hex().encode() + b"\n")
    (folder / "Patient.ndjson.gz").write_bytes(packed[: int(len(packed) * share)])
    (folder / "A.ndjson").write_bytes(LINES[0])
    with pytest.raises(UnreadableInput, match=r"Patient\.ndjson\.gz") as raised:
        copying(folder)
    assert not raised.value.retriable
    assert landing.pulls("site") == []


@pytest.mark.parametrize("content", [{}, {"readme.txt": b"x"}, {".hidden.ndjson": LINES[0]}, {"log.ndjson": b"{}"}])
def test_an_empty_folder_is_one_clear_error(
    content: dict[str, bytes], folder: Path, copying: Callable[..., Manifest]
) -> None:
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(UnreadableInput, match="no FHIR file"):
        copying(folder)
    with pytest.raises(UnreadableInput, match="no such folder"):
        copying(folder / "missing")
    assert not probe(Source(name="site", kind="files", url=str(folder))).ok


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_a_byte_order_mark_is_taken_off(
    pack: Callable[[bytes], bytes], folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    mark = b"\xef\xbb\xbf"
    (folder / "Patient.ndjson").write_bytes(pack(mark + b"\r\n".join(LINES)))
    (folder / "one.json").write_bytes(pack(mark + LINES[0]))
    manifest = copying(folder)
    assert manifest.counts == {"Patient": 3}
    assert landed(landing, manifest)["Patient.ndjson"] == [LINES[0] + b"\r\n", LINES[1] + b"\n"]


def test_an_empty_file_is_said(folder: Path, copying: Callable[..., Manifest]) -> None:
    (folder / "Patient.ndjson").write_bytes(b"")
    (folder / "Encounter.ndjson").write_bytes(b'{"resourceType":"Encounter","id":"1"}\n')
    manifest = copying(folder)
    assert manifest.counts == {"Encounter": 1}
    assert "Patient.ndjson is empty" in manifest.notes


def test_same_files_give_the_same_bytes_and_the_same_watermark(
    tmp_path: Path, folder: Path, copying: Callable[..., Manifest]
) -> None:
    cohort.write(folder, cohort.resources())
    stamped = [
        {**row, "meta": {"lastUpdated": f"2026-0{n + 1}-01T12:00:00.5+02:00"}}
        for n, row in enumerate(cohort.resources(3, 0)[:6])
    ]
    cohort.write(folder / "more", stamped)
    one, two = copying(folder, "1"), copying(folder, "2")
    assert [file.sha256 for file in one.files] == [file.sha256 for file in two.files]
    assert one.transaction_time == two.transaction_time == "2026-06-01T10:00:00Z"


def test_a_clock_that_was_ahead_does_not_move_the_watermark(
    tmp_path: Path, folder: Path, copying: Callable[..., Manifest]
) -> None:
    """One record stamped 2035 would have the warehouse know nothing before then, and all later pulls with it."""
    later, right = (
        {"resourceType": "Patient", "id": day, "meta": {"lastUpdated": f"{day}T12:00:00Z"}}
        for day in ("2035-01-01", "2026-11-20")
    )
    beyond = {"resourceType": "Patient", "id": "x", "meta": {"lastUpdated": "0001-01-01T00:00:00+14:00"}}
    cohort.write(folder / "a", [later, beyond])
    assert copying(folder, "1").transaction_time == "2035-01-01T12:00:00Z", "there is no better clock to go by"
    cohort.write(folder / "b", [right])
    manifest = copying(folder, "2")
    assert manifest.transaction_time == "2026-11-20T12:00:00Z"
    assert [note for note in manifest.notes if "lastUpdated" in note] != []


def test_without_instants_the_newest_file_gives_the_watermark(folder: Path, copying: Callable[..., Manifest]) -> None:
    for name, when in (("A.ndjson", 1_700_000_000), ("B.ndjson", 1_600_000_000)):
        (folder / name).write_bytes(LINES[0])
        os.utime(folder / name, (when, when))
    assert copying(folder).transaction_time == "2023-11-14T22:13:20Z"


def test_bundles_become_lines_whose_references_lead_somewhere(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    patient = {"fullUrl": "urn:uuid:77", "resource": {"resourceType": "Patient"}}
    visit = {
        "fullUrl": "https://fhir.example.org/Encounter/5",
        "resource": {"resourceType": "Encounter", "id": "5", "subject": {"reference": "urn:uuid:77"}},
    }
    gone = {"request": {"method": "DELETE", "url": "Patient/old"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [patient, visit, gone, {}]}
    (folder / "one.json").write_bytes(orjson.dumps(bundle, option=orjson.OPT_INDENT_2))
    (folder / "single.json.gz").write_bytes(gzip.compress(LINES[0]))
    (folder / "package.json").write_bytes(b'{"name": "not FHIR"}')
    manifest = copying(folder)
    assert manifest.counts == {"Encounter": 1, "Patient": 2}
    rows = [orjson.loads(line) for line in landed(landing, manifest)["one.json"]]
    assert rows[0]["id"] == "77"
    assert rows[1]["subject"] == {"reference": "Patient/77"}
    [(_, path)] = landing.paths(manifest, role="deleted")
    assert orjson.loads(next(read_lines(path)))["entry"] == [gone]
    assert "package.json is not a FHIR resource; it was left alone" in manifest.notes


def test_a_broken_document_is_refused(folder: Path, copying: Callable[..., Manifest]) -> None:
    (folder / "one.json").write_bytes(b'{"resourceType": "Bundle", "entry": [')
    with pytest.raises(UnreadableInput, match=r"not a JSON document .*one\.json"):
        copying(folder)


def test_a_managed_smart_fetch_folder_is_read_by_its_links(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    """Subfolders are exports; links on top say which of their files hold; `deleted/` has deletions, a log the time."""
    for name, line in (("001.old", LINES[0]), ("002.new", LINES[1])):
        (folder / name / "deleted").mkdir(parents=True)
        (folder / name / "Patient.001.ndjson.gz").write_bytes(gzip.compress(line))
        gone = {"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": f"Patient/{name}"}}]}
        (folder / name / "deleted" / "Bundle.001.ndjson").write_bytes(orjson.dumps(gone))
        log = {"eventId": "manifest_complete", "eventDetail": {"transactionTime": f"{name[:3]}"}}
        (folder / name / "log.ndjson").write_bytes(orjson.dumps(log))
    log = {"eventId": "status_complete", "eventDetail": {"transactionTime": "2026-03-04T05:06:07.89Z"}}
    (folder / "002.new" / "log.ndjson").write_bytes(b"garbage\n" + orjson.dumps(log))
    (folder / "Patient.001.ndjson.gz").symlink_to("002.new/Patient.001.ndjson.gz")
    manifest = copying(folder)
    assert landed(landing, manifest) == {"002.new/Patient.001.ndjson.gz": [LINES[1] + b"\n"]}
    [(file, path)] = landing.paths(manifest, role="deleted")
    assert file.origin == "002.new/deleted/Bundle.001.ndjson"
    assert b"002.new" in next(read_lines(path))
    assert manifest.transaction_time == "2026-03-04T05:06:07Z"


def test_what_is_landed_is_for_its_owner_alone(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    (folder / "Patient.ndjson").write_bytes(LINES[0])
    before = os.umask(0)
    try:
        copying(folder)
    finally:
        os.umask(before)
    landed_folder = landing.folder("site", PULL)
    assert {path.stat().st_mode & 0o777 for path in landed_folder.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (landed_folder, *landed_folder.parents[:2])} == {0o700}


@pytest.mark.parametrize("url", ["ftp://user:pw@host/x", "s3://key:pw@bucket"])
def test_a_url_with_credentials_is_refused(url: str, copying: Callable[..., Manifest]) -> None:
    with pytest.raises(SettingsError, match="holds credentials") as raised:
        copying(url)
    assert "pw" not in str(raised.value)


def test_any_fsspec_url_will_do(copying: Callable[..., Manifest], landing: LandingZone) -> None:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/site/Patient.ndjson", b"\n".join(LINES))
    try:
        manifest = copying("memory://bucket/site")
        assert landed(landing, manifest) == {"Patient.ndjson": [line + b"\n" for line in LINES]}
    finally:
        store.rm("/bucket", recursive=True)
    with pytest.raises(SettingsError):
        copying("nosuchstore://bucket", "2")


def test_a_zip_file_is_a_folder_and_a_damaged_one_is_said(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    with zipfile.ZipFile(folder / "export.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("site/Patient.ndjson", b"\n".join(LINES))
    manifest = copying(f"zip://::{folder}/export.zip")
    assert landed(landing, manifest) == {"site/Patient.ndjson": [line + b"\n" for line in LINES]}
    (folder / "export.zip").write_bytes(b"garbage")
    with pytest.raises(UnreadableInput, match="archive is damaged"):
        copying(f"zip://::{folder}/export.zip", "2")


def test_a_store_that_is_down_is_worth_another_run(copying: Callable[..., Manifest]) -> None:
    with pytest.raises(SourceUnreachable, match="store can't be read") as raised:
        copying("http://127.0.0.1:9/folder/")
    assert raised.value.retriable


def test_a_full_landing_disk_is_no_fault_of_the_file(
    folder: Path, copying: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder / "Patient.ndjson").write_bytes(LINES[0])
    monkeypatch.setattr("fhir_source.writer.Spool.write", full)
    with pytest.raises(LandingUnreachable, match="No space left"):
        copying(folder)


def test_an_interrupted_copy_goes_on_unless_the_files_changed(
    folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    (folder / "A.ndjson").write_bytes(LINES[0] + b"\n")
    (folder / "B.ndjson.gz").write_bytes(gzip.compress(LINES[1])[:-5])
    with pytest.raises(UnreadableInput):
        copying(folder)
    first = landing.folder("site", PULL) / "Patient.000.ndjson.gz"
    inode = first.stat().st_ino
    with pytest.raises(UnreadableInput):
        copying(folder)
    assert first.stat().st_ino == inode
    (folder / "A.ndjson").write_bytes(LINES[1] + b"\n")
    (folder / "B.ndjson.gz").write_bytes(gzip.compress(LINES[1]))
    manifest = copying(folder)
    assert landed(landing, manifest)["A.ndjson"] == [LINES[1] + b"\n"]


@pytest.mark.parametrize("harm", ["missing", "size", "content", "rows"])
def test_a_damaged_landing_is_noticed(
    harm: str, folder: Path, copying: Callable[..., Manifest], landing: LandingZone
) -> None:
    (folder / "Patient.ndjson").write_bytes(b"\n".join(LINES))
    manifest = copying(folder)
    [(file, path)] = landing.paths(manifest)
    whole = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "size":
        path.write_bytes(whole[:-1])
    elif harm == "content":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        from dataclasses import replace

        manifest = replace(manifest, files=(replace(file, rows=3),))
    with pytest.raises(LandingDamaged) as raised:
        landing.verify(manifest)
    assert "Patient.000" in str(raised.value)


def test_manifests(folder: Path, copying: Callable[..., Manifest], landing: LandingZone) -> None:
    (folder / "Patient.ndjson").write_bytes(b"\n".join(LINES))
    manifests = [copying(folder, pull_id) for pull_id in ("20260102T000000Z", "20260101T000000Z")]
    (landing.folder("site", "20251231T000000Z")).mkdir()
    assert landing.pulls("site") == manifests[::-1]
    assert landing.manifest("site", "20260101T000000Z") == manifests[1]
    assert landing.pulls("elsewhere") == []
    with pytest.raises(LandingDamaged, match="never finished"):
        landing.manifest("site", "20251231T000000Z")
    (landing.folder("site", "20260101T000000Z") / "manifest.json").write_bytes(b"{}")
    with pytest.raises(LandingDamaged, match="can't be read"):
        landing.pulls("site")
    for name in ("../x", "", "a/b"):
        with pytest.raises(SettingsError):
            landing.folder("site", name)


def test_two_at_once_on_one_pull(folder: Path, landing: LandingZone, copying: Callable[..., Manifest]) -> None:
    (folder / "Patient.ndjson").write_bytes(b"\n".join(LINES))
    source = Source(name="site", kind="files", url=str(folder))
    with landing.begin(source, PULL), pytest.raises(PullInProgress) as raised:
        copying(folder)
    assert raised.value.retriable
    assert copying(folder).counts == {"Patient": 2}


def test_an_object_store_holds_whole_pulls_only(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort.write(folder, cohort.resources(3, 1))
    source = Source(name="site", kind="files", url=str(folder))
    bucket = fsspec.filesystem("memory")
    here = LandingZone("memory://zone/landing", tmp_path / "here")
    there = LandingZone("memory://zone/landing", tmp_path / "there")
    try:
        with monkeypatch.context() as broken:
            broken.setattr(bucket, "pipe_file", lambda *_: (_ for _ in ()).throw(ConnectionError("store is down")))
            with pytest.raises(LandingUnreachable):
                pull(source, here, pull_id=PULL, since=None, now=NOW, cohort_codes=())
        assert there.pulls("site") == []
        manifest = pull(source, here, pull_id=PULL, since=None, now=NOW, cohort_codes=())
        assert there.pulls("site") == [manifest]
        there.verify(manifest)
        assert [path.read_bytes() for _, path in there.paths(manifest)] == [
            path.read_bytes() for _, path in here.paths(manifest)
        ]
        bucket.rm_file(f"/zone/landing/site/{PULL}/{manifest.files[0].path}")
        with pytest.raises(LandingDamaged, match="is missing"):
            LandingZone("memory://zone/landing", tmp_path / "third").verify(manifest)
        there.remove(manifest)
        assert here.pulls("site") == []
    finally:
        bucket.rm("/zone", recursive=True)


def test_a_pull_can_be_removed(folder: Path, copying: Callable[..., Manifest], landing: LandingZone) -> None:
    (folder / "Patient.ndjson").write_bytes(LINES[0])
    manifest = copying(folder)
    landing.remove(manifest)
    assert landing.pulls("site") == []
    assert not landing.folder("site", PULL).exists()


def test_a_landing_zone_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (folder / "Patient.ndjson").write_bytes(LINES[0])
    (tmp_path / "occupied").write_bytes(b"a file where a folder should be")
    source = Source(name="site", kind="files", url=str(folder))
    with pytest.raises(LandingUnreachable, match="File exists"):
        pull(source, LandingZone(str(tmp_path / "occupied")), pull_id=PULL, since=None, now=NOW, cohort_codes=())
