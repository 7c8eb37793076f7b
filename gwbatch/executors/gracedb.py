"""Executors of effects on GraceDB.

If an earlier attempt may have succeeded, they query the server before they repeat it.
"""

from __future__ import annotations

from typing import Any

from gwbatch.annotation.graph import FAR_FILE
from gwbatch.effects.kinds import (
    AddEvent,
    CopyFile,
    CreateSuperevent,
    Label,
    Log,
    PreferExternal,
    RemoveEvent,
    Unlabel,
    UpdateSuperevent,
    Upload,
)
from gwbatch.effects.notices import RecallNotices
from gwbatch.errors import BadInput
from gwbatch.executors.kept import content_of
from gwbatch.executors.registry import Claim, EffectResult, executor
from gwbatch.failpoints import hit
from gwbatch.files import Files
from gwbatch.gracedb import GraceDB, GraceDBError, accept, accept_missing, translate_errors
from gwbatch.handlers.messages import SupereventChanged
from gwbatch.ledger import Transaction, effects
from gwbatch.ledger.messages import send_message
from gwbatch.ledger.restored import taken_before
from gwbatch.mirror.externals import ExternalStore
from gwbatch.mirror.superevents import SupereventStore
from gwbatch.runtime import Runtime

CATEGORIES = {"production": "P", "test": "T", "mdc": "M"}
LARGEST_RATE = 1.0e9  # Hz


# ---- superevents -------------------------------------------------------------------------------------------


@executor(CreateSuperevent)
def create_superevent(claim: Claim[CreateSuperevent], runtime: Runtime) -> EffectResult:
    """Create a superevent, or adopt the one that the event already belongs to, whether ours or somebody else's."""
    since, effect = runtime.clock.now(), claim.effect
    superevent_id, ours = _created(effect, runtime.gracedb(), repeated=claim.repeated)

    def name(tx: Transaction) -> None:
        mirror, now = SupereventStore(tx), runtime.clock.now()
        mirror.name_superevent(effect.superevent, superevent_id, now)
        shape = {"preferred": effect.event, "t_start": effect.t_start, "t_0": effect.t_0, "t_end": effect.t_end}
        mirror.note_written(effect.superevent, since, shape)
        if not ours:
            mirror.set_pending(effect.superevent, {})  # GraceDB keeps its own window and will never show ours
        known = mirror.superevent(effect.superevent)
        alerts = runtime.profile.alerts
        effects.wake(tx, f"{effect.superevent if known is None else known.key}/notices")
        may_be_announced = not ours or claim.repeated
        if known is not None and may_be_announced and alerts.mode != "off" and not alerts.dry_run:
            effects.request(tx, RecallNotices(known.key), now)
        if known is not None and known.key != effect.superevent:  # merged into one that external events may refer to
            send_message(tx, SupereventChanged(known.key), now, because=claim.key)

    return EffectResult({"superevent_id": superevent_id, "ours": ours}, name)


def _created(effect: CreateSuperevent, server: GraceDB, *, repeated: bool) -> tuple[str, bool]:
    """Return the ID of the superevent, and whether we created it."""
    if repeated:
        existing = server.superevent_of(effect.event)
        if existing:
            return existing, True
    try:
        with translate_errors(f"create a superevent of {effect.event}"):
            response = server.client.create_superevent(
                effect.t_start, effect.t_0, effect.t_end, effect.event, category=CATEGORIES[effect.category]
            )
            hit("gracedb.after_create_superevent")
            return str(response.json()["superevent_id"]), True
    except GraceDBError as error:
        existing = server.superevent_of(effect.event) if "already" in error.text else None
        if existing:
            return existing, False
        raise


@executor(UpdateSuperevent)
def update_superevent(claim: Claim[UpdateSuperevent], runtime: Runtime) -> EffectResult:
    """Write the newest values rather than the effect's own, so that a late update cannot undo a newer one."""
    since, key = runtime.clock.now(), claim.effect.superevent
    target = runtime.graceid(key)
    current = SupereventStore(runtime.ledger.connection).superevent(key)
    changes = {name: getattr(current, name, value) for name, value in claim.effect.changes.items()}
    _update(target, changes, runtime.gracedb())
    return EffectResult(
        {"target": target, "changes": changes}, lambda tx: SupereventStore(tx).note_written(key, since, changes)
    )


