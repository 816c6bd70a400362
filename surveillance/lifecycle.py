"""The life of an alert: which step may follow which. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal

from surveillance.errors import AlertStepRefused

Status = Literal[
    "candidate",
    "held",
    "open",
    "acknowledged",
    "investigating",
    "confirmed",
    "refuted",
    "action",
    "monitoring",
    "resolved",
    "reopened",
]

#: Working days within which a named person is to acknowledge an alert.
ACKNOWLEDGE_WITHIN = 5
_AFTER_LOOKING: tuple[Status, ...] = ("investigating", "confirmed", "refuted", "action", "monitoring", "resolved")
#: What may follow what. Nothing closes by silence: only a person resolves.
NEXT: dict[Status, tuple[Status, ...]] = {
    "candidate": ("held", "open"),
    "held": ("open", "acknowledged", "resolved"),
    "open": ("held", "acknowledged", "resolved"),
    "reopened": ("held", "acknowledged", "resolved"),
    "acknowledged": _AFTER_LOOKING,
    "investigating": _AFTER_LOOKING,
    "confirmed": ("investigating", "refuted", "action", "monitoring", "resolved"),
    "refuted": ("investigating", "resolved"),
    "action": ("investigating", "monitoring", "resolved"),
    "monitoring": ("investigating", "action", "resolved"),
    "resolved": ("reopened", "held"),
}
#: A named person is still to look.
UNSEEN: tuple[Status, ...] = ("candidate", "held", "open", "reopened")
#: Somebody has looked, and the alert is not closed.
SEEN: tuple[Status, ...] = ("acknowledged", "investigating", "confirmed", "action", "monitoring")


def step(status: str, to: Status) -> Status:
    """The status after the step. Raises `AlertStepRefused`."""
    allowed = NEXT.get(status, ())  # type: ignore[call-overload]
    if to not in allowed:
        raise AlertStepRefused(
            f"An alert that is {status} can't become {to}",
            next_step=f"it can become {', '.join(allowed)}" if allowed else None,
        )
    return to


def due_on(opened: date) -> date:
    """The day by which an alert is to be acknowledged: five working days on."""
    day, left = opened, ACKNOWLEDGE_WITHIN
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    return day
