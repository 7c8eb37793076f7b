"""The check of the data quality around a superevent, from frames to bits to labels, in bounded time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from gwbatch.config.alerts import AlertSettings, DataQuality
from gwbatch.detchar import Report, judge
from gwbatch.detchar.archive import archived
from gwbatch.detchar.bits import Bit, Glitch, evaluate, least_probability
from gwbatch.detchar.frames import covering, read
from gwbatch.effects.kinds import Label, Log, Unlabel, Upload
from gwbatch.effects.notices import CheckData
from gwbatch.errors import NotThereYet
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.ledger import Transaction, effects
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime
from gwbatch.superevents import Event, Superevent

LOOK_AGAIN = 1.0  # s between attempts while frames are missing
TAGS = ("data_quality",)


@executor(CheckData)
def check(claim: Claim[CheckData], runtime: Runtime) -> EffectResult:
    """Judge the data around a superevent; data still missing at the deadline count as unknown."""
    mirror = SupereventStore(runtime.ledger.connection)
    superevent = mirror.superevent(claim.effect.superevent)
    event = None if superevent is None else mirror.event(superevent.preferred)
    if superevent is None or event is None:
        return EffectResult.skipped("the superevent's preferred event is unknown")
    settings = runtime.policy.alerts.data_quality
    start, end = settings.window(event.pipeline, superevent.t_start, superevent.t_end)
    files = _files(start, end, settings, runtime.profile.alerts)
    missing = sorted(name for name in event.instruments & files.keys() if files[name] is None)
    deadline = claim.created + settings.wait
    if missing and runtime.clock.now() < deadline:
        raise NotThereYet(f"The frames of {', '.join(missing)} are not available yet.", LOOK_AGAIN, deadline)
    report = _judge(event, files, start, end, settings)

    def commit(tx: Transaction) -> None:
        _write_down(tx, superevent, report, claim.effect.occasion, runtime)

    return EffectResult({"quality": report.quality, "injections": report.injections}, commit)


def _files(start: float, end: float, settings: DataQuality, profile: AlertSettings) -> dict[str, list[Path] | None]:
    """Find the frames of every detector in the low-latency folders or, failing that, through the archive's server."""
    found = {name: covering(pattern, start, end) for name, pattern in profile.frames.items()}
    if profile.frame_server:
        for name, frame_types in settings.frame_types.items():
            if found.get(name) is None:
                found[name] = archived(profile.frame_server, name, frame_types, start, end)
    return found


def _judge(event: Event, files: dict[str, Any], start: float, end: float, settings: DataQuality) -> Report:
    bits: list[Bit] = []
    glitches: list[Glitch] = []
    tables = settings.tables(event.pipeline)
    for detector, found in files.items():
        ours = {channel: names for channel, names in tables.items() if channel.startswith(f"{detector}:")}
        ok, fap = (name.format(detector=detector) for name in (settings.idq_ok, settings.idq_fap))
        samples = read(found, [*ours, ok, fap], start, end) if found is not None else {}
        for channel, names in ours.items():
            bits += evaluate(channel, names, samples.get(channel))
        glitches.append(least_probability(detector, samples.get(ok), samples.get(fap)))
    veto = event.pipeline in settings.idq_veto
    return judge(bits, glitches, event.instruments, settings.idq_threshold, veto_glitches=veto)


def _write_down(tx: Transaction, seen: Superevent, report: Report, occasion: str, runtime: Runtime) -> None:
    """Store the labels, so that a waiting notice sees them at once.

    Unless this is a dry run, GraceDB gets the labels and the findings, too.
    """
    mirror, now, key = SupereventStore(tx), runtime.clock.now(), seen.key
    superevent = mirror.superevent(key) or seen
    gone, come = report.remove & set(superevent.labels), sorted(report.add - set(superevent.labels))
    labels = tuple(label for label in superevent.labels if label not in gone)
    mirror.put_superevent(replace(superevent, labels=(*labels, *come)), now)
    effects.wake(tx, f"{key}/notices")
    if runtime.profile.alerts.dry_run:
        return
    for label in sorted(gone):
        effects.request(tx, Unlabel(key, label, occasion), now)
    for label in come:
        effects.request(tx, Label(key, label, occasion, in_order=False), now)
    for name, text in (("glitches", report.glitches), ("injections", report.injections), ("table", _long(report))):
        effects.request(tx, Log(key, text, TAGS, f"data-quality/{occasion}/{name}"), now)
    content = {
        "state": "fail" if "DQV" in report.add else "pass" if "DQOK" in report.add else "error",
        "summary": report.quality,
        "bits": [{"channel": bit.channel, "bit": bit.name, "on": bit.on} for bit in report.bits],
    }
    filename = "gwbatch-detchar.json"
    upload = Upload(
        key, filename, text=json.dumps(content, indent=1), comment=report.quality, tags=TAGS, version=occasion
    )  # fmt: skip
    effects.request(tx, upload, now)


def _long(report: Report) -> str:
    return f"{report.quality} {report.table}"
