"""Where the lines of a file are: line ends are counted block by block, once; after that any line is one seek away."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from fhir_mapping.files import InputFile, lines_of, open_bytes, reading

_BLOCK = 1 << 15
_READ = 8 * _BLOCK
BOM = b"\xef\xbb\xbf"
_LINE_END = 10


class Line(NamedTuple):
    """A line that isn't blank: its number in the index, its number in the file, its content without white space."""

    number: int
    shown: int
    content: bytes


class LineMap:
    """How many lines end before each block of a file."""

    def __init__(self, file: InputFile) -> None:
        """Reads the whole file. Raises UnreadableInput when that can't be done."""
        self._file = file
        self._before, last = [0], b"\n"  # line ends before block n; one more entry for the whole file
        with reading(file), open_bytes(file) as stream:
            while block := stream.read(_READ):
                ends = _codes(block) == _LINE_END  # counts twice as fast as bytes.count
                for start in range(0, len(block), _BLOCK):
                    self._before.append(self._before[-1] + int(np.count_nonzero(ends[start : start + _BLOCK])))
                last = block[-1:]
        self.lines_in_all = self._before[-1] + (last != b"\n")

    def lines(self, numbers: Sequence[int]) -> Iterator[Line]:
        """Lines by number (sorted, blank lines counted); each block is read once for those that begin in it."""
        with reading(self._file), self._file.path.open("rb", buffering=_BLOCK) as stream:
            # Line n begins in the block that holds line end n - 1; the first line begins in the first block.
            blocks = groupby(numbers, key=lambda number: max(bisect_left(self._before, number - 1) - 1, 0))
            for block, of_block in blocks:
                stream.seek(block * _BLOCK)
                text = stream.read(_BLOCK)
                ends = np.flatnonzero(_codes(text) == _LINE_END)
                for number in of_block:
                    skip = number - 1 - self._before[block]
                    start = int(ends[skip - 1]) + 1 if skip else 0
                    if skip < len(ends):
                        content = text[start : int(ends[skip])]
                    else:
                        stream.seek(block * _BLOCK + start)
                        content = stream.readline()
                    yield Line(number, number, (content.removeprefix(BOM) if number == 1 else content).strip())


def _codes(block: bytes) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(block, np.uint8)


def blank_lines(file: InputFile, line_map: LineMap) -> int:
    """How many lines of the file are blank."""
    return line_map.lines_in_all - sum(1 for _ in lines_of(file))
