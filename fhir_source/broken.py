"""What a connection that broke, or never came about, says of its cause: in words that tell an operator what to mend."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNKNOWN_ISSUER = ("The server's certificate can't be verified", "set ca_file to the hospital's certificate authority")
_ANOTHER_NAME = (
    "The server's certificate is of another host name",
    "write the url with the name that the certificate is made out to",
)
#: By OpenSSL's X509_V_ERR_*: expired, host name, IP address.
_UNVERIFIED = {
    10: ("The server's certificate has expired", "ask the server's operator to renew it"),
    62: _ANOTHER_NAME,
    64: _ANOTHER_NAME,
}
_REFUSED = ("The server asks for a client certificate, or refuses the one it got", "set client_cert and client_key")


def certificate_fault(error: BaseException) -> tuple[str, str] | None:
    """What is wrong with a certificate, and what to do next; None when a connection failed for another reason."""
    for seen in _causes(error):
        if isinstance(seen, ssl.SSLCertVerificationError):
            return _UNVERIFIED.get(seen.verify_code, _UNKNOWN_ISSUER)
        if isinstance(seen, ssl.SSLError) and "CERTIFICATE" in (seen.reason or ""):
            # The server's alert: certificate required (TLS 1.3), unknown, expired, revoked ...
            return _REFUSED
    return _UNKNOWN_ISSUER if "CERTIFICATE_VERIFY_FAILED" in str(error) else None


def connection_fault(error: BaseException) -> str:
    """Why a connection failed, without its address."""
    for seen in _causes(error):
        if isinstance(seen, socket.gaierror):
            return "its host name is not known here"
        if isinstance(seen, ConnectionRefusedError):
            return "nothing listens there (connection refused)"
    return f"the connection failed ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen:
        yield seen
        seen = seen.__cause__ or seen.__context__
