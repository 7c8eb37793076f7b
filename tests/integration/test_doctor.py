"""``gwbatch doctor`` and the dispatcher's checks, against healthy and faulty servers, brokers, files and clocks."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from gwbatch.checks import CHECKS, Check, Place, check, load_checks, look
from gwbatch.checks import brokers as broker_checks
from gwbatch.cli import cli
from gwbatch.clock import ManualClock, SystemClock
from gwbatch.config.alerts import AlertSettings, BrokerSettings
from gwbatch.config.limits import Limits
from gwbatch.config.profile import GraceDBSettings, ListenerSettings, Profile, Resources, SchedulerSettings
from gwbatch.dispatcher.examiner import Examiner
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, clock_steps, leases
from gwbatch.reports.finding import Finding, Level
from gwbatch.reports.health import findings
from gwbatch.reports.status import report
from tests.certificates import certificate
from tests.fakes.condor import FakeCondor
from tests.fakes.slurm import FakeSlurm
from tests.integration.brokers import BrokerProcess
from tests.integration.harness import Harness, Server

NOWHERE = "http://127.0.0.1:9/api/"
PACKAGE = Path(__file__).parents[2] / "gwbatch"

load_checks()


def found(name: str, profile: Profile, ledger: Ledger | None = None) -> list[Finding]:
    return look(CHECKS[name], Place(profile, ledger, SystemClock()))


def gracedb(url: str, **settings: Any) -> Profile:
    return Profile(gracedb=GraceDBSettings(url, **{"auth": "none", "timeout": 5.0, **settings}))


def doctor(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


@contextmanager
def answering(document: dict[str, Any], user: str | None = None, date: str | None = None) -> Iterator[str]:
    """Run a web server that returns one document, and the name of the user at ``user-info``; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"username": user} if "user-info" in self.path else document).encode()
            self.send_response_only(200)
            self.send_header("Date", date or formatdate(usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{served.server_port}/api/"
    document.setdefault("links", {}).setdefault("user-info", f"{address}user-info/")
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield address
    served.shutdown()
    thread.join()
    served.server_close()


# ---- GraceDB --------------------------------------------------------------------------------------------------


def test_a_server_that_answers_is_well(server: Server) -> None:
    (one,) = found("gracedb", gracedb(server.url))
    assert one.level is Level.OK
    assert "knows us as" in one.text


def test_a_server_that_does_not_answer_is_critical() -> None:
    (one,) = found("gracedb", gracedb(NOWHERE))
    assert (one.level, one.key) == (Level.CRITICAL, "gracedb")
    assert one.text.startswith(f"{NOWHERE} cannot be used: ")
    assert one.remedy


@pytest.mark.parametrize("document", [{}, {"links": {"events": "x"}}, {"links": "none"}])
def test_another_web_server_is_not_taken_for_gracedb(document: dict[str, Any]) -> None:
    if document.get("links") == "none":
        with answering({}) as address:
            (one,) = found("gracedb", gracedb(address))
    else:
        with answering(document) as address:
            (one,) = found("gracedb", gracedb(address))
    assert one.level is Level.CRITICAL


def test_a_server_that_does_not_know_us_is_critical() -> None:
    with answering({"links": {"superevents": "x"}}) as address:
        (one,) = found("gracedb", gracedb(address, auth="default"))
        assert one.level is Level.CRITICAL
        assert "does not recognize us" in one.text
        (one,) = found("gracedb", gracedb(address, auth="none"))
        assert one.level is Level.OK


# ---- credentials ----------------------------------------------------------------------------------------------


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE", "SCITOKEN", "SCITOKEN_FILE", "X509_USER_PROXY", "X509_USER_CERT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_credentials")
def test_no_credentials_are_critical() -> None:
    (one,) = found("credentials", gracedb("https://gracedb.example.org/api/", auth="default"))
    assert (one.level, one.text) == (Level.CRITICAL, "there is no valid token or certificate for GraceDB")


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(("days", "level"), [(30.0, Level.OK), (1.0, Level.WARNING)])
def test_a_certificate_is_judged_by_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, level: Level
) -> None:
    monkeypatch.setenv("X509_USER_PROXY", str(certificate(tmp_path / "proxy.pem", days)))
    (one,) = found("credentials", gracedb("https://gracedb.example.org/api/", auth="default"))
    assert one.level is level
    assert "proxy.pem is valid until" in one.text


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize(("left", "level"), [(7200.0, Level.OK), (300.0, Level.WARNING), (-10.0, Level.CRITICAL)])
def test_a_token_is_judged_by_its_end(monkeypatch: pytest.MonkeyPatch, left: float, level: Level) -> None:
    from igwn_auth_utils.requests import HTTPSciTokenAuth

    monkeypatch.setattr(HTTPSciTokenAuth, "find_token", lambda *_, **__: {"exp": time.time() + left})
    (one,) = found("credentials", gracedb("https://gracedb.example.org/api/", auth="default"))
    assert one.level is level


# ---- brokers --------------------------------------------------------------------------------------------------


def hearing(bootstrap: str, topic: str = "", **settings: Any) -> Profile:
    listener = ListenerSettings(bootstrap=bootstrap, **settings)
    broker = BrokerSettings(topic=topic, bootstrap=bootstrap, format="json", categories=["mdc"]) if topic else None
    alerts = AlertSettings(mode="mdc", brokers={"gcn": broker}) if broker else AlertSettings()
    spool = ListenerSettings(kind="spool", directory="/nowhere")
    return Profile(listeners={"igwn-alert": listener, "files": spool}, alerts=alerts)


def test_brokers_that_answer_are_well_and_a_topic_that_is_not_there_is_told() -> None:
    with BrokerProcess("cbc_gstlal") as broker:
        known = found("brokers", hearing(broker.bootstrap, "gracedb.cbc_gstlal"))
        missing = found("brokers", hearing(broker.bootstrap, "elsewhere"))
    assert [one.level for one in known] == [Level.OK, Level.OK]
    assert [one.level for one in missing] == [Level.OK, Level.WARNING]
    assert "has no topic elsewhere" in missing[1].text


def test_a_broker_that_does_not_answer_is_critical_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(broker_checks, "PATIENCE", 1.0)
    (one,) = found("brokers", hearing("127.0.0.1:9"))
    assert (one.level, one.key) == (Level.CRITICAL, "broker of the listener igwn-alert")
    assert "does not answer" in one.text
    assert not caplog.records


def test_a_broker_without_credentials_is_critical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (one,) = found("brokers", hearing("kafka.example.org:9092", auth="scram"))
    assert one.level is Level.CRITICAL
    assert "cannot query" in one.text


# ---- the clock ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0.0, Level.OK, "agrees"), (-20.0, Level.WARNING, "behind"), (3600.0, Level.CRITICAL, "ahead of")],
)
def test_the_clock_is_compared_with_the_servers(ahead: float, level: Level, words: str) -> None:
    with answering({}, date=formatdate(time.time() - ahead, usegmt=True)) as address:
        (one,) = found("clock", gracedb(address))
    assert one.level is level
    assert words in one.text


