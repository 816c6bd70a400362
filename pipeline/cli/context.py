"""What the options before a subcommand (`iess --config FILE`) leave for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import typer

from pipeline.clock import Clock
from pipeline.settings import Settings, load_settings


@dataclass(frozen=True)
class Invocation:
    """The settings file named on the command line, if any."""

    config: Path | None = None

    def settings(self) -> Settings:
        return load_settings(self.config)


def settings_of(context: typer.Context) -> Settings:
    """The settings for this invocation; `SettingsError` (exit code 10) when one is wrong."""
    found: Invocation = context.find_object(Invocation) or Invocation()
    return found.settings()


def clock_of(settings: Settings) -> Clock:
    """The clock of this invocation: the machine's, or the settings' `now`."""
    return Clock.read(settings.now)
