"""Plain texts reach a table as they are, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from warehouse.copying import copy_texts

pytestmark = pytest.mark.integration
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["\\N", "\\.", "a\tb", "a\nb", "a\\", "\r\n", "", "NULL", '"', "\x0b\x08\x0c"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6))
def test_what_is_copied_is_what_was_given(warehouse_engine: Engine, rows: list[tuple[str, str, str]]) -> None:
    with warehouse_engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t (n serial, a text, b text, c text) ON COMMIT DROP"))
        copy_texts(connection, "pg_temp.t", ("a", "b", "c"), rows)
        found = connection.execute(text("SELECT a, b, c FROM pg_temp.t ORDER BY n")).all()
    assert [tuple(row) for row in found] == rows
