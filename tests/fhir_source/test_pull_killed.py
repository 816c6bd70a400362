"""Pulls killed (SIGKILL) at random moments, ten times each, and run again."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fhir_source.landing import LandingZone
from tests.fhir_source.conftest import PULL
from tests.fhir_source.faulty import Fault, FaultyServer, Reply, Seen, at
from tests.fhir_source.test_pull_bulk import assert_whole as assert_whole_export
from tests.fhir_source.test_pull_search import assert_whole as assert_whole_search

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhir_source.landing import Manifest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_KILLS = 10


def _run_and_kill(work: Callable[[], object], faulty: FaultyServer, dice: random.Random, most: int) -> bool:
    """Run in a process of its own; kill it a moment after a random request. True when it had ended before."""
    goal = len(faulty.seen) + dice.randint(1, most)
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    timer = threading.Timer(60, os.kill, (child, signal.SIGKILL))
    timer.start()
    while len(faulty.seen) < goal:
        done, _ = os.waitpid(child, os.WNOHANG)
        if done:
            timer.cancel()
            return True
        time.sleep(0.002)
    time.sleep(dice.random() * 0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    timer.cancel()
    return False


def _whole(landing: LandingZone) -> set[str]:
    return {path.name for path in landing.folder("site", PULL).glob("*.ndjson.gz")}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_search_pull_survives(
    seed: int, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a reproducible test
    killed = 0
    while killed < _KILLS:
        whole = {name.split(".")[0] for name in _whole(landing)}
        before = len(faulty.seen)
        if _run_and_kill(lambda: pulling(faulty.base_url, page_size=4), faulty, dice, 16):
            break
        killed += 1
        again = {seen.path.split("?")[0].split("/")[2] for seen in faulty.seen[before:]}
        assert not again & whole
    assert killed >= 4
    assert_whole_search(landing, pulling(faulty.base_url, page_size=4))
    assert {path.name for path in landing.folder("site", PULL).iterdir()} == {"manifest.json", *_whole(landing)}


@pytest.mark.parametrize("seed", [1, 2])
def test_an_export_survives(
    seed: int, faulty: FaultyServer, pulling: Callable[..., Manifest], landing: LandingZone
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a reproducible test

    def slowly(seen: Seen, reply: Reply) -> Reply:
        time.sleep(0.01)
        return reply

    faulty.faults.append(Fault(at("/bulk-files/"), slowly, times=10_000))

    def work() -> Manifest:
        return pulling(faulty.base_url, kind="bulk", max_poll_seconds=0.05, concurrency=2)

    killed = 0
    stored = 0
    while killed < _KILLS:
        whole = _whole(landing)
        before = len(faulty.seen)
        if _run_and_kill(work, faulty, dice, 6):
            break
        killed += 1
        asked = [seen.path.split("/")[-1] for seen in faulty.seen[before:] if "/bulk-files/" in seen.path]
        assert not {name.replace("ndjson", "000.ndjson.gz") for name in asked} & whole
        stored += any("/bulk-status/" in seen.path for seen in faulty.seen[before:])
    assert killed >= 4
    assert_whole_export(landing, work())
    jobs = {seen.path.split("/")[3] for seen in faulty.requests("/bulk-status/")}
    assert len(jobs) == 1  # looked at one export only, whatever was killed
    assert stored
