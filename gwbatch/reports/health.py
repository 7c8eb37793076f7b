"""The list of everything that is wrong, shared by status, console, ``gwbatch check`` and notifications."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

from gwbatch.config.limits import Limits
from gwbatch.ledger import Ledger, clock_steps, settings, standby
from gwbatch.ledger.restored import ASK_FIRST
from gwbatch.reports import checked, query
from gwbatch.reports.finding import Finding, Level

GIB = 2**30
LATE = 600.0  # s by which a mock superevent may be late


def limits_in_force(ledger: Ledger) -> Limits:
    """Return the limits in the newest dispatcher's site profile, or the defaults if those are missing or invalid."""
    profile = settings.get(ledger.connection, settings.PROFILE, {})
    try:
        return Limits.of(profile.get("limits", {}))
    except ValueError:
        return Limits()


def findings(ledger: Ledger, report: dict[str, Any], limits: Limits) -> list[Finding]:
    """Return all findings: incidents, worst first, then gaps in the configuration, then what needs no action."""
    found = [
        *_dispatcher(report),
        *_beyond(ledger, report),
        *_listeners(report, limits),
        *_lanes(report, limits),
        *_effects(report, limits),
        *_jobs(ledger, report, limits),
        *_queued(ledger, report, limits),
        *_machine(ledger, report, limits),
        *_waveforms(ledger),
        *_completeness(ledger, report, limits),
        *_alerts(ledger, report, limits),
        *_standby(ledger, report, limits),
    ]
    return sorted(found, key=lambda finding: (finding.level is Level.OK, finding.standing, -finding.level))


def _dispatcher(report: dict[str, Any]) -> Iterator[Finding]:
    who = report["dispatcher"]
    if not who["running"]:
        remedy = "start it: gwbatch run, or gwbatch deploy submit; logs/dispatcher.log says why it ended"
        since = report["time"] - who["heartbeat_age"] if "heartbeat_age" in who else None
        yield Finding(Level.CRITICAL, "dispatcher", "no dispatcher is running", remedy, since=since)
    elif who["heartbeat_age"] > 60:
        text = f"no dispatcher heartbeat for {who['heartbeat_age']:.0f} s"
        remedy = f"look at process {who['pid']} on {who['host']}; kill it, and start it again"
        yield Finding(Level.CRITICAL, "dispatcher", text, remedy)


