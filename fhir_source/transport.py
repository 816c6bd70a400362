"""The one place that talks HTTP: limits, retries, timeouts, TLS, and which origin may see the token.

Redirects are followed within the origin only (or, for what needs no token, without it). Nothing that an answer or a URL
holds gets into an error or a log: URLs carry patient ids in their query.
"""

from __future__ import annotations

import logging
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
import orjson
import stamina

from fhir_source.auth import Authoriser, authoriser
from fhir_source.errors import CredentialsRefused, SettingsError, SourceMisbehaved, SourceUnreachable
from fhir_source.origins import is_loopback, origin
from fhir_source.pacing import Limiter, Pace, retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fhir_source.source import Source

T = TypeVar("T")

FHIR_JSON = "application/fhir+json"
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_REDIRECTS = 5
_LONGEST_BACKOFF = 30.0
_MOST_BYTES = 256 << 20  # of one page; a resource of 40 MB has been seen
_ATTEMPTS_TO_CONNECT = 3  # a server that never answered yet is down, not busy

# httpx logs every URL at INFO, and a search URL holds patient ids.
logging.getLogger("httpx").setLevel(logging.WARNING)


class Refused(SourceMisbehaved):
    """The server answered a request with a status that trying again won't change. `status` is the HTTP status."""

    status: int = 0


class Transient(Exception):
    """An attempt failed in a way that the next may not. `what` is free of PHI."""

    def __init__(self, what: str, *, wait: float | None = None, connected: bool = True) -> None:
        super().__init__(what)
        self.what = what
        self.wait = wait
        self.connected = connected


@dataclass(frozen=True)
class Answer:
    """A JSON answer: its body, headers, and the URL that it finally came from."""

    body: dict[str, Any]
    headers: httpx.Headers
    url: str
    status: int = 200