def _update(superevent: str, changes: dict[str, Any], server: GraceDB) -> None:
    values = {"preferred_event" if name == "preferred" else name: value for name, value in changes.items()}
    with accept("would not modify"), translate_errors(f"update superevent {superevent}"):
        server.client.update_superevent(superevent, **values)
        hit("gracedb.after_update_superevent")


@executor(AddEvent)
def add_event(claim: Claim[AddEvent], runtime: Runtime) -> EffectResult:
    """Add an event to a superevent; fail if the event belongs to another one."""
    superevent, event = runtime.graceid(claim.effect.superevent), runtime.graceid(claim.effect.event)
    server = runtime.gracedb()
    try:
        with translate_errors(f"add {event} to {superevent}"):
            server.client.add_event_to_superevent(superevent, event)
            hit("gracedb.after_add_event")
    except GraceDBError:
        if server.superevent_of(event) != superevent:
            raise
    return EffectResult({"target": superevent})


@executor(RemoveEvent)
def remove_event(claim: Claim[RemoveEvent], runtime: Runtime) -> EffectResult:
    """Remove an event from a superevent, if it is a member."""
    superevent, event = runtime.graceid(claim.effect.superevent), runtime.graceid(claim.effect.event)
    with accept_missing(), translate_errors(f"remove {event} from {superevent}"):
        runtime.gracedb().client.remove_event_from_superevent(superevent, event)
    return EffectResult({"target": superevent})


@executor(PreferExternal)
def prefer_external(claim: Claim[PreferExternal], runtime: Runtime) -> EffectResult:
    """Write the newest joint false alarm rates, unless the coincidence has ended in the meantime."""
    key, external, connection = claim.effect.superevent, claim.effect.external, runtime.ledger.connection
    superevent = SupereventStore(connection).superevent(key)
    found = ExternalStore(connection).coincidences(external=external)
    match = next((o.match for o in found if superevent and o.chosen and o.match.superevent == superevent.key), None)
    shown = SupereventStore(connection).product(superevent.key, FAR_FILE) if superevent else None
    if match is None or shown is None or shown.facts.get("external") != external:
        return EffectResult.skipped("no longer its preferred external event")
    rates = {"time_coinc_far": match.far_time, "space_coinc_far": match.far_spacetime}
    # GraceDB keeps the previous rate unless it receives a new one, so an infinite rate is written as a large number.
    changes = {name: min(rate, LARGEST_RATE) for name, rate in rates.items() if rate is not None}
    target = runtime.graceid(key)
    _update(target, {"em_type": runtime.graceid(external), **changes}, runtime.gracedb())
    return EffectResult({"target": target, "changes": changes})


# ---- labels, files and log messages ------------------------------------------------------------------------


@executor(Label)
def set_label(claim: Claim[Label], runtime: Runtime) -> EffectResult:
    """Set a label."""
    target = runtime.graceid(claim.effect.target)
    write_label(target, claim.effect.label, runtime.gracedb())
    return EffectResult({"target": target})


def write_label(target: str, name: str, server: GraceDB) -> None:
    """Set a label, unless it is set already or a signoff has made it obsolete."""
    with accept("already applied", "related signoff already exists"), translate_errors(f"label {target} {name}"):
        try:
            server.client.write_label(target, name)
        except (ValueError, NameError) as error:
            raise BadInput(f"Cannot label {target} {name}: GraceDB has no such label ({error}).") from error
        hit("gracedb.after_label")


@executor(Unlabel)
def remove_label(claim: Claim[Unlabel], runtime: Runtime) -> EffectResult:
    """Remove a label, if it is set."""
    target, name = runtime.graceid(claim.effect.target), claim.effect.label
    with accept_missing(), translate_errors(f"remove the label {name} from {target}"):
        runtime.gracedb().client.remove_label(target, name)
        hit("gracedb.after_remove_label")
    return EffectResult({"target": target})