def _listeners(report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    for listener in report["listeners"]:
        name = f"listener {listener['name']}"
        if not listener["connected"]:
            text = f"{name} is not connected: {listener['note'] or 'no answer yet'}"
            remedy = f"it keeps trying; if this lasts, see logs/listener-{listener['name']}.log, and run gwbatch doctor"
            yield Finding(Level.CRITICAL, name, text, remedy)
        if listener["gap"]:
            text = f"{name} missed {listener['gap']} messages that the broker no longer held"
            remedy = "fill the gap from an archive: gwbatch replay FILE"
            yield Finding(Level.WARNING, f"{name} gap", text, remedy)
        text = f"{name} is {listener['lag']} messages behind"
        remedy = "it catches up by itself; if it does not, see gwbatch status for the lane that is behind"
        yield from _above(f"{name} lag", listener["lag"], limits.lag, text, remedy)
        silence = listener["last_message_age"]
        if limits.silence and (silence is None or silence > limits.silence):
            never = f"{name} has not received any message yet"
            text = f"{name} has not received any message for {silence:.0f} s" if silence else never
            yield Finding(Level.WARNING, f"{name} silent", text, "ask the sender; run gwbatch doctor")


def _lanes(report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    for name, lane in report["lanes"].items():
        age = lane["oldest_age"] or 0.0
        text = f"lane {name} is {age:.0f} s behind ({lane['depth']} messages)"
        remedy = "see the newest lines of logs/dispatcher.log; a message that cannot be handled becomes a dead letter"
        yield from _above(f"lane {name}", age, limits.lane_age, text, remedy)
    dead = report["dead_letters"]
    if dead["newest"]:
        newest = dead["newest"][0]
        text = f"{dead['count']} dead letters, newest {newest['id']} ({newest['what']}): {newest['reason']}"
        remedy = f"gwbatch deadletter show {newest['id']}, then gwbatch deadletter retry {newest['id']}"
        yield Finding(Level.WARNING, f"dead letters {newest['id']}", text, remedy)


def _effects(report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    effects = report["effects"]
    for one in effects["retrying"]:
        text = f"effect {one['key']} is retried (try {one['attempts']}): {one['error']}"
        yield Finding(Level.OK, f"retried {one['key']}", text)
    age = effects["oldest_age"] or 0.0
    why = next((f": {one['error']}" for one in effects["retrying"]), "")
    remedy = "it is retried automatically; run gwbatch doctor to see which server does not answer"
    yield from _above("effects", age, limits.effect_age, f"an effect has waited for {age:.0f} s{why}", remedy)


def _jobs(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    stuck = list(
        map(dict, ledger.read("SELECT key, state, reason, state_since FROM jobs WHERE state IN ('HELD', 'UNKNOWN')"))
    )
    silent = [job for job in stuck if job["state"] == "UNKNOWN"]
    if silent:
        text = f"the scheduler does not answer for {len(silent)} jobs: {silent[0]['reason']}"
        yield Finding(Level.CRITICAL, "scheduler", text, "see whether the batch system answers on this host")
    for job in stuck:
        if job["state"] == "HELD":
            text = f"job {job['key']} is held: {str(job['reason']).removeprefix('held: ')}"
            remedy = f"fix the cause, then gwbatch jobs release {job['key']}; or gwbatch jobs cancel {job['key']}"
            yield Finding(Level.WARNING, f"job {job['key']}", text, remedy, since=job["state_since"])
    for job in report["jobs"]["failed"]:
        if job["finished"] is not None and job["finished"] > report["time"] - limits.recent:
            text = f"job {job['key']} failed: {job['reason']}"
            remedy = (
                f"gwbatch jobs show {job['key']} names its folder with stderr; then gwbatch jobs retry {job['key']}"
            )
            yield Finding(Level.WARNING, f"failed job {job['key']}", text, remedy, since=job["finished"])


def _queued(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report jobs that the batch system has, and does not start."""
    for row in ledger.read(query("oldest_queued_jobs")):
        age = report["time"] - row["since"]
        if limits.job_wait and age > limits.job_wait:
            others = f" ({row['n']} jobs are waiting)" if row["n"] > 1 else ""
            text = f"job {row['key']} has waited {age / 60:.0f} min for a node of the queue {row['queue']}{others}"
            remedy = f"see whether a node is free: gwbatch doctor; gwbatch jobs show {row['key']} names the job there"
            yield Finding(Level.WARNING, f"waiting jobs {row['queue']}", text, remedy, since=row["since"])


def _machine(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    if ledger.path is not None:
        total, _, free = shutil.disk_usage(ledger.path.parent)
        warn, critical = limits.disk_free
        if free < warn * GIB:
            level = Level.CRITICAL if free < critical * GIB else Level.WARNING
            bound = critical if level is Level.CRITICAL else warn
            text = (
                f"only {free / GIB:.1f} of {total / GIB:.0f} GiB free at {ledger.path.parent} "
                f"(limits.disk_free: {bound:g})"
            )
            yield Finding(level, "disk", text, "make room, or lower keep_days in the site profile")
    yield from _copies(ledger, report, limits)
    yield from _clock_steps(ledger, report, limits)
    behind = _clock_behind(ledger)
    text, remedy = f"the clock is {behind:.1f} s behind the brokers'", "fix NTP: chronyc tracking, timedatectl"
    yield from _above("clock", behind, limits.clock_behind, text, remedy)


def _clock_steps(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report recent steps of the clock. The dispatcher has already compensated for them."""
    for at, by in clock_steps.noted_steps(ledger.connection):
        if abs(report["time"] - at) < limits.recent:
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))
            text = f"the clock was set {'forward' if by > 0 else 'back'} by {abs(by):.0f} s at {when}"
            remedy = "deadlines were shifted to match; latencies around it are off. Let NTP slew the clock"
            yield Finding(Level.WARNING, f"clock step {at:.0f}", text, remedy)


def _copies(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report an outdated backup, if backups are made at all, and a recent restore."""
    backed_up, restored = (
        settings.setting(ledger.connection, name) for name in (settings.BACKED_UP, settings.RESTORED)
    )
    age = 0.0 if backed_up is None else report["time"] - backed_up.recorded
    if age > limits.backup_age:
        text = f"the newest backup is {age / 3600:.0f} h old"
        yield Finding(Level.WARNING, "backup", text, "gwbatch backup FILE; check the crontab that makes backups")
    if restored is not None and report["time"] - restored.recorded < ASK_FIRST:
        text = "the ledger was restored from a backup; for a week, each effect first checks whether it was already done"
        yield Finding(Level.OK, "restored", text)


def _waveforms(ledger: Ledger) -> Iterator[Finding]:
    """Report that heavy binaries use a substitute for the field's template because its data files are missing."""
    if trouble := settings.get(ledger.connection, settings.WAVEFORM_DATA):
        yield Finding(Level.OK, "waveform data", trouble)


def _completeness(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report products that production events need but that neither the policy makes nor anybody uploaded recently."""
    for name, text in settings.get(ledger.connection, settings.NOT_MADE, {}).items():
        since = report["time"] - limits.recent
        brought = "SELECT 1 FROM products WHERE name = ? AND path IS NULL AND created > ? LIMIT 1"
        if not ledger.read(brought, (name, since)):
            remedy = "name it in annotation.made_for of the policy; see docs/products.md"
            yield Finding(Level.CRITICAL, f"not made {name}", text, remedy, standing=True)


def _alerts(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report stopped alerts, notices that are stuck or withheld, and incomplete mock superevents."""
    alerts = report["alerts"]
    if alerts["mode"] == "off":
        if alerts["mdc_every"]:
            text = f"alerts.mdc_every is {alerts['mdc_every']:g} s, but alerts.mode is off: nobody uploads mock events"
            remedy = 'set alerts.mode = "mdc" in the site profile, or alerts.mdc_every = 0'
            yield Finding(Level.WARNING, "mock data", text, remedy, standing=True)
        return
    if alerts["stopped"] is not None:
        off = alerts["stopped"]
        why = f": {off['why']}" if off["why"] else ""
        text = f"alerts are stopped (by {off['by']}{why})"
        yield Finding(Level.CRITICAL, "alerts stopped", text, "gwbatch alerts enable", since=off["at"])
    for row in ledger.read(query("unfinished_notices")):
        yield from _unfinished(row, report["time"], limits)
    yield from _mock_data(ledger, report)


def _standby(ledger: Ledger, report: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Report pilots that are missing or were not reached.  Jobs start without them, only later."""
    for queue, one in report["standby"].items():
        if lost := standby.missed(ledger.connection, queue, report["time"] - limits.recent):
            newest = lost[-1]
            count = f"failed attempts to reach a free pilot for {queue} jobs: {len(lost)}"
            text = f"{count}, the last for {newest['key']}: {newest['why']}"
            remedy = "jobs start without them, only later; docs/standby.md says what the batch system must allow"
            yield Finding(Level.WARNING, f"standby {queue} missed", text, remedy)
        if not one["wanted"]:
            continue
        failures, _ = standby.failures_in_a_row(ledger.connection, queue)
        age = report["time"] - one["since"]
        if failures:
            (last,) = standby.ended(ledger.connection, queue, 1)
            why = f"{last.reason or last.state}; see {last.directory}/stderr"
            text = f"the last {failures} pilots for {queue} jobs ended before they were ready: {why}"
            remedy = "jobs start without them, only later; gwbatch standby list"
            yield Finding(Level.WARNING, f"standby {queue}", text, remedy)
        elif one["ready"] < one["wanted"] and age > limits.standby_age:
            text = f"{one['ready']} of {one['wanted']} pilots for {queue} jobs are ready after {age:.0f} s"
            remedy = "see whether the pool has room for them; gwbatch standby list"
            yield Finding(Level.WARNING, f"standby {queue}", text, remedy)


def _mock_data(ledger: Ledger, report: dict[str, Any]) -> Iterator[Finding]:
    """Report mock superevents that are overdue or lack notices."""
    every = report["alerts"]["mdc_every"]
    if not every:
        return
    from gwbatch.ledger import in_force  # slow to import, because of the policy
    from gwbatch.reports import mdc

    found = in_force.recorded_policy(ledger)
    if found is None:
        return
    policy, since = found
    newest = ledger.read("SELECT max(created) AS at FROM superevents WHERE category = 'mdc'")[0]["at"]
    age = report["time"] - max(newest or 0.0, since)
    if age > every + LATE:
        text = f"no mock superevent for {age / 60:.0f} min (one every {every:g} s)"
        remedy = "check that the listeners receive messages; then ask who uploads the mock events"
        yield Finding(Level.CRITICAL, "mock data", text, remedy)
    for one in mdc.sequences(ledger, policy, report["time"]):
        if one["missing"]:
            text = f"mock superevent {one['superevent_id']} lacks: {', '.join(one['missing'])}"
            remedy = f"gwbatch superevent show {one['superevent_id']}"
            yield Finding(Level.CRITICAL, f"mock data {one['superevent_id']}", text, remedy)


def _unfinished(row: Any, now: float, limits: Limits) -> Iterator[Finding]:
    what = f"notice {row['superevent_id'] or row['superevent']}/{row['kind']}"
    if row["ordinal"] > 1:
        what += f"-{row['ordinal']}"
    if row["state"] == "planned":
        age = now - row["planned"]
        text, remedy = f"{what} has not been written for {age:.0f} s", f"gwbatch alerts show {row['id']}"
        yield from _above(f"alert {row['id']}", age, limits.notice_age, text, remedy)
    elif row["state"] == "withheld" and row["frozen"] is not None and now - row["frozen"] < limits.recent:
        text = f"{what} is withheld: {row['reason']}"
        yield Finding(Level.WARNING, f"alert {row['id']}", text, f"to send it: gwbatch alerts release {row['id']}")
    elif row["send_state"] in ("waiting", "sending"):
        age = now - row["frozen"]
        text = f"{what} has not reached the broker {row['broker']} for {age:.0f} s"
        remedy = "it is resent automatically; run gwbatch doctor to see whether the broker answers"
        yield from _above(f"alert {row['id']} {row['broker']}", age, limits.notice_age, text, remedy)
    elif row["send_state"] == "withheld" and row["send_reason"] != "dry run" and now - row["frozen"] < limits.recent:
        text = f"{what} is withheld from the broker {row['broker']}: {row['send_reason']}"
        remedy = f"to send it: gwbatch alerts release {row['id']}"
        yield Finding(Level.WARNING, f"alert {row['id']} {row['broker']}", text, remedy)
    elif row["state"] == "delivered":
        age = now - row["delivered"]
        text, remedy = f"{what} is not in GraceDB after {age:.0f} s", "it is retried automatically; run gwbatch doctor"
        yield from _above(f"alert {row['id']} gracedb", age, limits.effect_age, text, remedy)


def _clock_behind(ledger: Ledger) -> float:
    """Return how long before their publication recent messages seem to have arrived (median, s), at least 0."""
    rows = ledger.read(query("newest_arrivals"))
    early = sorted(row["early"] for row in rows)
    return max(0.0, early[len(early) // 2]) if early else 0.0


def _beyond(ledger: Ledger, report: dict[str, Any]) -> Iterator[Finding]:
    """Report the problems that the running dispatcher found at GraceDB, at the brokers and with its credentials."""
    if report["dispatcher"]["running"]:
        yield from (one for one in checked.noted(ledger, report["dispatcher"]["since"]) if one.level > Level.OK)


def _above(key: str, value: float, limits: tuple[float, float], text: str, remedy: str) -> Iterator[Finding]:
    warn, critical = limits
    if value > warn:
        yield Finding(Level.CRITICAL if value > critical else Level.WARNING, key, text, remedy)
