"""Commands over a loaded warehouse: alerts, explain, worklist, power, quarantine, erase, rotation of the hash key."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, make_url, text
from typer.testing import CliRunner, Result

from fhir_source.errors import IessError, SettingsError
from fhir_source.landing import LandingZone, read_lines
from fhir_source.source import Source
from pipeline import hash_key, steps, weekly
from pipeline.cli import console
from pipeline.cli.main import app
from pipeline.clock import Clock
from pipeline.settings import Settings
from surveillance import alerts
from surveillance.errors import AlertStepRefused, AlertUnknown, ChartUnknown
from surveillance.evidence import Facts
from surveillance.measures.registry import default_charts
from tests.conftest import _database
from tests.pipeline.conftest import ledger_adds_up
from warehouse import keys
from warehouse.engine import open_engine
from warehouse.errors import HashKeyChanged, InfantUnknown, RoleRefused

pytestmark = pytest.mark.integration

KEY = "a key for tests, long enough to be taken"
NOW = "2026-01-05T07:00:00Z"
CHART = default_charts()[0]
FACTS = Facts(
    chart_id=CHART.id,
    version=CHART.version,
    week="2025-12-22",
    since="2025-06-02",
    x=17,
    n_group=24,
    y=9,
    n_reference=31,
    sites={"harbor": [17, 24, 9, 31]},
    median_group=12.0,
    median_reference=5.0,
    extra_days=6.0,
    hazard_evidence=4.0,
    risk_difference=0.42,
    odds_ratio=5.9,
    ratio=5.9,
    cs_low=1.2,
    cs_high=None,
    m=430.0,
    limit=416.0,
    years_between_false=8.0,
    charts=8,
    budget=1.0,
    unknown=3,
    unknown_late=1,
    horizon=28,
    gates=[{"gate": "load_complete", "verdict": "passed", "detail": "all loads are complete"}],
)


@dataclass(frozen=True)
class Installation:
    """A loaded warehouse, and `iess` on it."""

    home: Path
    url: str
    engine: Engine

    @property
    def variables(self) -> dict[str, str]:
        return {
            "IESS_HOME": str(self.home),
            "IESS_DATABASE_URL": self.url,
            "IESS_HASH_KEY": KEY,
            "IESS_NOW": NOW,
            "COLUMNS": "200",
        }

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, database_url=SecretStr(self.url), hash_key=SecretStr(KEY))

    def iess(self, *arguments: object, **variables: str) -> Result:
        # Read from the environment when the module is loaded: a worker of pytest-xdist is 80 columns wide.
        console.out.width = 200
        return CliRunner().invoke(app, [str(part) for part in arguments], env={**self.variables, **variables})

    def says(self, *arguments: object, **variables: str) -> str:
        done = self.iess(*arguments, **variables)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.stdout

    def answers(self, *arguments: object, **variables: str) -> Any:
        return json.loads(self.says(*arguments, "--json", **variables))

    def refuses(self, *arguments: object, **variables: str) -> IessError:
        error = self.iess(*arguments, **variables).exception
        assert isinstance(error, IessError), error
        return error

    def one(self, query: str, **values: object) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(text(query), values).scalar_one()


@pytest.fixture(scope="module")
def installed(
    postgres_uri: str, migrated_template: str, hospital: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """The hospital loaded and its weeks worked through, with one open alert."""
    home = tmp_path_factory.mktemp("installed")
    with _database(postgres_uri, template=migrated_template) as url:
        engine = open_engine(url)
        installation = Installation(home, url, engine)
        load(installation, steps.folder_source(hospital, timezone="America/New_York", fhir_version=None), NOW)
        weekly.detect(installation.settings, "weekly-00000000-2026-01-05")
        with engine.begin() as connection:
            alerts.raise_alert(connection, CHART, FACTS, on=date(2026, 1, 5), run_id="weekly-00000000-2026-01-05")
        yield installation
        engine.dispose()


def load(installation: Installation, source: Source, now: str) -> None:
    clock = Clock.read(datetime.fromisoformat(now))
    steps.pull(installation.settings, source, clock)
    steps.process_pending(installation.settings, source, clock)


def infant_with(installation: Installation, condition: str) -> str:
    return str(installation.one(f"SELECT infant FROM clinical.v_timeline WHERE {condition} ORDER BY infant LIMIT 1"))


def test_an_alert_from_open_to_resolved(installed: Installation) -> None:
    [line] = installed.answers("alerts", "list")
    identity = line["alert_id"]
    assert (line["about"], line["status"], line["due_on"], line["overdue"]) == (CHART.id, "open", "2026-01-12", False)
    assert installed.answers("alerts", "list", IESS_NOW="2026-02-01T07:00:00Z")[0]["overdue"]

    said = installed.says("alerts", "show", identity)
    assert "17 of 24" in said
    assert "1.20 to no bound" in said
    assert "all loads are complete" in said

    installed.says("alerts", "ack", identity, "--by", "Dr Lee")
    assert isinstance(installed.refuses("alerts", "ack", identity, "--by", "Dr Kim"), AlertStepRefused)
    installed.says("alerts", "note", identity, "charts asked for [12]", "--by", "Dr Lee")
    installed.says("alerts", "move", identity, "investigating", "--by", "Dr Lee")
    assert "charts asked for [12]" in installed.says("alerts", "show", identity), "a note is text, not markup"
    assert installed.iess("alerts", "resolve", identity, "--kind", "other", "--by", "Dr Lee").exit_code == 2
    assert installed.answers("alerts", "list")[0]["status"] == "investigating"
    installed.says("alerts", "resolve", identity, "--kind", "improved", "--by", "Dr Lee")

    assert installed.answers("alerts", "list") == []
    [closed] = installed.answers("alerts", "list", "--all")
    assert (closed["status"], closed["resolution"], closed["assignee"]) == ("resolved", "improved", "Dr Lee")
    log = installed.answers("alerts", "show", identity)["log"]
    assert [entry["kind"] for entry in log][-4:] == ["acknowledged", "note", "investigating", "resolved"]
    assert {entry["by_whom"] for entry in log[-4:]} == {"Dr Lee"}


def test_an_alert_needs_an_id_that_is_known_and_a_name(installed: Installation) -> None:
    assert isinstance(installed.refuses("alerts", "show", "none"), AlertUnknown)
    assert isinstance(installed.refuses("alerts", "note", "none", "words", "--by", "Dr Lee"), AlertUnknown)
    assert installed.iess("alerts", "ack", "none", "--by", " ").exit_code == 2
    assert installed.iess("alerts", "ack", "none").exit_code == 2


def test_a_test_message_goes_through_the_outbox_once(installed: Installation) -> None:
    sent = installed.answers("alerts", "test")
    assert sent["delivered"] == [sent["message_id"]]
    assert "Subject: [IESS] Test" in (Path(sent["outbox"]) / f"{sent['message_id']}.txt").read_text()
    assert installed.answers("alerts", "test")["delivered"] == []
    assert installed.answers("alerts", "test", IESS_NOW="2026-01-05T07:00:01Z")["delivered"] != []


def test_explain_tells_what_the_warehouse_holds(installed: Installation) -> None:
    infant = infant_with(installed, "status_provider_to_neurology = 'event' AND days_provider_to_neurology_low > 7")
    days, seen = (
        installed.one(f"SELECT {column} FROM clinical.v_timeline WHERE infant = :infant", infant=infant)
        for column in ("days_provider_to_neurology_low", "neurology")
    )
    said = installed.says("explain", "harbor", infant)
    assert f"I2   first provider to neurologist (primary): {days} days; over 7 days: yes" in said
    assert f"{seen}  Seen by neurology" in said
    assert "rule M5." in said
    for arguments in (("harbor", "nobody"), ("nowhere", infant)):
        error = installed.refuses("explain", *arguments)
        assert isinstance(error, InfantUnknown)
        assert infant not in str(error)


def test_every_stored_wait_is_explained_with_the_same_days(installed: Installation) -> None:
    """Mapped anew from the stored resources, as of the same day: nothing may differ from the stored timeline."""
    with installed.engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT infant, status_diagnosis_to_first_line, days_diagnosis_to_first_line_low "
                "FROM clinical.v_timeline WHERE source = 'harbor' ORDER BY infant LIMIT 12"
            )
        ).all()
    for infant, status, days in rows:
        said = installed.says("explain", "harbor", infant)
        [line] = [line for line in said.splitlines() if line.startswith("  I6 ")]
        assert (f" {days} days" if status in ("event", "censored") else status.replace("_", " ")) in line


def test_the_worklist_leaves_out_what_is_long_past(installed: Installation) -> None:
    today = installed.answers("worklist")
    everyone = installed.answers("worklist", "--long-past")
    assert [row for row in everyone if not row["long_past"]] == today
    assert today
    assert len(everyone) > len(today)
    assert all(3 < row["days_waiting"] <= 84 for row in today)
    assert today[0]["infant"] in installed.says("worklist")
    for row in today:
        assert installed.one(
            "SELECT first_line IS NULL FROM clinical.v_timeline WHERE infant = :infant", infant=row["infant"]
        )


def test_the_work_list_is_told_once_a_day_without_anybody_in_it(installed: Installation) -> None:
    waiting = {(row["source"], row["infant"]) for row in installed.answers("worklist")}
    told = installed.answers("worklist", "--tell")
    assert (told["waiting"], told["fresh"], told["message_id"] in told["delivered"]) == (len(waiting), True, True)
    again = installed.answers("worklist", "--tell")
    assert (again["fresh"], again["delivered"]) == (False, [])
    mail = (installed.home / "outbox" / f"{told['message_id']}.txt").read_text()
    assert f"{len(waiting)} infants are waiting" in mail
    assert not any(infant in mail for _, infant in waiting)
    before_anybody = installed.answers("worklist", "--tell", IESS_NOW="2010-01-04T06:00:00Z")
    assert before_anybody == {"waiting": 0, "message_id": None, "fresh": False, "delivered": []}


def test_charts_are_added_and_retired_by_name_and_day(installed: Installation) -> None:
    before = {line["chart"]: line for line in installed.answers("charts", "list")}
    assert before[CHART.id]["registered_by"] == "settings"
    verified = {line["chart"]: line for line in installed.answers("charts", "verify")}
    assert verified[CHART.id]["head"] == before[CHART.id]["head"]
    assert verified[CHART.id]["weeks"] > 10
    new = ("charts", "add", "I2", "sex", "female", "male", "--by", "Dr Lee", "--why", "asked for by the board")
    added = installed.answers(*new, "--version", "time-to-event")
    assert (added["registered_on"], added["registered_by"]) == ("2026-01-05", "Dr Lee")
    assert isinstance(installed.refuses(*new, "--version", "time-to-event"), ChartUnknown)
    assert isinstance(installed.refuses(*new, "--scope", "everywhere"), ChartUnknown)
    assert "Registered" in installed.says(*new)
    installed.says("charts", "retire", added["chart"], "--by", "Dr Lee")
    assert isinstance(installed.refuses("charts", "retire", added["chart"], "--by", "Dr Lee"), ChartUnknown)
    assert added["chart"] not in {line["chart"] for line in installed.answers("charts", "list")}
    retired = {line["chart"]: line["retired_by"] for line in installed.answers("charts", "list", "--all")}
    assert retired[added["chart"]] == "Dr Lee"
    assert CHART.id in installed.says("charts", "list")
    installed.says("charts", "retire", added["chart"].removesuffix(":time-to-event"), "--by", "Dr Lee")


def test_power_is_for_the_network_or_for_what_is_asked(installed: Installation) -> None:
    own = installed.answers("power", "--simulated", 10)
    assert (own["limit"], own["budget"], len(own["charts"])) == (624.0, 1.0, 12)
    assert all(50 < line["power"]["scenario"]["cases"] < 75 for line in own["charts"]), "60 infants in one year"
    asked = ("power", "--simulated", 10, "--cases", 2000, "--group-share", 0.3, "--reference-share", 0.5, "--late", 0.4)
    large = installed.answers(*asked)
    weeks = {line["power"]["median_weeks"] for line in large["charts"]}
    assert len(weeks) == 2, "one scenario in two versions of the chart"
    assert max(weeks) < min(line["power"]["median_weeks"] or 261 for line in own["charts"])
    assert installed.answers(*asked) == large
    assert "All charts together" in installed.says(*asked)
    refused = installed.refuses("power", "--group-share", 0.6, "--reference-share", 0.5)
    assert isinstance(refused, SettingsError)


def tiny_hospital(folder: Path) -> None:
    """One infant whose diagnosis has a code of the site's own, an encounter, and a line that is no JSON."""
    folder.mkdir()
    infant = {"reference": "Patient/x1"}
    resources: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "x1", "birthDate": "2025-03-01", "gender": "female"},
        {
            "resourceType": "Condition",
            "id": "c1",
            "subject": infant,
            "code": {"coding": [{"system": "http://cove.example/dx", "code": "SPASMS"}]},
            "recordedDate": "2025-09-03",
        },
        encounter("e1", "2025-09-01T09:00:00-04:00"),
    ]
    lines = [json.dumps({**body, "meta": {"lastUpdated": "2025-09-10T00:00:00Z"}}) for body in resources]
    (folder / "all.ndjson").write_text("\n".join([*lines, '{"resourceType": "Condition", "id"']) + "\n")


