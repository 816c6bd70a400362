"""How fast to ask: what Retry-After means, how many requests at once, and when an answer is too slow to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Servers send seconds, an HTTP-date, and (seen in the field) an epoch in seconds or in milliseconds.
_EPOCH_SECONDS = 1_000_000_000
_EPOCH_MILLISECONDS = 1_000_000_000_000
_SLOWEST = 1000.0  # bytes a second


def retry_after(value: str | None, *, server_date: str | None, now: float) -> float | None:
    """Seconds that the server asks to wait; None when it doesn't say, or what it says makes no sense.

    `server_date` is the answer's `Date` header: an instant is measured by the server's own clock, so that a clock
    that is wrong on either side doesn't change the wait. `now` (epoch seconds) serves when there is none.
    """
    if not value:
        return None
    here = _http_date(server_date)
    here = now if here is None else here
    try:
        number = float(value)
    except ValueError:
        instant = _http_date(value)
        return None if instant is None else max(0.0, instant - here)
    if not math.isfinite(number) or number < 0:
        return None
    if number >= _EPOCH_MILLISECONDS:
        return max(0.0, number / 1000 - here)
    if number >= _EPOCH_SECONDS:
        return max(0.0, number - here)
    return number


def _http_date(value: str | None) -> float | None:
    if not value:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None


class Limiter:
    """Lets at most a number of requests run at once: fewer after a 429 or 503, and one more after each round of
    successes.

    (Additive increase, multiplicative decrease: the rule by which TCP shares a line.)
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self.allowed = float(self.most)
        self._under_way = 0
        self._free = asyncio.Condition()
        self._resume = 0.0

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._free:
            await self._free.wait_for(lambda: self._under_way < max(1, int(self.allowed)))
            self._under_way += 1
        try:
            wait = self._resume - time.monotonic()
            if wait > 0:
                await asyncio.sleep(wait)
            yield
        finally:
            async with self._free:
                self._under_way -= 1
                self._free.notify_all()

    def slower(self, wait: float) -> None:
        """The server asked for less: halve, and let no request start for `wait` seconds."""
        self.allowed = max(1.0, self.allowed / 2)
        self._resume = max(self._resume, time.monotonic() + wait)

    def faster(self) -> None:
        self.allowed = min(float(self.most), self.allowed + 1 / self.allowed)


class Pace:
    """Watches an answer arrive. A server that drips a byte now and then never runs into a read timeout."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._start = time.monotonic()
        self._bytes = 0

    def too_slow(self, received: int) -> bool:
        """True when less than 1 kB/s came in the last window; `received` bytes are new."""
        self._bytes += received
        elapsed = time.monotonic() - self._start
        if elapsed < self._window:
            return False
        slow = self._bytes < _SLOWEST * elapsed
        self._start, self._bytes = time.monotonic(), 0
        return slow
