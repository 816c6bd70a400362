"""`iess map FOLDER --out FILE`: FHIR in a folder to referral timelines in a file. Pure: no database, no network."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import Json, as_date, out, progress, show_json, table

if TYPE_CHECKING:
    from fhir_mapping.run import MapReport


def by_group(report: MapReport) -> list[tuple[tuple[str, str], list[int]]]:
    """Judged, nonconforming and quarantined resources by dimension and group, over all types."""
    sums: dict[tuple[str, str], list[int]] = {}
    for rate in report.rates:
        before = sums.get((rate.dimension, rate.group), [0, 0, 0])
        after = (rate.judged, rate.nonconformant, rate.quarantined)
        sums[rate.dimension, rate.group] = [one + more for one, more in zip(before, after, strict=True)]
    return [(key, counts) for key, counts in sorted(sums.items()) if counts[0]]


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of NDJSON files (.ndjson, .ndjson.gz), any names.")],
    out_file: Annotated[Path, typer.Option("--out", help="Timelines, as CSV or Parquet by the ending.")],
    fhir_version: Annotated[
        Literal["R4", "R5"], typer.Option("--fhir-version", help="Release of the resources.")
    ] = "R4",
    site_timezone: Annotated[
        str, typer.Option("--site-timezone", help="IANA time zone of the site's calendar.")
    ] = "UTC",
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            formats=["%Y-%m-%d"],
            help="The day up to which everything is known (default: the day up to which the data reach).",
        ),
    ] = None,
    local_codes: Annotated[
        Path | None, typer.Option("--local-codes", help="A site's own rows for the value sets (CSV).")
    ] = None,
    race_standard: Annotated[
        Literal["omb1997", "spd15"],
        typer.Option("--race-standard", help="Categories of 1997, or those of 2024 (SPD-15), which have MENA."),
    ] = "omb1997",
    engine: Annotated[Literal["duckdb", "spark"], typer.Option("--engine", help="What scans the files.")] = "duckdb",
    json: Json = False,
) -> None:
    """Map a folder of FHIR to one row an infant, with a ledger and a quarantine beside it."""
    from fhir_mapping.model import MappingSettings
    from fhir_mapping.run import map_folder
    from fhir_source.errors import SettingsError
    from pipeline.settings import known_timezone

    try:
        known_timezone(site_timezone)
    except ValueError as error:
        raise SettingsError(f"--site-timezone: {error}") from None
    settings = MappingSettings(
        source=folder.resolve().name,
        timezone=site_timezone,
        fhir_version=fhir_version,
        as_of=as_date(as_of),
        local_codes=local_codes,
        race_standard=race_standard,
    )
    with progress("mapping", enabled=not json) as advance:
        report = map_folder(folder, out_file, settings, engine=engine, progress=advance)
    ledger = [
        (kind, line.received, line.in_scope, line.out_of_scope, line.superseded, line.deleted, line.quarantined)
        for kind, line in sorted(report.ledger.items())
    ]
    names = ("type", "received", "in_scope", "out_of_scope", "superseded", "deleted", "quarantined")
    if json:
        show_json(
            {
                "timelines": report.rows,
                "as_of": report.as_of.isoformat() if report.as_of else None,
                "excluded": report.excluded,
                "nonconforming": report.nonconforming,
                "rates": [rate._asdict() for rate in report.rates],
                "links": report.links,
                "ledger": [dict(zip(names, line, strict=True)) for line in ledger],
                "out": str(out_file),
            }
        )
        return
    out.print(table("Ledger", names, ledger))
    out.print(f"{report.rows} timelines in {out_file}, as of {report.as_of or 'no day: nothing is dated'}")
    by_reference, by_time = report.links["linked_by_reference"], report.links["linked_by_time"]
    out.print(
        f"{by_reference + by_time} referrals with their visit ({by_reference} by reference, {by_time} by time), "
        f"{report.links['orphan_referrals']} referrals without a visit, {report.links['orphan_visits']} visits "
        f"without a referral: {out_file}.referrals.csv"
    )
    for reason, count in sorted(report.excluded.items()):
        out.print(f"{count} infants without a row: {reason}")
    told = [(*key, judged, f"{broken / judged:.1%}", refused) for key, (judged, broken, refused) in by_group(report)]
    out.print(table("How records keep to FHIR", ("by", "group", "resources", "break it", "quarantined"), told))
    quarantined = sum(line[-1] for line in ledger)
    if quarantined:
        out.print(f"[yellow]{quarantined} lines or resources quarantined[/]: reasons in {out_file}.quarantine.csv")
