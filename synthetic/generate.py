"""A cohort on disk: `OUT/<site>/<Type>.ndjson[.gz]`, and beside the sites' folders `OUT/truth.csv`."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from fhir_source.errors import SettingsError
from synthetic import breadth, dirt, rates
from synthetic.calendar import instant_at_noon
from synthetic.chart import Chart
from synthetic.course import Course, IessCourse, draw_iess
from synthetic.demographics import write_coverage, write_mother, write_patient
from synthetic.directory import site_resources
from synthetic.folder import ExportFolder
from synthetic.iess_record import IessRecord, Written
from synthetic.other_infants import draw_other, write_other
from synthetic.people import Person, cumulative_shares, draw_person, stream
from synthetic.release5 import to_r5
from synthetic.styles import bare
from synthetic.truth import TruthFile, truth_row
from synthetic.waits import WaitModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from synthetic.chart import Fhir
    from synthetic.options import SynthOptions
    from synthetic.rates import Rates

_TRUTH = "truth.csv"
_UNFINISHED = "truth.csv.part"


@dataclass
class SynthReport:
    """What was written. `resources` counts lines by type; `dirt` what was added, by name of the option."""

    infants: int = 0
    iess: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    dirt: Counter[str] = field(default_factory=Counter)
    bytes: int = 0  # before compression
    folders: list[Path] = field(default_factory=list)  # one a site
    truth: Path | None = None


@dataclass(frozen=True)
class Infant:
    """One infant: who they are, what happened, what the record says of it."""

    person: Person
    course: Course
    written: Written
    resources: list[Fhir]


def generate(out: Path, options: SynthOptions, progress: Callable[[int], None] | None = None) -> SynthReport:
    """Write a cohort into `out`, which must be empty or hold an earlier one; memory doesn't grow with the infants.

    `progress` is called with the number of infants written since the last call. `truth.csv` comes last, so that a
    folder that has one is whole. Raises SettingsError.
    """
    options.check()
    _make_room(out)
    report = SynthReport(folders=[out / site.name for site in options.sites], truth=out / _TRUTH)
    unfinished = out / _UNFINISHED
    with ExitStack() as stack:
        truth = TruthFile(stack.enter_context(unfinished.open("w", encoding="utf-8", newline="")))
        folders = [stack.enter_context(ExportFolder(f, compress=options.compress)) for f in report.folders]
        for number, folder in enumerate(folders):
            _write_directory(folder, number, options, report)
        for infant in infants(options, report.dirt):
            _write(folders[infant.person.site], infant, options, report)
            site = options.sites[infant.person.site].name
            truth.write(truth_row(infant.person, infant.course, infant.written, site, options.last_day))
            if progress and report.infants % 100 == 0:
                progress(100)
        if progress and report.infants % 100:
            progress(report.infants % 100)
        report.bytes = sum(folder.bytes for folder in folders)
    unfinished.replace(out / _TRUTH)
    return report


def courses(options: SynthOptions) -> Iterator[tuple[Person, Course]]:
    """The true courses of the cohort, infant by infant, without anything written down."""
    chosen = rates.load(options.rates)
    waits = WaitModel(options, chosen)
    weights = cumulative_shares(options.sites)
    for index in range(options.infants):
        person = draw_person(options, chosen, weights, index)
        draw = stream(options.seed, index, "course")
        if _has_iess(index, options.iess_share):
            yield person, draw_iess(options, chosen, waits, person, draw)
        else:
            yield person, draw_other(options, chosen, draw)


def infants(options: SynthOptions, counts: Counter[str] | None = None) -> Iterator[Infant]:
    """The cohort, infant by infant, as R4 resources before dirt of single lines. `counts` takes the infants' dirt."""
    chosen = rates.load(options.rates)
    for person, course in courses(options):
        if course.birth > options.last_day:
            continue  # not yet born
        chart = Chart(
            person.id,
            f"s{person.site + 1}",
            options.sites[person.site].timezone,
            course.stop,
            utc="utc_instants" in course.traits,
        )
        written = _write_chart(chart, person, course, options, chosen)
        _infant_dirt(chart, course, options, person.index, Counter() if counts is None else counts)
        yield Infant(person, course, written, chart.resources)


def _write_chart(chart: Chart, person: Person, course: Course, options: SynthOptions, chosen: Rates) -> Written:
    draw = stream(options.seed, person.index, "record")
    write_patient(chart, person, course.birth, course.death)
    write_mother(chart, person, course.birth)
    waiver = "waiver_after_diagnosis" in course.traits and isinstance(course, IessCourse)
    write_coverage(
        chart,
        person,
        course.birth,
        draw,
        second="second_coverage" in course.traits,
        waiver_from=course.contact + timedelta(weeks=30) if waiver else None,
    )
    written = Written()
    if isinstance(course, IessCourse):
        written = IessRecord(chart, course, person, chosen, draw).write()
    else:
        write_other(chart, course, person, chosen, draw)
    if options.width == "realistic":
        breadth.widen(chart, course, stream(options.seed, person.index, "breadth"))
    return written


def _has_iess(index: int, share: float) -> bool:
    """Exactly the share asked for, spread evenly over the numbers."""
    return int((index + 1) * share + 1e-9) > int(index * share + 1e-9)


def _infant_dirt(chart: Chart, course: Course, options: SynthOptions, index: int, counts: Counter[str]) -> None:
    draw = stream(options.seed, index, "infant dirt")
    if draw.random() < options.dirt.entered_in_error:
        day = course.contact - timedelta(weeks=2)
        if day > course.birth and dirt.enter_in_error(chart, day, draw):
            counts["entered_in_error"] += 1
    if draw.random() < options.dirt.replaced_patients:
        dirt.replace_patient(chart)
        counts["replaced_patients"] += 1


def _write(folder: ExportFolder, infant: Infant, options: SynthOptions, report: SynthReport) -> None:
    plain = options.sites[infant.person.site].style == "bare"
    asked = replace(options.dirt, late_updates=0.0) if plain else options.dirt
    for resource in infant.resources:
        kind = resource["resourceType"]
        released = to_r5(resource) if options.fhir_version == "R5" else resource
        if plain:
            released = bare(released)
        for line in dirt.lines(released, asked, options.seed, report.dirt):
            folder.write(kind, line)
            report.resources[kind] += 1
    report.infants += 1
    report.iess += infant.course.kind == "iess"


def _write_directory(folder: ExportFolder, number: int, options: SynthOptions, report: SynthReport) -> None:
    site = options.sites[number]
    for resource in site_resources(f"s{number + 1}", site.name, instant_at_noon(site.timezone, options.last_day)):
        folder.write(resource["resourceType"], orjson.dumps(bare(resource) if site.style == "bare" else resource))
        report.resources[resource["resourceType"]] += 1


def _make_room(out: Path) -> None:
    """Remove an earlier cohort, whole or broken off; refuse to mix with anything else."""
    if out.exists() and any(out.iterdir()):
        if not any((out / name).exists() for name in (_TRUTH, _UNFINISHED)):
            raise SettingsError(
                "The folder for the synthetic cohort is not empty and holds no earlier one",
                file=out.name,
                next_step="name an empty folder",
            )
        (out / _TRUTH).unlink(missing_ok=True)
        for old in sorted(out.glob("*/*.ndjson*")):
            old.unlink()
    out.mkdir(parents=True, exist_ok=True)
