"""What can go wrong in measuring and alerting, as types (exit codes: `docs/operator-guide.md`)."""

from __future__ import annotations

from fhir_source.errors import IessError


class BlocksUnreadable(IessError):
    """The table of blocks given to the detector lacks a column, or holds a count that can't be one."""

    exit_code = 40


class ChartStateDamaged(IessError):
    """A stored week of a chart no longer matches its hash, or replaying it gives another value."""

    exit_code = 41


class ChartUnknown(IessError):
    """A chart names a measure, dimension or group that doesn't exist."""

    exit_code = 42


class AlertUnknown(IessError):
    """No alert has that id."""

    exit_code = 43


class AlertStepRefused(IessError):
    """The alert's life doesn't allow that step from where it stands."""

    exit_code = 44


class MeasuresUnreadable(IessError):
    """The registry of measures or of charts is malformed."""

    exit_code = 45


class MeasureReworded(IessError):
    """A version of a measure means something else than when the warehouse first used it."""

    exit_code = 48


class ObservationsUnreadable(IessError):
    """The table given to `iess estimate` lacks a column, or holds something that can't be one of its values."""

    exit_code = 49


class DeliveryFailed(IessError):
    """A message couldn't be delivered; it stays in the outbox."""

    retriable = True
    exit_code = 46


class RunUnknown(IessError):
    """No weekly run has that id, or it hasn't measured yet."""

    exit_code = 47
