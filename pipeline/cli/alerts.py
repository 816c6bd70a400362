"""`iess alerts`: what the weekly detector found, and what people made of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pipeline.cli.console import Json, out, show_json, table
from pipeline.cli.context import clock_of, settings_of
from pipeline.records import AlertStep, ResolutionKind

if TYPE_CHECKING:
    from pipeline.alerting import AlertLine

app = typer.Typer(
    help="Alerts: list, show, acknowledge, note, move on, resolve; and a test message.", no_args_is_help=True
)


def _named(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("an alert's log names a person")
    return value.strip()


Alert = Annotated[str, typer.Argument(metavar="ID", help="Id of the alert, as `iess alerts list` shows it.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", callback=_named, help="Who does this; written to the log.")]
Note = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the log. No patient data.")]


@app.command("list")
def list_alerts(
    context: typer.Context,
    closed: Annotated[bool, typer.Option("--all", help="The resolved ones too.")] = False,
    json: Json = False,
) -> None:
    """Alerts that are not resolved, unseen ones first."""
    from pipeline import alerting

    settings = settings_of(context)
    found = alerting.listed(settings, clock_of(settings), closed=closed)
    if json:
        show_json([asdict(line) for line in found])
        return
    if not found:
        out.print("No alert." if closed else "No open alert.")
        return
    columns = ("alert", "about", "status", "with", "due", "last signal", "signals")
    rows = [
        (line.alert_id, line.about, line.status, line.assignee, _due(line), line.last_signal_week, line.signals)
        for line in found
    ]
    out.print(table("Alerts", columns, rows, numbers_from=6))


@app.command("show")
def show(context: typer.Context, alert: Alert, json: Json = False) -> None:
    """One alert: its figures, the checks of the data behind it, and its log."""
    from pipeline import alerting

    settings = settings_of(context)
    line, log = alerting.shown(settings, alert, clock_of(settings))
    if json:
        show_json({**asdict(line), "log": [asdict(entry) for entry in log]})
        return
    figures = [
        ("status", line.status),
        ("with", line.assignee),
        ("due", _due(line)),
        ("resolved", f"{line.closed_on}: {line.resolution}" if line.closed_on else None),
        *_figures(line.facts),
    ]
    out.print(table(f"Alert {line.alert_id}: {line.about}", ("", "figure"), figures, numbers_from=2))
    gates = [(gate["gate"].replace("_", " "), gate["verdict"], gate["detail"]) for gate in line.facts.get("gates", ())]
    out.print(table("Checks of the data", ("check", "verdict", "detail"), gates, numbers_from=3))
    entries = [
        (entry.number, entry.happened_on, entry.kind, entry.status, escape(entry.by_whom), escape(entry.note))
        for entry in log
    ]
    out.print(table("Log", ("", "day", "what", "status after", "by", "note"), entries, numbers_from=6))


@app.command("ack")
def acknowledge(context: typer.Context, alert: Alert, by: By, note: Note = "") -> None:
    """Take the alert: you are the one who looks into it."""
    from pipeline import alerting

    settings = settings_of(context)
    alerting.acknowledge(settings, alert, clock_of(settings), by=by, note=note)
    out.print(f"Alert {alert} is acknowledged by {escape(by)}.")


@app.command("note")
def note(
    context: typer.Context,
    alert: Alert,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note. No patient data.")],
    by: By,
) -> None:
    """Write to the alert's log."""
    from pipeline import alerting

    settings = settings_of(context)
    alerting.add_note(settings, alert, clock_of(settings), by=by, note=text)
    out.print(f"Noted to alert {alert}.")


@app.command("move")
def move(
    context: typer.Context,
    alert: Alert,
    to: Annotated[
        AlertStep,
        typer.Argument(metavar="STATUS", help="investigating, confirmed, refuted, action or monitoring."),
    ],
    by: By,
    note: Note = "",
) -> None:
    """Take an acknowledged alert a step further."""
    from pipeline import alerting

    settings = settings_of(context)
    alerting.move(settings, alert, to, clock_of(settings), by=by, note=note)
    out.print(f"Alert {alert} is {to}.")


@app.command("resolve")
def resolve(
    context: typer.Context,
    alert: Alert,
    kind: Annotated[
        ResolutionKind,
        typer.Option(
            "--kind",
            help="improved: the difference is gone; chance: the cases reviewed show none; data-problem: the records "
            "were wrong; explained: by clinical need; other: say so in --note.",
        ),
    ],
    by: By,
    note: Note = "",
) -> None:
    """Close the alert. A new signal of the same comparison reopens it."""
    from pipeline import alerting

    if kind == "other" and not note.strip():
        raise typer.BadParameter("--kind other needs a --note")
    settings = settings_of(context)
    alerting.resolve(settings, alert, clock_of(settings), by=by, kind=kind, note=note)
    out.print(f"Alert {alert} is resolved: {kind}.")


@app.command("test")
def send_test(context: typer.Context, json: Json = False) -> None:
    """Send a test message the way that alerts go, with whatever waits in the outbox."""
    from pipeline import alerting

    settings = settings_of(context)
    sent = alerting.send_test(settings, clock_of(settings))
    channel = settings.surveillance.notify.channel
    if json:
        show_json({**asdict(sent), "channel": channel, "outbox": str(settings.outbox_dir)})
        return
    if sent.message_id in sent.delivered:
        where = f"files are in {settings.outbox_dir}" if channel == "file" else f"by {channel}"
        out.print(f"Delivered: {sent.message_id} ({where})")
    elif channel in ("slack", "apprise"):
        out.print(f"{sent.message_id} waits in the outbox: {channel} is delivered by the DAGs, through Airflow.")
    else:
        out.print(f"{sent.message_id} was delivered before, and is not sent twice.")
    others = len(sent.delivered) - (sent.message_id in sent.delivered)
    if others:
        out.print(f"{others} messages that waited went out with it.")


def _due(line: AlertLine) -> str | None:
    if line.due_on is None or line.assignee or line.closed_on:
        return None
    return f"{line.due_on}{' (overdue)' if line.overdue else ''}"


def _figures(facts: dict[str, Any]) -> list[tuple[str, str | None]]:
    """The counts and days of the last signal, as the message tells them."""
    ratio, low, high = facts.get("ratio"), facts.get("cs_low"), facts.get("cs_high")
    kind = "hazard ratio" if facts.get("version") == "time-to-event" else "odds ratio"
    group, reference = facts.get("median_group"), facts.get("median_reference")
    return [
        ("since about the week of", facts["since"]),
        ("late in the group", f"{facts['x']} of {facts['n_group']}"),
        ("late in the reference", f"{facts['y']} of {facts['n_reference']}"),
        ("by site", ", ".join(f"{site} {x}/{n} v {y}/{m}" for site, (x, n, y, m) in sorted(facts["sites"].items()))),
        ("median days", None if group is None or reference is None else f"{group:g} v {reference:g}"),
        (f"{kind}, all weeks", None if ratio is None else f"{ratio:.2f}"),
        ("interval that holds at every look", f"{low or 0:.2f} to {'no bound' if high is None else f'{high:.2f}'}"),
        ("evidence against its limit", f"{facts['m']:.0f} against {facts['limit']:.0f}"),
        ("group unknown", str(facts["unknown"])),
        *((f"{other['chart']} {other['says']}", f"{other['m']:.0f}") for other in facts.get("others", ())),
    ]
