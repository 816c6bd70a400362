"""The hash of the warehouse tells content apart, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from warehouse.fingerprint import warehouse_hash

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.integration

RESOURCE = text(
    """
    INSERT INTO clinical.resource (source, resource_type, resource_id, version_id, last_updated, version_number,
                                   seen_at, sha256, pull_id, deleted, quarantined, reference_keys, body)
    SELECT 'a', 'Patient', '1', '1', stamp, 1, stamp::timestamptz, stamp, 'p', false, false, '{}',
           json_build_object('id', '1', 'gender', gender, 'meta', json_build_object('lastUpdated', stamp))
      FROM (SELECT CAST(:updated AS text) AS stamp, CAST(:gender AS text) AS gender) given
    """
)


def hashes(engine: Engine, updated: str, gender: str) -> tuple[str, str]:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM clinical.resource"))
        connection.execute(RESOURCE, {"updated": updated, "gender": gender})
    return warehouse_hash(engine), warehouse_hash(engine, server_clock=False)


def test_a_servers_time_stamps_are_told_from_content(warehouse_engine: Engine) -> None:
    first, content = hashes(warehouse_engine, "2026-01-01T00:00:00Z", "female")
    stamped, same_content = hashes(warehouse_engine, "2026-01-02T00:00:00Z", "female")
    assert first != stamped
    assert content == same_content
    assert content != hashes(warehouse_engine, "2026-01-01T00:00:00Z", "male")[1]
