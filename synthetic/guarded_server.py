"""Runs `sekmet serve` so that it can't outlive whoever started it: `python -m synthetic.guarded_server SETTINGS`.

The starter holds the other end of our standard input. When it dies, by whatever signal, the kernel closes that pipe and
the read below ends. (PR_SET_PDEATHSIG would do the same on Linux only, and fires when the starting *thread* ends.)
"""

from __future__ import annotations

import os
import sys
import threading


def _leave_when_the_starter_is_gone() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(settings: str) -> None:
    threading.Thread(target=_leave_when_the_starter_is_gone, daemon=True).start()
    from sekmet.cli import app

    app(["serve", "--config", settings])


if __name__ == "__main__":
    main(sys.argv[1])
