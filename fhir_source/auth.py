"""Authorisation: SMART Backend Services, client secret, basic, bearer, none.

A token is kept in memory only. Its renewal happens once for all concurrent requests: each request remembers the
generation of the token that it used, and a refusal renews only when no other request has done so meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import httpx
import jwt

from fhir_source.errors import CredentialsRefused, SettingsError, SourceMisbehaved, SourceUnreachable
from fhir_source.keys import signing_key
from fhir_source.origins import is_loopback
from fhir_source.pacing import retry_after

if TYPE_CHECKING:
    from fhir_source.source import Source

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE = 240  # seconds; SMART allows 300, and clocks differ
_EARLY = 30.0  # seconds before its end at which a token is renewed
_ATTEMPTS_TO_CONNECT = 3
_FIRST_BACKOFF = 0.5  # seconds, doubled from attempt to attempt
_LONGEST_BACKOFF = 8.0


class Authoriser(Protocol):
    """Gives the headers that authorise a request."""

    generation: int

    async def headers(self) -> dict[str, str]:
        """Raises CredentialsRefused when the server won't give a token."""

    async def renew(self, generation: int) -> None:
        """The server refused (401) a request made with this generation. Raises CredentialsRefused if nothing can be
        done.
        """

    def widen(self) -> bool:
        """Ask for all types at once from now on; False when that is not in our hands."""


@dataclass
class _Fixed:
    """Headers that never change: none, basic, bearer."""

    source: Source
    fixed: dict[str, str]
    generation: int = 0

    async def headers(self) -> dict[str, str]:
        return self.fixed

    async def renew(self, generation: int) -> None:
        said = "asks for credentials, and none are set" if not self.fixed else "refused the credentials"
        raise CredentialsRefused(
            f"The server {said} (401)", source=self.source.name, next_step="check the connection's credentials"
        )

    def widen(self) -> bool:
        return False


class _Token:
    """OAuth 2.0 client credentials: with a signed assertion (SMART Backend Services) or a client secret."""

    def __init__(self, source: Source, client: httpx.AsyncClient) -> None:
        self.source = source
        self.generation = 0
        self.granted: str | None = None  # scopes, as the server says
        self._client = client
        self._lock = asyncio.Lock()
        self._value: str | None = None
        self._ends = 0.0
        self._wide = False
        self._endpoint: str | None = source.auth.token_url
        self._offers: dict[str, Any] = {}
        if source.auth.kind == "smart":
            self._key = signing_key(source)

    async def headers(self) -> dict[str, str]:
        if self._value is None or time.monotonic() >= self._ends:
            await self._replace(self.generation)
        return {"Authorization": f"Bearer {self._value}"}

    async def renew(self, generation: int) -> None:
        await self._replace(generation)

    def widen(self) -> bool:
        if self.source.auth.scope or self._wide:
            return False
        self._wide = True
        self._value = None
        return True

    async def _replace(self, generation: int) -> None:
        async with self._lock:
            if generation != self.generation and self._value is not None:
                return  # another request has renewed it meanwhile
            try:
                answer = await self._ask()
            except CredentialsRefused as refused:
                # A scope for a type that the server doesn't have makes some refuse all of them.
                if refused.code != "invalid_scope" or not self.widen():
                    raise
                answer = await self._ask()
            self._value = str(answer["access_token"])
            self.granted = answer.get("scope")
            self._ends = time.monotonic() + _usable_for(answer.get("expires_in"))
            self.generation += 1

    async def _ask(self) -> dict[str, Any]:
        """The token endpoint's answer, in as many attempts as any other request may take."""
        for number in itertools.count(1):
            last = number >= self.source.attempts
            wait = min(_FIRST_BACKOFF * 2 ** (number - 1), _LONGEST_BACKOFF)
            try:
                return await self._ask_once(await self._token_endpoint(), last=last)
            except httpx.TransportError as error:
                if last or (isinstance(error, httpx.ConnectError) and number >= _ATTEMPTS_TO_CONNECT):
                    raise SourceUnreachable(
                        f"The server that gives tokens can't be reached ({type(error).__name__})",
                        source=self.source.name,
                        next_step="run again when it is well",
                    ) from None
            except _TryAgain as error:
                if last:
                    raise SourceUnreachable(
                        f"The server gives no token: it answers {error.status}",
                        source=self.source.name,
                        next_step="run again later; some servers also fail like this on a key of the wrong kind",
                    ) from None
                wait = wait if error.wait is None else error.wait
            await asyncio.sleep(min(wait, self.source.max_wait_seconds))
        raise AssertionError("unreachable: the loop returns or raises")

    async def _ask_once(self, endpoint: str, *, last: bool) -> dict[str, Any]:
        form, headers = self._request(endpoint)
        response = await self._client.post(endpoint, data=form, headers={"Accept": "application/json", **headers})
        try:
            body = response.json()
        except ValueError:
            body = {}
        if response.status_code == 200 and isinstance(body, dict) and isinstance(body.get("access_token"), str):
            return body
        code = body.get("error") if isinstance(body, dict) else None
        # A bare 400 without an OAuth error code comes and goes (seen at Epic when a token is renewed), and so does the
        # page of a gateway with status 200.
        bare = response.status_code in (200, 400) and not code
        if response.status_code >= 429 or (bare and not last):
            raise _again(response)
        known = code if isinstance(code, str) and code.replace("_", "").isalpha() else "no OAuth error code"
        refused = CredentialsRefused(
            f"The token endpoint gave no token ({response.status_code}, {known})",
            source=self.source.name,
            next_step=_ADVICE.get(known, "check client id, key and key id against the registration"),
        )
        refused.code = known
        raise refused

    def _request(self, endpoint: str) -> tuple[dict[str, str], dict[str, str]]:
        auth = self.source.auth
        form = {"grant_type": "client_credentials", "scope": self._scope()}
        if auth.kind == "smart":
            return {**form, "client_assertion_type": _ASSERTION, "client_assertion": self._assertion(endpoint)}, {}
        methods = self._offers.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if "client_secret_basic" in methods:
            return form, {"Authorization": _basic(auth.client_id or "", auth.secret or "")}
        return {**form, "client_id": auth.client_id or "", "client_secret": auth.secret or ""}, {}

    def _assertion(self, endpoint: str) -> str:
        key, algorithm, key_id = self._key
        issued = int(time.time())
        claims = {
            "iss": self.source.auth.client_id,
            "sub": self.source.auth.client_id,
            "aud": endpoint,
            "iat": issued,
            "exp": issued + _ASSERTION_LIFE,
            "jti": secrets.token_urlsafe(24),
        }
        headers = {"typ": "JWT", **({"kid": key_id} if key_id else {})}
        return jwt.encode(claims, key, algorithm=algorithm, headers=headers)

    def _scope(self) -> str:
        if self.source.auth.scope:
            return self.source.auth.scope
        capabilities = self._offers.get("capabilities") or []
        # Servers misadvertise what they know: version 1 scopes unless only version 2 is offered.
        right = "rs" if "permission-v2" in capabilities and "permission-v1" not in capabilities else "read"
        if self._wide:
            return f"system/*.{right}"
        extra = ("Group",) if self.source.kind == "bulk" and self.source.export_level == "group" else ()
        return " ".join(f"system/{name}.{right}" for name in (*self.source.types, *extra))

    async def _token_endpoint(self) -> str:
        if self._endpoint is None:
            self._endpoint = await self._discover()
        if urlsplit(self._endpoint).scheme != "https" and not is_loopback(self._endpoint):
            raise SettingsError("The token endpoint is not https", source=self.source.name)
        return self._endpoint

    async def _discover(self) -> str:
        url = f"{self.source.url.rstrip('/')}/.well-known/smart-configuration"
        response = await self._client.get(url, headers={"Accept": "application/json"})
        if response.status_code >= 429:
            raise _again(response)
        try:
            offers: Any = response.json() if response.status_code == 200 else None
        except ValueError:
            raise _again(response) from None
        endpoint = offers.get("token_endpoint") if isinstance(offers, dict) else None
        if not isinstance(endpoint, str):
            raise SourceMisbehaved(
                "The server's SMART configuration names no token endpoint",
                source=self.source.name,
                next_step="set token_url",
            )
        self._offers = offers
        return endpoint


