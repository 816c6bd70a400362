"""Settings: one file, variables over it, credentials never in it, and one clear line for a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from expectations.errors import CatalogueInvalid
from fhir_source.errors import SettingsError
from pipeline.hash_key import hash_key
from pipeline.notifying import NotifyOptions
from pipeline.settings import (
    AuthSettings,
    ExpectationOptions,
    MappingOptions,
    Settings,
    SourceSettings,
    SurveillanceOptions,
    load_settings,
)
from pipeline.steps import gate_pull


def written(folder: Path, text: str) -> Path:
    file = folder / "iess.toml"
    file.write_text(text)
    return file


SOURCE = '[sources.north]\nkind = "search"\nurl = "https://fhir.example.org/r4"\ntimezone = "America/Chicago"\n'


def test_paths_of_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    """Every one of them, at whatever depth; an address stays one, and so does an absolute path."""
    file = written(
        tmp_path,
        'home = "state"\nlanding = "landed"\n'
        '[mapping]\nlocal_codes = "codes.csv"\n'
        '[surveillance]\nreport_dir = "reports"\noutbox_dir = "/var/outbox"\n'
        '[surveillance.notify]\npassword_file = "smtp.key"\n'
        '[deprivation]\ntable = "areas.csv"\nedition = "2023"\n'
        '[sources.a]\nkind = "files"\nurl = "export"\n'
        '[sources.b]\nkind = "files"\nurl = "s3://bucket/export"\nca_file = "ca.pem"\n'
        '[sources.b.auth]\nsecret_file = "b.key"\n',
    )
    settings = load_settings(file)
    assert settings.home == tmp_path / "state"
    assert settings.landing_root == str(tmp_path / "landed")
    assert settings.mapping.local_codes == tmp_path / "codes.csv"
    assert settings.report_dir == tmp_path / "reports"
    assert settings.outbox_dir == Path("/var/outbox")
    assert settings.surveillance.notify.password_file == tmp_path / "smtp.key"
    assert settings.deprivation.table == tmp_path / "areas.csv"
    assert settings.sources["a"].url == str(tmp_path / "export")
    assert settings.sources["b"].url == "s3://bucket/export"
    assert settings.sources["b"].ca_file == tmp_path / "ca.pem"
    assert settings.sources["b"].auth.secret_file == tmp_path / "b.key"
    address = load_settings(written(tmp_path, 'landing = "s3://bucket/landing"\n'))
    assert address.landing_root == "s3://bucket/landing"


def test_a_sources_own_thresholds_reach_the_gate(tmp_path: Path) -> None:
    """A wrong table of them is refused before anything is asked of the database."""
    file = written(tmp_path, '[expectations]\nthresholds = "own.csv"\n')
    (tmp_path / "own.csv").write_text("source,rule,threshold,why,owner\nnorth,TIM-999,0.5,a reason,a steward\n")
    settings = load_settings(file).model_copy(
        update={"database_url": SecretStr("postgresql+psycopg://nobody@127.0.0.1:9/iess")}
    )
    with pytest.raises(CatalogueInvalid, match="TIM-999"):
        gate_pull(settings, "north", "20261123T070000Z")


def test_a_variable_speaks_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IESS_SOURCES__NORTH__PAGE_SIZE", "7")
    source = load_settings(written(tmp_path, SOURCE)).source("north")
    assert (source.page_size, source.timezone) == (7, "America/Chicago")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[sources.a]\nkind = "ftp"\nurl = "x"\n', "sources.a.kind"),
        (SOURCE.replace("America/Chicago", "Mars/Olympus"), "not an IANA time zone"),
        (SOURCE + "page_sise = 3\n", "sources.north.page_sise"),
        ('[sources."North Side"]\nkind = "files"\nurl = "x"\n', "use lower-case letters"),
        (SOURCE + 'types = ["Immunization"]\n', "not in scope: Immunization"),
        ("home = [\n", "Not valid TOML"),
        (SOURCE + '[sources.north.auth]\nkind = "bearer"\nsecret = "abc123"\n', "is a credential"),
        ('hash_key = "abc123"\n', "is a credential"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, text))
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "abc123" not in message
    assert caught.value.exit_code == 10


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IESS_SORCES__NORTH__PAGE_SIZE", "7")
    with pytest.raises(SettingsError, match="IESS_SORCES__NORTH__PAGE_SIZE"):
        load_settings(written(tmp_path, SOURCE))


def test_a_credential_file_must_be_private(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("the key")
    key.chmod(0o644)
    file = written(tmp_path, SOURCE + '[sources.north.auth]\nkind = "smart"\nprivate_key_file = "key.pem"\n')
    with pytest.raises(SettingsError, match="chmod 600"):
        load_settings(file).source("north")
    key.chmod(0o600)
    source = load_settings(file).source("north")
    assert source.auth.private_key == "the key"
    assert "the key" not in repr(source)


def test_an_unknown_source_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="know: north"):
        load_settings(written(tmp_path, SOURCE)).source("south")


def test_a_named_file_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings(tmp_path / "none.toml")


def test_the_hash_key_is_made_once_and_private(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, 'home = "state"\n'))
    first = hash_key(settings)
    assert len(first) == 64
    assert hash_key(settings) == first
    assert (tmp_path / "state" / "hash.key").stat().st_mode & 0o777 == 0o600


def test_every_setting_is_in_the_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "operator-guide.md").read_text()
    options = (MappingOptions, SurveillanceOptions, NotifyOptions, ExpectationOptions)
    models = (Settings, SourceSettings, AuthSettings, *options)
    tables = {"sources", "mapping", "surveillance", "notify", "retention", "expectations", "deprivation", "auth"}
    named = {name for model in models for name in model.model_fields} - tables
    assert sorted(name for name in named if f"`{name}`" not in guide) == []


def test_a_channel_is_told_whole_or_refused(tmp_path: Path) -> None:
    for notify in ('channel = "smtp"', 'channel = "slack"\nto = ["#iess"]', 'channel = "apprise"', 'password = "hush"'):
        with pytest.raises(SettingsError):
            load_settings(written(tmp_path, f"[surveillance.notify]\n{notify}\n"))
    told = load_settings(
        written(tmp_path, '[surveillance.notify]\nchannel = "smtp"\nto = ["a@b"]\nescalate_to = ["c@d"]\n')
    )
    options = told.surveillance.notify
    assert [options.recipients(kind) for kind in ("alert", "worklist", "escalation")] == [("a@b",), ("a@b",), ("c@d",)]
