"""Authorisation against the real server, and TLS in front of it."""

from __future__ import annotations

import ipaddress
import json
import ssl
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from fhir_source.errors import CredentialsRefused, SettingsError, SourceMisbehaved, SourceUnreachable
from fhir_source.probe import probe
from fhir_source.source import Auth, Source
from synthetic.fhir_server import FhirServer
from tests.fhir_source import cohort
from tests.fhir_source.cohort import EXPECTED
from tests.fhir_source.conftest import NOW, QUICK
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, at, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fhir_source.landing import Manifest

pytestmark = pytest.mark.integration

SECRET = "correct-horse"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cohort.write(tmp_path_factory.mktemp("rows"), cohort.resources())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, rows: Path) -> Iterator[tuple[FaultyServer, FhirServer]]:
    """A server that wants SMART, basic or a bearer token, and believes itself to be the faulty one in front of it."""
    with FaultyServer("") as front:
        settings = {
            "base_url": front.base_url,
            "server_auth": {"types": ["smart", "bearer", "basic"], "users": {"reader": SECRET}},
        }
        with FhirServer(tmp_path_factory.mktemp("rs384"), smart="RS384", extra=settings) as server:
            server.load(rows)
            front.upstream = server.root_url
            yield front, server


@pytest.fixture
def front(guarded: tuple[FaultyServer, FhirServer]) -> FaultyServer:
    faulty, _ = guarded
    faulty.faults.clear()
    faulty.seen.clear()
    return faulty


@pytest.fixture
def smart(guarded: tuple[FaultyServer, FhirServer]) -> Auth:
    """As an operator would give it: no token URL, no scope."""
    _, server = guarded
    return Auth(kind="smart", client_id=server.client_id, private_key=server.private_key_path.read_text())


def tokens(front: FaultyServer) -> list[Seen]:
    return front.requests("/auth/token")


def test_smart_asks_a_scope_for_each_type(front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]) -> None:
    assert pulling(front.base_url, auth=smart).counts == EXPECTED
    [asked] = tokens(front)
    assert b"system%2FCoverage.read" in asked.body
    assert b"system%2F%2A" not in asked.body
    assert smart.private_key
    assert "PRIVATE KEY" not in repr(smart)


def _as_jwk(pem: str) -> str:
    key: Any = serialization.load_pem_private_key(pem.encode(), password=None)
    algorithm: Any = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    return json.dumps(algorithm.to_jwk(key, as_dict=True))


@pytest.mark.parametrize(
    "form",
    [
        lambda pem: pem,
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem.replace("\n", "\\n"),
        _as_jwk,
        lambda pem: json.dumps({"keys": [json.loads(_as_jwk(pem))]}),
    ],
    ids=["pem", "pem on one line", "pem escaped", "jwk", "jwks"],
)
def test_forms_of_the_key(form: Callable[[str], str], front: FaultyServer, smart: Auth) -> None:
    auth = replace(smart, private_key=form(smart.private_key or ""))
    report = probe(Source(name="site", kind="search", url=front.base_url, auth=auth), NOW.timestamp)
    assert report.token is True, report.problems


def test_es384(tmp_path: Path, rows: Path, pulling: Callable[..., Manifest]) -> None:
    with FhirServer(tmp_path, smart="ES384", token_lifetime=1) as server:
        server.load(rows)
        auth = Auth(kind="smart", client_id=server.client_id, private_key=server.private_key_path.read_text())
        assert pulling(server.base_url, auth=auth, page_size=2, concurrency=2).counts == EXPECTED
        jwk = replace(auth, private_key=_as_jwk(auth.private_key or ""))
        assert pulling(server.base_url, auth=jwk, pull_id="jwk").counts == EXPECTED