@pytest.mark.parametrize("date", ["yesterday", ""])
def test_a_date_that_is_none_is_a_finding_and_no_crash(date: str) -> None:
    with answering({}, date=date or "0") as address:
        (one,) = found("clock", gracedb(address))
    assert one.level is Level.WARNING


def test_steps_of_the_clock_are_told_for_a_day(ledger: Ledger) -> None:
    def told(now: float) -> list[Finding]:
        return [one for one in findings(ledger, report(ledger, now), Limits()) if one.key.startswith("clock step")]

    assert told(1e9) == []
    with ledger.transaction() as tx:
        clock_steps.note_step(tx, -3600.0, 1e9)
    (one,) = told(1e9)
    assert one.level is Level.WARNING
    assert one.text == "the clock was set back by 3600 s at 2001-09-09 01:46:40 UTC"
    assert told(1e9 + 90_000) == []


# ---- the ledger -----------------------------------------------------------------------------------------------


def test_a_sound_ledger_is_well_and_a_damaged_one_critical(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        for number in range(2000):
            tx.execute("INSERT INTO settings VALUES (?, ?, 0)", (f"n{number}", "x" * 200))
    ledger.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    (one,) = found("integrity", Profile(), ledger)
    assert one.level is Level.OK
    content = bytearray(ledger.path.read_bytes())
    half = len(content) // 2 // 4096 * 4096
    content[half : half + 3 * 4096] = b"\xff" * (3 * 4096)
    (tmp_path / "damaged").mkdir()
    damaged = Ledger(ledger.path)
    damaged.path = tmp_path / "damaged" / "ledger.sqlite"
    damaged.path.write_bytes(content)
    (one,) = found("integrity", Profile(), damaged)
    assert one.level is Level.CRITICAL
    assert "gwbatch restore" in one.remedy


# ---- the dispatcher -------------------------------------------------------------------------------------------


@pytest.fixture
def one_check(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Finding]]:
    """Replace all checks by a plug-in's check, whose findings are those that the test adds to the list."""
    known = dict(CHECKS)
    CHECKS.clear()
    said: list[Finding] = []
    check("seeing", every=60.0, after=5.0)(lambda place: list(said))
    monkeypatch.setattr("gwbatch.dispatcher.examiner.load_checks", lambda: None)
    yield said
    CHECKS.clear()
    CHECKS.update(known)


