"""The ledger beside GraceDB: what others change unseen, and what we failed to write, is found, explained and mended."""

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
from gwbatch.mirror.superevents import Mirror
from gwbatch.reconcile import Difference, Remedy, differences, notices, repair
from gwbatch.reconcile.looking import Scope
from gwbatch.reports.finding import Level
from gwbatch.superevents import Superevent
from tests.integration.rig import Rig
from tests.integration.test_adoption import create
from tests.integration.test_way_of_a_notice import burst

load_checks()


def found(rig: Rig, *names: str) -> list[Difference]:
    return differences(rig.ledger, GraceDB(rig.server.client), Scope(names=names))


def told(rig: Rig) -> list[tuple[str, Remedy]]:
    return [(one.what, one.remedy) for one in found(rig)]


def mend(rig: Rig) -> int:
    with rig.ledger.transaction() as tx:
        done = repair(tx, found(rig), rig.registry, rig.clock.now())
    rig.settle()
    return len(done)


def lose_alerts(rig: Rig) -> None:
    """What GraceDB has told by now never comes."""
    alerts = rig.server.store.alerts_after(rig._carried)
    if alerts:
        rig._carried = alerts[-1][0]


def ours(rig: Rig) -> Superevent:
    (one,) = Mirror(rig.ledger.connection).superevents()
    return one


@pytest.fixture
def sid(rig: Rig) -> str:
    """A superevent of two events, all of it done."""
    rig.upload()
    rig.upload("pycbc", far=1e-8)
    rig.settle(60.0)
    lose_alerts(rig)
    (one,) = rig.superevents()
    return str(one["superevent_id"])


def test_when_all_is_done_they_agree(rig: Rig, sid: str) -> None:
    assert ours(rig).superevent_id == sid
    assert found(rig) == []


def prefer_the_other(rig: Rig, sid: str) -> None:
    (other,) = {"G0001", "G0002"} - {ours(rig).preferred}
    rig.server.client.update_superevent(sid, preferred_event=other)


def add_another(rig: Rig, sid: str) -> None:
    rig.server.client.remove_event_from_superevent(sid, "G0002")
    with rig.ledger.transaction() as tx:
        Mirror(tx).leave("G0002", ours(rig).key)
    rig.server.client.add_event_to_superevent(sid, "G0002")


