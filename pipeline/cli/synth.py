"""`iess synth OUT`: a synthetic FHIR cohort whose true delays are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.console import Json, out, progress, show_json, table

if TYPE_CHECKING:
    from synthetic.options import Site

Share = typer.Option(min=0, max=1, rich_help_panel="Dirt (shares)", show_default=True)
Ratio = typer.Option(min=0.001, rich_help_panel="Effects", show_default=True)
Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]


def command(
    out_folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; a folder a site inside it.")],
    infants: Annotated[int, typer.Option("--infants", min=0, help="All infants, with IESS or without.")] = 1800,
    iess_share: Annotated[float, typer.Option("--iess-share", min=0, max=1, help="Share with IESS.")] = 1 / 6,
    seed: Annotated[int, typer.Option("--seed", help="Same seed and options, same bytes.")] = 1,
    start: Annotated[datetime, typer.Option("--start", formats=["%Y-%m-%d"])] = datetime(2024, 1, 1),  # noqa: DTZ001
    end: Annotated[datetime, typer.Option("--end", formats=["%Y-%m-%d"])] = datetime(2025, 12, 31),  # noqa: DTZ001
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=["%Y-%m-%d"], help="The day of the export (default: the end)."),
    ] = None,
    site: Annotated[
        list[str] | None,
        typer.Option(
            "--site",
            metavar="NAME=TIME_ZONE[,share=2][,late=1.5][,bare]",
            help="Once a site (default: harbor alone). share: of the infants; late: odds ratio of a late visit for "
            "everybody there; bare: no meta, no category, no recordedDate.",
        ),
    ] = None,
    fhir_version: Annotated[Literal["R4", "R5"], typer.Option("--fhir-version")] = "R4",
    dimension: Annotated[
        Literal["race_ethnicity", "payer", "language"], typer.Option("--dimension", rich_help_panel="Effects")
    ] = "race_ethnicity",
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="Who waits longer; once a value (default: nh_black).", rich_help_panel="Effects"),
    ] = None,
    odds_ratio: Annotated[float, Ratio] = 1.0,
    hazard_ratio: Annotated[float, Ratio] = 1.0,
    effect_from_week: Annotated[int, typer.Option(min=0, rich_help_panel="Effects")] = 0,
    common_odds_ratio: Annotated[float, Ratio] = 1.0,
    common_from_week: Annotated[int, typer.Option(min=0, rich_help_panel="Effects")] = 0,
    malformed_lines: Annotated[float, Share] = 0.0,
    nonconformant: Annotated[float, Share] = 0.0,
    duplicates: Annotated[float, Share] = 0.0,
    late_updates: Annotated[float, Share] = 0.0,
    entered_in_error: Annotated[float, Share] = 0.0,
    replaced_patients: Annotated[float, Share] = 0.0,
    width: Annotated[Literal["lean", "realistic"], typer.Option("--width", help="About 10 kB an infant.")] = "lean",
    compress: Annotated[bool, typer.Option("--compress", help="Write .ndjson.gz.")] = False,
    json: Json = False,
) -> None:
    """Write FHIR as NDJSON with the true milestones beside it (truth.csv)."""
    from synthetic.generate import generate
    from synthetic.options import Dirt, SynthOptions

    options = SynthOptions(
        infants=infants,
        iess_share=iess_share,
        seed=seed,
        start=start.date(),
        end=end.date(),
        as_of=as_of.date() if as_of else None,
        sites=tuple(_site(text) for text in site or ("harbor=America/New_York",)),
        fhir_version=fhir_version,
        dimension=dimension,
        group=tuple(group or ("nh_black",)),
        odds_ratio=odds_ratio,
        hazard_ratio=hazard_ratio,
        effect_from_week=effect_from_week,
        common_odds_ratio=common_odds_ratio,
        common_from_week=common_from_week,
        dirt=Dirt(
            malformed_lines=malformed_lines,
            nonconformant=nonconformant,
            duplicates=duplicates,
            late_updates=late_updates,
            entered_in_error=entered_in_error,
            replaced_patients=replaced_patients,
        ),
        compress=compress,
        width=width,
    )
    with progress("generating", enabled=not json) as advance:
        report = generate(out_folder, options, progress=lambda count: advance("infants", count))
    if json:
        show_json(
            {
                "infants": report.infants,
                "iess": report.iess,
                "resources": dict(sorted(report.resources.items())),
                "dirt": dict(sorted(report.dirt.items())),
                "bytes": report.bytes,
                "folders": report.folders,
                "truth": report.truth,
            }
        )
        return
    out.print(table(f"Written to {out_folder}", ("type", "resources"), sorted(report.resources.items())))
    out.print(f"{report.infants} infants, {report.iess} with IESS; the truth is in {out_folder / 'truth.csv'}")


def _site(text: str) -> Site:
    """A site as it is written on the command line: `harbor`, or `north=America/Chicago,share=2,bare`."""
    from synthetic.options import Site

    place, *extras = text.split(",")
    name, _, timezone = place.partition("=")
    site = Site(name, timezone) if timezone else Site(name)
    for extra in extras:
        key, _, value = extra.partition("=")
        try:
            match key:
                case "bare":
                    site = replace(site, style="bare")
                case "share":
                    site = replace(site, share=float(value))
                case "late":
                    site = replace(site, late_odds_ratio=float(value))
                case _:
                    raise ValueError
        except ValueError:
            raise typer.BadParameter(
                f"{extra!r} of {name}: share=NUMBER, late=NUMBER or bare", param_hint="--site"
            ) from None
    return site
