"""Origins of URLs: scheme, host and port."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

_PORTS = {"http": 80, "https": 443}


def origin(url: str) -> str:
    """`scheme://host:port`, lower case, the port always there. Never holds user, path or query."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.lower(), 0)
    except ValueError:
        return "unreadable"
    host = (parts.hostname or "").lower()
    return f"{parts.scheme.lower()}://{f'[{host}]' if ':' in host else host}:{port}"


def secured(url: str, base: str) -> str:
    """`url` over https when it differs from `base`'s origin in that alone: servers behind a proxy that ends TLS write
    `http` into their own links.
    """
    try:
        here, there = urlsplit(base), urlsplit(url)
        same = there.hostname == here.hostname and there.port in (None, 80, here.port)
    except ValueError:
        return url
    if here.scheme.lower() == "https" and there.scheme.lower() == "http" and same and "@" not in there.netloc:
        return urlunsplit(("https", here.netloc, there.path, there.query, there.fragment))
    return url


def is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
