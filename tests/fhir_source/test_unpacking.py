"""Bytes that arrive in pieces come out whole, however they are packed and cut."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_source.unpacking import BOM, Unpacker


def _through(unpacker: Unpacker, data: bytes, size: int) -> bytes:
    pieces = [unpacker.feed(data[start : start + size]) for start in range(0, len(data), size)]
    return b"".join(pieces) + unpacker.close()


@given(
    members=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
    stored=st.booleans(),
    transferred=st.booleans(),
    mark=st.booleans(),
    size=st.integers(1, 64),
)
def test_what_was_packed_comes_out(
    members: list[bytes], stored: bool, transferred: bool, mark: bool, size: int
) -> None:
    plain = b"{" + b"".join(members)  # what begins like a gzip file, or with a mark, is another matter
    members[0] = (BOM if mark else b"") + b"{" + members[0]
    data = b"".join(gzip.compress(member) for member in members) if stored else b"".join(members)
    data = gzip.compress(data) if transferred else data
    assert _through(Unpacker(packed=transferred), data, size) == plain


@given(share=st.floats(0.0, 0.999), transferred=st.booleans(), size=st.integers(1, 64))
def test_what_was_cut_is_noticed(share: float, transferred: bool, size: int) -> None:
    data = gzip.compress(b'{"resourceType":"Patient"}\n' * 20)
    cut = data[: int(len(data) * share)]
    if len(cut) < 2 and not transferred:
        return  # nothing says that this was gzip
    with pytest.raises((EOFError, zlib.error)):
        _through(Unpacker(packed=transferred), cut, size)