@executor(Upload)
def upload(claim: Claim[Upload], runtime: Runtime) -> EffectResult:
    """Upload a file from this machine, or a text."""
    target = runtime.graceid(claim.effect.target)
    return _upload(claim, target, _content(claim.effect, target, runtime), runtime)


def _content(effect: Upload, target: str, runtime: Runtime) -> bytes:
    if effect.text is not None:
        text = effect.text
        for name in effect.names:
            text = text.replace(name, runtime.graceid(name))
        return text.encode()
    return content_of(str(effect.path), f"Cannot upload {effect.filename} to {target}", runtime)


@executor(CopyFile)
def copy_file(claim: Claim[CopyFile], runtime: Runtime) -> EffectResult:
    """Copy a file from one GraceDB object to another."""
    target = runtime.graceid(claim.effect.target)
    content = files_of(runtime).download(runtime.graceid(claim.effect.source), claim.effect.source_name)
    return _upload(claim, target, content, runtime)


def _upload(claim: Claim[Upload] | Claim[CopyFile], target: str, content: bytes, runtime: Runtime) -> EffectResult:
    effect = claim.effect
    # After a restore, an older version in GraceDB may be this one, as the lost ledger may have uploaded newer ones.
    # If content has come back, its version has a generation (~N), and only the newest version in GraceDB counts.
    restored = taken_before(runtime.ledger.connection, runtime.clock.now()) is not None
    file = upload_file(
        target, effect.filename, content, effect.comment, effect.tags, runtime.gracedb(), repeated=claim.repeated,
        unique=restored and "~" not in effect.version,
    )  # fmt: skip

    def note(tx: Transaction) -> None:
        if file is not None:
            SupereventStore(tx).note_uploaded(effect.target, effect.filename, effect.version, file)
            effects.wake(tx, f"{effect.target}/notices")  # a notice may be waiting for it

    return EffectResult({"target": target, "file": file}, note)


def files_of(runtime: Runtime) -> Files:
    """Return a reader of files from the places that the ledger records."""
    return Files(runtime.state / "files", runtime.gracedb, runtime.graceid)


def upload_file(
    target: str,
    filename: str,
    content: bytes,
    comment: str,
    tags: tuple[str, ...],
    server: GraceDB,
    *,
    repeated: bool,
    unique: bool = False,
) -> str | None:
    """Upload a file with a log message; if `repeated`, only if the newest version has different content.

    Parameters
    ----------
    unique : bool
        Whether this content is meant to occur in only one version. If so, an older version with it counts, too.

    Returns
    -------
    str or None
        The file as ``NAME,VERSION``; None if the server does not report the version.
    """
    older = server.version_with(target, filename, content) if repeated and unique else None
    if older is not None:
        version: Any = older
    elif repeated and server.has_file(target, filename, content):
        version = server.newest_version(target, filename)
    else:
        with translate_errors(f"upload {filename} to {target}"):
            answer = server.client.write_log(
                target, comment, filename=filename, filecontents=content, tag_name=list(tags)
            ).json()
            hit("gracedb.after_upload")
        version = answer.get("file_version") if isinstance(answer, dict) else None
    return f"{filename},{version}" if isinstance(version, int) else None


@executor(Log)
def write_log(claim: Claim[Log], runtime: Runtime) -> EffectResult:
    """Write a log message."""
    effect, target, client = claim.effect, runtime.graceid(claim.effect.target), runtime.gracedb().client
    with translate_errors(f"write a log message to {target}"):
        body = client.logs(target).json() if claim.repeated else {}
        known = (entry.get("comment") for entry in body.get("logs", body.get("log", [])))
        if effect.comment not in known:
            client.write_log(target, effect.comment, tag_name=list(effect.tags))
            hit("gracedb.after_log")
    return EffectResult({"target": target})


def warm_up(runtime: Runtime) -> None:
    """Import the client and read the server's root before the first alert needs them."""
    if runtime.profile.gracedb.url:
        try:
            runtime.gracedb().client.service_info  # noqa: B018
        except Exception:
            return  # the first effect will report the problem