def encounter(identity: str, start: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": identity,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": "Patient/x1"},
        "period": {"start": start},
    }


def test_a_replay_loads_what_a_new_rule_lets_in(installed: Installation, tmp_path: Path) -> None:
    """A code of the site's own is added: its infant joins in the first pull, and the next one's resources follow."""
    folder = tmp_path / "cove"
    tiny_hospital(folder)
    source = steps.folder_source(folder, timezone="America/New_York", fhir_version=None)
    load(installed, source, "2026-01-02T07:00:00Z")
    (folder / "all.ndjson").write_text(
        json.dumps({**encounter("e2", "2025-09-20T09:00:00-04:00"), "meta": {"lastUpdated": "2025-09-21T00:00:00Z"}})
    )
    load(installed, source, "2026-01-03T07:00:00Z")

    [finding] = installed.answers("quarantine", "list", "cove")
    assert (finding["pull_id"], finding["reason"], finding["findings"]) == ("20260102T070000Z", "not_json", 1)
    [shown] = installed.answers("quarantine", "show", "cove", "20260102T070000Z")
    assert (shown["file"], shown["line"]) == ("all.ndjson", 4)
    assert "a replay can't help" in installed.says("quarantine", "show", "cove", "20260102T070000Z")
    assert isinstance(installed.refuses("explain", "cove", "x1"), InfantUnknown)

    codes = tmp_path / "codes.csv"
    codes.write_text("system,code,label,role\nhttp://cove.example/dx,SPASMS,Infantile spasms,iess_definite\n")
    replayed = installed.answers("quarantine", "replay", "cove", IESS_MAPPING__LOCAL_CODES=str(codes))
    assert [record["pull_id"] for record in replayed] == ["20260102T070000Z", "20260103T070000Z"]
    assert all(ledger_adds_up(record["ledger"]) for record in replayed)
    assert sum(row["loaded"] for row in replayed[0]["ledger"]) == 3
    assert sum(row["loaded"] for row in replayed[1]["ledger"]) == 1
    assert "Definite case" in installed.says("explain", "cove", "x1", IESS_MAPPING__LOCAL_CODES=str(codes))

    again = installed.answers("quarantine", "replay", "cove", IESS_MAPPING__LOCAL_CODES=str(codes))
    assert [record["pull_id"] for record in again] == ["20260102T070000Z"]
    assert sum(row["loaded"] for row in again[0]["ledger"]) == 0
    assert installed.answers("quarantine", "replay", "cove", "--reason", "no_id") == []
    assert isinstance(installed.refuses("quarantine", "replay", "nowhere"), SettingsError)


