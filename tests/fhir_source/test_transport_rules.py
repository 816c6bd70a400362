"""The rules of the transport that need no server."""

from __future__ import annotations

import email.utils
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_source.origins import is_loopback, origin, secured
from fhir_source.pacing import Limiter, retry_after
from fhir_source.paging import batches, escape
from fhir_source.references import literal, to_type

NOW = 1_790_000_000.0
DATE = email.utils.formatdate(NOW, usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7),
        ("0.5", 0.5),
        (email.utils.formatdate(NOW + 90, usegmt=True), 90),
        (email.utils.formatdate(NOW - 90, usegmt=True), 0),
        (str(int(NOW) + 30), 30),
        (str(int(NOW + 30) * 1000), 30),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("in a while", None),
        ("1e400", None),
        ("Mon, 99 Xxx 2026", None),
    ],
)
def test_retry_after_in_all_its_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, server_date=None, now=NOW) == seconds


def test_an_instant_is_measured_by_the_servers_clock() -> None:
    later = email.utils.formatdate(NOW + 60, usegmt=True)
    assert retry_after(later, server_date=DATE, now=NOW + 86_400) == 60


@given(st.text(max_size=40), st.text(max_size=40))
def test_retry_after_takes_anything(value: str, date: str) -> None:
    seconds = retry_after(value, server_date=date, now=NOW)
    assert seconds is None or seconds >= 0


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)), st.integers(100, 2000))
def test_batches_fit_and_lose_nothing(values: list[str], room: int) -> None:
    from urllib.parse import quote_plus

    made = list(batches(values, room))
    assert [value for batch in made for value in batch] == values
    assert all(len(quote_plus(",".join(batch))) <= room or len(batch) == 1 for batch in made)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Fhir.Example.org/r4?x=1", "https://fhir.example.org:443"),
        ("http://user:pw@h:8080/x", "http://h:8080"),
        ("http://[::1]:80/x", "http://[::1]:80"),
        ("http://h:99999/", "unreadable"),
        ("/relative", "://:0"),
    ],
)
def test_origins(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:1/x", True),
        ("http://localhost/x", True),
        ("http://[::1]/x", True),
        ("http://127.0.0.1.evil.org/", False),
        ("http://localhost.evil.org/", False),
    ],
)
def test_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Patient/1", ("Patient", "1")),
        ("https://h/fhir/Patient/1/_history/2", ("Patient", "1")),
        ("https://elsewhere/fhir/Patient/1", None),
        ("urn:uuid:1", None),
        ("#p", None),
        ("Practitioner?identifier=1", None),
        ("", None),
    ],
)
def test_literal_references(reference: str, expected: tuple[str, str] | None) -> None:
    assert literal(reference, "https://h/fhir") == expected


def test_references_of_a_type_are_found_anywhere() -> None:
    resource = {"participant": [{"actor": {"reference": "Patient/a"}}, {"actor": {"reference": "Location/b"}}]}
    assert to_type(resource, "Patient") == {"a"}


def test_search_values_are_escaped() -> None:
    assert escape("a,b|c$d\\e") == "a\\,b\\|c\\$d\\\\e"


def test_the_limiter_slows_and_recovers() -> None:
    limiter = Limiter(8)
    limiter.slower(0)
    limiter.slower(0)
    assert limiter.allowed == 2
    for _ in range(100):
        limiter.faster()
    assert limiter.allowed == 8
    for _ in range(10):
        limiter.slower(0)
    assert limiter.allowed == 1


def test_urls_are_not_logged() -> None:
    import fhir_source.transport

    assert fhir_source.transport.log
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://fhir.example/r4/Patient?_page=2", "https://fhir.example/r4/Patient?_page=2"),
        ("http://fhir.example:80/r4", "https://fhir.example/r4"),
        ("http://fhir.example:8080/r4", "http://fhir.example:8080/r4"),
        ("http://other.example/r4", "http://other.example/r4"),
        ("http://fhir.example@other.example/r4", "http://fhir.example@other.example/r4"),
        ("http://user@fhir.example/r4", "http://user@fhir.example/r4"),
        ("https://fhir.example/r4", "https://fhir.example/r4"),
        ("http://fhir.example:x/r4", "http://fhir.example:x/r4"),
    ],
)
def test_links_that_differ_from_the_server_in_http_alone_go_over_https(url: str, expected: str) -> None:
    assert secured(url, "https://fhir.example/r4") == expected
    assert secured(url, "http://fhir.example/r4") == url
