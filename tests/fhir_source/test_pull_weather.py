"""Pulls through bad weather: many an answer is broken in some way or other, by seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from fhir_source.errors import IessError
from fhir_source.landing import LandingZone
from tests.fhir_source.conftest import PULL
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, cut, packed, status
from tests.fhir_source.test_pull_bulk import assert_whole as assert_whole_export
from tests.fhir_source.test_pull_search import assert_whole as assert_whole_search

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_source.landing import Manifest

pytestmark = pytest.mark.integration


def _lines_lost(seen: Seen, reply: Reply) -> Reply:
    """A page without its last row, or a file without its last line."""
    if reply.headers.get("content-type", "").startswith("application/fhir+ndjson"):
        return Reply(reply.status, reply.headers, reply.body[: reply.body.rstrip().rfind(b"\n") + 1])
    if b'"entry"' not in reply.body:
        return reply
    body = reply.json
    return reply.with_json({**body, "entry": body["entry"][:-1]})


def _outcome_with_200(seen: Seen, reply: Reply) -> Reply:
    return Reply.outcome(200)


FAULTS: list[Callable[[Seen, Reply], Reply]] = [
    status(500),
    status(502),
    status(503, retry_after="0"),
    status(429, retry_after="1790000000000"),
    cut(0.5),
    cut(0),
    packed(0.7),
    packed(),
    _outcome_with_200,
    _lines_lost,
]


@pytest.mark.parametrize("kind", ["search", "bulk"])
@pytest.mark.parametrize("seed", range(3))
def test_weather(
    kind: str, seed: int, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a reproducible test
    broken = 0

    def maybe(seen: Seen, reply: Reply) -> Reply:
        nonlocal broken
        if "$export" in seen.path or dice.random() > (0.25 if kind == "search" else 0.4):
            return reply
        broken += 1
        return dice.choice(FAULTS)(seen, reply)

    faulty.faults.append(Fault(lambda _: True, maybe, times=1_000_000))
    settings: dict[str, Any] = {"kind": kind, "max_poll_seconds": 0.05, "max_wait_seconds": 0.01, "page_size": 5}

    def attempt() -> Manifest | IessError:
        try:
            return pulling(faulty.base_url, **settings)
        except IessError as error:
            return error

    for _ in range(20):
        outcome = attempt()
        if not isinstance(outcome, IessError):
            break
        assert outcome.retriable, outcome
        assert landing.find("site", PULL) is None
    assert broken > 3
    assert not isinstance(outcome, IessError)
    (assert_whole_search if kind == "search" else assert_whole_export)(landing, outcome)