@pytest.fixture
def login(installed: Installation) -> Iterator[Callable[[str], str]]:
    """URL of a login that is a member of one group role, and may read the hospital's site."""
    made = []

    def create(role: str) -> str:
        name = f"person_in_{role}"
        made.append(name)
        with installed.engine.begin() as connection:
            connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x' IN ROLE {role}"))
            connection.execute(
                text("INSERT INTO clinical.site_access (role_name, source) VALUES (:name, 'harbor')"), {"name": name}
            )
        return make_url(installed.url).set(username=name, password="x").render_as_string(hide_password=False)

    yield create
    with installed.engine.begin() as connection:
        for name in made:
            connection.execute(text("DELETE FROM clinical.site_access WHERE role_name = :name"), {"name": name})
            connection.execute(text(f"DROP ROLE {name}"))


def test_only_the_clinical_role_sees_infants(installed: Installation, login: Callable[[str], str]) -> None:
    clinical, operator = login("iess_clinical"), login("iess_operator")
    assert installed.answers("worklist", IESS_DATABASE_URL=clinical) == installed.answers("worklist") != []
    person = ("explain", "harbor", infant_with(installed, "source = 'harbor'"))
    findings = ("quarantine", "show", "harbor", "20260105T070000Z")
    installed.says(*findings, IESS_DATABASE_URL=clinical)
    assert "Born 20" in installed.says(*person, IESS_DATABASE_URL=clinical)
    for command in (("worklist",), person, findings):
        assert isinstance(installed.refuses(*command, IESS_DATABASE_URL=operator), RoleRefused)
    for allowed in (("alerts", "list"), ("quarantine", "list"), ("status",)):
        installed.says(*allowed, IESS_DATABASE_URL=operator)
    refused = installed.refuses("erase", "harbor", person[2], "--reason", "asked", "--yes", IESS_DATABASE_URL=clinical)
    assert isinstance(refused, RoleRefused)


