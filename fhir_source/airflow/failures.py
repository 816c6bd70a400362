"""Failures that a retry can't mend, told to Airflow by type."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException

from fhir_source.errors import IessError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_retry_when_useless() -> Iterator[None]:
    """A wrong key or setting fails the task at once; a server that is down fails the attempt, and Airflow tries
    again.
    """
    try:
        yield
    except IessError as error:
        if error.retriable:
            raise
        raise AirflowFailException(str(error)) from error
