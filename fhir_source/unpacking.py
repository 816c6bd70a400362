"""The plain bytes of a file that arrives in pieces: gzip by header or by content, byte order mark taken off.

A file may be packed because the transfer is (`Content-Encoding`), because it is stored so and sent as it is, or both;
and a gzip file may have several members, of which zlib's decompressor reads one.
"""

from __future__ import annotations

import zlib

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"  # of UTF-8: JSON forbids it (RFC 8259, 8.1), and servers on Windows write it
_WINDOW = 31  # zlib's code for: a gzip header


class Unpacker:
    """Feed it the pieces; `packed` says that the transfer is. Raises zlib.error for a damaged stream."""

    def __init__(self, *, packed: bool) -> None:
        self._layers = [_Gunzip()] if packed else []
        self._head: bytes | None = b""  # the first bytes, until there are enough to know what they are

    def feed(self, piece: bytes) -> bytes:
        """What can be read now; possibly nothing yet."""
        for layer in self._layers:
            piece = layer.feed(piece)
        if self._head is None:
            return piece
        self._head += piece
        return self._decide(len(BOM))

    def close(self) -> bytes:
        """What was held back. Raises EOFError when a packed stream ended too early."""
        held = b"" if self._head is None else self._decide(0)
        if not all(layer.whole for layer in self._layers):
            raise EOFError
        return held

    def _decide(self, least: int) -> bytes:
        """What the first bytes turn out to be, when there are at least so many of them."""
        head = self._head or b""
        if len(head) >= len(GZIP) and head.startswith(GZIP):
            inner = _Gunzip()
            self._layers.append(inner)
            head = inner.feed(head)
        self._head = head
        if len(head) < least:
            return b""
        self._head = None
        return head.removeprefix(BOM)


class _Gunzip:
    """One layer of gzip, of any number of members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_WINDOW)
        self._begun = False

    @property
    def whole(self) -> bool:
        return self._begun and self._member.eof

    def feed(self, piece: bytes) -> bytes:
        plain = []
        while piece:
            if self._member.eof:
                piece = piece.lstrip(b"\0")  # padding after the last member, which gzip(1) passes over too
                if not piece:
                    break
                self._member = zlib.decompressobj(_WINDOW)
            self._begun = True
            plain.append(self._member.decompress(piece))
            piece = self._member.unused_data
        return b"".join(plain)
