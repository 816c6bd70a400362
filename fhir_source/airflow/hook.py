"""The `fhir` connection type.

Not built on HttpHook: that copies every extra of a connection into the headers of every request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from airflow.sdk import BaseHook

from fhir_source.errors import SettingsError
from fhir_source.probe import probe
from fhir_source.source import Auth, AuthKind, Source

if TYPE_CHECKING:
    from airflow.sdk import Connection


class FhirHook(BaseHook):
    """Credentials of one FHIR server, from an Airflow connection.

    Host: FHIR base URL. Login: client id (or user). Password: private key as PEM or JWK, client secret, password or
    bearer token (the one field that Airflow always masks). Extra: `auth` (smart, client_secret, basic, bearer, none),
    `token_url`, `scope`,
    `key_id`. Everything else about a source is a setting.
    """

    conn_name_attr = "fhir_conn_id"
    default_conn_name = "fhir_default"
    conn_type = "fhir"
    hook_name = "FHIR server"

    def __init__(self, fhir_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fhir_conn_id = fhir_conn_id

    def get_conn(self) -> Source:
        """The server as a source named after the connection, with default settings."""
        return self.source(Source(name=self.fhir_conn_id.lower(), kind="search", url=""))

    def source(self, base: Source) -> Source:
        """The settings' source with the connection's credentials, and its URL when it has one.

        Raises SettingsError when the connection's `auth` is unknown.
        """
        return merged(base, self.get_connection(self.fhir_conn_id))

    async def asource(self, base: Source) -> Source:
        """As `source`, for triggers: they must not block their event loop."""
        return merged(base, await self.aget_connection(self.fhir_conn_id))

    def test_connection(self) -> tuple[bool, str]:
        """What the *Test* button shows: the server, the token, what is offered."""
        try:
            report = probe(self.get_conn())
        except SettingsError as error:
            return False, str(error)
        if not report.ok:
            return False, " ".join(report.problems)
        missing = f"; not offered: {', '.join(report.left_out)}" if report.left_out else ""
        return True, f"{report.software or 'FHIR server'}, FHIR {report.fhir_version}{missing}"


def merged(base: Source, connection: Connection) -> Source:
    """A source with the URL and the credentials of a connection."""
    extra = connection.extra_dejson
    kind = extra.get("auth") or _guess(connection.login, connection.password)
    if kind not in get_args(AuthKind):
        raise SettingsError(f"The connection's auth is none of {', '.join(get_args(AuthKind))}", source=base.name)
    auth = Auth(
        kind=kind,
        client_id=connection.login if kind in ("smart", "client_secret") else None,
        username=connection.login if kind == "basic" else None,
        secret=connection.password if kind in ("client_secret", "basic", "bearer") else None,
        private_key=connection.password if kind == "smart" else None,
        token_url=extra.get("token_url") or None,
        scope=extra.get("scope") or None,
        key_id=extra.get("key_id") or None,
    )
    return replace(base, url=_url(connection) or base.url, auth=auth)


def _guess(login: str | None, password: str | None) -> AuthKind:
    if not password:
        return "none"
    if password.lstrip().startswith(("-----BEGIN", "{")):
        return "smart"
    return "basic" if login else "bearer"


def _url(connection: Connection) -> str | None:
    """The base URL: in `host` as it is, or put together from the parts of a connection URI."""
    host: str | None = connection.host
    if not host or "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    path = f"/{connection.schema}" if connection.schema else ""
    return f"https://{host}{port}{path}"
