"""What can go wrong, as types.

An error says what happened, to which source and file, what was kept, and what to do next. It never holds PHI: no
resource content, no identifier of a person, no credential. Whether it is worth trying again is part of the type
(`retriable`), so that no retry policy has to match strings; the exit code of the command line is part of it too.
Exit codes are listed in `docs/operator-guide.md` and never reused.
"""

from __future__ import annotations

from typing import ClassVar


class IessError(Exception):
    """Base of every error that this project raises on purpose.

    `what` is one sentence; `source` and `file` say where; `kept` says what is safe; `next_step` says what to do.
    """

    retriable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        source: str | None = None,
        file: str | None = None,
        kept: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.source = source
        self.file = file
        self.kept = kept
        self.next_step = next_step
        super().__init__(str(self))

    def __str__(self) -> str:
        where = ", ".join(
            part for part in (self.source and f"source {self.source}", self.file and f"file {self.file}") if part
        )
        sentences = [
            f"{self.what.rstrip('.')}{f' ({where})' if where else ''}.",
            f"Kept: {self.kept.rstrip('.')}." if self.kept else "",
            f"Next: {self.next_step.rstrip('.')}." if self.next_step else "",
        ]
        return " ".join(sentence for sentence in sentences if sentence)

    def __reduce__(self) -> tuple[object, ...]:
        # Airflow and multiprocessing pickle exceptions; keyword-only arguments need help.
        return (_rebuild, (type(self), self.what, self.source, self.file, self.kept, self.next_step))


def _rebuild(
    kind: type[IessError],
    what: str,
    source: str | None,
    file: str | None,
    kept: str | None,
    next_step: str | None,
) -> IessError:
    return kind(what, source=source, file=file, kept=kept, next_step=next_step)


class SettingsError(IessError):
    """A setting is missing or wrong."""

    exit_code = 10


class SourceUnreachable(IessError):
    """The server is down, refuses connections, times out, or answers 429/5xx after all retries."""

    retriable = True
    exit_code = 11
    status: int = 0  # the last HTTP status; 0 when there was no answer


class CredentialsRefused(IessError):
    """The server or its token endpoint refused the credentials or the scopes."""

    exit_code = 12
    code: str = ""  # the OAuth error code of the token endpoint


class SourceMisbehaved(IessError):
    """The server's answer can't be trusted: wrong type of page, looping `next` links, another origin."""

    exit_code = 13


class PullIncomplete(IessError):
    """The server cut a pull short; what was received is not loaded as if it were whole."""

    retriable = True
    exit_code = 14


class UnreadableInput(IessError):
    """A folder or file can't be read at all: nothing in it, truncated gzip, no such folder."""

    exit_code = 15


class LandingDamaged(IessError):
    """A landed file no longer matches its manifest (checksum, rows), or the manifest is missing."""

    exit_code = 16


class PullInProgress(IessError):
    """Another process is writing the same pull."""

    retriable = True
    exit_code = 17


class LandingUnreachable(IessError):
    """The landing zone's disk or object store can't be read or written: full, no permission, not there."""

    retriable = True
    exit_code = 18
