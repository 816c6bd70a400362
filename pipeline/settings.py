"""Settings: one `iess.toml`, then `IESS_` variables over it. A wrong setting is one clear line (exit code 10).

`docs/operator-guide.md` lists them all. Credentials never stand in the file: they come from the environment
(`IESS_SOURCES__<NAME>__AUTH__SECRET`, ...), from a file that only its owner may read (`secret_file`,
`private_key_file`), or from the Airflow connection `fhir_<source>`, which the DAGs merge in.
"""

from __future__ import annotations

import os
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fhir_source.errors import SettingsError
from fhir_source.source import IN_SCOPE_TYPES, Auth, AuthKind, ExportLevel, FhirVersion, Kind, Source
from pipeline.anchoring import anchored
from pipeline.credentials import credential, refuse_credentials
from pipeline.notifying import NotifyOptions

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
#: Variables of ours that are no settings.
_OTHER_VARIABLES = {"IESS_CONFIG", "IESS_DEBUG", "IESS_SPARK_FOLDER", "IESS_SPARK_MASTER", "IESS_THIRD_PARTY_DATA"}
#: The pool that Airflow has by itself.
DEFAULT_POOL = "default_pool"


class AuthSettings(BaseModel):
    """How a source authenticates. `secret` and `private_key` may come from the environment only."""

    model_config = ConfigDict(extra="forbid")

    kind: AuthKind = "none"
    client_id: str | None = None
    token_url: str | None = None
    scope: str | None = None
    username: str | None = None
    key_id: str | None = None
    secret: SecretStr | None = None
    secret_file: Path | None = None
    private_key: SecretStr | None = None
    private_key_file: Path | None = None

    def resolve(self) -> Auth:
        """The credentials themselves, read from their files."""
        return Auth(
            kind=self.kind,
            client_id=self.client_id,
            token_url=self.token_url,
            scope=self.scope,
            username=self.username,
            secret=credential(self.secret, self.secret_file),
            private_key=credential(self.private_key, self.private_key_file),
            key_id=self.key_id,
        )


class SourceSettings(BaseModel):
    """One FHIR server or folder, which is one site of the network."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    url: str
    timezone: str = "UTC"
    fhir_version: FhirVersion | None = None
    auth: AuthSettings = AuthSettings()
    types: tuple[str, ...] = IN_SCOPE_TYPES
    page_size: Annotated[int, Field(ge=1, le=5000)] = 200
    concurrency: Annotated[int, Field(ge=1, le=32)] = 4
    overlap_seconds: Annotated[int, Field(ge=0)] = 300
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    attempts: Annotated[int, Field(ge=1, le=50)] = 8
    max_wait_seconds: Annotated[float, Field(gt=0)] = 120.0
    token_origins: tuple[str, ...] = ()
    look_for_deletions: bool = True
    export_level: ExportLevel = "system"
    group: str | None = None
    type_filters: tuple[str, ...] = ()
    max_poll_seconds: Annotated[float, Field(gt=0)] = 600.0
    export_hours: Annotated[float, Field(gt=0)] = 24.0
    tolerate_export_errors: bool = False
    pool: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = DEFAULT_POOL

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        return known_timezone(value)

    @field_validator("types")
    @classmethod
    def _known_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(IN_SCOPE_TYPES))
        if unknown:
            raise ValueError(f"not in scope: {', '.join(unknown)}")
        return value


class MappingOptions(BaseModel):
    """The age window (days at the index), a site's own rows for the value sets, and rules that a site may choose."""

    model_config = ConfigDict(extra="forbid")

    min_age_days: Annotated[int, Field(ge=0)] = 14
    max_age_days: Annotated[int, Field(ge=1)] = 730
    local_codes: Path | None = None
    race_standard: Literal["omb1997", "spd15"] = "omb1997"
    race_text: bool = False
    tetracosactide: bool = False
    ambiguous_specialty: bool = False
    engine: Literal["duckdb", "spark"] = "duckdb"

    def rules(self) -> dict[str, Any]:
        """What fhir_mapping.model.MappingSettings takes of them."""
        return self.model_dump(exclude={"engine"})


class SurveillanceOptions(BaseModel):
    """What the weekly run promises: `false_alerts_per_year` is the budget B over all charts together."""

    model_config = ConfigDict(extra="forbid")

    false_alerts_per_year: Annotated[float, Field(gt=0, le=52)] = 1.0
    maturity_lag_days: Annotated[int, Field(ge=0, le=365)] = 14
    cohorts: tuple[Literal["definite", "probable"], ...] = ("definite", "probable")
    owner: str = "the network's quality lead"
    worklist_link: str = ""
    message_counts: bool = True
    report_dir: Path | None = None
    outbox_dir: Path | None = None
    notify: NotifyOptions = NotifyOptions()


class RetentionOptions(BaseModel):
    """For how many days raw files, and findings in quarantine, are kept; None: for good."""

    model_config = ConfigDict(extra="forbid")

    landing_days: Annotated[int, Field(ge=1)] | None = None
    quarantine_days: Annotated[int, Field(ge=1)] | None = None