def test_an_erased_infant_is_gone_from_every_command(installed: Installation) -> None:
    infant = infant_with(installed, "source = 'harbor' AND cohort = 'definite'")
    before = installed.one("SELECT count(*) FROM clinical.v_timeline")
    assert installed.iess("erase", "harbor", infant, "--reason", "asked for").exit_code == 2, "nobody to ask"
    assert installed.iess("erase", "harbor", infant, "--yes").exit_code == 2, "no reason"
    assert installed.one("SELECT count(*) FROM clinical.v_timeline") == before

    landing = LandingZone(str(installed.home / "landing"))
    [manifest] = landing.pulls("harbor")
    lines = sum(file.rows for file in manifest.files)
    done = installed.answers("erase", "harbor", infant, "--reason", "asked for", "--yes")
    assert done["patients"] == 1
    assert done["rows"]["clinical.referral_timeline"] >= 1
    assert list(done["landed_lines"]) == ["20260105T070000Z"]
    [manifest] = landing.pulls("harbor")
    landing.verify(manifest)
    everything = b"".join(line for _, path in landing.everything(manifest) for line in read_lines(path))
    assert f'"{infant}"'.encode() not in everything
    assert f"Patient/{infant}".encode() not in everything
    assert done["landed_lines"]["20260105T070000Z"] == lines - everything.count(b"\n") > 3
    assert installed.one("SELECT count(*) FROM clinical.v_timeline") == before - 1
    assert isinstance(installed.refuses("explain", "harbor", infant), InfantUnknown)
    again = installed.answers("erase", "harbor", infant, "--reason", "asked for", "--yes")
    assert again == {"patients": 0, "rows": {}, "landed_lines": {}}, "as after a later pull, which lands them again"