class _TryAgain(Exception):
    """The token endpoint may do better next time. `status` is what it answered, `wait` the seconds that it asks for."""

    def __init__(self, status: int, wait: float | None) -> None:
        super().__init__(status)
        self.status = status
        self.wait = wait


def _again(response: httpx.Response) -> _TryAgain:
    asked = retry_after(response.headers.get("retry-after"), server_date=response.headers.get("date"), now=time.time())
    return _TryAgain(response.status_code, asked)


_ADVICE = {
    "invalid_scope": "register the client for the scopes asked, or set scope",
    "invalid_client": "check client id, key and key id against the registration, and both clocks (iess doctor)",
}


def authoriser(source: Source, client: httpx.AsyncClient) -> Authoriser:
    """The authoriser that the source's settings ask for. Raises SettingsError when something is missing."""
    auth = source.auth
    needs = {
        "none": (),
        "basic": ("username", "secret"),
        "bearer": ("secret",),
        "client_secret": ("client_id", "secret"),
        "smart": ("client_id", "private_key"),
    }
    missing = [name for name in needs[auth.kind] if not getattr(auth, name)]
    if missing:
        raise SettingsError(
            f"Authorisation of kind {auth.kind} needs {' and '.join(missing)}",
            source=source.name,
            next_step="set them in the Airflow connection, the environment or the secrets file",
        )
    if auth.kind == "none":
        return _Fixed(source, {})
    if auth.kind == "basic":
        return _Fixed(source, {"Authorization": _basic(auth.username or "", auth.secret or "")})
    if auth.kind == "bearer":
        return _Fixed(source, {"Authorization": f"Bearer {auth.secret}"})
    return _Token(source, client)


def _usable_for(expires_in: object) -> float:
    """Seconds for which a token is used: short-lived ones up to nine tenths of their life."""
    try:
        life = float(expires_in)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        life = 300.0  # SMART: servers should not give more than an hour, and must say; five minutes is the common least
    return max(life - _EARLY, life * 0.5) if life > 0 else 0.0


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
