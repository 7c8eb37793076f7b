"""``gwbatch check``: its findings, worst first, and its Nagios exit codes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gwbatch.annotation import not_made
from gwbatch.cli import cli
from gwbatch.config.limits import Limits
from gwbatch.config.policy import default_policy, load_policy, policy_from
from gwbatch.config.profile import load_site
from gwbatch.errors import ConfigError
from gwbatch.ledger import Ledger, in_force, jobs, leases, messages, settings
from gwbatch.ledger.messages import Incoming
from gwbatch.mirror.products import StoredProduct
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.model import JobState, JobStatus
from gwbatch.reports.finding import Level
from gwbatch.reports.health import findings
from gwbatch.reports.status import report


def gwbatch(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def wrong(ledger: Ledger, **limits: Any) -> dict[str, Level]:
    return {one.key: one.level for one in findings(ledger, report(ledger, time.time()), Limits(**limits))}


def test_check_without_a_ledger_is_unknown(tmp_path: Path) -> None:
    done = gwbatch("check", "--state", str(tmp_path))
    assert done.exit_code == 3
    assert done.output.startswith("GWBATCH UNKNOWN: There is no ledger")


def test_all_well(ledger: Ledger) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", time.time())
    done = gwbatch("check", "--state", str(ledger.path.parent), "--disk-free", "0.001", "0.0001")
    assert (done.exit_code, done.output.splitlines()[0].partition(" | ")[0]) == (0, "GWBATCH OK: all well")


def test_the_worst_comes_first_and_decides_the_exit_code(ledger: Ledger) -> None:
    assert ledger.path is not None
    with ledger.transaction() as tx:
        messages.receive(
            tx, Incoming("igwn-alert", "x", 0, 1, b"", None), ["general"], time.time(), refused="bad | x\ny"
        )
    done = gwbatch("check", "--state", str(ledger.path.parent))
    first, second, *_ = done.output.splitlines()
    assert done.exit_code == 2
    assert first.startswith("GWBATCH CRITICAL: no dispatcher is running (and 1 more) | superevent_depth=0")
    assert second.startswith("WARNING: 1 dead letters")
    assert "|" not in second
    as_json = json.loads(gwbatch("check", "--state", str(ledger.path.parent), "--json").output)
    assert [one["level"] for one in as_json["findings"]] == ["CRITICAL", "WARNING"]


def test_what_check_looks_at(ledger: Ledger) -> None:
    now = time.time()
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", now)
        messages.receive(tx, Incoming("igwn-alert", "x", 0, 1, b"", now + 60), ["superevent"], now - 100)
        for key, state in (("G1/a", JobState.HELD), ("G2/a", JobState.UNKNOWN), ("G3/a", JobState.FAILED)):
            jobs.plan(tx, key, "a", "general", key, {}, 0, now)
            job = jobs.get(tx, key)
            assert job is not None
            jobs.report(tx, job, JobStatus(f"{key}/1", state, reason="why"), None, now)
        tx.execute(
            "INSERT INTO heartbeats (name, pid, started, last_poll, connected) VALUES ('gcn', 1, 0, ?, 1)", (now,)
        )
        tx.execute("INSERT INTO offsets VALUES ('gcn', 't', 0, 0, 5, 500, 3, ?)", (now,))
    found = wrong(ledger, silence=10.0, disk_free=(1e30, 1.0))
    assert found == {
        "lane superevent": Level.CRITICAL, "clock": Level.CRITICAL, "scheduler": Level.CRITICAL,
        "listener gcn gap": Level.WARNING, "listener gcn lag": Level.WARNING, "listener gcn silent": Level.WARNING,
        "job G1/a": Level.WARNING, "failed job G3/a": Level.WARNING, "disk": Level.WARNING,
    }  # fmt: skip


def test_a_job_that_the_batch_system_does_not_start_is_a_warning(ledger: Ledger) -> None:
    """Also one that was released; pilots have a limit of their own."""
    now = time.time()
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", now)
        for key, at in (
            ("G1/a", now - 1900),
            ("G2/a", now - 2000),
            ("G3/a", now - 60),
            ("standby/openmp/1", now - 9999),
        ):
            jobs.plan(tx, key, "a", "openmp", key, {}, 0, at)
            for state in (JobState.HELD, JobState.QUEUED):
                job = jobs.get(tx, key)
                assert job is not None
                jobs.report(tx, job, JobStatus(f"{key}/1", state), None, at)
    (found,) = findings(ledger, report(ledger, now), Limits(disk_free=(0.001, 0.0001)))
    assert (found.key, found.level, found.since) == ("waiting jobs openmp", Level.WARNING, now - 2000)
    assert found.text == "job G2/a has waited 33 min for a node of the queue openmp (3 jobs are waiting)"
    assert "gwbatch jobs show G2/a" in found.remedy
    assert wrong(ledger, disk_free=(0.001, 0.0001), job_wait=0.0) == {}


def test_commands_in_remedies_can_be_copied_and_name_the_state_if_it_is_not_the_usual(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger.path is not None
    state = str(ledger.path.parent)
    monkeypatch.setenv("COLUMNS", "60")
    shown = gwbatch("status", "--state", state).output.splitlines()
    assert "   -> start it: gwbatch run, or gwbatch deploy submit; logs/dispatcher.log says why it ended" in shown
    assert f"   (add --state {state} to these commands, or export GWBATCH_STATE)" in shown
    monkeypatch.setenv("GWBATCH_STATE", state)
    assert "export GWBATCH_STATE" not in gwbatch("status").output
    assert "export GWBATCH_STATE" not in gwbatch("doctor", "--site", "local").output
    monkeypatch.delenv("GWBATCH_STATE")
    assert "export GWBATCH_STATE" in gwbatch("doctor", "--site", "local", "--state", state).output


def test_status_and_check_have_one_list(ledger: Ledger) -> None:
    """The lists agree even when the dispatcher is stopped, alerts are waiting and a job is lost."""
    now = time.time()
    with ledger.transaction() as tx:
        for number in range(3):
            messages.receive(tx, Incoming("igwn-alert", "x", 0, number, b"", None), ["superevent"], now - 1000)
        jobs.plan(tx, "G1/a", "a", "general", "G1", {}, 0, now)
        job = jobs.get(tx, "G1/a")
        assert job is not None
        jobs.report(tx, job, JobStatus("G1/a/1", JobState.LOST, reason="forgotten"), None, now)
    found = report(ledger, now)
    texts = [one.text for one in findings(ledger, found, Limits())]
    assert found["wrong"] == texts
    assert "no dispatcher is running" in texts
    assert any("lane superevent is" in text for text in texts)
    assert "job G1/a failed: forgotten" in texts
    assert [one["key"] for one in found["jobs"]["failed"]] == ["G1/a"]
    assert found["jobs"]["open"] == []
    assert {one["text"] for one in found["findings"]} == set(texts)
    assert ledger.path is not None
    state = ["--state", str(ledger.path.parent), "--json"]
    checked = json.loads(gwbatch("check", *state).output)["findings"]
    assert {one["text"].split(" s ")[0] for one in checked} <= {text.split(" s ")[0] for text in texts} | {
        one["text"].split(" s ")[0] for one in json.loads(gwbatch("status", *state).output)["findings"]
    }


def test_incidents_come_before_gaps_in_the_configuration(ledger: Ledger) -> None:
    now = time.time()
    profile = load_site("local", ["alerts.mdc_every=60"]).profile
    with ledger.transaction() as tx:
        leases.acquire(tx, "dispatcher", now)
        in_force.record(tx, load_policy(), profile, now)
        in_force.note_not_made(tx, {"em_bright.json": "no CBC event can complete"}, now)
        settings.put(tx, settings.WAVEFORM_DATA, "a substitute is used", now)
        jobs.plan(tx, "G1/a", "a", "general", "G1", {}, 0, now)
        job = jobs.get(tx, "G1/a")
        assert job is not None
        jobs.report(tx, job, JobStatus("G1/a/1", JobState.HELD, reason="held: by admin until 17:00"), None, now)
    found = findings(ledger, report(ledger, now), Limits(disk_free=(0.001, 0.0001)))
    assert [one.key for one in found] == ["job G1/a", "not made em_bright.json", "mock data", "waveform data"]
    assert (found[0].text, found[0].since) == ("job G1/a is held: by admin until 17:00", now)
    assert "alerts.mode is off" in found[2].text
    assert ledger.path is not None
    said = gwbatch("check", "--state", str(ledger.path.parent), "--disk-free", "0.001", "0.0001")
    assert said.exit_code == 2
    assert said.output.startswith("GWBATCH CRITICAL: no CBC event can complete (and 2 more)")
    shown = gwbatch("status", "--state", str(ledger.path.parent)).output
    assert f"until 17:00 (since {time.strftime('%H:%M', time.gmtime(now))} UTC, " in shown
    assert shown.index("!  job G1/a") < shown.index("!! no CBC event") < shown.index("-  a substitute")


@pytest.mark.parametrize(
    ("made_for", "brought", "critical"),
    [
        (["cbc.mdc"], False, True),
        (["cbc.gstlal.allsky"], False, True),
        (["cbc.mdc"], True, False),
        (["cbc"], False, False),
        (["CBC.AllSky"], False, False),
    ],
)
def test_cbc_events_that_nobody_completes_are_critical(
    ledger: Ledger, made_for: list[str], brought: bool, critical: bool
) -> None:
    values = default_policy()
    values["annotation"]["made_for"]["em_bright.json"] = made_for
    now = time.time()
    with ledger.transaction() as tx:
        in_force.note_not_made(tx, not_made(policy_from(values)), now)
        if brought:
            SupereventStore(tx).put_product(StoredProduct("G1", "em_bright.json", "0", None, {}), now)
    found = [one for one in findings(ledger, report(ledger, now + 1), Limits()) if one.key == "not made em_bright.json"]
    assert [(one.level, "no CBC event can complete" in one.text) for one in found] == [
        (Level.CRITICAL, True)
    ] * critical


def test_the_limits_of_the_site_profile_are_those_of_status_and_check(ledger: Ledger) -> None:
    profile = load_site("local", ["limits.disk_free=[1e9, 0.001]", "limits.silence=5"]).profile
    with ledger.transaction() as tx:
        in_force.record(tx, load_policy(), profile, time.time())
    assert ledger.path is not None
    (disk,) = (one for one in report(ledger, time.time())["findings"] if one["key"] == "disk")
    assert disk["level"] == "WARNING"
    words = ["check", "--json", "--state", str(ledger.path.parent)]
    said = [one["key"] for one in json.loads(CliRunner().invoke(cli, words).stdout)["findings"]]
    assert "disk" in said
    options = [*words, "--disk-free", "0.001", "0.0001"]
    assert "disk" not in [one["key"] for one in json.loads(CliRunner().invoke(cli, options).stdout)["findings"]]


@pytest.mark.parametrize(
    "limit", ["lag=[5, 1]", "disk_free=[1, 5]", "recent=-1", "nonsense=1", "lane_age=7", "silence=soon"]
)
def test_limits_that_make_no_sense_are_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match=limit.partition("=")[0]):
        load_site("local", [f"limits.{limit}"])