@pytest.mark.parametrize(("typed", "code", "left"), [(b"n\n", 130, 1), (b"y\n", 0, 0)])
def test_erasing_asks_at_a_terminal(installed: Installation, typed: bytes, code: int, left: int) -> None:
    infant = infant_with(installed, "source = 'harbor' AND cohort = 'definite'")
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", "erase", "harbor", infant, "--reason", "asked for"],
        stdin=theirs,
        env={**os.environ, **installed.variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code, done.stderr
    assert "for good?" in done.stderr
    assert installed.one("SELECT count(*) FROM clinical.v_timeline WHERE infant = :infant", infant=infant) == left


def test_a_key_from_the_environment_is_rotated_to_one_in_a_private_file(
    installed: Installation, tmp_path: Path
) -> None:
    first = infant_with(installed, "true")
    find = "SELECT infant_key FROM clinical.infant_key WHERE infant = :infant"
    before = installed.one(find, infant=first)
    file = tmp_path / "new.key"
    file.write_text("a second key, long enough as well\n")
    file.chmod(0o644)
    assert isinstance(installed.refuses("db", "rotate-key"), SettingsError)
    assert "chmod 600" in str(installed.refuses("db", "rotate-key", "--new-key-file", file))
    assert installed.one(find, infant=first) == before

    file.chmod(0o600)
    for _ in range(2):  # run again, it ends the same
        assert "Set IESS_HASH_KEY" in installed.says("db", "rotate-key", "--new-key-file", file)
    after = installed.one(find, infant=first)
    assert after == keys.infant_key(b"a second key, long enough as well", "harbor", first) != before
    assert installed.one("SELECT count(*) FROM analytics.infant_interval WHERE infant_key = :key", key=after) > 0
    refused = installed.refuses("erase", "harbor", first, "--reason", "asked for", "--yes")
    assert isinstance(refused, HashKeyChanged), "the former key is no longer taken"


@pytest.fixture
def own_key(tmp_path: Path) -> Settings:
    """Settings without a key: it is in the home folder."""
    return Settings(home=tmp_path)


def key_in_use(engine: Engine, key: bytes) -> bool:
    try:
        with engine.begin() as connection:
            keys.require_same(connection, key)
    except HashKeyChanged:
        return False
    return True


def test_a_key_of_our_own_is_made_anew(own_key: Settings, warehouse_engine: Engine) -> None:
    old = hash_key.hash_key(own_key)
    hash_key.rotate(own_key, warehouse_engine)
    new = hash_key.hash_key(own_key)
    assert new != old
    assert key_in_use(warehouse_engine, new)
    assert not key_in_use(warehouse_engine, old)
    assert [(path.name, path.stat().st_mode & 0o777) for path in own_key.home.iterdir()] == [("hash.key", 0o600)]


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_a_rotation_that_is_cut_short_never_loses_the_key(
    own_key: Settings,
    warehouse_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    committed: bool,
    given: bool,
) -> None:
    """Killed before or after the warehouse took the new key; then run again, with a key of the user's or without."""
    hash_key.hash_key(own_key)
    whole = keys.rotate

    def cut(engine: Engine, old: bytes, new: bytes) -> int:
        if committed:
            whole(engine, old, new)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keys, "rotate", cut)
        with pytest.raises(KeyboardInterrupt):
            hash_key.rotate(own_key, warehouse_engine)
    file = None
    if given:
        file = tmp_path_factory.mktemp("key") / "own.key"
        file.touch(mode=0o600)
        file.write_text("a key of the user's own choice")
    hash_key.rotate(own_key, warehouse_engine, file)
    assert key_in_use(warehouse_engine, hash_key.hash_key(own_key))
    if given:
        assert hash_key.hash_key(own_key) == b"a key of the user's own choice"
    assert [path.name for path in own_key.home.iterdir()] == ["hash.key"]