def wrong(harness: Harness) -> dict[str, str]:
    listed = findings(harness.ledger, report(harness.ledger, harness.clock.now()), Limits())
    return {one.key: one.remedy for one in listed if one.key == "seeing"}


def test_the_dispatcher_looks_when_it_is_time_and_everybody_sees_what_it_found(
    harness: Harness, one_check: list[Finding]
) -> None:
    examiner = Examiner(harness.runtime)
    one_check.append(Finding(Level.CRITICAL, "seeing", "clouds", "wait"))
    assert not examiner.step()
    harness.clock.advance(6.0)
    assert examiner.step()
    assert not examiner.step()
    assert wrong(harness) == {"seeing": "wait"}
    one_check[:] = [Finding(Level.OK, "seeing", "stars")]
    harness.clock.advance(59.0)
    assert not examiner.step()
    harness.clock.advance(2.0)
    assert examiner.step()
    assert wrong(harness) == {}


def test_a_problem_lasts_since_it_was_first_found(harness: Harness, one_check: list[Finding]) -> None:
    def look_again() -> float | None:
        harness.clock.advance(61.0)
        assert examiner.step()
        listed = findings(harness.ledger, report(harness.ledger, harness.clock.now()), Limits())
        return next((one.since for one in listed if one.key == "seeing"), None)

    examiner = Examiner(harness.runtime)
    one_check.append(Finding(Level.WARNING, "seeing", "mist"))
    began = look_again()
    assert began == harness.clock.now()
    one_check[:] = [Finding(Level.CRITICAL, "seeing", "clouds")]
    assert look_again() == began
    one_check[:] = [Finding(Level.OK, "seeing", "stars")]
    assert look_again() is None
    one_check[:] = [Finding(Level.CRITICAL, "seeing", "clouds")]
    assert look_again() == harness.clock.now()


def test_what_an_earlier_dispatcher_found_counts_no_more(harness: Harness, one_check: list[Finding]) -> None:
    one_check.append(Finding(Level.CRITICAL, "seeing", "clouds"))
    examiner = Examiner(harness.runtime)
    harness.clock.advance(6.0)
    examiner.step()
    harness.clock.advance(6.0)
    with harness.ledger.transaction() as tx:
        leases.release(tx, harness.lease)
    harness.restart()
    assert wrong(harness) == {}


def test_a_check_that_fails_is_a_finding(caplog: pytest.LogCaptureFixture) -> None:
    def broken(place: Place) -> Iterator[Finding]:
        raise ZeroDivisionError("division by zero")

    (one,) = look(Check("broken", 1.0, 0.0, broken), Place(Profile(), None, ManualClock()))
    assert (one.level, one.key) == (Level.WARNING, "check broken")
    assert "division by zero" in one.text


def test_two_checks_of_one_name_are_refused(one_check: list[Finding]) -> None:
    def another(place: Place) -> Iterator[Finding]:
        yield Finding(Level.OK, "seeing", "stars")

    with pytest.raises(ConfigError, match="another check has this name"):
        check("seeing")(another)


# ---- the command ----------------------------------------------------------------------------------------------


def test_before_the_first_dispatcher_it_looks_at_the_site(tmp_path: Path, server: Server) -> None:
    setting = ["--set", f"gracedb.url={server.url}", "--set", "gracedb.auth=none"]
    done = doctor("--state", str(tmp_path), "--site", "local", *setting)
    assert done.exit_code == 0, done.output
    assert "no dispatcher has run here yet" in done.output
    assert done.output.endswith("All well.\n")


def test_it_says_what_is_wrong_and_what_to_do(ledger: Ledger) -> None:
    assert ledger.path is not None
    arguments = ["--state", str(ledger.path.parent), "--site", "local", "--set", f"gracedb.url={NOWHERE}"]
    done = doctor(*arguments, "--set", "gracedb.auth=none")
    assert done.exit_code == 2
    assert f"CRITICAL {NOWHERE} cannot be used" in done.output
    assert "CRITICAL no dispatcher is running" in done.output
    assert "-> start it: gwbatch run" in done.output
    told = json.loads(doctor(*arguments, "--set", "gracedb.auth=none", "--json").output)
    assert told["level"] == "CRITICAL"
    assert {one["check"] for one in told["findings"]} >= {"gracedb", "integrity", "ledger"}


