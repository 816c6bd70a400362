"""The one place that talks HTTP: limits, retries, timeouts, TLS, and which origin may see the token.

Redirects are followed within the origin only (or, for what needs no token, without it). Nothing that an answer or a URL
holds gets into an error or a log: URLs carry patient ids in their query.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
import orjson

from fhir_source.auth import Authoriser, authoriser
from fhir_source.broken import certificate_fault, connection_fault
from fhir_source.errors import (
    CredentialsRefused,
    IessError,
    PullIncomplete,
    SourceMisbehaved,
    SourceUnreachable,
)
from fhir_source.origins import origin, secured
from fhir_source.pacing import Limiter, Pace, retry_after
from fhir_source.tls import check_url, tls_context
from fhir_source.unpacking import BOM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    from fhir_source.source import Source

T = TypeVar("T")

_ACCEPT = "application/fhir+json, application/json;q=0.9"
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_REDIRECTS = 5
_FIRST_BACKOFF = 0.5  # seconds, doubled from attempt to attempt
_LONGEST_BACKOFF = 30.0
_MOST_BYTES = 256 << 20  # of one page; a resource of 40 MB has been seen
_ATTEMPTS_TO_CONNECT = 3  # a server that never answered yet is down, not busy

log = logging.getLogger(__name__)
# httpx logs every URL at INFO and httpcore headers at DEBUG; URLs (a Location among them) hold patient ids.
for _chatty in ("httpx", "httpcore"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class Refused(SourceMisbehaved):
    """The server answered a request with a status that trying again won't change. `status` is the HTTP status."""

    status: int = 0


