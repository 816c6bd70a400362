"""The steps of the weekly run: measure, detect, alert, publish, notify. Each is idempotent for one as-of date."""

from __future__ import annotations
