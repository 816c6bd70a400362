"""What Airflow asks a provider package: its connection types."""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": ["string", "null"]}


def get_provider_info() -> dict[str, Any]:
    """Provider metadata (entry point `apache_airflow_provider`); imports nothing, since Airflow reads it at every
    start.
    """
    return {
        "package-name": "iess-referral-watch",
        "name": "FHIR",
        "description": "FHIR servers: search, Bulk Data export, SMART Backend Services.",
        "connection-types": [
            {
                "connection-type": "fhir",
                "hook-class-name": "fhir_source.airflow.hook.FhirHook",
                "hook-name": "FHIR server",
                "conn-fields": {
                    "auth": {
                        "label": "Authorisation",
                        "schema": {
                            **_TEXT,
                            "default": "smart",
                            "enum": ["smart", "client_secret", "basic", "bearer", "none"],
                        },
                        "description": "smart: SMART Backend Services with a private key",
                    },
                    "token_url": {
                        "label": "Token URL",
                        "schema": _TEXT,
                        "description": "Found in .well-known/smart-configuration when empty",
                    },
                    "scope": {
                        "label": "Scope",
                        "schema": _TEXT,
                        "description": "One read scope for each resource type when empty",
                    },
                    "key_id": {"label": "Key id (kid)", "schema": _TEXT},
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {
                        "host": "FHIR base URL",
                        "login": "Client id or user",
                        "password": "Private key (PEM or JWK), secret, password or token",
                    },
                    "placeholders": {"host": "https://fhir.example.org/r4"},
                },
            }
        ],
    }
