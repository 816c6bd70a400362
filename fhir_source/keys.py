"""The private key of SMART Backend Services, in the forms in which operators have it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from fhir_source.source import Source

_BITS = {384: "ES384", 256: "ES256"}
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*)-----END \1-----\s*", re.DOTALL)


def signing_key(source: Source) -> tuple[Any, str, str | None]:
    """Private key, algorithm and key id, from PEM or JWK (or a JWKS with one private key). Raises SettingsError."""
    text = (source.auth.private_key or "").strip()
    key_id = source.auth.key_id
    try:
        if text.startswith("{"):
            body = json.loads(text)
            jwk = next(key for key in body.get("keys", [body]) if "d" in key and key_id in (None, key.get("kid")))
            key: Any = jwt.PyJWK(jwk, algorithm=jwk.get("alg") or _algorithm_of_jwk(jwk)).key
            key_id = key_id or jwk.get("kid")
        else:
            key = serialization.load_pem_private_key(_with_line_ends(text).encode(), password=None)
    except (ValueError, TypeError, StopIteration, jwt.PyJWTError):
        raise SettingsError(
            "The private key can't be read: neither an unencrypted PEM nor a private JWK",
            source=source.name,
            next_step="check the connection's password field",
        ) from None
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS384", key_id
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in _BITS:
        return key, _BITS[key.curve.key_size], key_id
    raise SettingsError("The private key is neither RSA nor P-384 (RS384, ES384)", source=source.name)


def _with_line_ends(pem: str) -> str:
    """A PEM that went through a one-line form field or an environment variable has lost its line ends."""
    match = _PEM.fullmatch(pem.replace("\\n", "\n"))
    if not match:
        return pem
    return f"-----BEGIN {match[1]}-----\n{''.join(match[2].split())}\n-----END {match[1]}-----\n"


def _algorithm_of_jwk(jwk: dict[str, Any]) -> str:
    if jwk.get("kty") == "RSA":
        return "RS384"
    return "ES256" if jwk.get("crv") == "P-256" else "ES384"