def test_a_token_that_expires_is_renewed_once_for_all_requests_under_way(
    front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    refused: set[str | None] = set()

    def expire(seen: Seen, reply: Reply) -> Reply:
        """The first token that pages of these types are asked with is refused from then on."""
        if not refused:
            refused.add(seen.token)
        return Reply.outcome(401) if seen.token in refused else reply

    def any_of_four(seen: Seen) -> bool:
        return any(f"/{kind}" in seen.path for kind in ("Encounter", "Coverage", "Condition", "ServiceRequest"))

    front.faults.append(Fault(any_of_four, expire, times=10_000, skip=3))
    assert pulling(front.base_url, auth=smart, concurrency=4).counts == EXPECTED
    assert len(tokens(front)) == 2


def test_a_token_that_is_always_refused_ends_the_pull(
    front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    front.faults.append(Fault(at("/fhir/Condition"), status(401), times=10_000))
    with pytest.raises(CredentialsRefused) as raised:
        pulling(front.base_url, auth=smart)
    assert not raised.value.retriable
    assert len(tokens(front)) <= 3  # POST and GET are both tried


def test_a_token_endpoint_that_falters_is_asked_again(
    front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    bare = Fault(at("/auth/token"), lambda seen, reply: Reply(400, {}, b""))
    front.faults += [
        bare,
        Fault(at("/auth/token"), status(503), skip=1),
        Fault(at("/.well-known/"), status(500)),
        Fault(at("/.well-known/"), lambda seen, reply: Reply(200, {}, b"", cut=0), skip=1),
    ]
    assert pulling(front.base_url, auth=smart).counts == EXPECTED


def test_a_token_endpoint_that_is_down(front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]) -> None:
    front.faults.append(Fault(at("/auth/token"), status(503), times=99))
    with pytest.raises(SourceUnreachable):
        pulling(front.base_url, auth=smart)


@pytest.mark.parametrize("key", ["other", "garbage"])
def test_a_wrong_key_is_one_clear_error(
    key: str, front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private = other.decode() if key == "other" else "not a key"
    expected: type[Exception] = CredentialsRefused if key == "other" else SettingsError
    with pytest.raises(expected) as raised:
        pulling(front.base_url, auth=replace(smart, private_key=private))
    assert private.splitlines()[0] not in str(raised.value)


def test_an_unknown_client_and_an_unknown_scope(
    front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    with pytest.raises(CredentialsRefused, match="invalid_client"):
        pulling(front.base_url, auth=replace(smart, client_id="somebody"))
    with pytest.raises(CredentialsRefused, match="invalid_scope"):
        pulling(front.base_url, auth=replace(smart, scope="system/Patient.write user/Nothing.x"))


def test_an_export_widens_the_scope_when_that_of_each_type_is_not_enough(
    front: FaultyServer, smart: Auth, pulling: Callable[..., Manifest]
) -> None:
    manifest = pulling(front.base_url, kind="bulk", auth=smart, max_poll_seconds=0.1)
    assert manifest.counts["Patient"] == cohort.INFANTS + cohort.OTHERS
    assert [b"system%2F%2A.read" in seen.body for seen in tokens(front)] == [False, True]


@pytest.mark.parametrize(
    ("auth", "refused"),
    [
        (Auth(kind="basic", username="reader", secret=SECRET), Auth(kind="basic", username="reader", secret="wrong")),
        (None, Auth(kind="bearer", secret="wrong")),
        (None, Auth()),
    ],
    ids=["basic", "bearer", "none"],
)
def test_other_kinds(
    auth: Auth | None,
    refused: Auth,
    front: FaultyServer,
    guarded: tuple[FaultyServer, FhirServer],
    pulling: Callable[..., Manifest],
) -> None:
    with pytest.raises(CredentialsRefused) as raised:
        pulling(front.base_url, auth=refused, pull_id="refused")
    assert "wrong" not in str(raised.value)
    bearer = Auth(kind="bearer", secret=guarded[1]._loader_token)
    assert pulling(front.base_url, auth=auth or bearer).counts == EXPECTED


def test_client_secret(tmp_path: Path, rows: Path, pulling: Callable[..., Manifest]) -> None:
    client = {"client_id": "app", "client_secret": SECRET, "scopes": "system/*.rs"}
    settings = {"server_auth": {"types": ["smart", "bearer"], "smart_clients": [client], "tokens": ["load"]}}
    with FhirServer(tmp_path, extra=settings) as server:
        server._loader_token = "load"
        server.smart = "RS384"  # so that the loader sends its token
        server.load(rows)
        auth = Auth(kind="client_secret", client_id="app", secret=SECRET)
        assert pulling(server.base_url, auth=auth).counts == EXPECTED
        with pytest.raises(CredentialsRefused):
            pulling(server.base_url, auth=replace(auth, secret="wrong"), pull_id="refused")


@pytest.mark.parametrize(
    "source",
    [
        Source(name="s", kind="search", url="http://fhir.example.org/r4", auth=Auth(kind="bearer", secret="x")),
        Source(
            name="s",
            kind="bulk",
            url="https://fhir.example.org/r4",
            auth=Auth(kind="bearer", secret="x"),
            token_origins=("http://files.example.org",),
        ),
        Source(name="s", kind="search", url="https://user:pw@fhir.example.org/r4"),
        Source(name="s", kind="search", url="ftp://fhir.example.org/r4"),
        Source(name="s", kind="search", url="https://fhir.example.org", auth=Auth(kind="smart", client_id="x")),
        Source(name="s", kind="search", url="https://fhir.example.org", ca_file=__import__("pathlib").Path("none")),
    ],
    ids=[
        "token over http",
        "token to a file host over http",
        "credentials in the URL",
        "no http",
        "no key",
        "no CA file",
    ],
)
def test_wrong_settings_are_one_clear_line(source: Source) -> None:
    report = probe(source, NOW.timestamp)
    assert not report.ok
    assert len(report.problems) == 1
    assert "user:pw" not in report.problems[0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private authority, and a certificate of it for loopback and for a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hospital CA")])
    root = _certificate(name, name, authority, authority, authority=True)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for holder in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, holder)])
        certificate = _certificate(subject, name, key, authority, authority=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{holder}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return folder


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    from datetime import UTC, datetime

    now = datetime.now(UTC)  # the TLS library compares with the real clock
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if authority:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    else:
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _tls(certificates: Path, *, mutual: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_NONE
    return context


def test_certificates_are_verified_and_a_private_ca_can_be_set(
    server: FhirServer, certificates: Path, pulling: Callable[..., Manifest]
) -> None:
    with FaultyServer(server.root_url, tls=_tls(certificates, mutual=False)) as secure:
        with pytest.raises(SourceMisbehaved, match="certificate can't be verified"):
            pulling(secure.base_url)
        named = secure.base_url.replace("127.0.0.1", "localhost")
        with pytest.raises(SourceMisbehaved, match="another host name"):
            pulling(named, ca_file=certificates / "ca.pem")
        assert secure.seen == []
        assert pulling(secure.base_url, ca_file=certificates / "ca.pem").counts == EXPECTED


def test_links_over_http_of_a_server_behind_a_proxy_that_ends_tls(
    server: FhirServer, certificates: Path, pulling: Callable[..., Manifest]
) -> None:
    with FaultyServer(server.root_url, tls=_tls(certificates, mutual=False)) as secure:

        def unaware(seen: Seen, reply: Reply) -> Reply:
            body = reply.body.replace(secure.root_url.encode(), secure.root_url.replace("https", "http").encode())
            return Reply(reply.status, reply.headers, body)

        secure.faults.append(Fault(lambda _: True, unaware, times=10_000))
        auth = Auth(kind="bearer", secret="s3cret-token")
        assert pulling(secure.base_url, auth=auth, ca_file=certificates / "ca.pem").counts == EXPECTED
        assert {seen.token for seen in secure.seen} == {"Bearer s3cret-token"}


def test_mutual_tls(server: FhirServer, certificates: Path, pulling: Callable[..., Manifest]) -> None:
    with FaultyServer(server.root_url, tls=_tls(certificates, mutual=True)) as secure:
        with pytest.raises(SourceUnreachable):
            pulling(secure.base_url, ca_file=certificates / "ca.pem")
        trusted = {"ca_file": certificates / "ca.pem", "client_cert": certificates / "client.pem"}
        assert pulling(secure.base_url, **trusted).counts == EXPECTED


def test_the_probe_reports_what_it_sees(front: FaultyServer, smart: Auth) -> None:
    source = Source(name="site", kind="search", url=front.base_url, auth=smart, **QUICK)
    import time

    report = probe(source)
    assert report.ok, report.problems
    assert (report.reachable, report.fhir_version, report.token) == (True, "R4", True)
    assert report.scopes
    assert "system/Patient.read" in report.scopes
    assert abs(report.clock_skew_seconds or 99) < 5
    assert report.left_out == ("QuestionnaireResponse",)  # not among the types of sekmet-fhir 0.1.1
    assert report.offered == tuple(name for name in source.types if name not in report.left_out)
    skewed = probe(source, lambda: time.time() + 600)
    assert any("clock" in problem for problem in skewed.problems)
    down = probe(replace(source, url="http://127.0.0.1:9/fhir"))
    assert not down.reachable
    assert down.problems
