"""Whether a source's URL and certificates are fit to carry credentials and PHI."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fhir_source.errors import SettingsError
from fhir_source.origins import is_loopback

if TYPE_CHECKING:
    from fhir_source.source import Source


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


def check_url(source: Source) -> None:
    """Raises SettingsError for a URL that is not http(s), holds credentials, or would carry them in the clear."""
    parts = urlsplit(source.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("The source's url is not an http or https URL", source=source.name)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(
            "The source's url holds more than scheme, host and path",
            source=source.name,
            next_step="put credentials into the connection, not into the URL",
        )
    for url in (source.url, *source.token_origins) if source.auth.kind != "none" else ():
        if urlsplit(url).scheme != "https" and not is_loopback(url):
            raise SettingsError("Credentials are not sent over plain http", source=source.name, next_step="use https")
