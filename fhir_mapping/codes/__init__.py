"""Value sets as data: which code, in which system, means what to the rules.

The CSV files beside this module hold `system, code, label, role, evidence, source, since, until`: labels are our own
words (no descriptor of a code's owner), `evidence` is V (verified), 3P (third party) or MEM (from memory) as in
clinical.md, `since` and `until` are the days between which a code was valid. `systems.csv` holds other URIs under
which a system is seen. A site adds or withdraws rows with a CSV of its own (`MappingSettings.local_codes`), whose
rows are added; a row with role `-` withdraws what is shipped for that code.

A code matches only within its system. Besides exact codes there are families (`G24.*`; the longest family that fits
wins, an exact row wins over families) and ranges of CDC race numbers (`2107..2130`).
"""

from __future__ import annotations

from fhir_mapping.codes.loader import CodeRow, Codes, load
from fhir_mapping.codes.normal import normal_code, normal_uri

__all__ = ["CodeRow", "Codes", "load", "normal_code", "normal_uri"]