CHANGES: dict[str, tuple[Callable[[Rig, str], Any], str]] = {
    "label set": (lambda rig, sid: rig.server.client.write_label(sid, "HIGH_PROFILE"), "label HIGH_PROFILE"),
    "label removed": (lambda rig, sid: rig.server.client.remove_label(sid, ours(rig).labels[0]), "label "),
    "label of the preferred event": (
        lambda rig, sid: rig.server.client.write_label(ours(rig).preferred, "INJ"),
        "label INJ of the preferred event",
    ),
    "window": (lambda rig, sid: rig.server.client.update_superevent(sid, t_start=ours(rig).t_start - 1.5), "t_start"),
    "preferred": (prefer_the_other, "preferred event"),
    "member removed": (lambda rig, sid: rig.server.client.remove_event_from_superevent(sid, "G0002"), "member G0002"),
    "member added": (add_another, "member G0002"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_whose_alert_never_came_is_taken_over(rig: Rig, sid: str, change: str) -> None:
    if change == "member removed" and ours(rig).preferred == "G0002":
        rig.server.client.update_superevent(sid, preferred_event="G0001")
        rig.settle()
    make, what = CHANGES[change]
    make(rig, sid)
    lose_alerts(rig)
    (one,) = found(rig)
    assert one.what.startswith(what)
    assert one.remedy is Remedy.TAKE_OVER
    assert one.why.startswith("GraceDB is right")
    assert mend(rig) == 1
    assert found(rig) == []
    rig.settle(600.0)
    assert found(rig) == []  # and nothing of ours has turned it back


def test_what_no_handler_wants_is_not_said_to_be_repaired(rig: Rig, sid: str) -> None:
    rig.server.client.write_label(sid, "HIGH_PROFILE")
    lose_alerts(rig)
    (one,) = found(rig)
    assert one.alert is not None
    unheard = replace(one, alert=replace(one.alert, topic="nobody_hears_this"))
    with rig.ledger.transaction() as tx:
        assert repair(tx, [unheard], rig.registry, rig.clock.now()) == []


def test_a_lost_label_leads_to_what_its_alert_would_have_led_to_once(rig: Rig, sid: str) -> None:
    """Taken over twice, and then the alert itself comes after all."""
    rig.server.client.write_label(sid, "DQV")
    late = rig._carried
    lose_alerts(rig)
    differs = found(rig)
    for _ in range(2):
        with rig.ledger.transaction() as tx:
            repair(tx, differs, rig.registry, rig.clock.now())
    rig.settle()
    rig._carried = late
    rig.settle()
    assert list(ours(rig).labels).count("DQV") == 1
    assert found(rig) == []
    assert rig.dead() == []


def fail_labels(rig: Rig, monkeypatch: pytest.MonkeyPatch, status: int) -> Callable[[], None]:
    """Have GraceDB refuse labels; what is returned ends that."""
    client = rig.runtime.gracedb().client
    real = client.write_label

    def refuse(*_: Any, **__: Any) -> Any:
        response = requests.Response()
        response.status_code = status
        response._content = b'"no"'
        raise requests.HTTPError("no", response=response)

    monkeypatch.setattr(client, "write_label", refuse)
    return lambda: monkeypatch.setattr(client, "write_label", real)


def test_a_write_that_failed_is_done_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    end = fail_labels(rig, monkeypatch, 400)
    rig.upload()
    rig.settle(60.0)
    assert rig.dead()
    differs = [one for one in found(rig) if one.what.startswith("label ")]
    assert differs
    assert {one.remedy for one in differs} <= {Remedy.WRITE, Remedy.WAIT}
    failed = [one for one in differs if one.remedy is Remedy.WRITE]
    assert failed
    assert all("its write failed" in one.why for one in failed)
    end()
    mend(rig)
    rig.settle(60.0)
    assert found(rig) == []
    (superevent,) = rig.superevents()
    assert {one.what.removeprefix("label ") for one in failed} <= set(superevent["labels"])
    assert not [reason for reason in rig.dead() if superevent["superevent_id"] in reason]


def test_a_write_that_is_under_way_is_left_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_labels(rig, monkeypatch, 503)
    rig.upload()
    rig.settle(60.0)
    differs = found(rig)
    assert differs
    assert {one.remedy for one in differs} == {Remedy.WAIT}
    with rig.ledger.transaction() as tx:
        assert repair(tx, differs, rig.registry, rig.clock.now()) == []


def test_a_superevent_that_could_not_be_created_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise GraceDBError("refused", 400, "no")

    monkeypatch.setattr(rig.runtime.gracedb().client, "create_superevent", refuse)
    rig.upload()
    rig.settle()
    assert told(rig) == [("superevent", Remedy.WRITE)]
    monkeypatch.undo()
    mend(rig)
    rig.settle(60.0)
    assert found(rig) == []


def test_what_only_a_person_can_tell_is_left_to_one(rig: Rig, sid: str) -> None:
    graceid = rig.upload("spiir", far=1e-6)
    lose_alerts(rig)
    rig.server.client.add_event_to_superevent(sid, graceid)
    lose_alerts(rig)
    assert told(rig) == [(f"member {graceid}", Remedy.LOOK)]
    assert mend(rig) == 0
    rig.server.store._db.execute("DELETE FROM objects WHERE id = ?", (sid,))
    assert told(rig) == [("superevent", Remedy.LOOK)]


def test_labels_of_external_events_are_compared(rig: Rig) -> None:
    graceid = create(rig, burst())
    rig.settle(30.0)
    lose_alerts(rig)
    assert found(rig) == []
    rig.server.client.write_label(graceid, "NOT_GRB")
    lose_alerts(rig)
    assert told(rig) == [("label NOT_GRB", Remedy.TAKE_OVER)]
    assert mend(rig) == 1
    assert found(rig) == []


def test_notices_are_compared(rig: Rig, sid: str) -> None:
    superevent, now = ours(rig), rig.clock.now()
    with rig.ledger.transaction() as tx:
        public_notices.remember(tx, superevent.key, "production", "preliminary", "", 1, "2026-01-01T00:00:00Z", now)
    assert list(notices.compare(rig.ledger, superevent, ["2026-01-01T00:00:00Z"])) == []
    (one,) = notices.compare(rig.ledger, superevent, ["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"])
    assert (one.what, one.remedy, one.ask) == ("notices", Remedy.WRITE, RecallNotices(superevent=superevent.key))
    with rig.ledger.transaction() as tx:
        tx.execute("UPDATE public_notices SET frozen = 1.0")  # it is ours
    (one,) = notices.compare(rig.ledger, superevent, [])
    assert (one.what, one.effect) == ("notice preliminary", f"{superevent.key}/notice/preliminary/store")


def test_an_unknown_name_and_a_silent_server_are_told(rig: Rig, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(rig, sid) == []
    with pytest.raises(ConfigError, match="Cannot compare S1: the ledger knows no such superevent"):
        found(rig, "S1")
    rig.server.stop()
    with pytest.raises(GraceDBUnreachable):
        found(rig)


# ---- the command and the check --------------------------------------------------------------------------------


def gwbatch(rig: Rig, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr(command, "SETTLE", 0.0)
    with rig.ledger.transaction() as tx:
        in_force.record(tx, rig.policy, rig.profile, rig.clock.now())
    return CliRunner().invoke(cli, ["reconcile", *arguments, "--state", str(rig.folder)])


def test_the_command_shows_and_repairs(rig: Rig, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = gwbatch(rig, monkeypatch)
    assert (done.exit_code, done.output) == (0, "The ledger and GraceDB agree.\n")
    rig.server.client.write_label(sid, "HIGH_PROFILE")
    lose_alerts(rig)
    done = gwbatch(rig, monkeypatch)
    assert done.exit_code == 1
    assert f"{sid}  label HIGH_PROFILE: not set here, set in GraceDB" in done.output
    assert "--apply takes it over" in done.output
    (one,) = json.loads(gwbatch(rig, monkeypatch, sid, "--json").output)["differences"]
    assert (one["what"], one["remedy"], one["repaired"]) == ("label HIGH_PROFILE", "take over", False)
    done = gwbatch(rig, monkeypatch, "--apply")
    assert done.exit_code == 0
    assert "1 of 1 queued" in done.output
    rig.settle()
    assert gwbatch(rig, monkeypatch).exit_code == 0


def test_without_a_server_it_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.profile = type(rig.profile)()
    done = gwbatch(rig, monkeypatch)
    assert done.exit_code != 0
    assert "names no GraceDB server" in str(done.exception)


def test_the_hourly_check_tells_of_it(rig: Rig, sid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_check, "SETTLE", 0.0)
    place = Place(rig.profile, rig.ledger, rig.clock)
    (one,) = look(CHECKS["mirror"], place)
    assert one.level is Level.OK
    rig.server.client.write_label(sid, "HIGH_PROFILE")
    (one,) = look(CHECKS["mirror"], place)
    assert one.level is Level.WARNING
    assert f"{sid}, label HIGH_PROFILE: not set here, set there" in one.text
    rig.server.stop()
    assert look(CHECKS["mirror"], place) == []