class Transient(Exception):
    """An attempt failed in a way that the next may not. `what` is free of PHI; `ends_as` is raised when all attempts
    do.
    """

    def __init__(
        self,
        what: str,
        *,
        ends_as: type[IessError] = SourceUnreachable,
        wait: float | None = None,
        connected: bool = True,
        status: int = 0,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.ends_as = ends_as
        self.wait = wait
        self.connected = connected
        self.status = status


@dataclass(frozen=True)
class Request:
    """What to ask. `headers` may be a function, asked anew before each attempt; `statuses` are those that are an
    answer.
    """

    url: str
    method: str = "GET"
    form: Mapping[str, str | list[str]] | None = None
    headers: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None
    statuses: frozenset[int] = frozenset({200})
    token: bool = True  # send credentials; then only to the origins that they are for
    about: str = "the request"  # for messages; without ids


@dataclass(frozen=True)
class Answer:
    """A JSON answer: its body, headers, and the URL that it finally came from."""

    body: dict[str, Any]
    headers: httpx.Headers
    url: str
    status: int = 200


async def gathered(jobs: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order; the first error ends all."""
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


class Transport:
    """A client of one source. Use as an async context."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.base = source.url.rstrip("/")
        check_url(source)
        self.limiter = Limiter(source.concurrency)
        self._origins = {origin(self.base), *(origin(url) for url in source.token_origins)}
        self._client = httpx.AsyncClient(
            verify=tls_context(source),
            timeout=httpx.Timeout(source.timeout_seconds),
            limits=httpx.Limits(max_connections=source.concurrency + 2),
            follow_redirects=False,
            headers={"User-Agent": "iess-referral-watch"},
        )
        self.authoriser: Authoriser = authoriser(source, self._client)
        self._answered = False

    async def __aenter__(self) -> Transport:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    def url(self, path: str) -> str:
        return f"{self.base}/{path.lstrip('/')}"

    async def json(self, request: Request, fault: Callable[[Answer], Transient | None] = lambda _: None) -> Answer:
        """Ask until there is a JSON answer in which `fault` finds nothing wrong.

        Raises SourceUnreachable after all attempts, CredentialsRefused, Refused for another status, SourceMisbehaved
        for redirects to another origin, and what a fault that stays ends as.
        """

        async def read(response: httpx.Response) -> Answer:
            answer = await self.answer(response)
            found = fault(answer)
            if found:
                raise found
            return answer

        return await self.exchange(request, read)

    async def answer(self, response: httpx.Response) -> Answer:
        """Read an open response as JSON. Raises Transient when it isn't."""
        raw = (await self._whole(response)).removeprefix(BOM)
        try:
            body = orjson.loads(raw) if raw.strip() else {}
        except ValueError:
            raise Transient("it answered with something that is not JSON", ends_as=SourceMisbehaved) from None
        if not isinstance(body, dict):
            raise Transient("it answered with something that is not a FHIR resource", ends_as=SourceMisbehaved)
        return Answer(body, response.headers, str(response.url), response.status_code)

    async def exchange(self, request: Request, read: Callable[[httpx.Response], Awaitable[T]]) -> T:
        """Send, and hand the open response to `read`, until that succeeds. `read` raises Transient to be tried
        again.
        """
        request = replace(request, url=secured(request.url, self.base))
        if request.token and origin(request.url) not in self._origins:
            raise self._other_origin("A link", request.url)
        for number in itertools.count(1):
            try:
                return await self._once(request, read)
            except Transient as error:
                never_connected = not self._answered and not error.connected
                if number >= (_ATTEMPTS_TO_CONNECT if never_connected else self.source.attempts):
                    raise self._given_up(error, request) from None
                wait = self._pause(error, number)
                log.warning(
                    "source %s: %s; attempt %d follows in %.1f s", self.source.name, error.what, number + 1, wait
                )
            await asyncio.sleep(wait)
        raise AssertionError("unreachable: the loop returns or raises")

    def may_have_token(self, url: str) -> bool:
        return origin(url) in self._origins

    def _given_up(self, last: Transient, request: Request) -> IessError:
        said = {
            SourceUnreachable: f"The server could not be made to answer {request.about}",
            PullIncomplete: "The server cut the pull short",
        }.get(last.ends_as, "The server's answers can't be trusted")
        error = last.ends_as(
            f"{said}: {last.what}",
            source=self.source.name,
            kept="the files that were whole, for the next attempt",
            next_step="run the pull again" if last.ends_as.retriable else "report it to the server's operator",
        )
        if isinstance(error, SourceUnreachable):
            error.status = last.status
        return error

    def _pause(self, error: Transient, number: int) -> float:
        """Seconds before the next attempt: what the server asks, or ever longer ones; never more than the settings
        say.
        """
        wait = min(_FIRST_BACKOFF * 2 ** (number - 1), _LONGEST_BACKOFF) if error.wait is None else error.wait
        return min(wait, self.source.max_wait_seconds)

    async def _once(self, request: Request, read: Callable[[httpx.Response], Awaitable[T]]) -> T:
        """One attempt: through redirects, and through one renewal of the token."""
        renewed = False
        redirects = 0
        url = request.url
        given = request.headers() if callable(request.headers) else request.headers
        while True:
            try:
                authorisation = await self.authoriser.headers() if request.token else {}
                generation = self.authoriser.generation
                async with (
                    self.limiter.slot(),
                    self._client.stream(
                        request.method,
                        url,
                        data=request.form,
                        headers={"Accept": _ACCEPT, **(given or {}), **authorisation},
                    ) as response,
                ):
                    self._answered = True
                    if response.is_redirect:
                        redirects += 1
                        url = self._redirected(response, url, redirects, token=request.token)
                        continue
                    if response.status_code in request.statuses:
                        result = await read(response)
                        self.limiter.faster()
                        return result
                    if response.status_code != 401 or not request.token or renewed:
                        raise self._failure(response, request)
            except httpx.TransportError as error:
                raise self._broken(error) from None
            except (httpx.InvalidURL, httpx.DecodingError) as error:
                raise Transient(f"the answer can't be decoded ({type(error).__name__})") from None
            renewed = True
            await self.authoriser.renew(generation)

    def _broken(self, error: httpx.TransportError) -> Exception:
        fault = certificate_fault(error)
        if fault:
            what, next_step = fault
            return SourceMisbehaved(what, source=self.source.name, next_step=next_step)
        if isinstance(error, httpx.TimeoutException):
            return Transient("no answer in time", connected=not isinstance(error, httpx.ConnectTimeout))
        why = connection_fault(error)
        if not self._answered and self.base.startswith("https:") and isinstance(error, httpx.ReadError):
            why += "; a server that wants a client certificate (client_cert) drops connections so"
        return Transient(why, connected=not isinstance(error, httpx.ConnectError))

    def _redirected(self, response: httpx.Response, url: str, redirects: int, *, token: bool) -> str:
        target = secured(urljoin(url, response.headers.get("location", "")), self.base)
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

    def _failure(self, response: httpx.Response, request: Request) -> Exception:
        status = response.status_code
        if status in (401, 403):
            return CredentialsRefused(
                f"The server refused {request.about} ({status})"
                + ("; the token's scopes don't allow it" if status == 403 else ""),
                source=self.source.name,
                next_step="check the client's registration, key and scopes (iess doctor)"
                + (", or leave the type out of the setting `types`" if status == 403 else ""),
            )
        if status not in _TRANSIENT:
            refused = Refused(f"The server refused {request.about} ({status})", source=self.source.name)
            refused.status = status
            return refused
        wait = retry_after(
            response.headers.get("retry-after"), server_date=response.headers.get("date"), now=time.time()
        )
        if status in (429, 503):
            self.limiter.slower(min(wait or 0.0, self.source.max_wait_seconds))
        asks = f", and asks to wait {wait:.0f} s" if wait else ""
        return Transient(f"it answers {status}{asks}", wait=wait, status=status)

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