def test_the_checks_of_a_plug_in_are_run(tmp_path: Path) -> None:
    (tmp_path / "seeing_plugin.py").write_text(
        "from gwbatch.checks import check\nfrom gwbatch.reports.finding import Finding, Level\n"
        "@check('dome')\ndef dome(place):\n    yield Finding(Level.WARNING, 'dome', 'the dome is shut', 'open it')\n"
    )
    setting = ["--set", 'plugins=["seeing_plugin"]', "--set", f'plugin_folders=["{tmp_path}"]']
    try:
        done = doctor("--state", str(tmp_path / "state"), "--site", "local", *setting)
    finally:
        CHECKS.pop("dome", None)
    assert done.exit_code == 1, done.output
    assert "the dome is shut\n         -> open it" in done.output


@pytest.mark.parametrize("path", [PACKAGE / "reports" / "health.py", *sorted((PACKAGE / "checks").glob("[!_]*.py"))])
def test_every_command_that_a_remedy_names_exists(path: Path) -> None:
    for words in re.findall(r"gwbatch ([a-z-]+(?: [a-z-]+)?)", path.read_text()):
        command: click.Command | None = cli
        for word in words.split():
            if not isinstance(command, click.Group):
                break
            command = command.get_command(click.Context(command), word)
            assert command is not None, f"gwbatch {words}"


# ---- the batch system's nodes ------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "cluster").install()
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    return fake


def slurm(**queues: str) -> Profile:
    return Profile(
        scheduler=SchedulerSettings(kind="slurm", patience=20.0),
        queues={name: Resources(partition=partition) for name, partition in queues.items()},
    )


def test_free_nodes_of_a_cluster_are_told(cluster: FakeSlurm) -> None:
    cluster.have_nodes(
        "n1|main*|idle", "n1|long|idle", "n2|main*|mixed", "n3|main*|idle*", "n4|main*|drained", "n5|main*|idle~",
        "n6|long|idle", "n7|other|idle", "n8|main*|idle@", "sinfo: error: a line that is none",
    )  # fmt: skip
    (there,) = found("pool", slurm())
    assert (there.level, there.text) == (Level.OK, "2 of 3 whole nodes are free")
    assert found("pool", slurm(openmp="long", general=""))[0].text == "3 of 4 whole nodes are free"


def test_a_cluster_without_nodes_in_service_is_a_warning(cluster: FakeSlurm) -> None:
    cluster.have_nodes("n1|main*|drained", "n2|main*|down*")
    (there,) = found("pool", slurm())
    assert there.level is Level.WARNING
    assert "no node in service" in there.text
    assert "partition" in there.remedy


@pytest.mark.parametrize("mode", ["fail", "empty", "garbage"])
def test_a_cluster_that_does_not_answer_is_found_without_any_job(cluster: FakeSlurm, mode: str) -> None:
    cluster.behave(sinfo=mode)
    (there,) = found("pool", slurm())
    assert there.level is Level.CRITICAL
    assert "sinfo failed" in there.text


def test_free_slots_of_a_pool_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCondor(tmp_path / "pool").install()
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    queues = {
        "openmp": Resources(requirements="TARGET.Online =?= True"),
        "general": Resources(requirements="TARGET.Disk > 5"),
    }
    profile = Profile(scheduler=SchedulerSettings(kind="htcondor", patience=20.0), queues=queues)
    assert found("pool", profile)[0].level is Level.WARNING
    with fake.pool() as pool:
        pool["slots"] = [
            {"Name": "slot1@a", "State": "Unclaimed", "Cpus": 8, "TotalSlotCpus": 8},
            {"Name": "slot1@b", "State": "Unclaimed", "Cpus": 3, "TotalSlotCpus": 8},
            {"Name": "slot1@c", "State": "Claimed", "Cpus": 8, "TotalSlotCpus": 8},
            {"Name": "slot1@d", "State": "Drained", "Cpus": 8, "TotalSlotCpus": 8},
        ]
    assert found("pool", profile)[0].text == "1 of 3 whole nodes are free"
    with fake.pool() as pool:
        assert pool["asked"].endswith(" && ((Disk > 5) || (Online =?= True))")
    fake.behave(condor_status="garbage")
    assert found("pool", profile)[0].level is Level.CRITICAL


def test_a_batch_system_that_cannot_tell_its_nodes_is_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found("pool", Profile()) == []
    assert found("pool", slurm()) == []
    assert found("pool", Profile(scheduler=SchedulerSettings(kind="htcondor"))) == []