class DeprivationOptions(BaseModel):
    """A CSV of deprivation by postal code, and the name of the index and its edition."""

    model_config = ConfigDict(extra="forbid")

    table: Path | None = None
    edition: str = ""


class ExpectationOptions(BaseModel):
    """A CSV of thresholds that sources have of their own (`expectations.rules.OVERRIDE_COLUMNS`)."""

    model_config = ConfigDict(extra="forbid")

    thresholds: Path | None = None


class Settings(BaseSettings):
    """Everything that this installation was told."""

    model_config = SettingsConfigDict(
        env_prefix="IESS_", env_nested_delimiter="__", extra="forbid", nested_model_default_partial_update=True
    )

    home: Path = Path(".iess")
    database_url: SecretStr | None = None  # None: an embedded PostgreSQL under `home`
    landing: str | None = None  # None: `home`/landing; any fsspec URL
    now: datetime | None = None  # replay as of this instant instead of the machine's clock
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    mapping: MappingOptions = MappingOptions()
    surveillance: SurveillanceOptions = SurveillanceOptions()
    retention: RetentionOptions = RetentionOptions()
    expectations: ExpectationOptions = ExpectationOptions()
    deprivation: DeprivationOptions = DeprivationOptions()
    hash_key: SecretStr | None = None  # None: made once in `home`/hash.key (mode 600)

    @field_validator("sources")
    @classmethod
    def _plain_names(cls, value: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"source name {name!r}: use lower-case letters, digits, - and _")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment speaks over the file, whose content arrives as init arguments.
        return env_settings, init_settings

    @property
    def landing_root(self) -> str:
        return self.landing or str(self.home / "landing")

    @property
    def report_dir(self) -> Path:
        return self.surveillance.report_dir or self.home / "reports"

    @property
    def outbox_dir(self) -> Path:
        return self.surveillance.outbox_dir or self.home / "outbox"

    def pools(self) -> dict[str, list[str]]:
        """Names of the sources by the Airflow pool that they run in; the default pool is always among them."""
        found: dict[str, list[str]] = {DEFAULT_POOL: []}
        for name in sorted(self.sources):
            found.setdefault(self.sources[name].pool, []).append(name)
        return dict(sorted(found.items()))

    def source(self, name: str) -> Source:
        """The named source with its credentials; `SettingsError` when there is no such name."""
        found = self.sources.get(name)
        if found is None:
            known = ", ".join(sorted(self.sources)) or "none"
            raise SettingsError(
                f"There is no source named {name!r}; the settings know: {known}",
                next_step=f"add [sources.{name}] to iess.toml",
            )
        return Source(
            name=name,
            auth=found.auth.resolve(),
            **found.model_dump(exclude={"auth", "pool"}),
        )


def settings_file(path: Path | None = None) -> Path | None:
    """The file to read: `path`, else `$IESS_CONFIG`, else ./iess.toml when there is one, else None.

    Raises SettingsError when a named file does not exist.
    """
    named = path or (Path(os.environ["IESS_CONFIG"]) if os.environ.get("IESS_CONFIG") else None)
    if named is not None and not named.is_file():
        raise SettingsError(
            "The settings file does not exist", file=str(named), next_step="check --config or IESS_CONFIG"
        )
    usual = Path("iess.toml")
    return named or (usual if usual.is_file() else None)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file (see `settings_file`), then the environment over it."""
    file = settings_file(path)
    content = _read_toml(file) if file is not None else {}
    _refuse_unknown_variables()
    try:
        return Settings(**(_with_folders(content, file.parent) if file is not None else {}))
    except ValidationError as error:
        raise SettingsError(_one_line(error), file=str(file) if file is not None else None) from None


def _refuse_unknown_variables() -> None:
    """A misspelt `IESS_` variable would otherwise be passed over in silence."""
    known = {f"IESS_{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    for variable in sorted(os.environ):
        if variable.startswith("IESS_") and variable.split("__")[0] not in known:
            raise SettingsError(f"There is no setting {variable}", next_step="see the list in docs/operator-guide.md")


def known_timezone(name: str) -> str:
    """The name itself when the time zone database knows it; ValueError otherwise."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone (such as America/New_York)") from None
    return name


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"Not valid TOML: {error}", file=str(file)) from None
    refuse_credentials(content, file)
    return content


def _with_folders(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`anchored`, and what may be a folder or a URL, too: the landing zone, and the address of a source of files."""
    found = anchored(content, Settings, folder)
    if isinstance(found.get("landing"), str):
        found["landing"] = _folder_or_url(found["landing"], folder)
    sources = found.get("sources")
    for source in sources.values() if isinstance(sources, dict) else ():
        if isinstance(source, dict) and source.get("kind") == "files":
            source["url"] = _folder_or_url(str(source.get("url", "")), folder)
    return found


def _folder_or_url(text: str, folder: Path) -> str:
    return text if "://" in text else str(folder / text)


def _one_line(error: ValidationError) -> str:
    """The first mistake, as `where: what`, without the value (it may be a credential)."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{more}"
