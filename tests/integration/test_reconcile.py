"""Reconciliation with GraceDB, which finds, explains and repairs missed changes and failed writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from gwbatch.checks import CHECKS, Place, load_checks, look
from gwbatch.checks import mirror as mirror_check
from gwbatch.cli import cli
from gwbatch.cli import reconcile as command
from gwbatch.effects.notices import RecallNotices
from gwbatch.errors import ConfigError
from gwbatch.gracedb import GraceDB, GraceDBError, GraceDBUnreachable
from gwbatch.ledger import in_force
from gwbatch.mirror import public_notices
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.reconcile import Difference, Remedy, differences, notices, repair
from gwbatch.reconcile.looking import Scope
from gwbatch.reports.finding import Level
from gwbatch.superevents import Superevent
from tests.integration.harness import Harness
from tests.integration.test_adoption import create
from tests.integration.test_notice_to_coincidence import burst

load_checks()


def found(harness: Harness, *names: str) -> list[Difference]:
    return differences(harness.ledger, GraceDB(harness.server.client), Scope(names=names))


def told(harness: Harness) -> list[tuple[str, Remedy]]:
    return [(one.what, one.remedy) for one in found(harness)]


def mend(harness: Harness) -> int:
    with harness.ledger.transaction() as tx:
        done = repair(tx, found(harness), harness.registry, harness.clock.now())
    harness.settle()
    return len(done)


def lose_alerts(harness: Harness) -> None:
    """Drop the alerts that GraceDB has sent so far."""
    alerts = harness.server.store.alerts_after(harness._carried)
    if alerts:
        harness._carried = alerts[-1][0]


def ours(harness: Harness) -> Superevent:
    (one,) = SupereventStore(harness.ledger.connection).superevents()
    return one


@pytest.fixture
def sid(harness: Harness) -> str:
    """Return the ID of a superevent of two events for which all work is done."""
    harness.upload()
    harness.upload("pycbc", far=1e-8)
    harness.settle(60.0)
    lose_alerts(harness)
    (one,) = harness.superevents()
    return str(one["superevent_id"])


def test_when_all_is_done_they_agree(harness: Harness, sid: str) -> None:
    assert ours(harness).superevent_id == sid
    assert found(harness) == []


def prefer_the_other(harness: Harness, sid: str) -> None:
    (other,) = {"G0001", "G0002"} - {ours(harness).preferred}
    harness.server.client.update_superevent(sid, preferred_event=other)


def add_another(harness: Harness, sid: str) -> None:
    harness.server.client.remove_event_from_superevent(sid, "G0002")
    with harness.ledger.transaction() as tx:
        SupereventStore(tx).leave("G0002", ours(harness).key)
    harness.server.client.add_event_to_superevent(sid, "G0002")


CHANGES: dict[str, tuple[Callable[[Harness, str], Any], str]] = {
    "label set": (lambda harness, sid: harness.server.client.write_label(sid, "HIGH_PROFILE"), "label HIGH_PROFILE"),
    "label removed": (lambda harness, sid: harness.server.client.remove_label(sid, ours(harness).labels[0]), "label "),
    "label of the preferred event": (
        lambda harness, sid: harness.server.client.write_label(ours(harness).preferred, "INJ"),
        "label INJ of the preferred event",
    ),
    "window": (
        lambda harness, sid: harness.server.client.update_superevent(sid, t_start=ours(harness).t_start - 1.5),
        "t_start",
    ),
    "preferred": (prefer_the_other, "preferred event"),
    "member removed": (
        lambda harness, sid: harness.server.client.remove_event_from_superevent(sid, "G0002"),
        "member G0002",
    ),
    "member added": (add_another, "member G0002"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_alert_never_came_is_taken_over(harness: Harness, sid: str, change: str) -> None:
    if change == "member removed" and ours(harness).preferred == "G0002":
        harness.server.client.update_superevent(sid, preferred_event="G0001")
        harness.settle()
    make, what = CHANGES[change]
    make(harness, sid)
    lose_alerts(harness)
    (one,) = found(harness)
    assert one.what.startswith(what)
    assert one.remedy is Remedy.TAKE_OVER
    assert one.why.startswith("GraceDB is right")
    assert mend(harness) == 1
    assert found(harness) == []
    harness.settle(600.0)
    assert found(harness) == []  # and we have not reverted the change


def test_what_no_handler_wants_is_not_said_to_be_repaired(harness: Harness, sid: str) -> None:
    harness.server.client.write_label(sid, "HIGH_PROFILE")
    lose_alerts(harness)
    (one,) = found(harness)
    assert one.alert is not None
    unheard = replace(one, alert=replace(one.alert, topic="nobody_hears_this"))
    with harness.ledger.transaction() as tx:
        assert repair(tx, [unheard], harness.registry, harness.clock.now()) == []


def test_a_lost_label_leads_to_what_its_alert_would_have_led_to_once(harness: Harness, sid: str) -> None:
    """The label is taken over twice, and then its alert arrives after all."""
    harness.server.client.write_label(sid, "DQV")
    late = harness._carried
    lose_alerts(harness)
    differs = found(harness)
    for _ in range(2):
        with harness.ledger.transaction() as tx:
            repair(tx, differs, harness.registry, harness.clock.now())
    harness.settle()
    harness._carried = late
    harness.settle()
    assert list(ours(harness).labels).count("DQV") == 1
    assert found(harness) == []
    assert harness.dead() == []


def fail_labels(harness: Harness, monkeypatch: pytest.MonkeyPatch, status: int) -> Callable[[], None]:
    """Make GraceDB refuse labels; return a function that ends this."""
    client = harness.runtime.gracedb().client
    real = client.write_label

    def refuse(*_: Any, **__: Any) -> Any:
        response = requests.Response()
        response.status_code = status
        response._content = b'"no"'
        raise requests.HTTPError("no", response=response)

    monkeypatch.setattr(client, "write_label", refuse)
    return lambda: monkeypatch.setattr(client, "write_label", real)


def test_a_write_that_failed_is_done_again(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    end = fail_labels(harness, monkeypatch, 400)
    harness.upload()
    harness.settle(60.0)
    assert harness.dead()
    differs = [one for one in found(harness) if one.what.startswith("label ")]
    assert differs
    assert {one.remedy for one in differs} <= {Remedy.WRITE, Remedy.WAIT}
    failed = [one for one in differs if one.remedy is Remedy.WRITE]
    assert failed
    assert all("its write failed" in one.why for one in failed)
    end()
    mend(harness)
    harness.settle(60.0)
    assert found(harness) == []
    (superevent,) = harness.superevents()
    assert {one.what.removeprefix("label ") for one in failed} <= set(superevent["labels"])
    assert not [reason for reason in harness.dead() if superevent["superevent_id"] in reason]


def test_a_write_that_is_under_way_is_left_alone(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_labels(harness, monkeypatch, 503)
    harness.upload()
    harness.settle(60.0)
    differs = found(harness)
    assert differs
    assert {one.remedy for one in differs} == {Remedy.WAIT}
    with harness.ledger.transaction() as tx:
        assert repair(tx, differs, harness.registry, harness.clock.now()) == []


def test_a_superevent_that_could_not_be_created_is_told(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise GraceDBError("refused", 400, "no")

    monkeypatch.setattr(harness.runtime.gracedb().client, "create_superevent", refuse)
    harness.upload()
    harness.settle()
    assert told(harness) == [("superevent", Remedy.WRITE)]
    monkeypatch.undo()
    mend(harness)
    harness.settle(60.0)
    assert found(harness) == []


def test_what_only_a_person_can_tell_is_left_to_one(harness: Harness, sid: str) -> None:
    graceid = harness.upload("spiir", far=1e-6)
    lose_alerts(harness)
    harness.server.client.add_event_to_superevent(sid, graceid)
    lose_alerts(harness)
    assert told(harness) == [(f"member {graceid}", Remedy.LOOK)]
    assert mend(harness) == 0
    harness.server.store._db.execute("DELETE FROM objects WHERE id = ?", (sid,))
    assert told(harness) == [("superevent", Remedy.LOOK)]


def test_labels_of_external_events_are_compared(harness: Harness) -> None:
    graceid = create(harness, burst())
    harness.settle(30.0)
    lose_alerts(harness)
    assert found(harness) == []
    harness.server.client.write_label(graceid, "NOT_GRB")
    lose_alerts(harness)
    assert told(harness) == [("label NOT_GRB", Remedy.TAKE_OVER)]
    assert mend(harness) == 1
    assert found(harness) == []


def test_notices_are_compared(harness: Harness, sid: str) -> None:
    superevent, now = ours(harness), harness.clock.now()
    with harness.ledger.transaction() as tx:
        public_notices.remember(tx, superevent.key, "production", "preliminary", "", 1, "2026-01-01T00:00:00Z", now)
    assert list(notices.compare(harness.ledger, superevent, ["2026-01-01T00:00:00Z"])) == []
    (one,) = notices.compare(harness.ledger, superevent, ["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"])
    assert (one.what, one.remedy, one.ask) == ("notices", Remedy.WRITE, RecallNotices(superevent=superevent.key))
    with harness.ledger.transaction() as tx:
        tx.execute("UPDATE public_notices SET frozen = 1.0")  # marks the notice as our own
    (one,) = notices.compare(harness.ledger, superevent, [])
    assert (one.what, one.effect) == ("notice preliminary", f"{superevent.key}/notice/preliminary/store")


def test_an_unknown_name_and_a_silent_server_are_told(
    harness: Harness, sid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(harness, sid) == []
    with pytest.raises(ConfigError, match="Cannot compare S1: the ledger knows no such superevent"):
        found(harness, "S1")
    harness.server.stop()
    with pytest.raises(GraceDBUnreachable):
        found(harness)


# ---- the command and the check --------------------------------------------------------------------------------


def gwbatch(harness: Harness, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr(command, "SETTLE", 0.0)
    with harness.ledger.transaction() as tx:
        in_force.record(tx, harness.policy, harness.profile, harness.clock.now())
    return CliRunner().invoke(cli, ["reconcile", *arguments, "--state", str(harness.folder)])


def test_the_command_shows_and_repairs(harness: Harness, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = gwbatch(harness, monkeypatch)
    assert (done.exit_code, done.output) == (0, "The ledger and GraceDB agree.\n")
    harness.server.client.write_label(sid, "HIGH_PROFILE")
    lose_alerts(harness)
    done = gwbatch(harness, monkeypatch)
    assert done.exit_code == 1
    assert f"{sid}  label HIGH_PROFILE: not set here, set in GraceDB" in done.output
    assert "--apply takes it over" in done.output
    (one,) = json.loads(gwbatch(harness, monkeypatch, sid, "--json").output)["differences"]
    assert (one["what"], one["remedy"], one["repaired"]) == ("label HIGH_PROFILE", "take over", False)
    done = gwbatch(harness, monkeypatch, "--apply")
    assert done.exit_code == 0
    assert "1 of 1 queued" in done.output
    harness.settle()
    assert gwbatch(harness, monkeypatch).exit_code == 0


def test_without_a_server_it_says_so(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.profile = type(harness.profile)()
    done = gwbatch(harness, monkeypatch)
    assert done.exit_code != 0
    assert "names no GraceDB server" in str(done.exception)


def test_the_hourly_check_tells_of_it(harness: Harness, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_check, "SETTLE", 0.0)
    place = Place(harness.profile, harness.ledger, harness.clock)
    (one,) = look(CHECKS["mirror"], place)
    assert one.level is Level.OK
    harness.server.client.write_label(sid, "HIGH_PROFILE")
    (one,) = look(CHECKS["mirror"], place)
    assert one.level is Level.WARNING
    assert f"{sid}, label HIGH_PROFILE: not set here, set there" in one.text
    harness.server.stop()
    assert look(CHECKS["mirror"], place) == []