class Transport:
    """A client of one source. Use as an async context."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.base = source.url.rstrip("/")
        _check_url(source)
        self.limiter = Limiter(source.concurrency)
        self._origins = {origin(self.base), *(origin(url) for url in source.token_origins)}
        self._client = httpx.AsyncClient(
            verify=tls_context(source),
            timeout=httpx.Timeout(source.timeout_seconds),
            limits=httpx.Limits(max_connections=source.concurrency + 2),
            follow_redirects=False,
            headers={"User-Agent": "iess-referral-watch"},
        )
        self._authoriser: Authoriser = authoriser(source, self._client)
        self._answered = False

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    @property
    def authoriser(self) -> Authoriser:
        return self._authoriser

    def url(self, path: str) -> str:
        return f"{self.base}/{path.lstrip('/')}"

    async def json(
        self,
        url: str,
        *,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        statuses: frozenset[int] = frozenset({200}),
        fault: Callable[[Answer], str | None] = lambda _: None,
    ) -> Answer:
        """Ask until there is a JSON answer in which `fault` finds nothing wrong.

        Raises SourceUnreachable after all attempts, CredentialsRefused, Refused for another status, SourceMisbehaved
        for redirects to another origin and for answers that stay wrong.
        """

        async def read(response: httpx.Response) -> Answer:
            raw = await self._whole(response)
            try:
                parsed = orjson.loads(raw) if raw.strip() else {}
            except ValueError:
                raise Transient("it answered with something that is not JSON") from None
            if not isinstance(parsed, dict):
                raise Transient("it answered with something that is not a FHIR resource")
            answer = Answer(parsed, response.headers, str(response.url), response.status_code)
            found = fault(answer)
            if found:
                raise Transient(found)
            return answer

        return await self.exchange(
            url, read, method=method, form=form, body=body, headers=headers, statuses=statuses, token=True
        )

    async def exchange(
        self,
        url: str,
        read: Callable[[httpx.Response], Awaitable[T]],
        *,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None,
        statuses: frozenset[int] = frozenset({200}),
        token: bool = True,
    ) -> T:
        """Send, and hand the open response to `read`, until that succeeds. `read` raises Transient to be tried again.

        `headers` may be a function, asked anew before each attempt.
        """
        if token and origin(url) not in self._origins:
            raise self._other_origin("A link", url)
        last: Transient | None = None
        try:
            async for attempt in stamina.retry_context(
                on=self._backoff,
                attempts=self.source.attempts,
                timeout=None,
                wait_initial=min(0.5, self.source.max_wait_seconds),
                wait_max=min(_LONGEST_BACKOFF, self.source.max_wait_seconds),
                wait_jitter=min(0.5, self.source.max_wait_seconds),
            ):
                with attempt:
                    try:
                        given = headers() if callable(headers) else headers
                        return await self._once(url, read, method, form, body, dict(given or {}), statuses, token)
                    except Transient as error:
                        last = error
                        if not self._answered and not error.connected and attempt.num >= _ATTEMPTS_TO_CONNECT:
                            raise self._unreachable(error) from None
                        raise
        except Transient as error:
            last = error
        raise self._unreachable(last) from None

    def _unreachable(self, last: Transient | None) -> SourceUnreachable:
        return SourceUnreachable(
            f"The server could not be made to answer: {last.what if last else 'no attempt was made'}",
            source=self.source.name,
            next_step="run the pull again with the same id when the server is well; what is whole is kept",
        )

    def _backoff(self, error: Exception) -> bool | float:
        if not isinstance(error, Transient):
            return False
        return True if error.wait is None else min(error.wait, self.source.max_wait_seconds)

    async def _once(
        self,
        url: str,
        read: Callable[[httpx.Response], Awaitable[T]],
        method: str,
        form: Mapping[str, str] | None,
        body: Any,
        headers: dict[str, str],
        statuses: frozenset[int],
        token: bool,
    ) -> T:
        """One attempt: through redirects, and through one renewal of the token."""
        renewed = False
        redirects = 0
        while True:
            generation = self._authoriser.generation
            try:
                authorisation = await self._authoriser.headers() if token else {}
                generation = self._authoriser.generation
                async with (
                    self.limiter.slot(),
                    self._client.stream(
                        method,
                        url,
                        data=form,
                        content=None if body is None else orjson.dumps(body),
                        headers={"Accept": FHIR_JSON, **headers, **authorisation},
                    ) as response,
                ):
                    self._answered = True
                    if response.is_redirect:
                        redirects += 1
                        url = self._redirected(response, url, redirects, token=token)
                        continue
                    if response.status_code == 401 and token and not renewed:
                        renewed = True
                    elif response.status_code in statuses:
                        result = await read(response)
                        self.limiter.faster()
                        return result
                    else:
                        raise self._failure(response)
            except httpx.TimeoutException:
                raise Transient("no answer in time", connected=self._answered) from None
            except httpx.TransportError as error:
                if _is_certificate_fault(error):
                    raise SourceMisbehaved(
                        "The server's certificate can't be verified",
                        source=self.source.name,
                        next_step="set ca_file to the hospital's certificate authority",
                    ) from None
                connected = not isinstance(error, httpx.ConnectError)
                raise Transient(f"the connection failed ({type(error).__name__})", connected=connected) from None
            except (httpx.InvalidURL, httpx.DecodingError) as error:
                raise Transient(f"the answer can't be decoded ({type(error).__name__})") from None
            await self._authoriser.renew(generation)

    def _redirected(self, response: httpx.Response, url: str, redirects: int, *, token: bool) -> str:
        target: str = urljoin(url, response.headers.get("location", ""))
        if redirects > _MOST_REDIRECTS:
            raise SourceMisbehaved("The server redirects without end", source=self.source.name)
        if token and origin(target) not in self._origins:
            raise self._other_origin("A redirect", target)
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise SourceMisbehaved("The server redirects from https to http", source=self.source.name)
        return target

    def _other_origin(self, what: str, url: str) -> SourceMisbehaved:
        return SourceMisbehaved(
            f"{what} leads to another origin ({origin(url)}) than the one the credentials are for; it was not followed",
            source=self.source.name,
            next_step="if that host is the server's own, add it to token_origins",
        )

    def _failure(self, response: httpx.Response) -> Exception:
        status = response.status_code
        if status in (401, 403):
            return CredentialsRefused(
                f"The server refused the request ({status})"
                + ("; the token's scopes don't allow it" if status == 403 else ""),
                source=self.source.name,
                next_step="check the client's registration, key and scopes (iess doctor)",
            )
        if status not in _TRANSIENT:
            refused = Refused(f"The server refused the request ({status})", source=self.source.name)
            refused.status = status
            return refused
        wait = retry_after(
            response.headers.get("retry-after"), server_date=response.headers.get("date"), now=time.time()
        )
        if status in (429, 503):
            self.limiter.slower(min(wait or 0.0, self.source.max_wait_seconds))
        asks = f", and asks to wait {wait:.0f} s" if wait else ""
        return Transient(f"it answers {status}{asks}", wait=wait)

    async def _whole(self, response: httpx.Response) -> bytes:
        """The body, within bounds of size and of patience."""
        raw = bytearray()
        pace = Pace(self.source.timeout_seconds)
        async for chunk in response.aiter_bytes():
            raw += chunk
            if pace.too_slow(len(chunk)):
                raise Transient("the answer drips in too slowly")
            if len(raw) > _MOST_BYTES:
                raise SourceMisbehaved(
                    f"A page is larger than {_MOST_BYTES >> 20} MB",
                    source=self.source.name,
                    next_step="lower page_size",
                )
        return bytes(raw)


def tls_context(source: Source) -> ssl.SSLContext:
    """Certificates are always verified. Raises SettingsError when a certificate or key file can't be used."""
    try:
        context = ssl.create_default_context(cafile=str(source.ca_file) if source.ca_file else None)
        if source.client_cert:
            context.load_cert_chain(source.client_cert, source.client_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            "ca_file, client_cert or client_key can't be used: not a readable PEM file", source=source.name
        ) from error
    return context


def _check_url(source: Source) -> None:
    parts = urlsplit(source.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("The source's url is not an http or https URL", source=source.name)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            "The source's url holds more than scheme, host and path",
            source=source.name,
            next_step="put credentials into the connection, not into the URL",
        )
    if source.auth.kind != "none" and parts.scheme == "http" and not is_loopback(source.url):
        raise SettingsError("Credentials are not sent over plain http", source=source.name, next_step="use https")


def _is_certificate_fault(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
