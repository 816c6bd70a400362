"""`iess synth OUT`: a synthetic FHIR cohort whose true delays are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
